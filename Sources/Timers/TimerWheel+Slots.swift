// How timers move between the wheel's lists, and the bitmaps that say which of them hold something.

extension TimerWheel {
    /// Puts an unlinked timer where its deadline belongs.
    @inline(__always)
    mutating func place(_ node: UnsafeMutablePointer<Node>, _ index: Int, _ deadline: Instant) {
        let unit = WheelMemory.unit(ofTimer: index)
        if deadline <= now {
            occupiedLevels |= Wheel.dueBit
            unsafe memory.append(node, unit, to: Wheel.due)
        } else {
            let tick = Wheel.tick(of: deadline)
            unsafe memory.file(node, unit, tick, after: current, level: Wheel.level(of: tick ^ current), &occupiedLevels)
        }
    }

    /// Takes a timer out of its list. Calls nobody, so that cancelling and moving save no registers.
    @inlinable @inline(__always)
    mutating func unlink(_ node: UnsafeMutablePointer<Node>, from list: UInt32) {
        let links = unsafe node.pointee.links
        unsafe memory.links(links.previous).pointee.next = links.next
        unsafe memory.links(links.next).pointee.previous = links.previous
        unsafe node.pointee.list = Wheel.none
        unsafe node.pointee.extendableAfter = .never
        // Only in a list of its own has a node the same neighbour twice: the list's head.
        if links.next == links.previous { noteEmpty(list) }
    }

    @inlinable @inline(__always)
    mutating func noteEmpty(_ list: UInt32) {
        let level = list &>> Wheel.digitBits
        let bitmap = unsafe memory.occupied(level)
        // The lists of what is due and of what has fired are alone in their levels, and have no bit but the level's.
        unsafe bitmap.pointee &= ~(1 &<< UInt64(list & Wheel.digitMask))
        if unsafe bitmap.pointee == 0 { occupiedLevels &= ~(1 &<< level) }
    }

    /// Fires what was armed for the past, but for those that were moved ahead since.
    @usableFromInline @inline(never)
    mutating func collectDue() {
        occupiedLevels &= ~Wheel.dueBit
        var due = Instant.zero
        distribute(Wheel.due, at: current, now, &due)
    }

    /// Empties the first slot, which begins at the tick `begin`, that is at `instant`: what is due has fired, the rest goes to where its deadline is.
    @inline(__always)
    mutating func spread(_ slot: WheelSlot, at begin: UInt64, _ instant: Instant, _ due: inout Instant) {
        let bitmap = unsafe memory.occupied(slot.level)
        // Its bit is the lowest of its level's, and that the lowest of all.
        unsafe bitmap.pointee &= bitmap.pointee &- 1
        if unsafe bitmap.pointee == 0 { occupiedLevels &= occupiedLevels &- 1 }
        distribute(slot.list, at: begin, instant, &due)
    }

    /// Takes the whole list apart: it is empty before the first of its timers goes elsewhere, so no node is unlinked by itself.
    /// The first call that fires any leaves `now`, its own time, in `due`.
    @inline(__always)
    mutating func distribute(_ list: UInt32, at current: UInt64, _ now: Instant, _ due: inout Instant) {
        let memory = memory
        var levels = occupiedLevels
        var unit = unsafe memory.links(list).pointee.next
        unsafe memory.links(list).pointee = WheelLinks(next: list, previous: list)
        while unit != list {
            let node = unsafe memory.node(ofUnit: unit)
            let next = unsafe node.pointee.links.next
            let deadline = unsafe node.pointee.deadline
            if deadline <= now {
                unsafe memory.append(node, unit, to: Wheel.fired)
                unsafe node.pointee.extendableAfter = .never
                levels |= Wheel.firedBit
                if due == .zero { due = now }
            } else {
                let tick = Wheel.tick(of: deadline)
                // Each timer comes down to the lowest level once: a constant there saves a quarter of the work.
                if tick ^ current <= UInt64(Wheel.digitMask) {
                    unsafe memory.file(node, unit, tick, after: current, level: 0, &levels)
                } else {
                    unsafe memory.file(node, unit, tick, after: current, level: Wheel.level(of: tick ^ current), &levels)
                }
            }
            unit = next
        }
        occupiedLevels = levels
    }

    /// The tick at which a slot begins that is the first after `tick`: the digits of `tick` above its level, its own digit,
    /// zeros below.
    @inlinable @inline(__always)
    func start(of slot: WheelSlot, after tick: UInt64) -> UInt64 {
        let shift = UInt64(slot.level &* Wheel.digitBits)
        let above = tick &>> shift & ~UInt64(Wheel.digitMask)
        return (above | UInt64(slot.digit)) &<< shift
    }
}

// What moves timers by the block alone. Which levels are occupied is its caller's, who may have it in a register.
extension WheelMemory {
    /// The slot that begins first: the lowest bit of the lowest level. There must be one.
    @inlinable @inline(__always)
    func firstOccupied(_ levels: UInt32) -> WheelSlot {
        let level = UInt32(truncatingIfNeeded: levels.trailingZeroBitCount)
        let bits = unsafe occupied(level).pointee
        return WheelSlot(level: level, digit: UInt32(truncatingIfNeeded: bits.trailingZeroBitCount))
    }

    /// Puts an unlinked timer, whose tick is ahead of `current`, into its slot of the level at which the two differ.
    @inline(__always)
    func file(
        _ node: UnsafeMutablePointer<Node>, _ unit: UInt32, _ tick: UInt64, after current: UInt64, level: UInt32, _ levels: inout UInt32
    ) {
        assert(tick > current, "what is due does not go into a slot")
        assert(level == Wheel.level(of: tick ^ current))
        let shift = UInt64(level &* Wheel.digitBits)
        let digit = tick &>> shift
        unsafe occupied(level).pointee |= 1 &<< digit
        levels |= 1 &<< level
        unsafe append(node, unit, to: level &<< Wheel.digitBits | UInt32(truncatingIfNeeded: digit) & Wheel.digitMask)
        unsafe node.pointee.extendableAfter = Instant(nanoseconds: Wheel.instant(ofTick: digit &<< shift).nanoseconds &- 1)
    }

    /// Puts an unlinked timer at the end of a list; the list's bit is the caller's to set.
    @inline(__always)
    func append(_ node: UnsafeMutablePointer<Node>, _ unit: UInt32, to list: UInt32) {
        let last = unsafe links(list).pointee.previous
        unsafe node.pointee.list = list
        unsafe node.pointee.links = WheelLinks(next: list, previous: last)
        unsafe links(last).pointee.next = unit
        unsafe links(list).pointee.previous = unit
    }
}

/// One of a level's 64 slots.
@usableFromInline @frozen
struct WheelSlot {
    @usableFromInline let level: UInt32
    @usableFromInline let digit: UInt32

    @inlinable
    init(level: UInt32, digit: UInt32) {
        self.level = level
        self.digit = digit
    }

    var list: UInt32 { level &<< Wheel.digitBits | digit }
}
