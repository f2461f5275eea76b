// Growable tables of plain or move-only values: the memory of a world. The one file here that touches raw memory; an index
// out of range traps.

import CPrefetch

/// A table that grows by doubling, hands out indices, and never moves an element to another index.
@safe
struct Table<Element: ~Copyable>: ~Copyable {
    private var base: UnsafeMutablePointer<Element>
    private var capacity: Int
    private(set) var count = 0

    init(reserving capacity: Int) {
        self.capacity = max(capacity, 1)
        unsafe base = Table.memory(self.capacity)
    }

    /// Aligned to cache lines: a record of 64 bytes is one line.
    private static func memory(_ capacity: Int) -> UnsafeMutablePointer<Element> {
        let bytes = capacity * MemoryLayout<Element>.stride
        let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: max(64, MemoryLayout<Element>.alignment))
        return unsafe raw.bindMemory(to: Element.self, capacity: capacity)
    }

    deinit {
        unsafe base.deinitialize(count: count)
        unsafe base.deallocate()
    }

    subscript(_ index: Int) -> Element {
        unsafeAddress {
            precondition(index >= 0 && index < count, "table index out of range")
            return unsafe UnsafePointer(base + index)
        }
        unsafeMutableAddress {
            precondition(index >= 0 && index < count, "table index out of range")
            return unsafe base + index
        }
    }

    /// Asks for the first `lines` cache lines of the element. See `World+Lookahead.swift`.
    @inline(__always)
    func prefetch(_ index: Int, lines: Int) {
        precondition(index >= 0 && index < count, "table index out of range")
        cprefetch(UInt(bitPattern: unsafe base + index), CInt(lines))
    }

    /// Adds `element` and returns its index.
    @discardableResult
    mutating func append(_ element: consuming Element) -> Int {
        if count == capacity { grow() }
        unsafe (base + count).initialize(to: element)
        count += 1
        return count - 1
    }

    /// Forgets every element; plain ones only need no more than that.
    mutating func empty() where Element: BitwiseCopyable { count = 0 }

    private mutating func grow() {
        let larger = unsafe Table.memory(capacity * 2)
        unsafe larger.moveInitialize(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = larger
        capacity *= 2
    }
}

/// The world's own generator (SplitMix64): the same on every machine, in debug and in release.
struct Dice {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number in `0 ..< bound` (Lemire's multiplication).
    mutating func roll(_ bound: Int) -> Int {
        precondition(bound > 0)
        return Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// True with a chance of `millionths` in a million.
    mutating func hits(_ millionths: Int) -> Bool {
        millionths > 0 && roll(1_000_000) < millionths
    }
}
