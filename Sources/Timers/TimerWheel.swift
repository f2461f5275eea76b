// A hierarchical timer wheel: deadlines for a fixed set of indices that the caller owns. It owns one block of memory,
// allocated once; it reads no clock, calls nobody back and never allocates again.
//
// Eight levels of 64 slots and one bitmap each. A tick is a millisecond, and 8 × 6 bits of ticks reach beyond the last
// nanosecond of `Instant`, so there is no overflow list and no deadline that is too far. A timer's level is the highest
// base-64 digit in which its tick differs from the current one; hence a lower level always comes before a higher
// one, within a level the lowest set bit is next, and the next wake costs one look at one bitmap.
//
// Extending is the common case (each byte from a peer pushes its keepalive back), and it is one store: the node stays
// where it is, and when that slot comes up, the node moves to where its deadline is now.
//
// What is done for each message or connection is inlinable: from another module the call would cost as much as the work.

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
    @inlinable
    public var armedCount: Int { armed }
    @usableFromInline var armed = 0

    @usableFromInline let memory: WheelMemory
    /// The tick of `now`: every occupied slot begins later.
    @usableFromInline var current: UInt64
    @usableFromInline var now: Instant
    /// When the tick after `current` begins. Until then nothing can come up, which is known without a division.
    @usableFromInline var nextTick: Instant
    /// Bit k: some slot of level k is occupied, or the list of what is due, or of what has fired. Asked at every wake.
    @usableFromInline var occupiedLevels: UInt32 = 0

    /// A wheel of `capacity` unarmed timers, at the time `now`. The only allocation in its life.
    public init(capacity: Int, now: Instant) {
        precondition(capacity >= 0 && capacity <= Wheel.maxCapacity, "a wheel holds 0 ... 2^30 - 2048 timers")
        self.capacity = capacity
        self.now = now
        self.current = Wheel.elapsedTicks(now)
        self.nextTick = Wheel.instant(ofTick: current &+ 1)
        self.memory = WheelMemory(capacity: capacity)
    }

    private init(copying other: borrowing TimerWheel) {
        self.capacity = other.capacity
        self.armed = other.armed
        self.occupiedLevels = other.occupiedLevels
        self.current = other.current
        self.now = other.now
        self.nextTick = other.nextTick
        self.memory = WheelMemory(copying: other.memory, capacity: other.capacity)
    }

    deinit {
        memory.deallocate()
    }

    /// An independent wheel in the same state. O(capacity).
    public func clone() -> TimerWheel {
        TimerWheel(copying: self)
    }

    // MARK: Arming

    /// Whether the timer is armed; one that fired counts until it is popped.
    public func isArmed(_ index: Int) -> Bool {
        unsafe node(checked: index).pointee.list != Wheel.none
    }

    /// The deadline as it was asked for, unrounded; nil if the timer is not armed.
    public func deadline(of index: Int) -> Instant? {
        let node = unsafe node(checked: index)
        return unsafe node.pointee.list == Wheel.none ? nil : node.pointee.deadline
    }

    /// Arms the timer for `deadline`, or moves it there. A deadline in the past fires at the next `advance`. O(1); one
    /// store if the timer is armed and the new deadline does not precede the slot in which it waits.
    @inlinable @inline(__always)
    public mutating func arm(_ index: Int, at deadline: Instant) {
        let node = unsafe node(checked: index)
        unsafe node.pointee.deadline = deadline
        // What waits in a slot that begins later than now is not due: no second look at the clock.
        if unsafe deadline <= node.pointee.extendableAfter { refile(in: &self, index, deadline) }
    }

    /// Disarms the timer, whether it waits or has fired and was not popped yet. O(1).
    @inlinable @inline(__always)
    public mutating func cancel(_ index: Int) {
        let node = unsafe node(checked: index)
        let list = unsafe node.pointee.list
        guard list != Wheel.none else { return }
        unsafe unlink(node, from: list)
        armed &-= 1
    }

    @inlinable @inline(__always)
    func node(checked index: Int) -> UnsafeMutablePointer<Node> {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: capacity), "no such timer")
        return unsafe memory.node(index)
    }

    // MARK: Time

    /// When `advance(to:)` has work to do: never later than the first deadline rounded up to a tick, sometimes earlier (a
    /// slot to spread out, a deadline that was extended). Nil if nothing is armed. O(1).
    @inlinable
    public var nextWake: Instant? {
        if occupiedLevels >= Wheel.dueBit { return now }
        guard occupiedLevels != 0 else { return nil }
        return Wheel.instant(ofTick: start(of: memory.firstOccupied(occupiedLevels), after: current))
    }

    /// The timer that the next `advance` begins with, or -1. Changes nothing: a driver of many wheels reads ahead with it.
    package var nextUp: Int {
        guard occupiedLevels & Wheel.slotBits != 0 else { return -1 }
        return unsafe WheelMemory.timer(ofUnit: memory.links(memory.firstOccupied(occupiedLevels).list).pointee.next)
    }

    /// The timer that `popFired` hands out next, or -1. Changes nothing.
    package var nextFired: Int {
        hasFired ? WheelMemory.timer(ofUnit: unsafe memory.links(Wheel.fired).pointee.next) : -1
    }

    /// Where the head of the list lies that the next `advance` begins with; 0 if there is none.
    package var nextUpAddress: UInt {
        guard occupiedLevels & Wheel.slotBits != 0 else { return 0 }
        return UInt(bitPattern: unsafe memory.links(memory.firstOccupied(occupiedLevels).list))
    }

    /// Whether the timer fires at an `advance(to: now)`; false if it would only move.
    package func isDue(_ index: Int, at now: Instant) -> Bool {
        unsafe node(checked: index).pointee.deadline <= now
    }

    /// Where the timer's node lies.
    package func address(_ index: Int) -> UInt {
        UInt(bitPattern: unsafe node(checked: index))
    }

    /// Whether `popFired()` has something to hand out.
    @inlinable
    public var hasFired: Bool { occupiedLevels & Wheel.firedBit != 0 }

    /// Phase 1: collects every timer whose deadline, rounded up to a tick, is not after `now`, in the order of their ticks, and
    /// within one tick in the order in which they came to its slot. A `now` before the last one counts as the last one.
    /// Returns when the first of them was due, in whole ticks: how late this call is. Nil if none was, or only such as were armed
    /// for the past.
    @inlinable @discardableResult
    public mutating func advance(to now: Instant) -> Instant? {
        if occupiedLevels & Wheel.dueBit != 0 { collectDue() }
        guard now > self.now else { return nil }
        self.now = now
        return now >= nextTick ? turn() : nil
    }

    /// What `advance` does when a tick has begun.
    @usableFromInline @inline(never)
    mutating func turn() -> Instant? {
        let now = now
        var due = Instant.zero
        // Every occupied slot begins after `current`.
        while now >= nextTick, occupiedLevels & Wheel.slotBits != 0 {
            let slot = memory.firstOccupied(occupiedLevels)
            let begin = start(of: slot, after: current)
            let instant = Wheel.instant(ofTick: begin)
            guard instant <= now else { break }
            current = begin
            nextTick = instant + Self.tick
            spread(slot, at: begin, instant, &due)
        }
        if now >= nextTick {
            current = Wheel.elapsedTicks(now)
            nextTick = Wheel.instant(ofTick: current &+ 1)
        }
        // None begins at zero.
        return due == .zero ? nil : due
    }

    /// Phase 2: the next timer that fired, disarmed; nil when all were handed out. O(1).
    @inlinable
    public mutating func popFired() -> Int? {
        guard hasFired else { return nil }
        let head = Wheel.fired
        let first = unsafe memory.links(head).pointee.next
        let node = unsafe memory.node(ofUnit: first)
        let next = unsafe node.pointee.links.next
        unsafe memory.links(head).pointee.next = next
        unsafe memory.links(next).pointee.previous = head
        if next == head { occupiedLevels &= ~Wheel.firedBit }
        unsafe node.pointee.list = Wheel.none
        armed &-= 1
        return WheelMemory.timer(ofUnit: first)
    }
}

// One owner, no shared state: it may move to another thread with the value that holds it.
extension TimerWheel: @unchecked Sendable {}

/// Files a timer that cannot stay where it is, whose deadline is stored already. On its own, so that the common case of `arm` saves
/// no registers; calling nobody, so that it saves none either; and no method, as a `self` would take one from the caller.
@usableFromInline @inline(never)
func refile(in wheel: inout TimerWheel, _ index: Int, _ deadline: Instant) {
    let node = unsafe wheel.memory.node(index)
    let list = unsafe node.pointee.list
    if list == Wheel.none {
        wheel.armed &+= 1
    } else {
        if list == Wheel.due { return }
        unsafe wheel.unlink(node, from: list)
    }
    unsafe wheel.place(node, index, deadline)
}
