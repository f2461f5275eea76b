// A connection for tasks. Tried first, and registered only when a task must wait for it: once, edge-triggered, so that a socket that
// nobody reads wakes nobody. What the kernel said is kept in its place until a call finds it no longer true.

import CEpoll
public import PeerMesh
public import Timers

/// A TCP connection that tasks read and write. Everything but letting it go belongs to the loop's thread; at most one task
/// reads and one writes at a time. Closed by `close`, or when the last reference goes, on whatever thread.
@safe
public final class AsyncSocket: @unchecked Sendable {
    /// The other end.
    public let remote: Endpoint
    @usableFromInline let executor: LoopExecutor
    private let id: PlaceID
    /// The place that `id` names. It stays where it is as long as the executor, and may be another one's by now.
    private let place: UnsafeMutablePointer<AsyncPlace>

    /// Takes over `socket`, connected or accepted.
    public convenience init(_ socket: consuming Socket, remote: Endpoint, on executor: LoopExecutor) {
        executor.requireThread()
        self.init(executor.openPlace(socket.release(), isDialling: false), remote: remote, on: executor)
    }

    init(_ id: PlaceID, remote: Endpoint, on executor: LoopExecutor) {
        self.id = id
        self.remote = remote
        self.executor = executor
        unsafe place = executor.state.places.pointer(Int(id.index))
    }

    deinit {
        // Lent, or it would be retained for the look.
        if unsafe Unmanaged.passUnretained(executor)._withUnsafeGuaranteedRef({ $0.isOnThread }), isOver { return }
        executor.release(id)
    }

    private var isOver: Bool { unsafe place.pointee.generation != id.generation }

    /// Whether it was closed.
    public var isClosed: Bool {
        executor.requireThread()
        return isOver
    }

    /// Closes it. Tasks that wait for it are told by an error. What has come and was not read makes the kernel reset the connection,
    /// by which the other end may lose what was sent to it last: see `drain`.
    public func close() {
        executor.requireThread()
        executor.closePlace(id)
    }

    /// Closes it so that the other end gets all that was sent, even if it has sent more than was read: ends the sending side, reads and
    /// drops what comes until the other end has ended, too, or `limit` has passed, then closes. For the end of a conversation that
    /// is answered before it was heard to its end. No other task may read meanwhile.
    ///
    /// Returns whether the other end has ended in time; else, and if the connection fails, it may have lost what was sent last.
    /// When the task is cancelled it closes at once and throws `CancellationError`. Throws `SystemError` if it is closed already, or
    /// if the loop's tables are full; then it is closed.
    @discardableResult
    public nonisolated(nonsending) func drain(within limit: Nanoseconds = .seconds(5)) async throws -> Bool {
        _ = try begin()
        defer { executor.closePlace(id) }
        let end = Instant(nanoseconds: cepoll_monotonic()) + limit
        shutdownSending()
        // The timer wakes who waits for bytes: its tag is our place.
        guard let timer = executor.loop.makeTimerIfRoom(source: executor.driver, tag: UInt32(bitPattern: id.index)) else {
            throw SystemError(.timerTable, CEPOLL_ENOSPC)
        }
        defer { if !executor.state.isEnding { executor.loop.destroy(timer) } }
        executor.loop.arm(timer, at: end)
        var dropped = 0
        while Instant(nanoseconds: cepoll_monotonic()) < end {
            switch try dropOnce() {
            case .bytes(let count):
                dropped += count
                guard dropped >= Self.dropsAtOnce else { continue }
                dropped = 0
                await Task.yield()
            case .wait(let wait): await waitForBytes(wait)
            case .ended: return true
            case .failed: return false
            }
        }
        return false
    }

    /// Bytes that `drain` drops before others have their turn.
    private static let dropsAtOnce = 256 << 10

    private enum Dropped {
        case bytes(Int)
        case wait(AsyncWait)
        case ended
        case failed
    }

    private func dropOnce() throws -> Dropped {
        try unsafe withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 16) { buffer in
            do {
                let attempt = try unsafe receive(into: buffer)
                if let wait = attempt.wait { return Dropped.wait(wait) }
                return attempt.count == 0 ? .ended : .bytes(attempt.count)
            } catch let error as SystemError where error.call == .receive {
                return .failed
            }
        }
    }

    /// Ends the sending side: the other end reads the end of the stream after what was written.
    public func shutdownSending() {
        executor.requireThread()
        guard !isOver, !executor.state.isEnding else { return }
        _ = unsafe cepoll_shutdown_send(place.pointee.descriptor)
    }

    /// The socket's own address. Throws `SystemError` if it was closed.
    public func localEndpoint() throws -> Endpoint {
        executor.requireThread()
        try requireOpen()
        var address = cepoll_address()
        try SystemError.check(unsafe cepoll_local(place.pointee.descriptor, &address), .address)
        guard let endpoint = Endpoint(address) else { throw SystemError(.address, CEPOLL_EAFNOSUPPORT) }
        return endpoint
    }

    // MARK: Reading and writing

    // Inlinable, so that a call that finds what it wants is none of an asynchronous function, which takes and returns a frame, and
    // one that must wait does so in the caller's frame.

    /// Receives what there is, up to the buffer's size (not zero), and waits only if there is nothing. Returns how many bytes; 0 is
    /// the end of the stream. Throws `CancellationError` at once when the task is cancelled (nothing is lost: what came stays
    /// in the kernel), else `SystemError`, also if the loop's table has no room for one more socket that is waited for. The
    /// buffer must stay until it returns.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        while true {
            let attempt = try unsafe receive(into: buffer)
            guard let wait = attempt.wait else { return attempt.count }
            await waitForBytes(wait)
        }
    }

    /// The same into a span: a buffer of the caller's own that needs no pointer. Throws likewise.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func read(into bytes: inout MutableRawSpan) async throws -> Int {
        while true {
            let attempt = try unsafe bytes.withUnsafeMutableBytes { buffer in try unsafe receive(into: buffer) }
            guard let wait = attempt.wait else { return attempt.count }
            await waitForBytes(wait)
        }
    }

    /// The same into an array of its own: at most `limit` bytes; empty is the end of the stream. Throws likewise.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func read(upTo limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            guard let wait = try receive(&bytes, upTo: limit) else { return bytes }
            await waitForBytes(wait)
        }
    }

    /// Sends all of it. Throws as `read` does; then part of it may have been sent, and the stream is of use no more.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func write(_ bytes: UnsafeRawBufferPointer) async throws {
        var sent = 0
        while true {
            let attempt = try unsafe send(bytes, from: sent)
            guard let wait = attempt.wait else { return }
            sent += attempt.count
            await waitForRoom(wait)
        }
    }

    /// The same of a span. Throws likewise.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func write(_ bytes: RawSpan) async throws {
        var sent = 0
        while true {
            let attempt = try unsafe bytes.withUnsafeBytes { buffer in try unsafe send(buffer, from: sent) }
            guard let wait = attempt.wait else { return }
            sent += attempt.count
            await waitForRoom(wait)
        }
    }

    /// The same of an array. Throws likewise.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func write(_ bytes: [UInt8]) async throws {
        try await unsafe write(bytes.span.bytes)
    }

    // MARK: Waiting

    @inlinable @inline(__always)
    nonisolated(nonsending) func waitForBytes(_ wait: AsyncWait) async {
        switch wait {
        case .owned:
            if leave(.reading, isAlone: LoopExecutor.isNone(#isolation)) { await executor.parking.wait() }
        case .cancellable:
            await waitCancellably(.reading)
        }
    }

    /// Rare, and so not a part of the caller's frame.
    @usableFromInline @inline(never)
    nonisolated(nonsending) func waitForRoom(_ wait: AsyncWait) async {
        switch wait {
        case .owned:
            if leave(.writing, isAlone: LoopExecutor.isNone(#isolation)) { await executor.parking.wait() }
        case .cancellable:
            await waitCancellably(.writing)
        }
    }

    @usableFromInline
    nonisolated(nonsending) func waitCancellably(_ lane: Lane) async {
        await executor.wait(id, lane)
    }

    /// Before a wait that whoever owns the task ends, unless the task has cancelled itself: false lets it look again.
    @usableFromInline
    func leave(_ lane: Lane, isAlone: Bool) -> Bool {
        if unsafe executor.isOwnerCancelled(place) {
            unsafe executor.noteCancellation(place)
            return false
        }
        unsafe executor.leave(place, lane, isAlone ? .byPreference : .both, isOwned: true)
        return true
    }

    // MARK: Without waiting

    /// Throws if the task is cancelled, or the socket is over. Returns how to wait, should it come to that.
    @inline(__always)
    private func begin() throws -> AsyncWait {
        executor.requireThread()
        let isOwned = unsafe !isOver && place.pointee.ownedTask != 0 && place.pointee.ownedTask == executor.state.running
        if unsafe isOwned ? place.pointee.isCancelled : Task.isCancelled { throw CancellationError() }
        try requireOpen()
        return isOwned ? .owned : .cancellable
    }

    @inline(__always)
    private func requireOpen() throws(SystemError) {
        if isOver || executor.state.isEnding { throw SystemError(.closedSocket, CEPOLL_ECANCELED) }
    }

    /// What there is to read. If there is nothing now, the kernel is to tell.
    @usableFromInline
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws -> AsyncAttempt {
        precondition(buffer.count > 0, "an empty buffer reads like the end of the stream")
        let wait = try begin()
        guard unsafe place.pointee.isReadable else {
            unsafe try executor.register(place, id.index)
            return AsyncAttempt(count: 0, wait: wait)
        }
        switch Transfer(result: unsafe cepoll_recv(place.pointee.descriptor, buffer.baseAddress, buffer.count)) {
        case .bytes(let count):
            // Less than asked for: the kernel has no more, and tells anew when it has, unless `readsUntilEmpty`.
            if unsafe count < buffer.count && !place.pointee.readsUntilEmpty { unsafe place.pointee.isReadable = false }
            return AsyncAttempt(count: count)
        case .wouldBlock:
            unsafe place.pointee.isReadable = false
            unsafe try executor.register(place, id.index)
            return AsyncAttempt(count: 0, wait: wait)
        case .ended:
            return AsyncAttempt(count: 0)
        case .failed(let error):
            throw SystemError(.receive, error)
        }
    }

    /// The same as an array. It is made only when there is something to take: one of no capacity is an object of the whole process.
    @usableFromInline
    func receive(_ bytes: inout [UInt8], upTo limit: Int) throws -> AsyncWait? {
        precondition(limit > 0, "an empty buffer reads like the end of the stream")
        let wait = try begin()
        guard unsafe place.pointee.isReadable else {
            unsafe try executor.register(place, id.index)
            return wait
        }
        var attempt = AsyncAttempt(count: 0)
        bytes = unsafe try [UInt8](unsafeUninitializedCapacity: limit) { buffer, filled in
            attempt = try unsafe receive(into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<limit]))
            filled = attempt.count
        }
        return attempt.wait
    }

    /// Sends what the kernel takes, and asks for writability if that is not all.
    @usableFromInline
    func send(_ bytes: UnsafeRawBufferPointer, from start: Int) throws -> AsyncAttempt {
        let wait = try begin()
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[start...])
        if unsafe rest.isEmpty { return AsyncAttempt(count: 0) }
        guard unsafe place.pointee.isWritable else { return AsyncAttempt(count: 0, wait: wait) }
        switch Transfer(result: unsafe cepoll_send(place.pointee.descriptor, rest.baseAddress, rest.count)) {
        case .bytes(let count):
            if count == rest.count { return AsyncAttempt(count: count) }
            unsafe try executor.awaitWritability(place, id.index)
            return AsyncAttempt(count: count, wait: wait)
        case .wouldBlock, .ended:
            unsafe try executor.awaitWritability(place, id.index)
            return AsyncAttempt(count: 0, wait: wait)
        case .failed(let error):
            throw SystemError(.send, error)
        }
    }
}

/// What a call without waiting came to.
@usableFromInline
struct AsyncAttempt: BitwiseCopyable {
    /// The bytes that were moved.
    @usableFromInline let count: Int
    /// How to wait for the rest; nil if there is nothing to wait for.
    @usableFromInline let wait: AsyncWait?

    init(count: Int, wait: AsyncWait? = nil) {
        self.count = count
        self.wait = wait
    }
}

/// How a task waits for its socket.
@usableFromInline
enum AsyncWait: BitwiseCopyable {
    /// Who owns the task ends the wait. See Crew.
    case owned
    /// A handler does, when the task is cancelled.
    case cancellable
}
