// Whose link goes when a slot is needed: a choice among strangers that called in, by plain values on the stack. What protects a link is
// hard to fake for somebody who holds many: a place on the net, a short way to us, and time.

/// Links that may go, the youngest first.
struct EvictionCandidates {
    /// As many are looked at, at most: a choice costs the same in a table of any size.
    static let capacity = 128

    struct Candidate: BitwiseCopyable {
        var slot: Int32 = -1
        var isProtected = false
        /// Where on the net it is.
        var net: UInt64 = 0
        /// Its last round trip; `.max` if none was measured.
        var roundTrip: UInt64 = .max
    }

    private var candidates = [128 of Candidate](repeating: Candidate())
    private(set) var count = 0
    /// What orders the nets: a secret, so that nobody chooses to be protected.
    private let key: UInt64

    init(key: UInt64) {
        self.key = key
    }

    /// Appends one that is older than all before it.
    mutating func append(_ slot: Int, net: UInt64, roundTrip: UInt64) {
        guard count < Self.capacity else { return }
        candidates[count] = Candidate(slot: Int32(slot), isProtected: false, net: net, roundTrip: roundTrip == 0 ? .max : roundTrip)
        count += 1
    }

    /// Protects the oldest link of each of `most` nets.
    mutating func protectNets(_ most: Int) {
        var bound = UInt64.max
        for _ in 0..<most {
            var best = -1
            for index in (0..<count).reversed() where !candidates[index].isProtected {
                let rank = mix(candidates[index].net ^ key)
                guard rank < bound else { continue }
                if best < 0 || rank > mix(candidates[best].net ^ key) { best = index }
            }
            guard best >= 0 else { return }
            bound = mix(candidates[best].net ^ key)
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

    /// The youngest link of the net that has most of those without protection; of nets with as many, the one whose link is the
    /// youngest. The net of whoever takes the slot counts one more. Its slot, or -1.
    func victim(joining net: UInt64?) -> Int {
        var best = -1
        var most = 0
        for index in 0..<count where !candidates[index].isProtected {
            var size = candidates[index].net == net ? 1 : 0
            for other in index..<count where !candidates[other].isProtected && candidates[other].net == candidates[index].net { size += 1 }
            if size > most { (best, most) = (index, size) }
        }
        return best < 0 ? -1 : Int(candidates[best].slot)
    }
}
