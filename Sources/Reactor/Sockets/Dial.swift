// Opening a connection without waiting for it: connect first, register after (an unconnected socket reports a hangup at
// once, trap 10), then one look at the error when it turns writable (it clears itself, trap 11).

import CEpoll
public import PeerMesh

/// How a dial began.
public enum DialStart: ~Copyable {
    /// The connection stands already.
    case connected(Socket)
    /// Register the socket for writing and call `dialResult` at its first readiness.
    case pending(Socket)
    /// It failed at once, before anything was sent: no descriptor, source address or route, or the kernel refuses such an
    /// address. The value is the error number.
    case failed(Int32)
}

/// How a dial ended.
public enum DialResult: Hashable, Sendable, BitwiseCopyable {
    /// The connection stands.
    case connected
    /// Not yet: wait for the next readiness.
    case pending
    /// The kernel connected the socket to itself, by picking the dialled port as its own (trap 12). Close it.
    case connectedToItself
    /// The value is the error number.
    case failed(Int32)
}

extension Socket {
    /// Starts a connection to `endpoint`, from the address `source` if one is given. Never blocks.
    public static func dial(
        _ endpoint: Endpoint, from source: IPAddress? = nil, options: SocketOptions = SocketOptions()
    ) -> DialStart {
        do throws(SystemError) {
            let socket = try Socket(family: endpoint.address.family)
            try socket.apply(options)
            if let source, source.family == endpoint.address.family {
                // The port is chosen at connect, when the whole four-tuple is known: few ports serve many dials.
                try SystemError.check(cepoll_set_bind_address_no_port(socket.descriptor, 1), .option)
                try SystemError.check(cepoll_bind(socket.descriptor, Endpoint(source, port: 0).systemAddress), .bind)
            }
            let result = cepoll_connect(socket.descriptor, endpoint.systemAddress)
            if result == -CEPOLL_EINPROGRESS || result == -CEPOLL_EINTR { return .pending(socket) }
            guard result == 0 else { return .failed(-result) }
            // Nobody listens there: the kernel picked the dialled port as our own.
            guard !socket.isConnectedToItself else { return .failed(CEPOLL_ECONNREFUSED) }
            return .connected(socket)
        } catch {
            return .failed(error.code)
        }
    }

    /// What became of a pending dial. Call it once, when the socket is first ready: the error is taken, not looked at.
    public func dialResult() -> DialResult {
        let error = cepoll_socket_error(descriptor)
        guard error == 0 else { return .failed(-error) }
        var remote = cepoll_address()
        let result = unsafe cepoll_remote(descriptor, &remote)
        if result == -CEPOLL_ENOTCONN { return .pending }
        guard result == 0 else { return .failed(-result) }
        return isConnectedToItself ? .connectedToItself : .connected
    }

    /// Whether both ends are this very socket.
    public var isConnectedToItself: Bool {
        var local = cepoll_address()
        var remote = cepoll_address()
        guard unsafe cepoll_local(descriptor, &local) == 0, unsafe cepoll_remote(descriptor, &remote) == 0 else {
            return false
        }
        return local.port == remote.port && local.low == remote.low && local.high == remote.high
    }
}
