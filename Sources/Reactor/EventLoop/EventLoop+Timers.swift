// The loop's timers: who is called when the wheel says so. Arming, moving and cancelling are O(1); a later deadline for an
// armed timer is one store.

import CEpoll
public import Timers

extension EventLoop {
    /// A new timer, not armed. The table's size is the configuration's `timerCapacity`; to exceed it is a mistake.
    public func makeTimer(source: Source, tag: UInt32) -> TimerID {
        guard let id = makeTimerIfRoom(source: source, tag: tag) else {
            preconditionFailure("the loop's timer table is full: raise Configuration.timerCapacity")
        }
        return id
    }

    /// The same for those who cannot know how many timers there are: nil if the table is full.
    public func makeTimerIfRoom(source: Source, tag: UInt32) -> TimerID? {
        assertOnThread()
        guard let index = state.timers.open(for: source, tag: tag) else { return nil }
        return TimerID(index: UInt32(truncatingIfNeeded: index), generation: state.wheel.beginUse(of: index))
    }

    /// Has `timerFired` called at `deadline` or within a tick after, never before. Moves the deadline if one is set.
    /// One that is past already (by a tick: `now` itself may round up) is due in the next iteration, or in this one if
    /// its timers have not had their turn.
    @inlinable @inline(__always)
    public func arm(_ id: TimerID, at deadline: Instant) {
        assertOnThread()
        guard isCurrent(id) else { return }
        unsafe storage.pointee.wheel.arm(Int(id.index), at: deadline)
    }

    /// The same, `span` after this call. Reads the clock: an iteration's `now` is as old as its work so far, and a span
    /// counted from there would be short by that much (trap 20).
    public func arm(_ id: TimerID, after span: Nanoseconds) {
        #if REACTOR_FAULTS
            if isLeftOut(20) { return arm(id, at: state.clock + span) }
        #endif
        arm(id, at: Instant(nanoseconds: cepoll_monotonic()) + span)
    }

    // Inlinable, as is what it calls: a deadline is moved for each message, and the call would cost as much as the work.
    /// The same, `span` after this iteration's `now`: no reading of the clock, but short by as much as the iteration has lasted.
    /// For a long timer that each message extends.
    @inlinable @inline(__always)
    public func arm(_ id: TimerID, afterNow span: Nanoseconds) {
        arm(id, at: unsafe storage.pointee.clock + span)
    }

    /// Takes the deadline back, even one that is due already in this iteration.
    @inlinable @inline(__always)
    public func cancel(_ id: TimerID) {
        assertOnThread()
        guard isCurrent(id) else { return }
        #if REACTOR_FAULTS
            if isLeftOut(23) { return }
        #endif
        unsafe storage.pointee.wheel.cancel(Int(id.index))
    }

    /// Ends the timer: it fires no more, and its id means nothing any more.
    public func destroy(_ id: TimerID) {
        assertOnThread()
        guard isCurrent(id) else { return }
        state.wheel.endUse(of: Int(id.index))
        state.timers.remove(Int(id.index))
        if !state.isInIteration { recycle(on: self) }
    }

    /// Whether the timer waits for a deadline.
    public func isArmed(_ id: TimerID) -> Bool {
        state.wheel.isInUse(Int(id.index), id.generation) && state.wheel.isArmed(Int(id.index))
    }

    @inlinable @inline(__always)
    func isCurrent(_ id: TimerID) -> Bool {
        if unsafe storage.pointee.wheel.isInUse(Int(id.index), id.generation) { return true }
        noteStaleID(on: self)
        return false
    }
}
