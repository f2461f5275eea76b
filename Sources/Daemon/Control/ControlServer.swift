// The control API's server: one thread of SwiftNIO's, a Unix socket for everything, a loopback port for reading. What it owns:
// its doorman, its clients, their number. What it must never do: call into the loop, or make it wait.

import CEpoll
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
    private let unix = ControlDoor(.unix)
    private let tcp = ControlDoor(.tcp)
    private var doorman: ControlDoorman!
    private var doormanThread: DaemonThread?
    private var connections: [ControlConnection] = []
    private var ticks: UInt64 = 0
    /// The loopback port that is really listened on.
    private(set) var readOnly: Endpoint?

    /// Answers at `socket`, and at `readOnly` if it is not nil. `say` takes lines for the log.
    init(
        _ parts: DeskParts, socket: consuming ControlSocket, readOnly: Endpoint?, say: @escaping @Sendable (StartLines) -> Void
    ) throws(DaemonError) {
        self.socket = ControlSocketBox(socket)
        let port: CInt
        if let readOnly { (port, self.readOnly) = try ControlServer.listen(on: readOnly) } else { port = -1 }
        do throws(DaemonError) {
            desk = try ControlDesk(parts)
        } catch {
            if port >= 0 { Descriptors.close(port) }
            throw error
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        hub = EventHub(group.next(), parts.chronicle) { [weak self] batch in
            guard let self else { return }
            group.next().execute { self.hub.take(batch) }
        }
        desk.doors = [unix, tcp]
        do throws(DaemonError) {
            doorman = try ControlDoorman(unix: unix, tcp: tcp, say: say) { [weak self] in self?.take($0) }
            doormanThread = try doorman.start(self.socket, port: port)
        } catch {
            if port >= 0 { Descriptors.close(port) }
            try? group.syncShutdownGracefully()
            throw error
        }
    }

    /// A listening socket at `endpoint`, and where it really listens.
    private static func listen(on endpoint: Endpoint) throws(DaemonError) -> (CInt, Endpoint) {
        let address = cepoll_address(
            high: endpoint.address.high, low: endpoint.address.low, port: endpoint.port, family: UInt16(endpoint.address.family.rawValue)
        )
        let descriptor = cepoll_tcp(CInt(endpoint.address.family.rawValue))
        guard descriptor >= 0 else { throw DaemonError.system("cannot make a socket for --control-tcp \(endpoint)", -descriptor) }
        var bound = cepoll_address()
        _ = cepoll_set_reuse_address(descriptor, 1)
        var result = cepoll_bind(descriptor, address)
        if result == 0 { result = cepoll_listen(descriptor, 128) }
        if result == 0 { result = unsafe cepoll_local(descriptor, &bound) }
        guard result == 0 else {
            Descriptors.close(descriptor)
            if -result == EADDRINUSE {
                throw DaemonError(.unavailable, "--control-tcp \(endpoint) is taken: another program listens there; choose another port")
            }
            throw DaemonError.system("cannot listen on --control-tcp \(endpoint)", -result)
        }
        return (descriptor, Endpoint(endpoint.address, port: bound.port))
    }

    /// Gives a connection its pipeline. The doorman's thread.
    private func take(_ arrival: ControlDoorman.Arrival) {
        let door = arrival.door
        let channel = ClientBootstrap(group: group)
            .channelOption(ChannelOptions.writeBufferWaterMark, value: .init(low: 32 << 10, high: 256 << 10))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let guardian = HeadGuard(limit: ControlSettings.headLimit)
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(guardian)
                    try pipeline.configureHTTPServerPipeline(withErrorHandling: false)
                    try pipeline.addHandler(ControlConnection(server: self, headGuard: guardian, door: door, user: arrival.user))
                }
            }
            .withConnectedSocket(arrival.descriptor)
        channel.flatMap(\.closeFuture).whenComplete { [weak self] _ in
            door.closed()
            self?.doorman.ring()
        }
    }

    /// Looks whether the Unix socket's file is still there, and binds it again if not. Any thread; nothing blocks.
    func checkSocket() { doorman.check() }

    /// Closes everything and ends the threads. Not on the control thread.
    func stop() {
        doorman.stop()
        _ = doormanThread?.wait(milliseconds: 1_000)
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

    /// Takes a client in. Where its door's places are taken, the connection there that has waited for its client longest is closed:
    /// first one that waits for a request, then one whose client does not read. A follower is never closed for a newcomer.
    func admit(_ connection: ControlConnection) {
        let door = connection.door
        let rivals = connections.filter { $0.door === door }
        if rivals.count >= door.places {
            let candidate =
                rivals.filter { $0.patience == .none }.min { $0.lastActive < $1.lastActive }
                ?? rivals.filter { $0.patience == .little }.min { $0.lastActive < $1.lastActive }
            if let candidate {
                forget(candidate)
                candidate.close()
                door.evictedOne()
            }
        }
        connections.append(connection)
    }

    func forget(_ connection: ControlConnection) {
        connections.removeAll { $0 === connection }
    }
}
