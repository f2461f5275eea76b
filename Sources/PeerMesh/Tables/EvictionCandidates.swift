// Whose link goes when a slot is needed: a choice among strangers that called in. What protects a link is hard to fake for somebody who
// holds many: a group of addresses, a short way to us, and time.

/// Links that may go, the youngest first. The memory of one choice, taken at birth; between two choices it means nothing.
struct EvictionCandidates: ~Copyable {
    /// As many are looked at, at most: a choice costs the same in a table of any size.
    static let capacity = 128

    struct Candidate: BitwiseCopyable {
        var slot: Int32 = -1
        var isProtected = false
        /// Its group of addresses, in the order in which groups are protected.
        var rank: UInt64 = 0
        /// Its last round trip; `.max` if none was measured.
        var roundTrip: UInt64 = .max
    }

    private var candidates = Slab(count: EvictionCandidates.capacity, repeating: Candidate())
    private(set) var count = 0
    /// What orders the groups: a secret, so that nobody chooses to be protected.
    private let key: UInt64

    init(key: UInt64) {
        self.key = key
    }

    /// A choice begins.
    mutating func clear() { count = 0 }

    /// Appends one that is older than all before it.
    mutating func append(_ slot: Int, group: UInt64, roundTrip: UInt64) {
        guard count < Self.capacity else { return }
        candidates[count] = Candidate(slot: Int32(slot), isProtected: false, rank: mix(group ^ key), roundTrip: roundTrip == 0 ? .max : roundTrip)
        count += 1
    }

    /// Protects the oldest link of each of `most` groups.
    mutating func protectGroups(_ most: Int) {
        var bound = UInt64.max
        for _ in 0..<most {
            var best = -1
            for index in (0..<count).reversed() where !candidates[index].isProtected && candidates[index].rank < bound {
                if best < 0 || candidates[index].rank > candidates[best].rank { best = index }
            }
            guard best >= 0 else { return }
            bound = candidates[best].rank
            candidates[best].isProtected = true
        }
    }

    /// Protects the `most` links with the shortest round trips.
    mutating func protectFastest(_ most: Int) {
        for _ in 0..<most {
            var best = -1
            for index in 0..<count where !candidates[index].isProtected && candidates[index].roundTrip != .max {
                if best < 0 || candidates[index].roundTrip < candidates[best].roundTrip { best = index }
            }
            guard best >= 0 else { return }
            candidates[best].isProtected = true
        }
    }

    /// The youngest link of the group that has most of those without protection; of groups with as many, the one whose link is the
    /// youngest. The group of whoever takes the slot counts one more. Its slot, or -1.
    func victim(joining group: UInt64?) -> Int {
        var best = -1
        var most = 0
        let joined = group.map { mix($0 ^ key) }
        for index in 0..<count where !candidates[index].isProtected {
            let rank = candidates[index].rank
            var size = rank == joined ? 1 : 0
            for other in index..<count where candidates[other].rank == rank && !candidates[other].isProtected { size += 1 }
            if size > most { (best, most) = (index, size) }
        }
        return best < 0 ? -1 : Int(candidates[best].slot)
    }
}
