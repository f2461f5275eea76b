// Running the loop for a while, or by a loop that is not ours. `backendFD`, `nextDeadline` and `runOnce` are with the loop
// itself: they are its life; this is what is built of them.

import CEpoll
public import Timers

extension EventLoop {
    /// Runs until `stop`, which it uses up, or until `deadline`, whichever comes first, and returns whether it was stopped. One
    /// iteration is done in any case; a deadline that is past makes it one that does not wait. Ends at the deadline or within what the
    /// iteration under way lasts after it, never before.
    @discardableResult
    public func run(until deadline: Instant) -> Bool {
        let outer = state.runLimit
        state.runLimit = deadline
        var isStopped = false
        repeat {
            isStopped = runOnce(.wait)
        } while !isStopped && Instant(nanoseconds: cepoll_monotonic()) < deadline
        state.runLimit = outer
        return isStopped
    }

    /// When the next wait must end: the wheel's next deadline, the end of `run(until:)`, or the next try at what the kernel refused.
    @inline(__always)
    var nextWake: Instant? {
        guard state.runLimit != nil || state.retryAt != nil else { return state.wheel.nextWake }
        return min(state.wheel.nextWake ?? .never, state.runLimit ?? .never, state.retryAt ?? .never)
    }
}
