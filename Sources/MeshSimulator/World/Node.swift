// One node of the world: the shipped `Mesh`, its driver's table, and what the faults have made of it.

import PeerMesh
import Timers

/// What a hostile node lies about.
public enum Lie: String, Sendable, CaseIterable {
    /// Its hello states another node's endpoint.
    case endpoint
    /// Its hello shows another node's nonce, and states that node's endpoint.
    case nonce
    /// It answers every question, and every ping, with a thousand invented peers.
    case peers
    /// The same, with a thousand ports of one third party's address.
    case ports
    /// It wants a link to every node, and states no endpoint.
    case slots
}

/// Where the packets of a group seem to come from.
public enum Source: String, Sendable, CaseIterable {
    /// All from one address.
    case address
    /// From one /16, two to a /24.
    case net
    /// Each from a /16 of its own.
    case nets
}

/// What a node is doing.
enum NodeState: UInt8 {
    case running
    /// The process does not look; its kernel goes on.
    case frozen
    /// No process; the host answers with resets.
    case down
    /// The host is off: nothing answers.
    case dark
}

struct Node: ~Copyable {
    // What every packet and every wake touches comes first, the mesh's own first lines behind it.
    /// The millisecond of its next `wake` entry; `.max` if it has none.
    var wakeAt = Int.max
    /// Its clock is this many milliseconds ahead of the world's.
    var clockLead = 0
    /// Connections by link slot: index × 2 + end, or -1.
    var connections: Table<Int32>
    /// What it reads, it reads so many milliseconds late.
    var slowness = 0
    /// The groups that it belongs to, one bit each.
    var groups: UInt16 = 0
    var state = NodeState.down
    var lie: Lie?
    /// Nobody can dial it.
    var isFirewalled = false
    /// It knows no endpoint of its own and states none.
    var statesNone = false
    let role: Role
    var mesh: Mesh
    /// The lines of all that.
    static var hotLines: Int { 7 }

    let address: Address
    /// Where its packets seem to come from.
    var source: UInt32
    /// When the bucket of its dials at the third party is empty, in nanoseconds of its clock.
    var thirdPartyAt: UInt64 = 0
    var settings: MeshSettings
    /// Milliseconds up and down, if it flaps.
    var flapUp = 0
    var flapDown = 0

    // A frozen node's unread packets.
    var backlogFirst: Int32 = -1
    var backlogLast: Int32 = -1

    /// The book that a restarted process has read from its store, to be told at its first link.
    var savedBook: [Address] = []
    /// What it was last told to want: the registry's state counts once a process.
    var boots: UInt32 = 0

    // What is measured.
    var dialsInFlight = 0
    /// The rate's own clock, in nanoseconds: when the next dial would fit.
    var dialSlotAt: UInt64 = 0
    var dialsThisSecond = 0
    var dialSecond = 0
    var peakDials = 0
    var links = 0
    var peakLinks = 0
    var peakRegular = 0

    init(role: Role, address: Address, settings: MeshSettings) {
        self.role = role
        self.address = address
        self.settings = settings
        source = address.v4
        mesh = Node.noMesh()
        let slots = Int(settings.linkCapacity)
        connections = Table(reserving: slots)
        for _ in 0..<slots { connections.append(-1) }
    }

    /// What stands where no process runs: as little as a mesh can be.
    static func noMesh() -> Mesh {
        var settings = MeshSettings(nonce: 0, seed: 0)
        settings.maxPeers = 1
        settings.bookCapacity = 1
        settings.banCapacity = 1
        settings.dialLimit = 1
        settings.pendingLimit = 1
        settings.drainingLimit = 1
        return Mesh(settings, now: .zero)
    }

    var isCorrect: Bool { state == .running && lie == nil && flapUp == 0 && slowness == 0 }
}
