// From a hash to the indices that have it: open addressing, linear probing, deletion by shifting back, so that no tombstone
// ever slows it (trap 23). It keeps the lower half of the hash, 8 bytes an entry; the caller compares the full key.

/// Several indices may share a hash. Expected O(1); the table is at most half full by construction.
struct HashIndex: ~Copyable {
    struct Entry: BitwiseCopyable {
        var hash: UInt32 = 0
        var index: Int32 = -1
    }

    private var entries: Slab<Entry>
    private let mask: Int

    init(capacity: Int) {
        var size = 8
        while size < capacity * 2 { size *= 2 }
        precondition(size <= 1 << 31, "half a hash tells no more places apart")
        entries = Slab(count: size, repeating: Entry())
        mask = size - 1
    }

    private init(entries: consuming Slab<Entry>, mask: Int) {
        self.entries = entries
        self.mask = mask
    }

    mutating func insert(_ index: Int, hash: UInt64) {
        var place = Int(truncatingIfNeeded: hash) & mask
        while entries[place].index >= 0 { place = (place + 1) & mask }
        entries[place] = Entry(hash: UInt32(truncatingIfNeeded: hash), index: Int32(index))
    }

    mutating func remove(_ index: Int, hash: UInt64) {
        var hole = Int(truncatingIfNeeded: hash) & mask
        while entries[hole].index != Int32(index) {
            guard entries[hole].index >= 0 else { return }
            hole = (hole + 1) & mask
        }
        var probe = hole
        while true {
            probe = (probe + 1) & mask
            let entry = entries[probe]
            if entry.index < 0 { break }
            let home = Int(truncatingIfNeeded: entry.hash) & mask
            // Move the entry into the hole unless its home lies behind the hole on the way to it.
            if (probe - home) & mask >= (probe - hole) & mask {
                entries[hole] = entry
                hole = probe
            }
        }
        entries[hole] = Entry()
    }

    /// Walks the indices with this hash, and now and then one with another: start with `cursor` 0, go on with what came back,
    /// until -1.
    func next(hash: UInt64, cursor: inout Int) -> Int {
        let home = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = entries[(home + cursor) & mask]
            cursor += 1
            if entry.index < 0 { return -1 }
            if entry.hash == UInt32(truncatingIfNeeded: hash) { return Int(entry.index) }
        }
    }

    borrowing func clone() -> HashIndex {
        HashIndex(entries: entries.clone(), mask: mask)
    }
}

/// A well-mixed 64-bit hash that is the same in every run, as replay needs (Stafford's variant 13 of MurmurHash3's finisher).
func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
}

extension Endpoint {
    /// The key of the peer index.
    var stableHash: UInt64 {
        mix(address.high ^ mix(address.low ^ mix(UInt64(port) << 8 | UInt64(address.family.rawValue))))
    }
}
