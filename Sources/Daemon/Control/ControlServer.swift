// The control API's server: one thread of SwiftNIO's, a Unix socket for everything, a loopback port for reading. What it owns:
// its listeners, its clients, their number. What it must never do: call into the loop, or make it wait.

import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import PeerMesh
import Synchronization

/// The server of one node. Made and stopped by the daemon's thread; everything else is on the control thread.
final class ControlServer: @unchecked Sendable {
    let desk: ControlDesk
    private(set) var hub: EventHub!
    private let group: MultiThreadedEventLoopGroup
    private let socket: ControlSocketBox
    private var listeners: [any Channel] = []
    private var connections: [ControlConnection] = []
    private var ticks: UInt64 = 0
    /// The loopback port that is really listened on.
    private(set) var readOnly: Endpoint?

    /// Listens on `socket`, and on `readOnly` if it is not nil.
    init(_ parts: DeskParts, socket: consuming ControlSocket, readOnly: Endpoint?) throws(DaemonError) {
        var socket = socket
        let descriptor = socket.take()
        self.socket = ControlSocketBox(socket)
        desk = try ControlDesk(parts)
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        hub = EventHub(group.next(), parts.chronicle) { [weak self] batch in
            guard let self else { return }
            group.next().execute { self.hub.take(batch) }
        }
        listeners.append(try open("the control socket") { try bootstrap(isReadOnly: false).withBoundSocket(descriptor).wait() })
        guard let readOnly else { return }
        let channel = try open("--control-tcp \(readOnly)") {
            try bootstrap(isReadOnly: true).serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
                .bind(host: readOnly.address.description, port: Int(readOnly.port)).wait()
        }
        listeners.append(channel)
        self.readOnly = channel.localAddress?.port.map { Endpoint(readOnly.address, port: UInt16(clamping: $0)) }
    }

    private func open(_ what: String, _ body: () throws -> any Channel) throws(DaemonError) -> any Channel {
        do { return try body() } catch {
            for listener in listeners { try? listener.close().wait() }
            try? group.syncShutdownGracefully()
            if let error = error as? IOError {
                if error.errnoCode == EADDRINUSE { throw DaemonError(.unavailable, "\(what) is taken: another program listens there") }
                throw DaemonError.system("cannot listen on \(what)", error.errnoCode)
            }
            throw DaemonError(.system, "cannot listen on \(what): \(error)")
        }
    }

    private func bootstrap(isReadOnly: Bool) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(ChannelOptions.backlog, value: 128)
            // At EMFILE the listener rests for a second and comes back: the bootstrap's own back-off.
            .childChannelOption(ChannelOptions.writeBufferWaterMark, value: .init(low: 32 << 10, high: 256 << 10))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let guardian = HeadGuard(limit: ControlSettings.headLimit)
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(guardian)
                    try pipeline.configureHTTPServerPipeline(withErrorHandling: false)
                    try pipeline.addHandler(ControlConnection(server: self, headGuard: guardian, isReadOnly: isReadOnly))
                }
            }
    }

    /// Closes everything and ends the thread. Not on the control thread.
    func stop() {
        for listener in listeners { listener.close(promise: nil) }
        try? group.next().submit {
            for connection in self.connections { connection.close() }
        }.wait()
        try? group.syncShutdownGracefully()
        socket.release()
    }

    // MARK: Connections

    func tick() -> UInt64 {
        ticks += 1
        return ticks
    }

    /// Takes a client in; where there is no room, in the place of the one that has been idle longest. False if all are busy.
    func admit(_ connection: ControlConnection) -> Bool {
        if connections.count >= ControlSettings.connectionLimit {
            guard let oldest = connections.filter(\.isIdle).min(by: { $0.lastActive < $1.lastActive }) else { return false }
            forget(oldest)
            oldest.close()
        }
        connections.append(connection)
        note()
        return true
    }

    func forget(_ connection: ControlConnection) {
        connections.removeAll { $0 === connection }
        note()
    }

    private func note() {
        desk.connections = connections.count
        desk.followers = hub.count
    }

    /// The user at the other end of a Unix socket.
    func user(of channel: (any Channel)?) -> UInt32? {
        guard let provider = channel as? any SocketOptionProvider else { return nil }
        let future: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED))
        var user: UInt32?
        // On the channel's own thread the option is read at once.
        future.assumeIsolated().whenSuccess { user = $0.user }
        return user
    }
}

/// Keeps the socket's path and lock until the server has stopped.
private final class ControlSocketBox {
    private var socket: ControlSocket?

    init(_ socket: consuming ControlSocket) {
        self.socket = consume socket
    }

    func release() {
        socket = nil
    }
}
