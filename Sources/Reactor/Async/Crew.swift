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
            /// The place of the connection that it serves.
            var connection: PlaceID?
            /// The connection that it is to serve next.
            var next: AcceptQueue.Taken?
        }

        /// Where it waits for its next connection.
        let id: PlaceID
        let place: UnsafeMutablePointer<AsyncPlace>
        let index: Int
        /// A constant, or a look whether it was cancelled would retain it.
        private let task: Task<Void, Never>
        private let storage: UnsafeMutablePointer<State>

        init(_ id: PlaceID, of executor: LoopExecutor, _ index: Int, _ task: Task<Void, Never>) {
            self.id = id
            self.index = index
            self.task = task
            unsafe place = executor.state.places.pointer(Int(id.index))
            unsafe storage = .allocate(capacity: 1)
            unsafe storage.initialize(to: State())
        }

        deinit {
            unsafe storage.deinitialize(count: 1)
            unsafe storage.deallocate()
        }

        /// Whether its task was cancelled, perhaps by a call of its own: then it takes no more.
        var isCancelled: Bool { task.isCancelled }

        func cancel() { task.cancel() }

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
        /// Those of them that wait for a connection; `workers` keeps them.
        var resting: [Unmanaged<Worker>] = unsafe []
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
        unsafe state.resting.reserveCapacity(Self.restingLimit)
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
        unsafe queue.crew = Unmanaged.passUnretained(self)
        takeWaiting()
        while !queue.isClosed, !Task.isCancelled, !executor.state.isEnding {
            await executor.wait(place, .reading)
        }
        state.isOver = true
        for unsafe worker in unsafe state.resting { unsafe executor.wake(worker.takeUnretainedValue().place, .reading) }
        await lastCalls()
        unsafe queue.crew = nil
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
                await executor.park(Int(place.index), .reading, kind)
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
            worker.cancel()
            executor.cancel(Int(worker.id.index))
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
        if let worker = unsafe state.resting.popLast() {
            unsafe worker._withUnsafeGuaranteedRef {
                $0.state.next = connection
                unsafe executor.wake($0.place, .reading)
            }
            return true
        }
        guard state.count < limit else { return false }
        hire(for: connection)
        return true
    }

    /// Apart, as it takes room on the stack that no other connection needs.
    @inline(never)
    private func hire(for connection: AcceptQueue.Taken) {
        let index = state.freeIndices.popLast() ?? state.workers.count
        // It begins as one of the loop's next jobs, and finds its worker then.
        let task = Task.detached(executorPreference: executor) { await self.work(as: index) }
        let worker = Worker(executor.state.places.open(), of: executor, index, task)
        if index == state.workers.count { state.workers.append(worker) } else { state.workers[index] = worker }
        worker.state.next = connection
    }

    // MARK: The workers

    fileprivate nonisolated(nonsending) func work(as index: Int) async {
        guard let worker = state.workers[index] else { preconditionFailure("a worker begins before it is hired") }
        unsafe worker.place.pointee.ownedTask = CurrentTask.id
        var socket = begin(worker)
        while let connection = socket {
            try? await body(connection)
            socket = next(worker)
            if socket == nil, rest(worker) {
                unsafe executor.leave(worker.place, .reading, .byPreference, isOwned: false)
                await executor.parking.wait()
                socket = begin(worker)
            }
        }
        end(worker)
    }

    /// The connection that the worker was woken for; nil if it was woken for nothing, or for the end.
    private func begin(_ worker: Worker) -> AsyncSocket? {
        guard let connection = worker.state.next else {
            unsafe state.resting.removeAll { unsafe $0.takeUnretainedValue() === worker }
            return nil
        }
        worker.state.next = nil
        let id = executor.openPlace(connection.descriptor, isDialling: false)
        let place = unsafe executor.state.places.pointer(Int(id.index))
        unsafe place.pointee.ownedTask = worker.place.pointee.ownedTask
        unsafe place.pointee.owner = Unmanaged.passUnretained(worker)
        unsafe place.pointee.isCancelled = state.isCancelled
        worker.state.connection = id
        return AsyncSocket(id, remote: connection.remote, on: executor)
    }

    /// Ends the connection whose call has ended. Returns one that waits already, if this is not the end.
    private func next(_ worker: Worker) -> AsyncSocket? {
        if let id = worker.state.connection { executor.closePlace(id) }
        worker.state.connection = nil
        guard !state.isOver, !queue.isEmpty, !worker.isCancelled, let connection = queue.take() else { return nil }
        worker.state.next = connection
        return begin(worker)
    }

    /// Whether a worker that has nothing to do is to wait.
    private func rest(_ worker: Worker) -> Bool {
        guard !state.isOver, !executor.state.isEnding, unsafe state.resting.count < Self.restingLimit, !worker.isCancelled else { return false }
        unsafe state.resting.append(Unmanaged.passUnretained(worker))
        return true
    }

    private func end(_ worker: Worker) {
        state.workers[worker.index] = nil
        state.freeIndices.append(worker.index)
        executor.closePlace(worker.id)
        takeWaiting()
        if state.count == 0 { executor.wake(Int(place.index), .reading) }
    }
}
