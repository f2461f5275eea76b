// What will happen, by millisecond: a ring of lists over a slab of small records. O(1) to add and to take. Entries of one
// millisecond come out in the order in which they were added, so a stream keeps its order and a seed its trace.

/// What an entry of the calendar is: a packet on its way, or a node's own affair.
enum EntryKind: UInt8 {
    /// A dial arrives at the host that it was sent to.
    case syn
    case synAck
    case refused
    /// The kernel has a connection for a process that was not looking.
    case accept
    case hello
    case ping
    case pong
    case ask
    case peers
    case fin
    case reset
    /// The kernel took a ping of a queue that moves slowly.
    case taken
    /// A node's next deadline.
    case wake
    /// A node's process starts.
    case boot
    /// A flapping node goes down or comes up.
    case flap
}

/// One entry. For a packet, `target` is a connection and `end` the end that it goes to; else `target` is a node.
struct Entry: BitwiseCopyable {
    var payload: UInt64 = 0
    var next: Int32 = -1
    var target: Int32 = -1
    var kind: EntryKind = .wake
    var end: UInt8 = 0
}

/// The world's only queue. Its horizon is a minute; what lies further is looked at again when the ring comes round.
struct Calendar: ~Copyable {
    /// Milliseconds that the ring reaches ahead.
    static var horizon: Int { 1 << 16 }

    // Not private: the debug compiler (6.3.1) loses the metadata of a private type in a generic table.
    struct Bucket: BitwiseCopyable {
        var first: Int32 = -1
        var last: Int32 = -1
    }

    private var buckets = Table<Bucket>(reserving: Calendar.horizon)
    private var entries = Table<Entry>(reserving: 4_096)
    private var free: Int32 = -1
    /// Bit b of word w: bucket 64 w + b has entries; and one level above.
    private var occupied = Table<UInt64>(reserving: Calendar.horizon / 64)
    private var occupiedWords = Table<UInt64>(reserving: Calendar.horizon / 4_096)
    private(set) var pending = 0

    init() {
        for _ in 0..<Calendar.horizon { buckets.append(Bucket()) }
        for _ in 0..<Calendar.horizon / 64 { occupied.append(0) }
        for _ in 0..<Calendar.horizon / 4_096 { occupiedWords.append(0) }
    }

    subscript(_ index: Int32) -> Entry { entries[Int(index)] }

    /// A free record made `entry`; on no list.
    mutating func make(_ entry: Entry) -> Int32 {
        guard free >= 0 else { return Int32(truncatingIfNeeded: entries.append(entry)) }
        let index = free
        free = entries[Int(index)].next
        entries[Int(index)] = entry
        return index
    }

    mutating func release(_ index: Int32) {
        entries[Int(index)].next = free
        free = index
    }

    /// Links `index` behind `last` in a list that the caller keeps (a frozen node's unread packets).
    mutating func chain(_ index: Int32, after last: Int32) {
        entries[Int(index)].next = -1
        if last >= 0 { entries[Int(last)].next = index }
    }

    /// Adds the entry for the millisecond `at`, which is not before `now` and less than the horizon ahead.
    mutating func add(_ entry: Entry, at: Int, now: Int) {
        file(make(entry), at: at, now: now)
    }

    mutating func file(_ index: Int32, at: Int, now: Int) {
        precondition(at >= now && at - now < Calendar.horizon, "beyond the calendar")
        let bucket = at & (Calendar.horizon - 1)
        let last = buckets[bucket].last
        entries[Int(index)].next = -1
        if last >= 0 {
            entries[Int(last)].next = index
        } else {
            buckets[bucket].first = index
            occupied[bucket >> 6] |= 1 << UInt64(bucket & 63)
            occupiedWords[bucket >> 12] |= 1 << UInt64(bucket >> 6 & 63)
        }
        buckets[bucket].last = index
        pending += 1
    }

    /// The first entry of the millisecond `at`, or -1. It stays; the next one is `next` of it.
    func first(at: Int) -> Int32 { buckets[at & (Calendar.horizon - 1)].first }

    /// Takes the first entry of the millisecond `at`, or -1. The caller releases it or files it again.
    mutating func take(at: Int) -> Int32 {
        let bucket = at & (Calendar.horizon - 1)
        let first = buckets[bucket].first
        guard first >= 0 else { return -1 }
        let next = entries[Int(first)].next
        buckets[bucket].first = next
        if next < 0 {
            buckets[bucket].last = -1
            occupied[bucket >> 6] &= ~(1 << UInt64(bucket & 63))
            if occupied[bucket >> 6] == 0 { occupiedWords[bucket >> 12] &= ~(1 << UInt64(bucket >> 6 & 63)) }
        }
        pending -= 1
        return first
    }

    /// The first millisecond from `now` on that has an entry; nil if there is none.
    func next(from now: Int) -> Int? {
        guard pending > 0 else { return nil }
        let start = now & (Calendar.horizon - 1)
        let rest = occupied[start >> 6] >> UInt64(start & 63)
        if rest != 0 { return now + rest.trailingZeroBitCount }
        let words = Calendar.horizon / 64
        var word = (start >> 6) + 1
        for _ in 0...(words / 64 + 1) {
            let wrapped = word & (words - 1)
            let group = occupiedWords[wrapped >> 6] >> UInt64(wrapped & 63)
            if group != 0 {
                let found = (wrapped + group.trailingZeroBitCount) & (words - 1)
                let bucket = found << 6 | occupied[found].trailingZeroBitCount
                return now + (bucket - start) & (Calendar.horizon - 1)
            }
            word = (word | 63) + 1
        }
        return nil
    }
}
