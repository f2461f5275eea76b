// Accepting by tasks. The loop's own listener does the work, with its bursts, rests and reserve; what it takes waits in a short
// queue for whoever asks. A connection belongs to the queue until a task has it in hand: a cancelled wait loses none.

import CEpoll
public import PeerMesh

/// A listening socket that tasks take connections from; also a sequence of them, which ends when the listener is closed. On the
/// loop's thread; one task accepts at a time. Closed by `close`, or when the last reference goes, on whatever thread.
public final class AsyncListener: AsyncSequence, @unchecked Sendable {
    public typealias Element = AsyncSocket

    /// Where it listens, with the real port if 0 was asked for.
    public let endpoint: Endpoint
    private let executor: LoopExecutor
    private let queue: AcceptQueue
    private let listener: Listener

    fileprivate init(_ listener: Listener, _ queue: AcceptQueue, on executor: LoopExecutor) {
        self.listener = listener
        self.queue = queue
        self.executor = executor
        endpoint = listener.endpoint
    }

    deinit {
        if executor.isLoopGone { return }
        let ending = EndingListener(listener: listener, queue: queue, executor: executor)
        if executor.isOnThread { ending.close() } else { _ = executor.send(.closeListener(ending)) }
    }

    /// What it did since it was made. On the loop's thread.
    public var counters: Listener.Counters {
        executor.requireThread()
        return listener.counters
    }

    /// Ends the listening. What nobody has taken is reset; a task that waits gets an error.
    public func close() {
        executor.requireThread()
        EndingListener(listener: listener, queue: queue, executor: executor).close()
    }

    /// The next connection. Throws `CancellationError` at once when the task is cancelled: what has come meanwhile waits for the
    /// next call. Else throws `SystemError` if the listener is closed.
    public nonisolated(nonsending) func accept() async throws -> AsyncSocket {
        executor.requireThread()
        while true {
            if Task.isCancelled { throw CancellationError() }
            guard !queue.isClosed, !executor.state.isEnding else { throw SystemError(.closedSocket, CEPOLL_ECANCELED) }
            if let taken = queue.take() {
                return AsyncSocket(Socket(taking: taken.descriptor), remote: taken.remote, on: executor)
            }
            await executor.wait(queue.place, .reading)
        }
    }

    /// Serves each connection by a call of `body`, as many at a time as there are connections, or `limit`: the others wait. A
    /// connection is closed when its call ends; what the call throws ends that connection and nothing else. The calls are
    /// made by tasks that prefer the loop.
    ///
    /// Returns when the listener is closed and the last call has ended. When the task is cancelled, so are all calls: throws
    /// `CancellationError` once the last of them has ended. One task serves or accepts at a time.
    ///
    /// The tasks that make the calls are kept for the next connections, up to 64 of them: one that finds such a task waiting costs no
    /// allocation but the socket's own.
    public nonisolated(nonsending) func serve(
        atMost limit: Int = .max, _ body: @escaping @Sendable (AsyncSocket) async throws -> Void
    ) async throws {
        precondition(limit > 0, "nobody would be served")
        executor.requireThread()
        precondition(unsafe queue.crew == nil, "two tasks serve the same listener")
        let crew = Crew(executor, queue, limit: limit, body)
        try await crew.serve()
    }

    public func makeAsyncIterator() -> Iterator { Iterator(listener: self) }

    /// Connections, until the listener is closed or the task is cancelled.
    public struct Iterator: AsyncIteratorProtocol {
        let listener: AsyncListener

        /// The next connection, or nil when the listener is closed. Throws as `accept` does.
        public mutating func next() async throws -> AsyncSocket? {
            try await next(isolation: #isolation)
        }

        /// The same, with the isolation that the language passes. Throws likewise.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> AsyncSocket? {
            do {
                return try await listener.accept()
            } catch let error as SystemError where error.call == .closedSocket {
                return nil
            }
        }
    }
}

extension LoopExecutor {
    /// Listens on `endpoint`; port 0 lets the kernel pick one. At most `waiting` connections, or a burst more, are taken ahead of who
    /// asks for them; the rest wait in the kernel's backlog. Throws if the kernel refuses the address or the loop's table is full.
    public func listen(
        on endpoint: Endpoint, waiting: Int = 64, settings: Listener.Settings = Listener.Settings()
    ) throws(SystemError) -> AsyncListener {
        requireThread()
        let queue = AcceptQueue(executor: self, limit: waiting)
        do throws(SystemError) {
            let listener = try Listener(loop: loop, on: endpoint, owner: queue, settings: settings)
            queue.listener = listener
            return AsyncListener(listener, queue, on: self)
        } catch {
            queue.close()
            throw error
        }
    }
}

/// Connections that were accepted and not yet asked for. On the loop's thread. Each access of its own is short and whole: checks of
/// exclusive access would cost a connection 150 instructions.
@safe
final class AcceptQueue: Source {
    struct Taken {
        let descriptor: CInt
        let remote: Endpoint
    }

    private unowned let executor: LoopExecutor
    private let limit: Int
    let place: PlaceID
    weak var listener: Listener?
    /// Who takes connections before they wait, while a listener is served.
    @exclusivity(unchecked) var crew: Unmanaged<Crew>?
    @safe @exclusivity(unchecked) private var taken: [Taken] = []
    @safe @exclusivity(unchecked) private var first = 0
    @safe @exclusivity(unchecked) private var isPaused = false
    private(set) var isClosed = false

    init(executor: LoopExecutor, limit: Int) {
        precondition(limit > 0, "a queue needs room")
        self.executor = executor
        self.limit = limit
        place = executor.state.places.open()
        taken.reserveCapacity(limit * 2)
    }

    deinit {
        for rest in taken[first...] { _ = cepoll_close(rest.descriptor) }
    }

    override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        let connection = Taken(descriptor: socket.release(), remote: remote)
        if let crew = unsafe crew, unsafe crew._withUnsafeGuaranteedRef({ $0.take(connection) }) { return }
        taken.append(connection)
        if taken.count - first >= limit, !isPaused {
            isPaused = true
            listener?.pause()
        }
        executor.wake(Int(place.index), .reading)
    }

    var isEmpty: Bool { first == taken.count }

    func take() -> Taken? {
        guard first < taken.count else { return nil }
        let next = taken[first]
        first += 1
        // A queue that is never empty must not grow behind its head.
        if first == taken.count || first >= limit {
            taken.removeSubrange(..<first)
            first = 0
        }
        if isPaused {
            isPaused = false
            listener?.resume()
        }
        return next
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        for rest in taken[first...] { _ = cepoll_close(rest.descriptor) }
        taken.removeAll()
        first = 0
        unsafe crew?._withUnsafeGuaranteedRef { $0.listenerClosed() }
        executor.closePlace(place)
    }
}

/// A listener on its way out, perhaps to the loop's thread.
struct EndingListener: @unchecked Sendable {
    let listener: Listener
    let queue: AcceptQueue
    let executor: LoopExecutor

    func close() {
        queue.close()
        if !executor.state.isEnding { listener.close() }
    }
}
