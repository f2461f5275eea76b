// A scenario: how large a world is, what its network is like, and what goes wrong when. Plain values; with its seed, all
// that a run depends on.

import PeerMesh
import Timers

/// All that decides a run. Spans are in milliseconds, shares in millionths.
public struct Scenario: Equatable, Sendable {
    public var name = "cold-start"
    public var nodes = 100
    /// Nodes 0 ..< masternodes.
    public var masternodes = 100
    public var duration = 3_600_000
    public var seed: UInt64 = 1
    public var latency = 40
    public var jitter = 20
    /// The share of packets that find their connection reset.
    public var loss = 0
    /// Nil: what fits the number of masternodes.
    public var maxPeers: Int?
    public var book: Int?
    /// Peers that a regular node's operator names.
    public var seeds = 3
    /// Regular nodes follow the registry too.
    public var registryForAll = false
    /// Time within which a pair must have its link after faults; nil: invariant 5's.
    public var statedBound: Int?
    /// One touched mesh in so many is checked in full; nil: every one in small worlds, else a sample.
    public var checkEvery: Int?
    #if MESH_CANARIES
        /// The wrong version of a policy that every node runs with.
        var canary: Canary?
    #endif
    public var groups: [Group] = []
    public var steps: [Step] = []

    public init() {}

    /// Invariant 5: keepalive, backoff in force, probe, round trips and queueing.
    public var bound: Int {
        if let statedBound { return statedBound }
        let settings = settings(role: .masternode, nonce: 0, seed: 0)
        let misses = settings.pongTimeout * UInt64(settings.masternodeMisses)
        let keepalive = max(settings.pingInterval + misses, settings.dialTimeout + settings.greetingTimeout)
        let spread = UInt64(100 + settings.jitterPercent)
        let backoff = max(settings.backoffMax, settings.passiveWait) * spread / 100
        let fixed = keepalive + backoff + settings.probeTimeout
        let queueing = masternodes * 1_000 / Int(settings.dialRate)
        return Int(fixed.count / 1_000_000) + queueing + 5_000 + 10 * (latency + jitter)
    }

    /// A handover is over when probe, drain and keepalive could have ended it.
    var handoverLimit: Int { 30_000 + 4 * (latency + jitter) }

    /// The settings of one node. Larger worlds have smaller tables, so that ten thousand fit into memory.
    func settings(role: Role, nonce: UInt64, seed: UInt64) -> MeshSettings {
        var settings = MeshSettings(nonce: nonce, seed: seed)
        settings.role = role
        let isLarge = nodes > 2_000
        let usual = isLarge ? 50 : 100
        settings.maxPeers = UInt32(maxPeers ?? (role == .masternode ? max(usual, masternodes + 30) : usual))
        settings.bookCapacity = UInt32(book ?? max(256, masternodes + (isLarge ? 0 : 256)))
        settings.banCapacity = 64
        #if MESH_CANARIES
            settings.canary = canary
        #endif
        if isLarge {
            settings.shareLimit = 64
            settings.pendingLimit = 32
            settings.drainingLimit = 32
        }
        return settings
    }
}

/// A named set of nodes, chosen by the seed.
public struct Group: Equatable, Sendable {
    public enum Size: Equatable, Sendable {
        case percent(Int)
        case count(Int)

        func count(of total: Int) -> Int {
            switch self {
            case .percent(let share): (total * share + 50) / 100
            case .count(let count): min(count, total)
            }
        }
    }

    public enum Among: String, Sendable {
        case all
        case masternodes
        case regular
    }

    public var name: String
    public var size: Size
    public var among: Among

    public init(_ name: String, _ size: Size, of among: Among = .all) {
        self.name = name
        self.size = size
        self.among = among
    }
}

/// Something that happens at a time.
public struct Step: Equatable, Sendable {
    public enum Action: Equatable, Sendable {
        /// The processes end; silently: the hosts are gone.
        case crash(String, silently: Bool)
        /// New processes, spread over a span.
        case restart(String, keepsBook: Bool, over: Int)
        /// Each in turn is down for a while.
        case roll(String, down: Int, over: Int)
        /// Packets, or only dials, from one group to the other are lost.
        case wall(String, String, isTwoWay: Bool, onlyDials: Bool)
        /// All walls fall.
        case open
        /// So many of the standing connections lose everything from now on, and nobody is told.
        case silence(Int)
        /// So many of the standing connections are reset.
        case reset(Int)
        case freeze(String)
        case thaw(String)
        /// Their clocks leap ahead.
        case jump(String, Int)
        case flap(String, up: Int, down: Int)
        case calm(String)
        /// They read so many milliseconds late.
        case slow(String, Int)
        case latency(Int, jitter: Int)
        case loss(Int)
        case lie(String, Lie?)
        /// Nobody can dial them.
        case firewall(String)
        /// They share foreign addresses, state none and cannot be dialled.
        case nat(String)
        /// Their packets come from another address than they state.
        case multihome(String)
        /// Their packets come from a place of the attacker's choice.
        case source(String, Source)
        case unregister(String)
        case register(String)
    }

    /// Milliseconds after the beginning; 0 is before the first boot.
    public var at: Int
    public var action: Action

    public init(at: Int, _ action: Action) {
        self.at = at
        self.action = action
    }
}
