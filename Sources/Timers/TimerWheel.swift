// A hierarchical timer wheel: deadlines for a fixed set of indices that the caller owns. It owns one slab of nodes,
// allocated once; it reads no clock, calls nobody back and never allocates again.
//
// Eight levels of 64 slots and one bitmap each. A tick is a millisecond, and 8 × 6 bits of ticks reach beyond the last
// nanosecond of `Instant`, so there is no overflow list and no deadline that is too far. A timer's level is the highest
// base-64 digit in which its tick differs from the current one; hence a lower level always comes before a higher
// one, within a level the lowest set bit is next, and the next wake costs one look at one bitmap.
//
// Extending is the common case (each byte from a peer pushes its keepalive back), and it is one store: the node stays
// where it is, and when that slot comes up, the node moves to where its deadline is now.

/// Timers for the indices `0 ..< capacity`, one each. Not thread-safe; whoever owns the value drives it.
///
/// A timer never fires early, and fires less than one `tick` after its deadline if `advance(to:)` is called when
/// `nextWake` says. Firing has two phases: `advance` collects what is due, `popFired` hands it out one at a time; a timer
/// that is armed meanwhile, even for the past, waits for the next `advance` (trap 16).
@safe
public struct TimerWheel: ~Copyable {
    /// The wheel's resolution.
    public static var tick: Nanoseconds { .milliseconds(1) }

    /// How many timers there are.
    public let capacity: Int
    /// How many of them are armed, fired ones that were not popped included.
    public private(set) var armedCount = 0

    // Each list is a ring: its first member's `previous` is its last. The heads stand together, sixteen to a cache line: a
    // sentinel node each would be a cold line of its own whenever a list is touched.
    @usableFromInline let nodes: UnsafeMutablePointer<Node>
    private let heads: UnsafeMutablePointer<Int32>
    /// The tick of `now`: every occupied slot begins later.
    private var current: UInt64
    @usableFromInline var now: Instant
    /// Bit k: some slot of level k is occupied.
    private var occupiedLevels: UInt32 = 0
    /// Bit 0: something is due; bit 1: something has fired. Asked at every wake: those lists' heads are a cold line.
    private var waiting: UInt8 = 0
    private var occupied = [8 of UInt64](repeating: 0)

    /// A wheel of `capacity` unarmed timers, at the time `now`. The only allocation in its life.
    public init(capacity: Int, now: Instant) {
        precondition(capacity >= 0 && capacity <= Wheel.maxCapacity, "a wheel holds 0 ... 2^31 - 1024 timers")
        self.capacity = capacity
        self.now = now
        self.current = Wheel.elapsedTicks(now)
        unsafe self.nodes = Wheel.lines(of: Node.self, capacity)
        unsafe self.heads = Wheel.lines(of: Int32.self, Wheel.lists)
        unsafe nodes.initialize(repeating: Node(), count: capacity)
        unsafe heads.initialize(repeating: -1, count: Wheel.lists)
    }

    private init(copying other: borrowing TimerWheel) {
        self.capacity = other.capacity
        self.armedCount = other.armedCount
        self.occupied = other.occupied
        self.occupiedLevels = other.occupiedLevels
        self.waiting = other.waiting
        self.current = other.current
        self.now = other.now
        unsafe self.nodes = Wheel.lines(of: Node.self, other.capacity)
        unsafe self.heads = Wheel.lines(of: Int32.self, Wheel.lists)
        unsafe nodes.initialize(from: other.nodes, count: other.capacity)
        unsafe heads.initialize(from: other.heads, count: Wheel.lists)
    }

    deinit {
        unsafe nodes.deallocate()
        unsafe heads.deallocate()
    }

    /// An independent wheel in the same state. O(capacity).
    public func clone() -> TimerWheel {
        TimerWheel(copying: self)
    }

    // MARK: Arming

    /// Whether the timer is armed; one that fired counts until it is popped.
    public func isArmed(_ index: Int) -> Bool {
        node(checked: index).list != Wheel.none
    }

    /// The deadline as it was asked for, unrounded; nil if the timer is not armed.
    public func deadline(of index: Int) -> Instant? {
        let node = node(checked: index)
        return node.list == Wheel.none ? nil : node.deadline
    }

    /// Arms the timer for `deadline`, or moves it there. A deadline in the past fires at the next `advance`. O(1); one
    /// store if the timer is armed and the new deadline does not precede the slot in which it waits.
    // Inlinable, as the call would cost as much as the work: a deadline is moved for each message.
    @inlinable
    public mutating func arm(_ index: Int, at deadline: Instant) {
        precondition(index >= 0 && index < capacity, "no such timer")
        let node = unsafe nodes + index
        unsafe node.pointee.deadline = deadline
        if unsafe deadline <= node.pointee.extendableAfter || deadline <= now { refile(index, deadline) }
    }

    // On its own, so that the common case saves no registers: 9 instructions instead of 23.
    @usableFromInline @inline(never)
    mutating func refile(_ index: Int, _ deadline: Instant) {
        let list = unsafe nodes[index].list
        switch list {
        case Wheel.none:
            armedCount += 1
        case Wheel.due:
            return
        case Wheel.fired:
            unlink(index, from: list)
        default:
            unlink(index, from: list)
        }
        if deadline <= now {
            append(index, to: Wheel.due)
        } else {
            file(index)
        }
    }

    /// Disarms the timer, whether it waits or has fired and was not popped yet. O(1).
    public mutating func cancel(_ index: Int) {
        let list = node(checked: index).list
        guard list != Wheel.none else { return }
        unlink(index, from: list)
        armedCount -= 1
    }

    // MARK: Time

    /// When `advance(to:)` has work to do: never later than the first deadline rounded up to a tick, sometimes earlier (a
    /// slot to spread out, a deadline that was extended). Nil if nothing is armed. O(1).
    public var nextWake: Instant? {
        if waiting != 0 { return now }
        guard let list = firstOccupied else { return nil }
        return Wheel.instant(ofTick: start(of: list))
    }

    /// The timer that the next `advance` begins with, or -1. Changes nothing: a driver of many wheels reads ahead with it.
    package var nextUp: Int {
        guard let list = firstOccupied else { return -1 }
        return unsafe Int(heads[list])
    }

    /// Where the head of the list lies that the next `advance` begins with; 0 if there is none.
    package var nextUpAddress: UInt {
        guard let list = firstOccupied else { return 0 }
        return UInt(bitPattern: unsafe heads + list)
    }

    /// Whether the timer fires at an `advance(to: now)`; false if it would only move.
    package func isDue(_ index: Int, at now: Instant) -> Bool {
        node(checked: index).deadline <= now
    }

    /// Where the timer's node lies.
    package func address(_ index: Int) -> UInt {
        precondition(index >= 0 && index < capacity, "no such timer")
        return UInt(bitPattern: unsafe nodes + index)
    }

    /// Whether `popFired()` has something to hand out.
    public var hasFired: Bool { waiting & 1 << UInt8(Wheel.fired - Wheel.slots) != 0 }

    /// Phase 1: collects every timer whose deadline, rounded up to a tick, is not after `now`, in the order of their ticks, and
    /// within one tick in the order in which they came to its slot. A `now` before the last one counts as the last one.
    /// Returns when the first of them was due, in whole ticks: how late this call is. Nil if none was, or only such as were armed
    /// for the past.
    @discardableResult
    public mutating func advance(to now: Instant) -> Instant? {
        while let index = first(of: Wheel.due) {
            unlink(index, from: Wheel.due)
            if unsafe nodes[index].deadline <= self.now { append(index, to: Wheel.fired) } else { file(index) }
        }
        guard now > self.now else { return nil }
        self.now = now
        let target = Wheel.elapsedTicks(now)
        var due: Instant?
        while let list = firstOccupied {
            let begin = start(of: list)
            guard begin <= target else { break }
            current = begin
            if spread(list), due == nil { due = Wheel.instant(ofTick: begin) }
        }
        assert(target >= current)
        current = target
        return due
    }

    /// Phase 2: the next timer that fired, disarmed; nil when all were handed out. O(1).
    public mutating func popFired() -> Int? {
        guard let index = first(of: Wheel.fired) else { return nil }
        unlink(index, from: Wheel.fired)
        armedCount -= 1
        return index
    }

    /// Empties the slot that begins at `current`: what is due has fired, the rest goes to where its deadline is. Returns whether
    /// any has fired.
    private mutating func spread(_ list: Int) -> Bool {
        var hasFired = false
        while let index = first(of: list) {
            unlink(index, from: list)
            let tick = unsafe Wheel.tick(of: nodes[index].deadline)
            if tick <= current {
                append(index, to: Wheel.fired)
                hasFired = true
            } else {
                file(index)
            }
        }
        return hasFired
    }

    // MARK: Slots

    /// Puts an unlinked timer, whose tick is ahead, into its slot.
    private mutating func file(_ index: Int) {
        let tick = unsafe Wheel.tick(of: nodes[index].deadline)
        assert(tick > current, "what is due does not go into a slot")
        let level = (63 - (tick ^ current).leadingZeroBitCount) / Wheel.digitBits
        let shift = UInt64(level * Wheel.digitBits)
        let slot = Int(truncatingIfNeeded: tick >> shift) & Wheel.digitMask
        occupied[level] |= 1 << UInt64(slot)
        occupiedLevels |= 1 << UInt32(level)
        append(index, to: level << Wheel.digitBits | slot)
        unsafe nodes[index].extendableAfter = Wheel.instant(ofTick: ((tick >> shift) << shift) - 1)
    }

    /// The slot that begins first: the lowest bit of the lowest level.
    private var firstOccupied: Int? {
        guard occupiedLevels != 0 else { return nil }
        let level = occupiedLevels.trailingZeroBitCount
        return level << Wheel.digitBits | occupied[level].trailingZeroBitCount
    }

    /// The tick at which a slot begins: the digits of `current` above its level, its own digit, zeros below.
    private func start(of list: Int) -> UInt64 {
        let shift = UInt64((list >> Wheel.digitBits) * Wheel.digitBits)
        let above = current >> shift & ~UInt64(Wheel.digitMask)
        return (above | UInt64(list & Wheel.digitMask)) << shift
    }

    // MARK: Links

    private func node(checked index: Int) -> Node {
        precondition(index >= 0 && index < capacity, "no such timer")
        return unsafe nodes[index]
    }

    private func first(of list: Int) -> Int? {
        if list >= Wheel.slots, waiting & 1 << UInt8(list - Wheel.slots) == 0 { return nil }
        let first = unsafe Int(heads[list])
        return first < 0 ? nil : first
    }

    private mutating func append(_ index: Int, to list: Int) {
        let itself = Int32(truncatingIfNeeded: index)
        let first = unsafe heads[list]
        unsafe nodes[index].place = Int32(truncatingIfNeeded: list)
        if first < 0 {
            unsafe heads[list] = itself
            unsafe nodes[index].previous = itself
            unsafe nodes[index].next = itself
            if list >= Wheel.slots { waiting |= 1 << UInt8(list - Wheel.slots) }
        } else {
            let last = unsafe nodes[Int(first)].previous
            unsafe nodes[index].previous = last
            unsafe nodes[index].next = first
            unsafe nodes[Int(last)].next = itself
            unsafe nodes[Int(first)].previous = itself
        }
    }

    private mutating func unlink(_ index: Int, from list: Int) {
        let (next, previous) = unsafe (nodes[index].next, nodes[index].previous)
        assert(unsafe nodes[index].list == list)
        unsafe nodes[index].place = Int32(Wheel.none)
        unsafe nodes[index].extendableAfter = .never
        if unsafe heads[list] == Int32(truncatingIfNeeded: index) { unsafe heads[list] = Int(next) == index ? -1 : next }
        guard Int(next) == index else {
            unsafe nodes[Int(previous)].next = next
            unsafe nodes[Int(next)].previous = previous
            return
        }
        // It was the only one.
        guard list < Wheel.slots else {
            waiting &= ~(1 << UInt8(list - Wheel.slots))
            return
        }
        let level = list >> Wheel.digitBits
        occupied[level] &= ~(1 << UInt64(list & Wheel.digitMask))
        if occupied[level] == 0 { occupiedLevels &= ~(1 << UInt32(level)) }
    }
}

// One owner, no shared state: it may move to another thread with the value that holds it.
extension TimerWheel: @unchecked Sendable {}

/// A timer: 32 bytes, so that none straddles two cache lines.
@usableFromInline
struct Node: BitwiseCopyable {
    @usableFromInline var deadline: Instant = .never
    /// Deadlines behind this one leave the node where it is: they come after its slot's beginning. `.never` outside slots.
    @usableFromInline var extendableAfter: Instant = .never
    var next: Int32 = -1
    var previous: Int32 = -1
    /// The list that the node is in.
    var place = Int32(Wheel.none)

    var list: Int { Int(place) }
}

/// The wheel's geometry, and how time becomes ticks.
private enum Wheel {
    static var digitBits: Int { 6 }
    static var digitMask: Int { 63 }
    /// Lists 0 ..< slots are `level << 6 | slot`.
    static var slots: Int { 512 }
    /// Armed for the past: fires at the next advance.
    static var due: Int { 512 }
    /// Fired, not popped yet.
    static var fired: Int { 513 }
    static var lists: Int { 514 }
    /// Not armed.
    static var none: Int { -1 }
    static var maxCapacity: Int { Int(Int32.max) - 1_023 }
    static var tickLength: UInt64 { 1_000_000 }

    /// Memory for `count` values that begins at a cache line.
    static func lines<Value>(of type: Value.Type, _ count: Int) -> UnsafeMutablePointer<Value> {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * MemoryLayout<Value>.stride, alignment: 64)
        return unsafe raw.bindMemory(to: Value.self, capacity: max(count, 1))
    }

    /// The first tick that does not begin before `deadline`: rounding up, so that nothing fires early.
    static func tick(of deadline: Instant) -> UInt64 {
        let (whole, rest) = deadline.nanoseconds.quotientAndRemainder(dividingBy: tickLength)
        return whole + (rest > 0 ? 1 : 0)
    }

    /// Ticks that have begun at `now`. At the very end of time all have: what waits for `.never` fires at `.never`.
    static func elapsedTicks(_ now: Instant) -> UInt64 {
        now == .never ? tick(of: now) : now.nanoseconds / tickLength
    }

    static func instant(ofTick tick: UInt64) -> Instant {
        let (product, overflow) = tick.multipliedReportingOverflow(by: tickLength)
        return Instant(nanoseconds: overflow ? .max : product)
    }
}
