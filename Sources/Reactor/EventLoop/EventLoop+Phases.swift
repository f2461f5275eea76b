// The phases of one iteration. Each is bounded; what a bound leaves over stays where it is (the kernel's ready list, the
// ring, the wheel's fired list, the source lists) and makes the next wait return at once.

import CEpoll
import Timers

extension EventLoop {
    /// A wait never lasts longer, whatever the deadline: the clock is asked again (trap 19).
    private static let longestWait: Int64 = 86_400 * 1_000_000_000

    /// Whether the next iteration has something to do already.
    var hasCarriedWork: Bool {
        state.wheel.hasFired || mailbox.hasJobs || !state.flushList.isEmpty || !state.reapList.isEmpty || state.slots.hasRemoved
            || state.timers.hasDestroyed
    }

    /// How long the coming wait may be, in nanoseconds; -1 is for ever.
    private func timeout(_ mode: WaitMode) -> Int64 {
        if hasCarriedWork {
            state.counts.carriedOver &+= 1
            return 0
        }
        if mode == .noWait || state.isStopping || mailbox.isStopRequested { return 0 }
        guard let wake = state.wheel.nextWake else { return -1 }
        // A fresh reading: `clock` is as old as the work of this iteration (trap 20).
        let left = wake - Instant(nanoseconds: cepoll_monotonic())
        #if REACTOR_FAULTS
            if isLeftOut(19) { return Int64(clamping: left.count) }
        #endif
        return Int64(min(left.count, UInt64(Self.longestWait)))
    }

    /// Waits, and returns how many events are in `events`.
    func wait(_ mode: WaitMode) -> Int {
        let capacity = CInt(clamping: configuration.eventsPerIteration)
        let count = unsafe waitsFinely
            ? cepoll_wait(epoll, events, capacity, timeout(mode))
            : cepoll_wait_coarse(epoll, events, capacity, timeout(mode))
        if count >= 0 { return Int(count) }
        if count != -CEPOLL_EINTR {
            state.counts.failedWaits &+= 1
            assertionFailure("epoll_pwait2 failed: \(SystemError(.wait, -count))")
        }
        return 0
    }

    func deliverReadiness(_ count: Int) {
        assert(count <= configuration.eventsPerIteration)
        state.counts.events &+= UInt64(count)
        for index in 0..<count {
            deliver(unsafe events[index])
        }
    }

    private func deliver(_ event: cepoll_event) {
        let index = Int(event.slot)
        guard isMeant(event) else {
            state.counts.staleEvents &+= 1
            return
        }
        let wanted = state.slots[index].wanted
        guard !wanted.isEmpty else {
            #if REACTOR_FAULTS
                if isLeftOut(5) { return }
            #endif
            if event.events & (CEPOLL_ERR | CEPOLL_HUP) != 0 { latchHangup(index) }
            return
        }
        let readiness = Readiness(events: event.events, wanted: wanted)
        let tag = state.slots[index].tag
        guard let source = unsafe state.slots[index].source else { return assertionFailure("a live slot has a source") }
        switch state.slots[index].kind {
        case .source: unsafe source._withUnsafeGuaranteedRef { $0.ready(readiness, tag: tag) }
        case .mailbox: acknowledgeWake()
        case .signals: unsafe deliverSignals(state.slots[index].descriptor, to: source)
        }
    }

    /// Whether the event's slot is still the one that it was registered as (trap 1).
    private func isMeant(_ event: cepoll_event) -> Bool {
        #if REACTOR_FAULTS
            if isLeftOut(1) { return true }
        #endif
        return state.slots[Int(event.slot)].generation == event.generation
    }

    private func acknowledgeWake() {
        state.counts.wakes &+= 1
        mailbox.acknowledgeWake()
    }

    func deliverJobs() {
        var left = configuration.jobsPerIteration
        while left > 0, let (target, job) = mailbox.take() {
            left -= 1
            if let source = source(behind: target) {
                state.counts.jobs &+= 1
                source.posted(job)
            } else {
                state.counts.staleJobs &+= 1
            }
        }
    }

    /// Two steps (trap 16): all that is due moves to the fired list, then it is taken one by one. A timer that is
    /// armed for now meanwhile is due in the next iteration.
    func fireTimers() {
        state.wheel.advance(to: state.clock)
        var left = configuration.timersPerIteration
        while left > 0, let index = state.wheel.popFired() {
            left -= 1
            state.counts.timers &+= 1
            let entry = state.timers[index]
            assert(entry.isLive, "a destroyed timer fired")
            unsafe entry.source?._withUnsafeGuaranteedRef { $0.timerFired(tag: entry.tag) }
            #if REACTOR_FAULTS
                if isLeftOut(16) { state.wheel.advance(to: state.clock) }
            #endif
        }
    }

    /// Those who ask again meanwhile are called in the next iteration.
    func flushWritten() {
        guard !state.flushList.isEmpty else { return }
        var due = state.flushList.takeAll()
        while let source = due.pop() {
            source.flush()
        }
    }

    /// Those who ask again meanwhile are called in the next iteration.
    func closeCondemned() {
        if !state.reapList.isEmpty {
            var due = state.reapList.takeAll()
            while let source = due.pop() {
                source.reap()
            }
        }
        recycle()
    }
}
