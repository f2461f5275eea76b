// The memory of everything that is underway, in and out, on all links of a node: size classes with free lists, one sum
// over all, and one bound. It knows no link. What it must never do: hand out more than its bound, or allocate in steady
// state (a block that was given back is the next one taken).

import CEpoll

/// A piece of memory on loan from a `BufferPool`. A plain value: whoever took it gives it back, once.
@safe
struct Block: BitwiseCopyable {
    let base: UnsafeMutableRawPointer
    let capacity: Int
}

/// Size classes of powers of two, 256 bytes to 16 MiB; the large ones have room for a frame's header on top. From 1 MiB on a block is
/// pages of its own: a frame that outgrows it takes the pages along, and nobody's ping waits for megabytes to be copied. All on the
/// loop's thread.
@safe
final class BufferPool {
    private static let smallestShift = 8
    private static let largestShift = 24
    /// From this shift on, a class has `margin` bytes more than its power of two: a frame of 8 MiB has a header, too.
    private static let marginShift = 21
    private static let margin = 65_536
    /// From this shift on, a class is pages of its own.
    private static let pagesShift = 20

    /// The largest block there is.
    static let largestBlock = 1 << largestShift + margin

    /// Bytes that may be out at once.
    let limit: Int
    /// The pool that this one is a share of: what is out here is out there, too.
    private let whole: BufferPool?
    /// Free bytes that are kept for the next taker; more go back to the system.
    let keep: Int
    /// Bytes that are out: blocks by their capacity, and what `charge` added.
    @safe @exclusivity(unchecked) private(set) var inUse = 0
    /// Bytes in the free lists.
    @safe @exclusivity(unchecked) private(set) var spare = 0
    /// The most that was ever out.
    @safe @exclusivity(unchecked) private(set) var peak = 0
    /// Blocks that were asked of the system: stands still in steady state.
    @safe @exclusivity(unchecked) private(set) var allocations: UInt64 = 0
    /// Times that the bound refused.
    @safe @exclusivity(unchecked) private(set) var refusals: UInt64 = 0

    /// First free block of each class; a free block's first word is the next one.
    @safe @exclusivity(unchecked) private var free: InlineArray<17, UnsafeMutableRawPointer?> = unsafe .init(repeating: nil)

    init(limit: Int, keep: Int = 8 << 20, within whole: BufferPool? = nil) {
        precondition(limit > 0 && keep >= 0, "a pool needs a bound")
        self.limit = limit
        self.keep = keep
        self.whole = whole
    }

    /// So little is left that the largest reader is slowed…
    var isTight: Bool { inUse > limit / 8 * 7 }

    /// …until so much is free again.
    var isEased: Bool { inUse <= limit / 4 * 3 && whole?.isTight != true }

    deinit {
        for index in 0...(Self.largestShift - Self.smallestShift) {
            while let block = unsafe popFree(index) { unsafe Self.release(block, Self.capacity(of: index)) }
        }
    }

    // Inlined by force, as is the smallest class below: a queue that fills and empties takes and gives three blocks a frame.
    @inline(__always)
    private static func capacity(of index: Int) -> Int {
        let shift = index &+ smallestShift
        return 1 &<< shift &+ (shift >= marginShift ? margin : 0)
    }

    /// The smallest class that holds `size` bytes.
    @inline(__always)
    private static func index(for size: Int) -> Int {
        size <= 1 << smallestShift ? 0 : largerIndex(for: size)
    }

    private static func largerIndex(for size: Int) -> Int {
        precondition(size <= largestBlock, "no block is that large")
        var index = Int.bitWidth - (size - 1).leadingZeroBitCount - smallestShift
        // The margin of the class below may be enough.
        if index > 0, size <= capacity(of: index - 1) { index -= 1 }
        return index
    }

    /// How large a block for `size` bytes would be.
    static func capacity(for size: Int) -> Int { capacity(of: index(for: size)) }

    /// A block of at least `size` bytes; nil if the bound does not allow it.
    func take(atLeast size: Int) -> Block? {
        guard hasRoom(for: Self.capacity(for: size)) else {
            refusals &+= 1
            return nil
        }
        return takeUrgently(atLeast: size)
    }

    /// The same, beyond the bound if need be: for the little that cannot wait (pings, bytes that are read already).
    func takeUrgently(atLeast size: Int) -> Block {
        let index = Self.index(for: size)
        let capacity = Self.capacity(of: index)
        lend(capacity)
        return (whole ?? self).block(index, capacity)
    }

    // A share has no free lists: a block that is taken on one account may be given back on the other, and must be the next one taken.

    private func block(_ index: Int, _ capacity: Int) -> Block {
        if let reused = unsafe popFree(index) {
            spare -= capacity
            return unsafe Block(base: reused, capacity: capacity)
        }
        allocations &+= 1
        return unsafe Block(base: Self.allocate(capacity), capacity: capacity)
    }

    /// The same bytes in a larger block, the kernel's pages moved instead of copied; nil, and the old block is the caller's still, if one
    /// of the two is not pages, or the bound does not allow both.
    func grow(_ block: Block, toAtLeast size: Int) -> Block? {
        let capacity = Self.capacity(for: size)
        guard block.capacity >> Self.pagesShift > 0, capacity > block.capacity, hasRoom(for: capacity) else { return nil }
        guard let moved = unsafe cepoll_pages_grow(block.base, block.capacity, capacity) else { return nil }
        lend(capacity - block.capacity)
        return unsafe Block(base: moved, capacity: capacity)
    }

    private static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
        guard capacity >> pagesShift > 0 else { return .allocate(byteCount: capacity, alignment: 16) }
        guard let pages = unsafe cepoll_pages(capacity) else { fatalError("the system has no memory for \(capacity) bytes") }
        return unsafe pages
    }

    private static func release(_ base: UnsafeMutableRawPointer, _ capacity: Int) {
        if capacity >> pagesShift > 0 { unsafe cepoll_pages_free(base, capacity) } else { unsafe base.deallocate() }
    }

    /// Whether `bytes` more may be out.
    func hasRoom(for bytes: Int) -> Bool { inUse + bytes <= limit && whole?.hasRoom(for: bytes) != false }

    private func lend(_ bytes: Int) {
        inUse += bytes
        peak = max(peak, inUse)
        whole?.lend(bytes)
    }

    /// Counts `bytes` that are out already of the whole as out of this share…
    func include(_ bytes: Int) {
        inUse += bytes
        peak = max(peak, inUse)
    }

    /// …or no longer as out of this share.
    func exclude(_ bytes: Int) {
        assert(inUse >= bytes, "more was excluded than the share had out")
        inUse -= bytes
    }

    /// Takes a block back.
    func give(_ block: Block) {
        credit(block.capacity)
        (whole ?? self).keep(block)
    }

    private func keep(_ block: Block) {
        guard spare + block.capacity <= keep else {
            unsafe Self.release(block.base, block.capacity)
            return
        }
        spare += block.capacity
        let index = Self.index(for: block.capacity)
        unsafe block.base.storeBytes(of: free[index], as: UnsafeMutableRawPointer?.self)
        unsafe free[index] = block.base
    }

    /// Counts memory that others hold for the node (a buffer that all links share); false if the bound refuses.
    func charge(_ bytes: Int) -> Bool {
        guard hasRoom(for: bytes) else {
            refusals &+= 1
            return false
        }
        lend(bytes)
        return true
    }

    /// Takes a charge back.
    func credit(_ bytes: Int) {
        assert(inUse >= bytes, "more was given back than was out")
        inUse -= bytes
        whole?.credit(bytes)
    }

    private func popFree(_ index: Int) -> UnsafeMutableRawPointer? {
        guard let first = unsafe free[index] else { return nil }
        unsafe free[index] = unsafe first.load(as: UnsafeMutableRawPointer?.self)
        return unsafe first
    }
}
