// The loop: one thread, one epoll, one clock, and the order of an iteration. What it owns: the epoll descriptor, the slots,
// the timers, the mailbox, the lists of who asked to flush or to close. What it must never do: know a peer, take a lock,
// allocate in steady state, or touch anything global to the process.

import CEpoll
public import Timers

/// A single-threaded event loop on epoll.
///
/// Make it, then use and run it on one thread: the first `run` or `runOnce` binds it to the calling thread. Other
/// threads reach it through `mailbox` and `executor` alone. After a fork it is the parent's, and to use it in the child traps,
/// see `reinitializeAfterFork`.
@safe
public final class EventLoop {
    /// Other threads' way in. May be kept and used after the loop is gone.
    public let mailbox: Mailbox
    /// As given.
    public let configuration: Configuration

    @usableFromInline let epoll: CInt
    /// Reads 0 in a forked child. The mailbox owns it.
    @usableFromInline let forkMark: UnsafeMutablePointer<UInt32>
    let events: UnsafeMutablePointer<cepoll_event>
    @usableFromInline let storage: UnsafeMutablePointer<LoopState>

    /// Makes a loop with its epoll and its eventfd. Nothing else of the process is touched. Throws if there are no descriptors left
    /// (EMFILE, ENFILE) or no memory. Any thread.
    public init(_ configuration: Configuration = Configuration()) throws(SystemError) {
        precondition(configuration.eventsPerIteration > 0 && configuration.jobsPerIteration > 0)
        precondition(configuration.timersPerIteration > 0 && configuration.timePerIteration > .zero)
        let mailbox = try Mailbox(capacity: configuration.mailboxCapacity)
        let epoll = try SystemError.check(cepoll_create(), .createEpoll)
        self.configuration = configuration
        self.mailbox = mailbox
        self.epoll = epoll
        unsafe forkMark = mailbox.forkMark
        unsafe events = .allocate(capacity: configuration.eventsPerIteration)
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: LoopState(configuration, now: Instant(nanoseconds: cepoll_monotonic())))
        try addMailbox()
    }

    deinit {
        endTasks()
        mailbox.close()
        for index in state.slots.liveIndices { unsafe state.slots[index].source?.takeUnretainedValue().loopEnds() }
        while state.flushList.pop() != nil {}
        while state.reapList.pop() != nil {}
        closeSignalDescriptors()
        _ = cepoll_close(epoll)
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
        unsafe events.deallocate()
    }

    /// What changes. See `LoopState` for why it lives behind a pointer.
    var state: LoopState {
        unsafeAddress { unsafe UnsafePointer(storage) }
        unsafeMutableAddress { unsafe storage }
    }

    /// Monotonic time, read once an iteration, right after the wait.
    public var now: Instant { state.clock }

    /// What the loop did so far.
    public var counters: LoopCounters { state.counts }

    /// How many descriptors are registered, not counting the mailbox's own.
    public var descriptorCount: Int { state.slots.live - 1 }

    /// Readable whenever an iteration has readiness or posts to deliver: poll it to run this loop inside another.
    /// Deadlines are not in it, see `nextDeadline`. Ask for it before you add descriptors: from then on every `remove` tells the
    /// kernel, so that the epoll behind this number stays the same (docs/Fork.md).
    public var backendFD: CInt {
        state.deletesAlways = true
        return epoll
    }

    /// Why the last wait failed; nil if it did not. A loop whose waits fail goes on without readiness: it runs timers, posts and
    /// tasks a thousand times a second, and counts `failedWaits`. On the loop's thread.
    public var waitFailure: SystemError? {
        state.waitFailure == 0 ? nil : SystemError(.wait, state.waitFailure)
    }

    /// When the next iteration is due even if nothing becomes ready: a past instant if work was carried over, nil if
    /// nothing is. May be early, never late.
    public var nextDeadline: Instant? {
        hasCarriedWork || state.firstChanged >= 0 ? .zero : nextWake
    }

    /// Runs until `stop`, and uses it up. A stop asked for before is honoured after one iteration that does not wait.
    public func run() {
        var reading: Instant?
        repeat {
            reading = iterate(.wait, reading)
        } while !isStopDue
        _ = takeStop()
    }

    /// Ends what runs the loop, after this iteration: `run` and `run(until:)` return, `runOnce` does not wait and returns true,
    /// `run(_:)` cancels its task and returns when that has ended. Each uses the stop up. From other threads: `mailbox.stop()`.
    public func stop() {
        assertOnThread()
        state.isStopping = true
    }

    /// Whether an iteration may sleep.
    public enum WaitMode: Hashable, Sendable {
        /// Sleep until something is ready, posted or due.
        case wait
        /// Take what is there.
        case noWait
    }

    /// One iteration, its phases in order. Returns whether `stop` was called, before or within it: such an iteration does
    /// not wait, and uses the stop up.
    @discardableResult
    public func runOnce(_ mode: WaitMode = .wait) -> Bool {
        _ = iterate(mode, nil)
        return takeStop()
    }

    /// Whether whoever runs the loop is to end.
    var isStopDue: Bool { state.isStopping || mailbox.isStopRequested }

    /// The same, and uses the stop up.
    func takeStop() -> Bool {
        guard isStopDue else { return false }
        state.isStopping = false
        mailbox.forgetStop()
        return true
    }

    /// One iteration. Takes the time, if the caller has just read the clock, and returns it as of its own end.
    private func iterate(_ mode: WaitMode, _ reading: Instant?) -> Instant {
        checkNotForked()
        bindThread()
        if state.isInIteration { refuseNested() }
        state.isInIteration = true
        applyInterests()
        wait(mode, reading)
        state.clock = Instant(nanoseconds: cepoll_monotonic())
        state.counts.iterations &+= 1
        deliverReadiness()
        deliverJobs()
        fireTimers()
        runTasks()
        flushWritten()
        closeCondemned()
        applyInterests()
        state.isInIteration = false
        let end = Instant(nanoseconds: cepoll_monotonic())
        state.counts.callbackTime.add(end - state.clock)
        return end
    }

    /// Ends the process, in words, if an iteration is under way: for what must not be called from a callback. O(1).
    public func requireOutsideOfIteration() {
        if state.isInIteration { refuseNested() }
    }

    /// The thread of the first run owns the loop from then on.
    private func bindThread() {
        if state.thread == 0 {
            state.thread = UInt(cepoll_thread())
            bindTasks()
        }
        assertOnThread()
    }

    @inlinable
    func assertOnThread() {
        assert(isOnThread, "the loop was used off its thread; post to it instead")
    }

    @usableFromInline
    var isOnThread: Bool { state.thread == 0 || state.thread == UInt(cepoll_thread()) }
}
