// How timers move between the wheel's lists, and the bitmaps that say which of them hold something.

extension TimerWheel {
    /// Puts an unlinked timer where its deadline belongs.
    @inline(__always)
    mutating func place(_ node: UnsafeMutablePointer<Node>, _ index: Int, _ deadline: Instant) {
        let unit = WheelMemory.unit(ofTimer: index)
        if deadline <= now {
            occupiedLevels |= Wheel.dueBit
            unsafe append(node, unit, to: Wheel.due)
        } else {
            unsafe file(node, unit, deadline)
        }
    }

    /// Puts an unlinked timer, whose tick is ahead, into its slot.
    @inline(__always)
    mutating func file(_ node: UnsafeMutablePointer<Node>, _ unit: UInt32, _ deadline: Instant) {
        let tick = Wheel.tick(of: deadline)
        assert(tick > current, "what is due does not go into a slot")
        let level = Wheel.level(of: tick ^ current)
        let shift = UInt64(level &* Wheel.digitBits)
        let digit = tick &>> shift
        unsafe memory.occupied(level).pointee |= 1 &<< digit
        occupiedLevels |= 1 &<< level
        unsafe append(node, unit, to: level &<< Wheel.digitBits | UInt32(truncatingIfNeeded: digit) & Wheel.digitMask)
        unsafe node.pointee.extendableAfter = Instant(nanoseconds: Wheel.instant(ofTick: digit &<< shift).nanoseconds &- 1)
    }

    /// Puts an unlinked timer at the end of a list; the list's bit is the caller's to set.
    @inline(__always)
    func append(_ node: UnsafeMutablePointer<Node>, _ unit: UInt32, to list: UInt32) {
        let last = unsafe memory.links(list).pointee.previous
        unsafe node.pointee.list = list
        unsafe node.pointee.links = WheelLinks(next: list, previous: last)
        unsafe memory.links(last).pointee.next = unit
        unsafe memory.links(list).pointee.previous = unit
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
    @inline(never)
    mutating func collectDue() {
        occupiedLevels &= ~Wheel.dueBit
        let now = now
        _ = distribute(Wheel.due) { deadline in deadline <= now }
    }

    /// Empties the slot that begins at `current`: what is due has fired, the rest goes to where its deadline is. Returns whether
    /// any has fired.
    @inline(__always)
    mutating func spread(_ slot: Slot) -> Bool {
        noteEmptied(slot)
        let current = current
        // Ticks, as the rest is filed by them: the instant of the last tick is out of range.
        return distribute(slot.list) { deadline in Wheel.tick(of: deadline) <= current }
    }

    /// Takes the whole list apart: it is empty before the first of its timers goes elsewhere, so no node is unlinked by itself.
    @inline(__always)
    private mutating func distribute(_ list: UInt32, firing isDue: (Instant) -> Bool) -> Bool {
        var unit = unsafe memory.links(list).pointee.next
        unsafe memory.links(list).pointee = WheelLinks(next: list, previous: list)
        var hasFired = false
        while unit != list {
            let node = unsafe memory.node(ofUnit: unit)
            let next = unsafe node.pointee.links.next
            let deadline = unsafe node.pointee.deadline
            if isDue(deadline) {
                unsafe append(node, unit, to: Wheel.fired)
                unsafe node.pointee.extendableAfter = .never
                hasFired = true
            } else {
                unsafe file(node, unit, deadline)
            }
            unit = next
        }
        if hasFired { occupiedLevels |= Wheel.firedBit }
        return hasFired
    }

    @inline(__always)
    private mutating func noteEmptied(_ slot: Slot) {
        let bitmap = unsafe memory.occupied(slot.level)
        // Its bit is the lowest of its level's.
        unsafe bitmap.pointee &= bitmap.pointee &- 1
        if unsafe bitmap.pointee == 0 { occupiedLevels &= occupiedLevels &- 1 }
    }

    /// The slot that begins first: the lowest bit of the lowest level. There must be one.
    @inline(__always)
    var firstOccupied: Slot {
        let level = UInt32(truncatingIfNeeded: occupiedLevels.trailingZeroBitCount)
        let bits = unsafe memory.occupied(level).pointee
        return Slot(level: level, digit: UInt32(truncatingIfNeeded: bits.trailingZeroBitCount))
    }

    /// The tick at which a slot begins: the digits of `current` above its level, its own digit, zeros below.
    @inline(__always)
    func start(of slot: Slot) -> UInt64 {
        let shift = UInt64(slot.level &* Wheel.digitBits)
        let above = current &>> shift & ~UInt64(Wheel.digitMask)
        return (above | UInt64(slot.digit)) &<< shift
    }
}

/// One of a level's 64 slots.
struct Slot {
    let level: UInt32
    let digit: UInt32

    var list: UInt32 { level &<< Wheel.digitBits | digit }
}
