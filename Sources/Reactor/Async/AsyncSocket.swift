// A connection for tasks. Tried first, and registered only when a task must wait for it: once, edge-triggered, so that a socket that
// nobody reads wakes nobody. What the kernel said is kept in its place until a call finds it no longer true.

import CEpoll
public import PeerMesh

/// A TCP connection that tasks read and write. Everything but letting it go belongs to the loop's thread; at most one task
/// reads and one writes at a time. Closed by `close`, or when the last reference goes, on whatever thread.
public final class AsyncSocket: Sendable {
    /// The other end.
    public let remote: Endpoint
    private let executor: LoopExecutor
    private let id: PlaceID
    private var index: Int { Int(id.index) }

    /// Takes over `socket`, connected or accepted.
    public convenience init(_ socket: consuming Socket, remote: Endpoint, on executor: LoopExecutor) {
        executor.requireThread()
        self.init(executor.openPlace(socket.release(), isDialling: false), remote: remote, on: executor)
    }

    init(_ id: PlaceID, remote: Endpoint, on executor: LoopExecutor) {
        self.id = id
        self.remote = remote
        self.executor = executor
    }

    deinit {
        executor.release(id)
    }

    /// Whether it was closed.
    public var isClosed: Bool {
        executor.requireThread()
        return !executor.state.places.holds(id)
    }

    /// Closes it. Tasks that wait for it are told by an error.
    public func close() {
        executor.requireThread()
        executor.closePlace(id)
    }

    /// Ends the sending side: the other end reads the end of the stream after what was written.
    public func shutdownSending() {
        executor.requireThread()
        guard let descriptor = unsafe try? place().pointee.descriptor else { return }
        _ = cepoll_shutdown_send(descriptor)
    }

    /// The socket's own address. Throws `SystemError` if it was closed.
    public func localEndpoint() throws -> Endpoint {
        var address = cepoll_address()
        try SystemError.check(unsafe cepoll_local(place().pointee.descriptor, &address), .address)
        guard let endpoint = Endpoint(address) else { throw SystemError(.address, CEPOLL_EAFNOSUPPORT) }
        return endpoint
    }

    /// Receives what there is, up to the buffer's size (not zero), and waits only if there is nothing. Returns how many bytes; 0 is
    /// the end of the stream. Throws `CancellationError` at once when the task is cancelled (nothing is lost: what came stays
    /// in the kernel), else `SystemError`, also if the loop's table has no room for one more socket that is waited for. The
    /// buffer must stay until it returns.
    public nonisolated(nonsending) func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        precondition(buffer.count > 0, "an empty buffer reads like the end of the stream")
        executor.requireThread()
        while true {
            if executor.isCancelled(index) { throw CancellationError() }
            if let result = try unsafe receive(into: buffer) { return result }
            await executor.wait(id, .reading)
        }
    }

    /// The same into a span: a buffer of the caller's own that needs no pointer. Throws likewise.
    public nonisolated(nonsending) func read(into bytes: inout MutableRawSpan) async throws -> Int {
        precondition(bytes.byteCount > 0, "an empty buffer reads like the end of the stream")
        executor.requireThread()
        while true {
            if executor.isCancelled(index) { throw CancellationError() }
            let result = try unsafe bytes.withUnsafeMutableBytes { buffer throws(SystemError) in try unsafe receive(into: buffer) }
            if let result { return result }
            await executor.wait(id, .reading)
        }
    }

    /// The same into an array of its own: at most `limit` bytes; empty is the end of the stream. Throws likewise.
    public nonisolated(nonsending) func read(upTo limit: Int) async throws -> [UInt8] {
        precondition(limit > 0, "an empty buffer reads like the end of the stream")
        executor.requireThread()
        while true {
            if executor.isCancelled(index) { throw CancellationError() }
            if let bytes = try receive(upTo: limit) { return bytes }
            await executor.wait(id, .reading)
        }
    }

    /// Sends all of it. Throws as `read` does; then part of it may have been sent, and the stream is of use no more.
    public nonisolated(nonsending) func write(_ bytes: UnsafeRawBufferPointer) async throws {
        executor.requireThread()
        var sent = 0
        while true {
            if executor.isCancelled(index) { throw CancellationError() }
            guard sent < bytes.count else { return }
            sent += try unsafe send(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
            guard sent < bytes.count else { return }
            await executor.wait(id, .writing)
        }
    }

    /// The same of a span. Throws likewise.
    public nonisolated(nonsending) func write(_ bytes: RawSpan) async throws {
        executor.requireThread()
        var sent = 0
        while true {
            if executor.isCancelled(index) { throw CancellationError() }
            guard sent < bytes.byteCount else { return }
            sent += try unsafe bytes.withUnsafeBytes { buffer throws(SystemError) in
                try unsafe send(UnsafeRawBufferPointer(rebasing: buffer[sent...]))
            }
            guard sent < bytes.byteCount else { return }
            await executor.wait(id, .writing)
        }
    }

    /// The same of an array. Throws likewise.
    public nonisolated(nonsending) func write(_ bytes: [UInt8]) async throws {
        try await unsafe write(bytes.span.bytes)
    }

    // MARK: Without waiting

    /// The place; throws if it is over.
    private func place() throws(SystemError) -> UnsafeMutablePointer<AsyncPlace> {
        guard executor.state.places.holds(id), !executor.state.isEnding else {
            throw SystemError(.closedSocket, CEPOLL_ECANCELED)
        }
        return unsafe executor.state.places.pointer(Int(id.index))
    }

    /// What there is to read; nil if there is nothing now, and the kernel is to tell.
    private func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int? {
        let place = try unsafe place()
        guard unsafe place.pointee.isReadable else {
            unsafe try executor.register(place, id.index)
            return nil
        }
        switch Transfer(result: unsafe cepoll_recv(place.pointee.descriptor, buffer.baseAddress, buffer.count)) {
        case .bytes(let count):
            // Less than asked for: the kernel has no more, and tells anew when it has. An end that it told of already it
            // would not tell again.
            if unsafe count < buffer.count && !place.pointee.isOver { unsafe place.pointee.isReadable = false }
            return count
        case .wouldBlock:
            unsafe place.pointee.isReadable = false
            unsafe try executor.register(place, id.index)
            return nil
        case .ended:
            return 0
        case .failed(let error):
            throw SystemError(.receive, error)
        }
    }

    /// The same as an array. It is made only when there is something to take: one of no capacity is an object of the whole process.
    private func receive(upTo limit: Int) throws(SystemError) -> [UInt8]? {
        guard unsafe try place().pointee.isReadable else {
            unsafe try executor.register(place(), id.index)
            return nil
        }
        var count: Int?
        var failure: SystemError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, filled in
            do throws(SystemError) {
                count = try unsafe receive(into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<limit]))
            } catch {
                failure = error
            }
            filled = count ?? 0
        }
        if let failure { throw failure }
        return count == nil ? nil : bytes
    }

    /// Sends what the kernel takes, and asks for writability if that is not all.
    private func send(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        let place = try unsafe place()
        guard unsafe place.pointee.isWritable else { return 0 }
        switch Transfer(result: unsafe cepoll_send(place.pointee.descriptor, bytes.baseAddress, bytes.count)) {
        case .bytes(let count):
            if count < bytes.count { unsafe try executor.awaitWritability(place, id.index) }
            return count
        case .wouldBlock, .ended:
            unsafe try executor.awaitWritability(place, id.index)
            return 0
        case .failed(let error):
            throw SystemError(.send, error)
        }
    }
}

extension LoopExecutor {
    /// Opens a connection to `endpoint`, from the address `source` if one is given. Throws `CancellationError` at once when the task
    /// is cancelled, and then nothing of it is left; else `SystemError`. How long it may take is the kernel's to say: bound
    /// it by cancelling.
    public nonisolated(nonsending) func connect(
        to endpoint: Endpoint, from source: IPAddress? = nil, options: SocketOptions = SocketOptions()
    ) async throws -> AsyncSocket {
        requireThread()
        if Task.isCancelled { throw CancellationError() }
        switch Socket.dial(endpoint, from: source, options: options) {
        case .connected(let socket):
            return AsyncSocket(socket, remote: endpoint, on: self)
        case .failed(let error):
            throw SystemError(.connect, error)
        case .pending(let socket):
            let id = openPlace(socket.release(), isDialling: true)
            do {
                unsafe try register(state.places.pointer(Int(id.index)), id.index)
                try await finishDial(id)
            } catch {
                closePlace(id)
                throw error
            }
            return AsyncSocket(id, remote: endpoint, on: self)
        }
    }

    private nonisolated(nonsending) func finishDial(_ id: PlaceID) async throws {
        while true {
            await wait(id, .writing)
            if Task.isCancelled { throw CancellationError() }
            guard state.places.holds(id), !state.isEnding else { throw SystemError(.closedSocket, CEPOLL_ECANCELED) }
            guard state.places[Int(id.index)].isWritable else { continue }
            // Lent to a value that would close it, for one look.
            let socket = Socket(taking: state.places[Int(id.index)].descriptor)
            let result = socket.dialResult()
            _ = socket.release()
            switch result {
            case .connected: return
            case .pending: state.places[Int(id.index)].isWritable = false
            case .connectedToItself: throw SystemError(.connect, CEPOLL_EADDRNOTAVAIL)
            case .failed(let error): throw SystemError(.connect, error)
            }
        }
    }

    /// The kernel's buffer is full: hear of it when it no longer is. Asked once, kept for good.
    func awaitWritability(_ place: UnsafeMutablePointer<AsyncPlace>, _ index: Int32) throws(SystemError) {
        unsafe place.pointee.isWritable = false
        guard unsafe !place.pointee.wantsWrite else { return }
        unsafe place.pointee.wantsWrite = true
        guard unsafe place.pointee.slot == .none else { return loop.setInterest(unsafe place.pointee.slot, [.read, .write, .edge]) }
        unsafe try register(place, index)
    }
}
