// What a node's options say, checked.

public import CReactor
import PeerMesh
import Reactor
import Timers

/// The settings that options describe.
struct NodePlan {
    var network = TimeNetwork.reactor
    /// Its nonce and seed are drawn when the node is made.
    var mesh = MeshSettings(nonce: 0, seed: 0)

    /// Takes the options; 0, or what is wrong with them.
    mutating func take(_ options: reactor_node_options) -> CInt {
        guard unsafe options.size >= UInt32(MemoryLayout<reactor_node_options>.size) else { return REACTOR_EOPTION }
        guard let network = unsafe NodePlan.network(options.network, magic: options.magic) else { return REACTOR_ENETWORK }
        self.network = network
        let spans = unsafe [
            options.ping_interval, options.pong_timeout, options.dial_timeout, options.backoff_initial, options.backoff_max,
        ]
        guard spans.allSatisfy({ 1_000_000...86_400_000_000_000 ~= $0 }), spans[3] <= spans[4] else { return REACTOR_EOPTION }
        guard unsafe options.is_masternode <= 1, unsafe 1...10_000 ~= options.max_peers else { return REACTOR_EOPTION }
        guard unsafe options.reserved_slots == .max || options.reserved_slots <= options.max_peers else { return REACTOR_EOPTION }
        unsafe mesh.role = options.is_masternode == 1 ? .masternode : .regular
        unsafe mesh.maxPeers = options.max_peers
        unsafe mesh.reservedSlots = options.reserved_slots == .max ? nil : options.reserved_slots
        mesh.pingInterval = Nanoseconds(spans[0])
        mesh.pongTimeout = Nanoseconds(spans[1])
        mesh.dialTimeout = Nanoseconds(spans[2])
        mesh.backoffInitial = Nanoseconds(spans[3])
        mesh.backoffMax = Nanoseconds(spans[4])
        return 0
    }

    private static func network(_ name: UnsafePointer<CChar>?, magic: UInt32) -> TimeNetwork? {
        guard let name = unsafe name.map({ unsafe String(cString: $0) }) else { return magic == 0 ? .reactor : nil }
        switch (name, magic) {
        case ("reactor", 0): return .reactor
        case ("time-mainnet", 0): return .mainnet
        case ("time-testnet", 0): return .testnet
        case (_, 0): return nil
        case (_, let magic): return 1...255 ~= name.utf8.count ? TimeNetwork(magic: magic, name: name, defaultPort: 0) : nil
        }
    }
}

@c @implementation
public func reactor_node_options_init(_ options: UnsafeMutablePointer<reactor_node_options>) {
    let mesh = MeshSettings(nonce: 0, seed: 0)
    unsafe options.pointee = reactor_node_options(
        size: UInt32(MemoryLayout<reactor_node_options>.size), network: nil, magic: 0, is_masternode: 0,
        max_peers: mesh.maxPeers, reserved_slots: .max, ping_interval: mesh.pingInterval.count,
        pong_timeout: mesh.pongTimeout.count, dial_timeout: mesh.dialTimeout.count,
        backoff_initial: mesh.backoffInitial.count, backoff_max: mesh.backoffMax.count
    )
}
