// Which transitions were printed a moment ago. A peer that is down for a week must not fill a disk: the first line of a
// kind is printed at once, further ones within the window are counted, and the count is one line when the window ends.
// A fixed table; nothing here allocates after init.

import PeerMesh
import Timers

/// The transitions of the last window. Owned by the log's thread.
struct RepeatTable {
    struct Entry {
        var transition: Transition
        /// When the line was printed; `.never` marks a free place.
        var printedAt: Instant
        /// Further ones since, and when the last of them was.
        var count: UInt64
        var lastAt: Instant
    }

    /// Places that one transition may take: it hashes to a run of so many.
    private static let reach = 8
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
        let free = Entry(
            transition: Transition(
                at: .zero, subject: .peer(from: .idle, to: .idle), endpoint: Endpoint(IPAddress(v4: 0), port: 0), isPeer: false,
                role: .regular, reason: nil, failures: 0, next: .never
            ),
            printedAt: .never, count: 0, lastAt: .zero
        )
        entries = Array(repeating: free, count: capacity)
        order = Array(repeating: 0, count: capacity)
    }

    /// Whether `transition` is to be printed. If not, it was counted.
    mutating func admits(_ transition: Transition) -> Bool {
        guard window > .zero else { return true }
        let home = RepeatTable.hash(transition) % (entries.count - RepeatTable.reach)
        var free: Int?
        for index in home..<home + RepeatTable.reach {
            if entries[index].printedAt == .never {
                if free == nil { free = index }
            } else if RepeatTable.isSame(entries[index].transition, transition) {
                entries[index].count += 1
                entries[index].lastAt = transition.at
                return false
            }
        }
        // A full run prints more than it should rather than lose what it counts.
        guard let free else { return true }
        entries[free] = Entry(transition: transition, printedAt: transition.at, count: 0, lastAt: transition.at)
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

    private static func isSame(_ a: Transition, _ b: Transition) -> Bool {
        guard a.endpoint == b.endpoint, a.reason == b.reason else { return false }
        switch (a.subject, b.subject) {
        case (.link(_, let from, let to, let direction), .link(_, let otherFrom, let otherTo, let otherDirection)):
            return from == otherFrom && to == otherTo && direction == otherDirection
        case (.peer(let from, let to), .peer(let otherFrom, let otherTo)):
            return from == otherFrom && to == otherTo
        case (.link, .peer), (.peer, .link):
            return false
        }
    }

    /// Mixes the endpoint and the states; the reason is left to the comparison.
    private static func hash(_ transition: Transition) -> Int {
        let endpoint = transition.endpoint
        var mixed = endpoint.address.low ^ endpoint.address.high &* 31 ^ UInt64(endpoint.port) << 40
        switch transition.subject {
        case .link(_, let from, let to, let direction):
            mixed ^= UInt64(from.rawValue) << 56 | UInt64(to.rawValue) << 60 | UInt64(direction.rawValue) << 59
        case .peer(let from, let to):
            mixed ^= UInt64(from.rawValue) << 52 | UInt64(to.rawValue) << 48 | 1 << 63
        }
        mixed = (mixed ^ mixed >> 33) &* 0xff51_afd7_ed55_8ccd
        mixed = (mixed ^ mixed >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return Int(truncatingIfNeeded: (mixed ^ mixed >> 33) >> 1)
    }
}
