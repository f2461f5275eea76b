// SipHash-2-4 (Aumasson and Bernstein, 2012): where an address lies in the book must be a secret of this node's, and the same in
// its next life.

/// A keyed 64-bit hash over words.
struct SipHash {
    private var v0, v1, v2, v3: UInt64
    private var length: UInt64 = 0

    init(key: (UInt64, UInt64)) {
        v0 = key.0 ^ 0x736f_6d65_7073_6575
        v1 = key.1 ^ 0x646f_7261_6e64_6f6d
        v2 = key.0 ^ 0x6c79_6765_6e65_7261
        v3 = key.1 ^ 0x7465_6462_7974_6573
    }

    /// The hash of `words`, as if their bytes stood one after another, little-endian.
    static func hash(_ key: (UInt64, UInt64), _ words: UInt64...) -> UInt64 {
        var state = SipHash(key: key)
        for word in words { state.add(word) }
        return state.finish()
    }

    mutating func add(_ word: UInt64) {
        length &+= 8
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    mutating func finish() -> UInt64 {
        let last = length << 56
        v3 ^= last
        round()
        round()
        v0 ^= last
        v2 ^= 0xff
        for _ in 0..<4 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    private mutating func round() {
        v0 = v0 &+ v1
        v1 = SipHash.rotate(v1, 13) ^ v0
        v0 = SipHash.rotate(v0, 32)
        v2 = v2 &+ v3
        v3 = SipHash.rotate(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = SipHash.rotate(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = SipHash.rotate(v1, 17) ^ v2
        v2 = SipHash.rotate(v2, 32)
    }

    private static func rotate(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
}
