// The wheel's memory: one block with the bitmaps, the heads of the lists and the nodes, and how its parts are found.
//
// Each list is a ring through its head, so that a node is taken out of it without a look at where in it the node stands.
// A head is nothing but two links, eight to a cache line: a whole node each would be a cold line of its own
// whenever a list is touched. Links count in units of eight bytes, in which heads and nodes have one way to be found.

/// A place in a ring: the units of both neighbours.
@usableFromInline @frozen
struct WheelLinks: BitwiseCopyable {
    @usableFromInline var next: UInt32
    @usableFromInline var previous: UInt32

    @inlinable
    init(next: UInt32, previous: UInt32) {
        self.next = next
        self.previous = previous
    }
}

/// A timer: 32 bytes, so that none straddles two cache lines.
@usableFromInline @frozen
struct Node: BitwiseCopyable {
    @usableFromInline var deadline: Instant
    /// Deadlines behind this one leave the node where it is: they do not come before its slot's beginning. `.never` outside slots.
    @usableFromInline var extendableAfter: Instant
    @usableFromInline var links: WheelLinks
    /// The list that the node is in.
    @usableFromInline var list: UInt32
    /// Which use of the index is under way: see `beginUse`. 0 before the first.
    @usableFromInline var generation: UInt32

    init() {
        deadline = .never
        extendableAfter = .never
        links = WheelLinks(next: 0, previous: 0)
        list = Wheel.none
        generation = 0
    }
}

/// The block. Whoever holds it frees it. Indices are the caller's to check.
@usableFromInline @frozen @safe
struct WheelMemory {
    /// The heads; then the bitmaps, one a level; then the nodes. The bitmaps and the nodes begin at cache lines.
    @usableFromInline let base: UnsafeMutableRawPointer

    /// Where the links lie in a node: units point so far before them, for heads too. The heads begin there, so that a list's
    /// number is the unit of its head.
    @usableFromInline static var linksOffset: Int { @inlinable get { 16 } }
    @usableFromInline static var bitmapsOffset: Int { @inlinable get { 4_672 } }
    @usableFromInline static var nodesOffset: Int { @inlinable get { 4_672 + 128 } }

    init(capacity: Int) {
        unsafe base = Self.lines(Self.size(capacity))
        for level in 0..<Wheel.levels { unsafe occupied(level).initialize(to: 0) }
        for list in 0..<Wheel.lists {
            unsafe links(list).initialize(to: WheelLinks(next: list, previous: list))
        }
        unsafe node(0).initialize(repeating: Node(), count: capacity)
        assert(Self.linksOffset + Int(Wheel.lists) * 8 <= Self.bitmapsOffset)
        assert(MemoryLayout<Node>.offset(of: \.links) == Self.linksOffset && MemoryLayout<Node>.stride == 32)
    }

    init(copying other: WheelMemory, capacity: Int) {
        unsafe base = Self.lines(Self.size(capacity))
        unsafe base.copyMemory(from: other.base, byteCount: Self.size(capacity))
    }

    func deallocate() {
        unsafe base.deallocate()
    }

    private static func size(_ capacity: Int) -> Int {
        nodesOffset + capacity * MemoryLayout<Node>.stride
    }

    private static func lines(_ bytes: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    }

    @inlinable @inline(__always)
    func node(_ index: Int) -> UnsafeMutablePointer<Node> {
        unsafe (base + (Self.nodesOffset &+ index &* 32)).assumingMemoryBound(to: Node.self)
    }

    @inlinable @inline(__always)
    func node(ofUnit unit: UInt32) -> UnsafeMutablePointer<Node> {
        unsafe (base + Int(unit) &* 8).assumingMemoryBound(to: Node.self)
    }

    @inlinable @inline(__always)
    func links(_ unit: UInt32) -> UnsafeMutablePointer<WheelLinks> {
        unsafe (base + (Int(unit) &* 8 &+ Self.linksOffset)).assumingMemoryBound(to: WheelLinks.self)
    }

    @inlinable @inline(__always)
    func occupied(_ level: UInt32) -> UnsafeMutablePointer<UInt64> {
        unsafe (base + (Self.bitmapsOffset &+ Int(level) &* 8)).assumingMemoryBound(to: UInt64.self)
    }

    @inlinable @inline(__always)
    static func unit(ofTimer index: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: index &* 4 &+ nodesOffset / 8)
    }

    @inlinable @inline(__always)
    static func timer(ofUnit unit: UInt32) -> Int {
        (Int(unit) &- nodesOffset / 8) &>> 2
    }
}

/// The wheel's geometry, and how time becomes ticks.
@usableFromInline
enum Wheel {
    @usableFromInline static var digitBits: UInt32 { @inlinable get { 6 } }
    @usableFromInline static var digitMask: UInt32 { @inlinable get { 63 } }
    /// Eight of slots, and one each for the two lists below.
    static var levels: UInt32 { 10 }
    static var slotBits: UInt32 { 0xff }
    // Lists are `level << 6 | slot`, which is the unit of the list's head, too.
    /// Armed for the past: fires at the next advance.
    static var due: UInt32 { 8 << 6 }
    @usableFromInline static var dueBit: UInt32 { @inlinable get { 1 << 8 } }
    /// Fired, not popped yet.
    @usableFromInline static var fired: UInt32 { @inlinable get { 9 << 6 } }
    @usableFromInline static var firedBit: UInt32 { @inlinable get { 1 << 9 } }
    static var lists: UInt32 { fired + 1 }
    /// Not armed.
    @usableFromInline static var none: UInt32 { @inlinable get { .max } }
    static var maxCapacity: Int { (1 << 30) - 2_048 }
    @usableFromInline static var tickLength: UInt64 { @inlinable get { 1_000_000 } }

    /// The level of a timer whose tick differs from the current one in these bits: its highest bit's, by six.
    @inline(__always)
    static func level(of difference: UInt64) -> UInt32 {
        let bit = UInt32(truncatingIfNeeded: difference.leadingZeroBitCount) ^ 63
        // 43/256 is a sixth for all of 0 ... 63: a division would be three instructions more.
        return (bit &* 43) &>> 8
    }

    /// The first tick that does not begin before `deadline`: rounding up, so that nothing fires early. `deadline` is not zero.
    @inline(__always)
    static func tick(of deadline: Instant) -> UInt64 {
        (deadline.nanoseconds &- 1) / tickLength &+ 1
    }

    /// Ticks that have begun at `now`. At the very end of time all have: what waits for `.never` fires at `.never`.
    @inline(__always)
    static func elapsedTicks(_ now: Instant) -> UInt64 {
        now == .never ? tick(of: now) : now.nanoseconds / tickLength
    }

    @inlinable @inline(__always)
    static func instant(ofTick tick: UInt64) -> Instant {
        let (product, overflow) = tick.multipliedReportingOverflow(by: tickLength)
        return Instant(nanoseconds: overflow ? .max : product)
    }
}
