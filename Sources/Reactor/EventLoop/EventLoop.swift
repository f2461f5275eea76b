// The loop: one thread, one epoll, one clock, and the order of an iteration. What it owns: the epoll descriptor, the slots,
// the timers, the mailbox, the lists of who asked to flush or to close. What it must never do: know a peer, take a lock,
// allocate in steady state, or touch anything global to the process.

import CEpoll
public import Timers

/// A single-threaded event loop on epoll.
///
/// Make it, then use and run it on one thread: the first `run` or `runOnce` binds it to the calling thread. Other
/// threads reach it through `mailbox` alone.
@safe
public final class EventLoop {
    /// Other threads' way in. May be kept and used after the loop is gone.
    public let mailbox: Mailbox
    public let configuration: Configuration

    let epoll: CInt
    let events: UnsafeMutablePointer<cepoll_event>
    var slots: SlotTable
    var timers: TimerTable
    var wheel: TimerWheel
    var clock: Instant
    var counts = LoopCounters()
    /// The first slot whose interest is not yet the kernel's; -1 if none.
    var firstChanged: Int32 = -1
    var flushList = SourceList(.flush)
    var reapList = SourceList(.reap)
    var handles: [HandleEntry] = []
    /// The signalfds, which the loop owns.
    var signalDescriptors: [CInt] = []
    var isStopping = false
    var isInIteration = false
    /// The thread that runs the loop; 0 before the first run.
    var thread: UInt = 0

    /// Makes a loop with its epoll and its eventfd. Nothing else of the process is touched.
    public init(_ configuration: Configuration = Configuration()) throws(SystemError) {
        precondition(configuration.eventsPerIteration > 0 && configuration.jobsPerIteration > 0)
        precondition(configuration.timersPerIteration > 0)
        let mailbox = try Mailbox(capacity: configuration.mailboxCapacity)
        let epoll = try SystemError.check(cepoll_create(), .createEpoll)
        let added = cepoll_control(
            epoll, CEPOLL_ADD, mailbox.eventDescriptor, CEPOLL_IN | CEPOLL_ET, Self.mailboxSlot, 0
        )
        if added < 0 {
            _ = cepoll_close(epoll)
            throw SystemError(.control, -added)
        }
        self.configuration = configuration
        self.mailbox = mailbox
        self.epoll = epoll
        // An array of 8-byte words gives the alignment that the kernel's structure may want.
        unsafe events = .allocate(capacity: configuration.eventsPerIteration)
        let now = Instant(nanoseconds: cepoll_monotonic())
        clock = now
        slots = SlotTable(capacity: configuration.descriptorCapacity)
        timers = TimerTable(capacity: configuration.timerCapacity)
        wheel = TimerWheel(capacity: configuration.timerCapacity, now: now)
    }

    deinit {
        mailbox.close()
        while flushList.pop() != nil {}
        while reapList.pop() != nil {}
        closeSignalDescriptors()
        _ = cepoll_close(epoll)
        unsafe events.deallocate()
    }

    /// Monotonic time, read once an iteration, right after the wait.
    public var now: Instant { clock }

    /// What the loop did so far.
    public var counters: LoopCounters { counts }

    /// How many descriptors are registered.
    public var descriptorCount: Int { slots.live }

    /// Readable whenever an iteration has readiness or posts to deliver: poll it to run this loop inside another.
    /// Deadlines are not in it, see `nextDeadline`.
    public var backendFD: CInt { epoll }

    /// When the next iteration is due even if nothing becomes ready: a past instant if work was carried over, nil if
    /// nothing is. May be early, never late.
    public var nextDeadline: Instant? {
        hasCarriedWork || firstChanged >= 0 ? .zero : wheel.nextWake
    }

    /// Runs until `stop`. A stop asked for before is honoured after one iteration that does not wait.
    public func run() {
        repeat {
            runOnce(.wait)
        } while !isStopping && !mailbox.isStopRequested
        isStopping = false
        mailbox.forgetStop()
    }

    /// Makes `run` return after this iteration. From other threads: `mailbox.stop()`.
    public func stop() {
        assertOnThread()
        isStopping = true
    }

    /// Whether an iteration may sleep.
    public enum WaitMode: Hashable, Sendable {
        /// Sleep until something is ready, posted or due.
        case wait
        /// Take what is there.
        case noWait
    }

    /// One iteration, its phases in order.
    public func runOnce(_ mode: WaitMode = .wait) {
        bindThread()
        precondition(!isInIteration, "an iteration was started from within one")
        isInIteration = true
        applyInterests()
        let count = wait(mode)
        clock = Instant(nanoseconds: cepoll_monotonic())
        counts.iterations &+= 1
        deliverReadiness(count)
        deliverJobs()
        fireTimers()
        flushWritten()
        closeCondemned()
        applyInterests()
        if hasCarriedWork { counts.carriedOver &+= 1 }
        isInIteration = false
    }

    /// The slot number under which the mailbox's eventfd is registered.
    static let mailboxSlot = UInt32.max

    /// The thread of the first run owns the loop from then on.
    private func bindThread() {
        if thread == 0 { thread = UInt(cepoll_thread()) }
        assertOnThread()
    }

    func assertOnThread() {
        assert(thread == 0 || thread == UInt(cepoll_thread()), "the loop was used off its thread; post to its mailbox")
    }
}
