// What the inlinable parts of the loop call on their rare ways. Functions and not methods: a method has its `self` in the register
// in which the caller, a source's own method, has its own, and would make it save that for what never happens.

import CEpoll

/// Counts the use of an id that is over.
@usableFromInline @inline(never)
func noteStaleID(on loop: EventLoop) {
    loop.state.counts.staleIDs &+= 1
}

@usableFromInline @inline(never)
func slotTableFull() -> SystemError {
    SystemError(.slotTable, CEPOLL_ENOSPC)
}

/// The kernel did not take a slot: ends it, and says why. A registration that is there already is taken over if no slot has it:
/// its own was removed as that of a descriptor to be closed, which is still open.
@usableFromInline @inline(never)
func addRefused(_ id: SlotID, _ result: CInt, on loop: EventLoop) throws(SystemError) {
    let index = Int(id.index)
    if result == -CEPOLL_EEXIST, loop.isAlone(index), loop.control(index, CEPOLL_MOD, loop.state.slots[index].armed) == 0 { return }
    // As any other: what only this slot kept alive is let go in the close phase, and nothing else is.
    loop.end(index)
    throw SystemError(.control, -result)
}

/// Frees the slots and timers that are over, and lets their sources go.
@usableFromInline @inline(never)
func recycle(on loop: EventLoop) {
    while let source = unsafe loop.state.slots.recycle() {
        unsafe source.endRegistration()
    }
    while let source = unsafe loop.state.timers.recycle() {
        unsafe source.endRegistration()
    }
}

/// The loop was inherited by a fork: see `EventLoop.checkNotForked`.
@usableFromInline @inline(never)
func refuseForked() -> Never {
    fatalError("this event loop belongs to the parent process: call reinitializeAfterFork() in the child, or make a new loop")
}

/// An iteration was started from within one. In words in every build: a C++ exception brings programs here that never nested a run.
@usableFromInline @inline(never)
func refuseNested() -> Never {
    fatalError(
        """
        this event loop is in the middle of an iteration: run, runOnce or a destroying call was made from one of its callbacks, \
        or a callback was left by an exception or longjmp, which a callback must not let out
        """
    )
}
