// One node of the demo: a `PeerNode` with a real listener on an address of its own, which is killed and started again.

import CEpoll
import PeerMesh
import Reactor
import Timers

/// A place in the demo's network, and the node that stands there now, if any does.
final class DemoNode {
    let endpoint: Endpoint
    let role: Role
    private(set) var node: PeerNode?
    /// When it is to start; `.never` while it runs.
    var startsAt: Instant
    private(set) var hasRun = false
    /// Why one of its links closed last.
    var lastReason: CloseReason?

    init(endpoint: Endpoint, role: Role, startsAt: Instant) {
        self.endpoint = endpoint
        self.role = role
        self.startsAt = startsAt
    }

    var isUp: Bool { node != nil }

    /// Starts a fresh node, as a new process would be: new nonce, empty book, the registry's masternodes.
    func start(on loop: EventLoop, registry: [Endpoint], settings: MeshSettings) throws(SystemError) {
        var settings = settings
        settings.role = role
        settings.nonce = DemoNode.entropy()
        settings.seed = DemoNode.entropy()
        var nodeSettings = NodeSettings(mesh: settings)
        nodeSettings.endpoint = endpoint
        nodeSettings.dialFrom = endpoint.address
        let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: nodeSettings, handler: PeerHandler())
        do throws(SystemError) {
            try node.listen(on: endpoint)
        } catch {
            node.shutdown()
            throw error
        }
        for masternode in registry where masternode != endpoint { node.handle(.registered(masternode)) }
        node.start()
        self.node = node
        hasRun = true
        startsAt = .never
    }

    /// Ends the node as `kill -9` would: its listener and all its sockets close, without a word.
    func kill(until: Instant) {
        node?.abandon()
        node = nil
        startsAt = until
    }

    private static func entropy() -> UInt64 {
        var word: UInt64 = 0
        let result = unsafe cepoll_random(&word)
        precondition(result == 0, "no entropy")
        return word
    }
}
