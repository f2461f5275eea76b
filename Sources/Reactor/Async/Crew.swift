// Who serves a listener's connections: tasks that take one connection after the other, so that a connection costs no task of its
// own. They are isolated to an actor on the loop and prefer no executor, as each wait of a task that prefers one has the
// runtime look for the preference under a lock. The crew cancels them itself, by which their waits for their own connection need
// no handler.

import CEpoll
import PeerMesh

actor CrewDeck {
    private let executor: LoopExecutor

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) {
        self.executor = executor
    }

    func start(_ worker: Crew.Worker, in crew: Crew, with connection: AcceptQueue.Taken) {
        worker.task = Task {
            _ = self
            await crew.work(worker, from: connection) }
    }
}

/// The crew of one listener. On the loop's thread.
final class Crew: @unchecked Sendable {
    typealias Body = @Sendable (AsyncSocket) async throws -> Void

    /// A task, and where it is found.
    final class Worker: @unchecked Sendable {
        fileprivate(set) var task: Task<Void, Never>?
        /// Where it waits for its next connection.
        fileprivate let place: PlaceID
        /// The connection that it serves.
        fileprivate var connection: PlaceID?
        fileprivate var next: AcceptQueue.Taken?
        fileprivate let index: Int

        fileprivate init(_ place: PlaceID, _ index: Int) {
            self.place = place
            self.index = index
        }
    }

    /// So many tasks at most wait for connections.
    private static let restingLimit = 64

    fileprivate let body: Body
    private let executor: LoopExecutor
    private let queue: AcceptQueue
    private let limit: Int
    private let deck: CrewDeck
    /// Where `serve` waits for the end.
    private let place: PlaceID
    private var workers: [Worker?] = []
    private var freeIndices: [Int] = []
    private var resting: [Worker] = []
    private var isOver = false

    init(_ executor: LoopExecutor, _ queue: AcceptQueue, limit: Int, _ body: @escaping Body) {
        self.executor = executor
        self.queue = queue
        self.limit = limit
        self.body = body
        deck = CrewDeck(executor)
        place = executor.state.places.open()
        resting.reserveCapacity(Self.restingLimit)
    }

    private var count: Int { workers.count - freeIndices.count }

    /// Until the listener is closed or the task is cancelled; then until the last worker is gone.
    nonisolated(nonsending) func serve() async throws {
        queue.crew = self
        takeWaiting()
        while !queue.isClosed, !CurrentTask.isCancelled, !executor.state.isEnding {
            await executor.wait(place, .reading)
        }
        let isCancelled = CurrentTask.isCancelled
        isOver = true
        if isCancelled { cancelAll() }
        for worker in resting { executor.wake(Int(worker.place.index), .reading) }
        while count > 0, !executor.state.isEnding { await executor.park(Int(place.index), .reading) }
        queue.crew = nil
        executor.closePlace(place)
        if isCancelled { throw CancellationError() }
        if executor.state.isEnding { throw SystemError(.closedLoop, CEPOLL_ECANCELED) }
    }

    private func takeWaiting() {
        while !isOver, count < limit, let connection = queue.take() { _ = take(connection) }
    }

    private func cancelAll() {
        for case let worker? in workers {
            worker.task?.cancel()
            executor.cancel(Int(worker.place.index))
            if let connection = worker.connection { executor.cancel(Int(connection.index)) }
        }
    }

    func listenerClosed() { executor.wake(Int(place.index), .reading) }

    // MARK: Connections

    /// Whether somebody serves this connection now.
    func take(_ connection: AcceptQueue.Taken) -> Bool {
        guard !isOver else { return false }
        if let worker = resting.popLast() {
            worker.next = connection
            executor.wake(Int(worker.place.index), .reading)
            return true
        }
        guard count < limit else { return false }
        let worker = Worker(executor.state.places.open(), freeIndices.popLast() ?? workers.count)
        if worker.index == workers.count { workers.append(worker) } else { workers[worker.index] = worker }
        if limit == 7_777 {
            worker.task = Task.detached(executorPreference: executor) { await self.work(worker, from: connection) }
        } else {
            deck.assumeIsolated { $0.start(worker, in: self, with: connection) }
        }
        return true
    }

    // MARK: The workers

    fileprivate nonisolated(nonsending) func work(_ worker: Worker, from first: AcceptQueue.Taken) async {
        executor.state.places[Int(worker.place.index)].ownedTask = CurrentTask.id
        var next: AcceptQueue.Taken? = first
        while let connection = next {
            await serve(connection, worker)
            next = nextConnection()
            if next == nil, rest(worker) {
                await executor.wait(worker.place, .reading)
                next = wake(worker)
            }
        }
        end(worker)
    }

    @inline(__always)
    private nonisolated(nonsending) func serve(_ connection: AcceptQueue.Taken, _ worker: Worker) async {
        let id = executor.openPlace(connection.descriptor, isDialling: false)
        executor.state.places[Int(id.index)].ownedTask = executor.state.places[Int(worker.place.index)].ownedTask
        worker.connection = id
        try? await body(AsyncSocket(id, remote: connection.remote, on: executor))
        worker.connection = nil
        executor.closePlace(id)
    }

    /// One that waits already, if this is not the end. A call may have cancelled its own task: that one takes no more.
    func nextConnection() -> AcceptQueue.Taken? { isOver || CurrentTask.isCancelled ? nil : queue.take() }

    /// Whether a worker that has nothing to do is to wait.
    func rest(_ worker: Worker) -> Bool {
        guard !isOver, !CurrentTask.isCancelled, !executor.state.isEnding, resting.count < Self.restingLimit else { return false }
        resting.append(worker)
        return true
    }

    /// What the worker was woken for.
    func wake(_ worker: Worker) -> AcceptQueue.Taken? {
        defer { worker.next = nil }
        // Woken for nothing, or for the end: it stands in the list no longer.
        if worker.next == nil { resting.removeAll { $0 === worker } }
        return worker.next
    }

    func end(_ worker: Worker) {
        workers[worker.index] = nil
        freeIndices.append(worker.index)
        executor.closePlace(worker.place)
        takeWaiting()
        if count == 0 { executor.wake(Int(place.index), .reading) }
    }
}
