// Points of provable abuse by address, in a small table: the oldest entry makes room. Points halve every ten minutes.

import Timers

struct ScoreTable: ~Copyable {
    struct Entry {
        var address = IPAddress(v4: 0)
        var points: UInt32 = 0
        var at: Instant = .zero
    }

    private static let halfLife = Nanoseconds.seconds(600)
    private var entries: Slab<Entry>

    init(capacity: Int) {
        entries = Slab(count: capacity, repeating: Entry())
    }

    private init(entries: consuming Slab<Entry>) {
        self.entries = entries
    }

    /// Adds points and returns the address's sum. O(capacity); called only for provable abuse.
    mutating func add(_ points: UInt32, to address: IPAddress, at now: Instant) -> UInt32 {
        var place = 0
        for index in 0..<entries.count {
            if entries[index].points > 0, entries[index].address == address {
                place = index
                break
            }
            if entries[index].at < entries[place].at { place = index }
        }
        var entry = entries[place]
        if entry.points == 0 || entry.address != address { entry = Entry(address: address, points: 0, at: now) }
        let halvings = min((now - entry.at).count / Self.halfLife.count, 31)
        entry.points = (entry.points >> UInt32(halvings)) &+ points
        entry.at = now
        entries[place] = entry
        return entry.points
    }

    /// The address's points, halvings counted. O(capacity).
    func points(of address: IPAddress, at now: Instant) -> UInt32 {
        for index in 0..<entries.count where entries[index].points > 0 && entries[index].address == address {
            return entries[index].points >> UInt32(min((now - entries[index].at).count / Self.halfLife.count, 31))
        }
        return 0
    }

    mutating func clear(_ address: IPAddress) {
        for index in 0..<entries.count where entries[index].address == address { entries[index] = Entry() }
    }

    func forEach(_ body: (IPAddress, UInt32, Instant) -> Void) {
        for index in 0..<entries.count where entries[index].points > 0 {
            body(entries[index].address, entries[index].points, entries[index].at)
        }
    }

    borrowing func clone() -> ScoreTable {
        ScoreTable(entries: entries.clone())
    }
}
