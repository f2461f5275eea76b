// What the demo shows at one moment: plain values, taken from the nodes' own reports. Whoever draws it never sees a node.

import PeerMesh
import Timers

/// One moment of the demo's network.
struct DemoSnapshot {
    /// How one node stands to another, as the first one's own table says.
    enum Cell: Hashable {
        case own
        /// Nothing is wanted or known.
        case none
        case linked(Direction, age: Nanoseconds)
        /// More than one established link: must not be.
        case duplicate
        case dialing
        case greeting
        case backoff(Nanoseconds)
        case awaiting
        case dormant
        /// One of the two is down.
        case down
    }

    struct Node {
        var endpoint: Endpoint
        var role: Role
        /// Nil while it runs; else how long until its restart.
        var downFor: Nanoseconds?
        /// It ran before: a node that is down was killed.
        var hasRun = false
        var outbound = 0
        var inbound = 0
        /// Links that are being made.
        var opening = 0
        /// The median of its links' round trips; zero if none was measured.
        var roundTrip = Nanoseconds.zero
        /// The time to its next redial; nil if none waits.
        var nextDial: Nanoseconds?
        var lastReason: CloseReason?
        /// Links that it still misses.
        var missing = 0
    }

    struct Event: Hashable {
        enum Kind: Hashable { case up, down, kill, restart, whole, note }
        var at: Nanoseconds
        var kind: Kind
        var text: String

        /// What even a small screen shows.
        var isLoud: Bool {
            switch kind {
            case .kill, .restart, .whole, .note: true
            case .up, .down: false
            }
        }
    }

    var elapsed = Nanoseconds.zero
    /// How long it runs; nil without end.
    var total: Nanoseconds?
    var nodes: [Node] = []
    /// Row by row.
    var cells: [Cell] = []
    /// Newest last.
    var events: [Event] = []
    var links = 0
    var wantedLinks = 0
    var duplicates = 0
    var kills = 0
    /// No link was missing at least once.
    var hasFormed = false
    /// From a restart until no link was missing.
    var heals: [Nanoseconds] = []
    /// The share of wanted links that stood, in percent, one value a sample, newest last.
    var history: [Int] = []

    subscript(row: Int, column: Int) -> Cell { cells[row * nodes.count + column] }
}
