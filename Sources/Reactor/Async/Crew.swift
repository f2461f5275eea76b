// Who serves a listener's connections: tasks that take one connection after the other, so that a connection costs no task of its
// own. The crew cancels them itself, by which their waits for their own connection need no handler.

import CEpoll
import PeerMesh

/// The crew of one listener. On the loop's thread.
@safe
final class Crew: @unchecked Sendable {
    typealias Body = @Sendable (AsyncSocket) async throws -> Void

    /// A task, and where it is found.
    @safe
    final class Worker: @unchecked Sendable {
        @safe
        struct State {
            var task: Task<Void, Never>?
            /// The connection that it serves.
            var connection: PlaceID?
            /// The one that it was woken for.
            var next: AcceptQueue.Taken?
        }

        /// Where it waits for its next connection.
        let place: PlaceID
        let index: Int
        private let storage: UnsafeMutablePointer<State>

        init(_ place: PlaceID, _ index: Int) {
            self.place = place
            self.index = index
            unsafe storage = .allocate(capacity: 1)
            unsafe storage.initialize(to: State())
        }

        deinit {
            unsafe storage.deinitialize(count: 1)
            unsafe storage.deallocate()
        }

        /// Behind a pointer for the reason given in LoopState.
        var state: State {
            unsafeAddress { unsafe UnsafePointer(storage) }
            unsafeMutableAddress { unsafe storage }
        }
    }

    @safe
    private struct State {
        var workers: [Worker?] = []
        var freeIndices: [Int] = []
        var resting: [Worker] = []
        var isOver = false
        var isCancelled = false

        var count: Int { workers.count - freeIndices.count }
    }

    /// So many tasks at most wait for connections.
    private static let restingLimit = 64

    private let body: Body
    private let executor: LoopExecutor
    private let queue: AcceptQueue
    private let limit: Int
    /// Where `serve` waits for the end.
    private let place: PlaceID
    private let storage: UnsafeMutablePointer<State>

    init(_ executor: LoopExecutor, _ queue: AcceptQueue, limit: Int, _ body: @escaping Body) {
        self.executor = executor
        self.queue = queue
        self.limit = limit
        self.body = body
        place = executor.state.places.open()
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: State())
        state.resting.reserveCapacity(Self.restingLimit)
    }

    deinit {
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    private var state: State {
        unsafeAddress { unsafe UnsafePointer(storage) }
        unsafeMutableAddress { unsafe storage }
    }

    /// Until the listener is closed or the task is cancelled; then until the last worker is gone.
    nonisolated(nonsending) func serve() async throws {
        queue.crew = self
        takeWaiting()
        while !queue.isClosed, !Task.isCancelled, !executor.state.isEnding {
            await executor.wait(place, .reading)
        }
        state.isOver = true
        for worker in state.resting { executor.wake(Int(worker.place.index), .reading) }
        await lastCalls()
        queue.crew = nil
        executor.closePlace(place)
        if state.isCancelled { throw CancellationError() }
        if executor.state.isEnding { throw SystemError(.closedLoop, CEPOLL_ECANCELED) }
    }

    /// Waits for the workers' end; a cancellation hastens it, but is not the end yet.
    private nonisolated(nonsending) func lastCalls() async {
        let kind: JobKind = LoopExecutor.isNone(#isolation) ? .byPreference : .ofActor
        while !executor.state.isEnding {
            if !state.isCancelled, Task.isCancelled {
                state.isCancelled = true
                cancelAll()
            }
            guard state.count > 0 else { return }
            if state.isCancelled {
                await executor.park(Int(place.index), .reading, kind, isOwned: false)
            } else {
                await executor.wait(place, .reading)
            }
        }
    }

    private func takeWaiting() {
        while !state.isOver, state.count < limit, let connection = queue.take() { _ = take(connection) }
    }

    private func cancelAll() {
        for case let worker? in state.workers {
            worker.state.task?.cancel()
            executor.cancel(Int(worker.place.index))
            guard let connection = worker.state.connection else { continue }
            executor.state.places[Int(connection.index)].isCancelled = true
            executor.cancel(Int(connection.index))
        }
    }

    func listenerClosed() { executor.wake(Int(place.index), .reading) }

    // MARK: Connections

    /// Whether somebody serves this connection now.
    func take(_ connection: AcceptQueue.Taken) -> Bool {
        guard !state.isOver else { return false }
        if let worker = state.resting.popLast() {
            worker.state.next = connection
            executor.wake(Int(worker.place.index), .reading)
            return true
        }
        guard state.count < limit else { return false }
        let worker = Worker(executor.state.places.open(), state.freeIndices.popLast() ?? state.workers.count)
        if worker.index == state.workers.count { state.workers.append(worker) } else { state.workers[worker.index] = worker }
        worker.state.task = Task.detached(executorPreference: executor) { await self.work(worker, from: connection) }
        return true
    }

    // MARK: The state.workers

    fileprivate nonisolated(nonsending) func work(_ worker: Worker, from first: AcceptQueue.Taken) async {
        executor.state.places[Int(worker.place.index)].ownedTask = CurrentTask.id
        var next: AcceptQueue.Taken? = first
        while let connection = next {
            await serve(connection, worker)
            // A call may have cancelled its own task: that one takes no more.
            guard !Task.isCancelled else { break }
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
        executor.state.places[Int(id.index)].isCancelled = state.isCancelled
        worker.state.connection = id
        try? await body(AsyncSocket(id, remote: connection.remote, on: executor))
        worker.state.connection = nil
        executor.closePlace(id)
    }

    /// One that waits already, if this is not the end.
    func nextConnection() -> AcceptQueue.Taken? { state.isOver ? nil : queue.take() }

    /// Whether a worker that has nothing to do is to wait.
    func rest(_ worker: Worker) -> Bool {
        guard !state.isOver, !executor.state.isEnding, state.resting.count < Self.restingLimit else { return false }
        state.resting.append(worker)
        return true
    }

    /// What the worker was woken for.
    func wake(_ worker: Worker) -> AcceptQueue.Taken? {
        guard let next = worker.state.next else {
            // Woken for nothing, or for the end: it stands in the list no longer.
            state.resting.removeAll { $0 === worker }
            return nil
        }
        worker.state.next = nil
        return next
    }

    func end(_ worker: Worker) {
        state.workers[worker.index] = nil
        state.freeIndices.append(worker.index)
        executor.closePlace(worker.place)
        takeWaiting()
        if state.count == 0 { executor.wake(Int(place.index), .reading) }
    }
}
