// The owner of a socket's descriptor: one value, closed exactly once, by itself. Non-blocking and CLOEXEC from birth.
// What is done with the bytes is the stream's business.

public import CEpoll
public import PeerMesh

/// A TCP socket. Closes its descriptor when it goes out of scope, unless it was released.
public struct Socket: ~Copyable, Sendable {
    /// The descriptor, lent: never close it, never keep it longer than the socket.
    public let descriptor: CInt

    /// Takes over `descriptor`, which must be open, non-blocking, CLOEXEC, and nobody else's.
    public init(taking descriptor: CInt) {
        precondition(descriptor >= 0, "a socket needs an open descriptor")
        self.descriptor = descriptor
    }

    /// A new, unconnected TCP socket. Throws if there is no descriptor left (EMFILE, ENFILE).
    public init(family: IPAddress.Family) throws(SystemError) {
        self.init(taking: try SystemError.check(cepoll_tcp(CInt(family.rawValue)), .socket))
    }

    /// Takes over a socket from outside, which somebody else opened: makes it non-blocking and CLOEXEC first. If that fails,
    /// the descriptor stays the caller's, and it throws what the kernel says.
    public init(adopting descriptor: CInt) throws(SystemError) {
        try SystemError.check(cepoll_adopt(descriptor), .adopt)
        self.init(taking: descriptor)
    }

    @inlinable @inline(__always)
    deinit {
        let result = cepoll_close(descriptor)
        assert(result != -CEPOLL_EBADF, "a socket's descriptor was closed behind its back")
    }

    /// Gives the descriptor away: whoever takes it must close it.
    public consuming func release() -> CInt {
        let descriptor = self.descriptor
        discard self
        return descriptor
    }

    /// A socket bound to `endpoint` that accepts connections. Options that accepted sockets must have are set here, once:
    /// they inherit them.
    static func listening(
        on endpoint: Endpoint, backlog: Int32, options: SocketOptions
    ) throws(SystemError) -> Socket {
        let socket = try Socket(family: endpoint.address.family)
        try SystemError.check(cepoll_set_reuse_address(socket.descriptor, 1), .option)
        if endpoint.address.family == .v6 {
            try SystemError.check(cepoll_set_v6_only(socket.descriptor, options.isV6Only ? 1 : 0), .option)
        }
        try socket.apply(options)
        try SystemError.check(cepoll_bind(socket.descriptor, endpoint.systemAddress), .bind, at: endpoint)
        try SystemError.check(cepoll_listen(socket.descriptor, backlog), .listen, at: endpoint)
        return socket
    }

    /// The socket's own address. Throws what the kernel says.
    public func localEndpoint() throws(SystemError) -> Endpoint {
        var address = cepoll_address()
        try SystemError.check(unsafe cepoll_local(descriptor, &address), .address)
        guard let endpoint = Endpoint(address) else { throw SystemError(.address, CEPOLL_EAFNOSUPPORT) }
        return endpoint
    }

    /// The address of the other end. Throws if there is none (ENOTCONN).
    public func remoteEndpoint() throws(SystemError) -> Endpoint {
        var address = cepoll_address()
        try SystemError.check(unsafe cepoll_remote(descriptor, &address), .address)
        guard let endpoint = Endpoint(address) else { throw SystemError(.address, CEPOLL_EAFNOSUPPORT) }
        return endpoint
    }

    /// Ends the sending side: the other end reads the end of the stream after what is queued.
    public func shutdownSending() {
        _ = cepoll_shutdown_send(descriptor)
    }

    /// Makes the coming close send a reset and drop what is queued.
    public func resetOnClose() {
        _ = cepoll_set_linger(descriptor, 1, 0)
    }
}

/// What became of a read or a write.
public enum Transfer: Hashable, Sendable, BitwiseCopyable {
    /// That many bytes were moved, at least one.
    case bytes(Int)
    /// Nothing to take, or no room: wait for readiness.
    case wouldBlock
    /// The other end will send no more.
    case ended
    /// The connection failed; the value is the error number.
    case failed(Int32)

    /// Of a count or a negative error number, as the shim gives it.
    @inlinable @inline(__always)
    init(result: Int) {
        // First what the shim has compared already.
        if result >= 0 {
            self = result == 0 ? .ended : .bytes(result)
        } else {
            self.init(failure: result)
        }
    }

    /// Of a negative error number.
    @inlinable @inline(__always)
    init(failure: Int) {
        self = failure == -Int(CEPOLL_EAGAIN) || failure == -Int(CEPOLL_EINTR) ? .wouldBlock : .failed(Int32(-failure))
    }
}

// Inlinable, and so in need of the shim's names: a call into this module would cost as much as the rest of them.
extension Socket {
    /// Receives what there is, up to the buffer's size, which must not be zero.
    @inlinable @inline(__always)
    public func receive(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        assert(buffer.count > 0, "an empty buffer reads like the end of the stream")
        return Transfer(result: unsafe cepoll_recv(descriptor, buffer.baseAddress, buffer.count))
    }

    /// Sends what the kernel takes. Never raises SIGPIPE. Sending nothing moves `.bytes(0)`.
    @inlinable @inline(__always)
    public func send(_ bytes: RawSpan) -> Transfer {
        let result = unsafe bytes.withUnsafeBytes { unsafe cepoll_send(descriptor, $0.baseAddress, $0.count) }
        return result >= 0 ? .bytes(result) : Transfer(failure: result)
    }
}
