// How the daemon gets its control API: claimed before the node starts, so that a second node on the same socket is refused in
// time; stopped after the loop, so that a draining node still answers.

import CEpoll
import PeerMesh
import Reactor
import Timers

/// The control API of a running daemon, and the diary that it reads.
final class ControlPlane {
    let chronicle: Chronicle
    private let server: ControlServer
    private let diarist: DaemonThread
    let path: String
    var readOnly: Endpoint? { server.readOnly }

    init(
        _ socket: consuming ControlSocket, readOnly: Endpoint?, _ parts: DeskParts, say: @escaping @Sendable (StartLines) -> Void
    ) throws(DaemonError) {
        chronicle = parts.chronicle
        path = socket.path
        server = try ControlServer(parts, socket: socket, readOnly: readOnly, say: say)
        diarist = try chronicle.start()
    }

    /// Looks whether the socket's file is still there, and binds it again if not. Any thread; nothing blocks.
    func checkSocket() { server.checkSocket() }

    /// Ends all threads of it.
    func stop() {
        // The diary first: followers hear how it ended.
        chronicle.stop()
        _ = diarist.wait(milliseconds: 1_000)
        server.stop()
    }
}

extension NodeConfiguration {
    /// The socket that this configuration asks for, claimed; nil if it asks for none.
    func claimControlSocket(bound: [Endpoint]) throws(DaemonError) -> ControlSocket? {
        guard let path = control.path(listeningOn: bound.first) else { return nil }
        return try ControlSocket(claiming: path, makingDirectory: control.place == .automatic)
    }

    /// What does not change while the node runs.
    func facts(available: UInt64) -> NodeFacts {
        NodeFacts(
            version: control.version, network: network.name, dialect: network.isNative ? "time" : "bitcoin", advertised: effectiveAdvertise,
            descriptors: available, descriptorsNeeded: budget.needed, startedAt: Instant(nanoseconds: cepoll_monotonic())
        )
    }
}
