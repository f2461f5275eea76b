// The phases of one iteration. Each is bounded; what a bound leaves over stays where it is (the kernel's ready list, the
// ring, the wheel's fired list, the source lists) and makes the next wait return at once.

import CEpoll
import CPrefetch
import Timers

extension EventLoop {
    /// So many calls are made between two looks at the clock: one each would cost as much as the loop's own work for it.
    static let callsPerSlice = 64
    /// Bytes that count as much as so many calls.
    private static let bytesPerSlice = 256 << 10

    /// A wait never lasts longer, whatever the deadline: the clock is asked again (trap 19).
    private static let longestWait: Int64 = 86_400 * 1_000_000_000

    /// Whether the next iteration has something to do already.
    @inline(__always)
    var hasCarriedWork: Bool {
        state.wheel.hasFired || mailbox.hasJobs || !state.flushList.isEmpty || !state.reapList.isEmpty || state.slots.hasRemoved
            || state.timers.hasRemoved || hasEvents || hasTaskJobs
    }

    /// Whether events of the last batch are still to be delivered.
    private var hasEvents: Bool { state.nextEvent < state.eventCount }

    /// How long the coming wait may be, in nanoseconds; -1 is for ever. `reading` is the time, if somebody has just read the clock.
    @inline(__always)
    private func timeout(_ mode: WaitMode, _ reading: Instant?) -> Int64 {
        if hasCarriedWork {
            state.counts.carriedOver &+= 1
            return 0
        }
        if mode == .noWait || state.isStopping || mailbox.isStopRequested { return 0 }
        guard let wake = nextWake else { return -1 }
        // Not `clock`, which is as old as the work of the last iteration (trap 20).
        let left = wake - (reading ?? Instant(nanoseconds: cepoll_monotonic()))
        #if REACTOR_FAULTS
            if isLeftOut(19) { return Int64(clamping: left.count) }
        #endif
        return Int64(min(left.count, UInt64(Self.longestWait)))
    }

    /// Waits for the next batch of events, unless some of the last one are left.
    @inline(__always)
    func wait(_ mode: WaitMode, _ reading: Instant?) {
        let timeout = timeout(mode, reading)
        guard !hasEvents else { return }
        let capacity = CInt(clamping: configuration.eventsPerIteration)
        var count = unsafe state.waitsFinely ? cepoll_wait(epoll, events, capacity, timeout) : -CEPOLL_ENOSYS
        if count < 0, count != -CEPOLL_EINTR { count = waitCoarsely(capacity, timeout) }
        state.counts.waits &+= 1
        state.nextEvent = 0
        state.eventCount = max(0, Int(count))
        if count == capacity { state.counts.exhausted.events &+= 1 }
        if count >= 0 { state.counts.events &+= UInt64(count) }
        if state.isSuspicious { lookForOutlived() }
    }

    /// The wait of old kernels. Whatever epoll_pwait2 said, it is not asked again: a kernel lacks it (ENOSYS), a container's filter of
    /// system calls forbids it (EPERM, or another error of the filter's choice).
    @inline(never)
    private func waitCoarsely(_ capacity: CInt, _ timeout: Int64) -> CInt {
        state.waitsFinely = false
        let count = unsafe cepoll_wait_coarse(epoll, events, capacity, timeout)
        let hasFailed = count < 0 && count != -CEPOLL_EINTR
        state.waitFailure = hasFailed ? -count : 0
        guard hasFailed else { return count }
        state.counts.failedWaits &+= 1
        // Whoever may wait must not spin. Timers, posts and tasks have their turn a thousand times a second.
        if timeout != 0 { pause() }
        return count
    }

    /// What a loop does between two tries at what cannot be done now, so that it costs little of a core.
    func pause() {
        cepoll_pause(1_000_000)
    }

    // MARK: The time of an iteration

    /// Says that the call under way does much, so many bytes' worth: the loop then looks at the clock sooner than after so many
    /// calls. For a source that reads or writes more than a message at a time.
    public func charge(bytes: Int) {
        state.charged &+= bytes
        guard state.charged >= Self.bytesPerSlice else { return }
        state.charged = 0
        state.sliceEnd = 0
    }

    /// Whether a phase that is to go on must leave its rest to the next iteration. Asked after each slice.
    func isTimeUp() -> Bool {
        guard Instant(nanoseconds: cepoll_monotonic()) >= state.clock + configuration.timePerIteration else { return false }
        state.counts.exhausted.time &+= 1
        return true
    }

    // MARK: The phases

    /// The batch, or as much of it as there is time for. What is left must be kept, and goes first: the kernel would tell of its
    /// ready descriptors in the same order again, and those at the end would never have their turn. A descriptor that is
    /// closed meanwhile has another generation, so that late events do no harm.
    func deliverReadiness() {
        assert(state.eventCount <= configuration.eventsPerIteration)
        var next = state.nextEvent
        while next < state.eventCount {
            state.sliceEnd = min(state.eventCount, next &+ Self.callsPerSlice)
            repeat {
                state.nextEvent = next &+ 1
                deliver(next)
                next &+= 1
            } while next < state.sliceEnd
            if next < state.eventCount, isTimeUp() { break }
        }
    }

    /// While an event is delivered: the tag of the next one in the batch, if it is the same source's. Asks for the slot of the one
    /// after that, so that its tag can be had as cheaply.
    func tagOfNextEvent(for source: Source) -> UInt32? {
        let next = state.nextEvent
        guard next < state.eventCount else { return nil }
        if next &+ 1 < state.eventCount {
            cprefetch(UInt(bitPattern: unsafe state.slots.entry(Int(events[next &+ 1].slot))), 1)
        }
        let slot = unsafe state.slots.entry(Int(events[next].slot))
        return unsafe slot.pointee.source?.toOpaque() == Unmanaged.passUnretained(source).toOpaque() ? slot.pointee.tag : nil
    }

    @inline(__always)
    private func deliver(_ next: Int) {
        let event = unsafe events[next]
        guard isMeant(event) else { return noteStale() }
        let slot = unsafe state.slots.entry(Int(event.slot))
        // Nearly all are this one: see `Interest.apart`.
        guard unsafe slot.pointee.wanted == .read, event.events == CEPOLL_IN else { return deliverRare(next) }
        assert(unsafe slot.pointee.kind == .source)
        unsafe tell(slot, .readable)
    }

    @inline(__always)
    private func tell(_ slot: UnsafeMutablePointer<Slot>, _ readiness: Readiness) {
        assert(unsafe slot.pointee.source != nil, "a live slot has a source")
        let tag = unsafe slot.pointee.tag
        unsafe slot.pointee.source.unsafelyUnwrapped._withUnsafeGuaranteedRef { $0.ready(readiness, tag: tag) }
    }

    // On its own, as it would take registers from the loop over the events; and given the event's place, as the event itself
    // would take more.
    @inline(never)
    private func deliverRare(_ next: Int) {
        let event = unsafe events[next]
        let index = Int(event.slot)
        guard !state.slots[index].wanted.isEmpty else {
            #if REACTOR_FAULTS
                if isLeftOut(5) { return }
            #endif
            guard event.events & (CEPOLL_ERR | CEPOLL_HUP) != 0 else { return }
            return state.slots[index].stage == .registered ? latchHangup(index) : noteStale()
        }
        let tag = state.slots[index].tag
        let source = unsafe state.slots[index].source.unsafelyUnwrapped
        switch state.slots[index].kind {
        case .source: unsafe tell(state.slots.entry(index), Readiness(events: event.events, wanted: state.slots[index].wanted))
        case .mailbox: acknowledgeWake()
        case .tasks: unsafe deliverEdge(event.events, tag: tag, to: source)
        case .signals: unsafe deliverSignals(state.slots[index].descriptor, to: source)
        }
    }

    /// Whether the event's slot is still the one that it was registered as (trap 1).
    func isMeant(_ event: cepoll_event) -> Bool {
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
        if mailbox.hasJobs { deliverWaiting() }
    }

    @inline(never)
    private func deliverWaiting() {
        var done = 0
        while mailbox.hasJobs {
            guard done < configuration.jobsPerIteration else { return state.counts.exhausted.jobs &+= 1 }
            guard done == 0 || !isTimeUp() else { return }
            state.sliceEnd = min(configuration.jobsPerIteration, done &+ Self.callsPerSlice)
            repeat {
                guard let (target, job) = mailbox.take() else { return }
                done &+= 1
                deliver(job, to: target)
            } while done < state.sliceEnd
        }
    }

    private func deliver(_ job: Job, to target: SourceHandle) {
        if let source = source(behind: target) {
            state.counts.jobs &+= 1
            source.posted(job)
        } else {
            state.counts.staleJobs &+= 1
        }
    }

    /// Two steps (trap 16): all that is due moves to the fired list, then it is taken one by one. A timer that is
    /// armed for now meanwhile is due in the next iteration.
    @inline(__always)
    func fireTimers() {
        let isBehind = state.wheel.hasFired
        let due = state.wheel.advance(to: state.clock)
        if state.wheel.hasFired { fire(since: isBehind ? state.dueSince ?? due : due) }
    }

    @inline(never)
    private func fire(since first: Instant?) {
        state.dueSince = first
        if let due = state.dueSince { state.counts.lag.add(Instant(nanoseconds: cepoll_monotonic()) - due) }
        var done = 0
        while state.wheel.hasFired {
            guard done < configuration.timersPerIteration else { return state.counts.exhausted.timers &+= 1 }
            guard done == 0 || !isTimeUp() else { return }
            state.sliceEnd = min(configuration.timersPerIteration, done &+ Self.callsPerSlice)
            repeat {
                guard let index = state.wheel.popFired() else { return }
                done &+= 1
                fire(index)
                #if REACTOR_FAULTS
                    if isLeftOut(16) { _ = state.wheel.advance(to: state.clock) }
                #endif
            } while done < state.sliceEnd
        }
    }

    private func fire(_ index: Int) {
        state.counts.timers &+= 1
        let entry = state.timers[index]
        assert(entry.isLive, "a destroyed timer fired")
        unsafe entry.source?._withUnsafeGuaranteedRef { $0.timerFired(tag: entry.tag) }
    }

    /// Those who ask again meanwhile are called in the next iteration.
    func flushWritten() {
        if !state.flushList.isEmpty { flushListed() }
    }

    @inline(never)
    private func flushListed() {
        var due = state.flushList.takeAll()
        while let source = due.pop() {
            source.flush()
        }
    }

    /// Those who ask again meanwhile are called in the next iteration.
    func closeCondemned() {
        if !state.reapList.isEmpty { reapListed() }
        if state.slots.hasRemoved || state.timers.hasRemoved { recycle(on: self) }
    }

    @inline(never)
    private func reapListed() {
        var due = state.reapList.takeAll()
        while let source = due.pop() {
            source.reap()
        }
    }
}
