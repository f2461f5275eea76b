// What is checked: how many nodes, what they know and want, which faults the environment may still do. Every node runs the
// shipped `Mesh` with small numbers.

public import PeerMesh
import Timers

/// One configuration of the model.
public struct Model: Hashable, Sendable {
    public enum Desire: Hashable, Sendable {
        /// All are registered masternodes.
        case registry
        /// All are regular, and named by each other's operators.
        case operators
        /// All are registered masternodes that are named by each other's operators, too.
        case both
        /// A is a registered masternode and knows nobody; the others are regular and follow the registry.
        case onlyA
    }

    public var name: String
    public var nodes = 2
    public var desire = Desire.registry
    /// Nodes that know no endpoint of their own and state none.
    public var stateless: Set<Int> = []
    /// Nodes whose packets come from another address than they state.
    public var multihomed: Set<Int> = []
    /// Nodes of two addresses: a connection comes from the one that they state or from the other, as it happens.
    public var roaming: Set<Int> = []
    /// Nodes that cannot be dialled.
    public var walled: Set<Int> = []
    /// Kills and power losses in all.
    public var crashes = 1
    /// Connections that die silently, or are reset, in all.
    public var breaks = 1
    /// Operator's disconnects, redials and bans (and their end) in all.
    public var operatorMoves = 0
    /// The registry strikes a masternode off a node's list, or names it again, so many times in all.
    public var registryMoves = 0
    /// Connections at once, at most.
    public var connections = 5
    /// Deadlines fire when nothing is under way; but so many of them in all, whichever they are, fire in the midst of it.
    public var overtakes = 0
    /// Every node at a clock of its own, or one clock for all: the next deadline of all is the next to fire.
    public var hasOneClock = false

    #if MESH_CANARIES
        /// The wrong policy that every node runs with.
        public var canary: Canary?
    #endif

    public init(name: String) {
        self.name = name
    }

    public static func endpoint(_ node: Int) -> Endpoint {
        Endpoint(IPAddress(v4: 10, 0, 0, UInt8(node + 1)), port: 9_000)
    }

    /// Invariant 5 in the model's numbers: max(keepalive, dial + greeting) + max(backoff, passive wait) + probe.
    public var bound: Double {
        let settings = settings(0, incarnation: 0)
        let silence = max(settings.pingInterval + settings.pongTimeout * 2, settings.dialTimeout + settings.greetingTimeout)
        return (silence + max(settings.backoffMax, settings.passiveWait) + settings.probeTimeout).inSeconds
    }

    func source(_ node: Int, isAway: Bool) -> Endpoint {
        isAway || multihomed.contains(node) ? Endpoint(IPAddress(v4: 10, 9, 9, UInt8(node + 1)), port: 40_000)
            : Endpoint(Model.endpoint(node).address, port: 40_000)
    }

    private func isMasternode(_ node: Int) -> Bool {
        switch desire {
        case .registry, .both: true
        case .operators: false
        case .onlyA: node == 0
        }
    }

    static func nonce(_ node: Int, incarnation: Int) -> UInt64 {
        UInt64(1_000 + node * 100 + incarnation)
    }

    /// The shipped policies with small numbers, so that the space ends: see docs/ModelChecking.md.
    func settings(_ node: Int, incarnation: Int) -> MeshSettings {
        var settings = MeshSettings(nonce: Model.nonce(node, incarnation: incarnation), seed: 1)
        settings.role = isMasternode(node) ? .masternode : .regular
        settings.maxPeers = UInt32(nodes + 1)
        settings.reservedSlots = 0
        settings.pendingLimit = 4
        settings.drainingLimit = 4
        settings.bookCapacity = UInt32(nodes + 2)
        settings.banCapacity = 2
        settings.dialLimit = 2
        settings.dialRate = 1_000_000_000
        settings.dialBurst = 16
        settings.dialTimeout = .seconds(2)
        settings.greetingTimeout = .seconds(4)
        settings.probeTimeout = .seconds(2)
        settings.drainTimeout = .seconds(1)
        settings.pingInterval = .seconds(3)
        settings.pongTimeout = .seconds(1)
        settings.regularMisses = 2
        settings.masternodeMisses = 2
        settings.backoffInitial = .seconds(2)
        settings.backoffMax = .seconds(4)
        settings.jitterPercent = 0
        settings.stableAfter = .seconds(4)
        settings.passiveWait = .seconds(3)
        settings.masternodeFailures = 2
        settings.regularFailures = 2
        settings.lifeWindow = Nanoseconds(.max)
        settings.verifyInterval = .seconds(4)
        settings.demotionDelay = .seconds(2)
        settings.discoveryInterval = Nanoseconds(.max)
        settings.feelerInterval = Nanoseconds(.max)
        settings.intakeBurst = 1
        #if MESH_CANARIES
            settings.canary = canary
        #endif
        return settings
    }
}
