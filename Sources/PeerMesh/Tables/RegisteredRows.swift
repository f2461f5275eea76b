// The rows that the registry names: which of them the table holds, in endpoint order, and which live at an address. Derived from
// the rows, kept so that no question about them walks the book.

/// Two heaps (those the table holds, the highest endpoint on top; those beyond it, the lowest on top) and a chain for each
/// address block. A change costs O(log rows), a question O(1).
struct RegisteredRows: ~Copyable {
    struct Rank: BitwiseCopyable {
        /// Where the row is in its heap, or -1.
        var place: Int32 = -1
        var isBeyond = false
    }

    private var rows: Slab<Rank>
    private var held: Slab<Int32>
    private var beyond: Slab<Int32>
    /// Rows that the table holds.
    private(set) var heldCount = 0
    /// Rows beyond its end.
    private(set) var beyondCount = 0
    /// The rows by address block.
    private var blocks: AddressChains

    init(capacity: Int) {
        rows = Slab(count: capacity, repeating: Rank())
        held = Slab(count: capacity, repeating: -1)
        beyond = Slab(count: capacity, repeating: -1)
        blocks = AddressChains(capacity: capacity)
    }

    private init(
        rows: consuming Slab<Rank>, held: consuming Slab<Int32>, beyond: consuming Slab<Int32>, blocks: consuming AddressChains
    ) {
        self.rows = rows
        self.held = held
        self.beyond = beyond
        self.blocks = blocks
    }

    borrowing func clone() -> RegisteredRows {
        var copy = RegisteredRows(rows: rows.clone(), held: held.clone(), beyond: beyond.clone(), blocks: blocks.clone())
        copy.heldCount = heldCount
        copy.beyondCount = beyondCount
        return copy
    }

    /// Rows that are ranked: all that the registry names but ourselves.
    var count: Int { heldCount + beyondCount }

    func isListed(_ row: Int) -> Bool { blocks.isListed(row) }
    func isRanked(_ row: Int) -> Bool { rows[row].place >= 0 }
    func isBeyond(_ row: Int) -> Bool { rows[row].isBeyond }

    /// The ranked row at `place` below `count`, in no order that means anything.
    func row(atRank place: Int) -> Int { Int(place < heldCount ? held[place] : beyond[place - heldCount]) }

    /// The highest row that the table holds, or -1.
    var highestHeld: Int { heldCount > 0 ? Int(held[0]) : -1 }

    /// The lowest row beyond the table, or -1.
    var lowestBeyond: Int { beyondCount > 0 ? Int(beyond[0]) : -1 }

    // Ranks.

    mutating func rank(_ row: Int, beyond isBeyond: Bool, in peers: borrowing Slab<Peer>) {
        rows[row].isBeyond = isBeyond
        let place = isBeyond ? beyondCount : heldCount
        if isBeyond { beyondCount += 1 } else { heldCount += 1 }
        set(row, at: place, beyond: isBeyond)
        rise(place, beyond: isBeyond, in: peers)
    }

    mutating func unrank(_ row: Int, in peers: borrowing Slab<Peer>) {
        let place = Int(rows[row].place)
        guard place >= 0 else { return }
        let isBeyond = rows[row].isBeyond
        if isBeyond { beyondCount -= 1 } else { heldCount -= 1 }
        let last = isBeyond ? beyondCount : heldCount
        rows[row].place = -1
        rows[row].isBeyond = false
        guard place != last else { return }
        set(Int(isBeyond ? beyond[last] : held[last]), at: place, beyond: isBeyond)
        sink(place, beyond: isBeyond, in: peers)
        rise(place, beyond: isBeyond, in: peers)
    }

    private func row(at place: Int, beyond isBeyond: Bool) -> Int { Int(isBeyond ? beyond[place] : held[place]) }

    private mutating func set(_ row: Int, at place: Int, beyond isBeyond: Bool) {
        if isBeyond { beyond[place] = Int32(row) } else { held[place] = Int32(row) }
        rows[row].place = Int32(place)
    }

    private func isAbove(_ one: Int, _ other: Int, beyond isBeyond: Bool, in peers: borrowing Slab<Peer>) -> Bool {
        isBeyond ? peers[one].endpoint < peers[other].endpoint : peers[other].endpoint < peers[one].endpoint
    }

    private mutating func rise(_ start: Int, beyond isBeyond: Bool, in peers: borrowing Slab<Peer>) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            let (mine, above) = (row(at: place, beyond: isBeyond), row(at: parent, beyond: isBeyond))
            guard isAbove(mine, above, beyond: isBeyond, in: peers) else { return }
            set(mine, at: parent, beyond: isBeyond)
            set(above, at: place, beyond: isBeyond)
            place = parent
        }
    }

    private mutating func sink(_ start: Int, beyond isBeyond: Bool, in peers: borrowing Slab<Peer>) {
        let count = isBeyond ? beyondCount : heldCount
        var place = start
        while true {
            var best = place
            for child in [2 * place + 1, 2 * place + 2] where child < count {
                let (one, other) = (row(at: child, beyond: isBeyond), row(at: best, beyond: isBeyond))
                if isAbove(one, other, beyond: isBeyond, in: peers) { best = child }
            }
            guard best != place else { return }
            let (mine, below) = (row(at: place, beyond: isBeyond), row(at: best, beyond: isBeyond))
            set(below, at: place, beyond: isBeyond)
            set(mine, at: best, beyond: isBeyond)
            place = best
        }
    }

    // Addresses.

    mutating func list(_ row: Int, in peers: borrowing Slab<Peer>) { blocks.list(row, under: peers[row].endpoint.address.blockKey) }

    mutating func unlist(_ row: Int) { blocks.unlist(row) }

    /// The first registered row whose address lies in the block of `address`, or -1.
    func first(inBlockOf address: IPAddress) -> Int { blocks.first(under: address.blockKey) }

    /// The next one of the same block, or -1.
    func next(after row: Int) -> Int { blocks.next(after: row) }
}

extension IPAddress {
    /// The same in every run.
    var stableHash: UInt64 { mix(high ^ mix(low ^ mix(UInt64(family.rawValue)))) }
}
