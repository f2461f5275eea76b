// Which records were printed a moment ago. A peer that is down for a week must not fill a disk, and neither must a stranger who
// calls a thousand times a second: the first lines of a kind are printed at once, further ones within the window are counted,
// and the count is one line when the window ends. A fixed table; nothing here allocates after init.

import PeerMesh
import Reactor
import Timers

/// The records of the last window. Owned by the log's thread.
struct RepeatTable {
    /// What makes two records the same.
    struct Key: Hashable {
        /// The kind of record, and the states that it names.
        fileprivate var kind: UInt32
        /// The peer; of a stranger only the net that it calls from, with port 0: ports and addresses within it cost nothing.
        var endpoint: Endpoint
        fileprivate var reason: CloseReason?
        /// Whether `endpoint` stands for a net.
        var isNet: Bool
    }

    struct Entry {
        var key: Key
        /// The record that was printed first.
        var record: NodeRecord
        /// When that was; `.never` marks a free place.
        var printedAt: Instant
        /// Lines printed so far.
        fileprivate var printed: UInt32
        /// Further ones since, and when the last of them was.
        var count: UInt64
        var lastAt: Instant
    }

    /// Places that one record may take: it hashes to a run of so many.
    private static let reach = 8
    /// Lines of one net and kind that are printed within a window: strangers of one net may be several.
    private static let shownOfNet: UInt32 = 4
    private var entries: [Entry]
    /// The places in use, in the order in which they were printed, and so in which they expire: a ring.
    private var order: [Int32]
    private var first = 0
    private var used = 0
    let window: Nanoseconds

    /// A window of zero counts nothing: every line is printed.
    init(window: Nanoseconds, capacity: Int = 1_024) {
        precondition(capacity > RepeatTable.reach)
        self.window = window
        let nobody = Endpoint(IPAddress(v4: 0), port: 0)
        let free = Entry(
            key: Key(kind: 0, endpoint: nobody, reason: nil, isNet: false), record: .bookFull(at: .zero, peer: nobody, desire: []),
            printedAt: .never, printed: 0, count: 0, lastAt: .zero
        )
        entries = Array(repeating: free, count: capacity)
        order = Array(repeating: 0, count: capacity)
    }

    /// Whether the record is to be printed. If not, it was counted.
    mutating func admits(_ record: NodeRecord) -> Bool {
        guard window > .zero else { return true }
        let (key, at) = (Key(record), record.at)
        let home = key.place % (entries.count - RepeatTable.reach)
        var free: Int?
        for index in home..<home + RepeatTable.reach {
            if entries[index].printedAt == .never {
                if free == nil { free = index }
            } else if entries[index].key == key {
                if key.isNet, entries[index].printed < RepeatTable.shownOfNet {
                    entries[index].printed += 1
                    return true
                }
                entries[index].count += 1
                entries[index].lastAt = at
                return false
            }
        }
        // A full run prints more than it should rather than lose what it counts; the bound on lines a second holds all the same.
        guard let free else { return true }
        entries[free] = Entry(key: key, record: record, printedAt: at, printed: 1, count: 0, lastAt: at)
        order[(first + used) % order.count] = Int32(free)
        used += 1
        return true
    }

    /// When the oldest entry's window ends; nil if there is none.
    var nextExpiry: Instant? {
        used > 0 ? entries[Int(order[first])].printedAt + window : nil
    }

    /// Frees every entry whose window has ended by `now`, and hands those that counted something to `body`.
    mutating func expire(at now: Instant, _ body: (Entry) -> Void) {
        while used > 0 {
            let index = Int(order[first])
            let entry = entries[index]
            guard entry.printedAt + window <= now else { return }
            entries[index].printedAt = .never
            first = (first + 1) % order.count
            used -= 1
            if entry.count > 0 { body(entry) }
        }
    }
}

extension RepeatTable.Key {
    init(_ record: NodeRecord) {
        func kind(_ record: UInt8, _ from: UInt8 = 0, _ to: UInt8 = 0, _ direction: UInt8 = 0) -> UInt32 {
            UInt32(record) << 24 | UInt32(from) << 16 | UInt32(to) << 8 | UInt32(direction)
        }
        switch record {
        case .transition(let transition):
            switch transition.subject {
            case .link(_, let from, let to, let direction):
                let isNet = direction == .inbound && transition.role == .regular
                self.init(
                    kind(1, from.rawValue, to.rawValue, direction.rawValue), transition.endpoint, transition.reason, isNet: isNet
                )
            case .peer(let from, let to):
                self.init(kind(2, from.rawValue, to.rawValue), transition.endpoint, transition.reason, isNet: false)
            }
        case .wireError(let incident):
            self.init(
                kind(3, incident.direction.rawValue), incident.remote, incident.error.reason, isNet: incident.direction == .inbound
            )
        case .memoryShort(_, _, let remote, _): self.init(kind(4), remote, nil, isNet: true)
        case .memoryClosed(_, _, let remote, _): self.init(kind(8), remote, nil, isNet: true)
        case .listenerRests(_, let listener, _, let error): self.init(kind(5), listener, .io(error.code), isNet: false)
        case .bookFull(_, let peer, _): self.init(kind(6), peer, nil, isNet: false)
        case .banFull(_, let ban):
            let isAutomatic = ban.kind == .ban(.automatic)
            self.init(kind(7, isAutomatic ? 1 : 0), Endpoint(ban.subject.address, port: 0), ban.reason, isNet: isAutomatic)
        }
    }

    private init(_ kind: UInt32, _ endpoint: Endpoint, _ reason: CloseReason?, isNet: Bool) {
        self.init(kind: kind, endpoint: isNet ? Endpoint(endpoint.address.net, port: 0) : endpoint, reason: reason, isNet: isNet)
    }

    /// Where it is looked for: the reason is left to the comparison.
    fileprivate var place: Int {
        var mixed = endpoint.address.low ^ endpoint.address.high &* 31 ^ UInt64(endpoint.port) << 40 ^ UInt64(kind) &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ mixed >> 33) &* 0xff51_afd7_ed55_8ccd
        mixed = (mixed ^ mixed >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return Int(truncatingIfNeeded: (mixed ^ mixed >> 33) >> 1)
    }
}

extension IPAddress {
    /// Bits that one network has, as a rule: its strangers are told of together.
    var netBits: Int { family == .v4 ? 24 : 64 }

    /// The first address of that net.
    fileprivate var net: IPAddress {
        switch family {
        case .v4: IPAddress(v4: v4Bits & ~0xff)
        case .v6: IPAddress(v6High: high, low: 0)
        }
    }
}

extension NodeRecord {
    /// When it happened.
    var at: Instant {
        switch self {
        case .transition(let transition): transition.at
        case .wireError(let incident): incident.at
        case .listenerRests(let at, _, _, _), .memoryShort(let at, _, _, _), .memoryClosed(let at, _, _, _), .bookFull(let at, _, _), .banFull(let at, _): at
        }
    }

    /// Whether strangers may cause as many of them as they like.
    var isStrangers: Bool {
        switch self {
        case .transition(let transition): transition.role == .regular
        case .wireError, .memoryShort, .memoryClosed: true
        case .banFull(_, let ban): ban.kind == .ban(.automatic)
        case .listenerRests, .bookFull: false
        }
    }
}
