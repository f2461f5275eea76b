// All that a loop changes while it runs, in one value at a fixed address. The loop's own class holds it by a constant
// pointer: a stored property of a class would be checked for exclusive access at each use, which was measured to cost as
// much again as all of the loop's other instructions (1,430 of 3,230 per churned connection).
//
// The price is a rule: an access must end before the loop calls out, because what is called may come back in.

import CEpoll
public import Timers

/// The loop's tables, lists and numbers. One thread touches them.
@safe @usableFromInline
struct LoopState: ~Copyable {
    @usableFromInline var slots: SlotTable
    var timers: TimerTable
    @usableFromInline var wheel: TimerWheel
    /// When this iteration's wait ended.
    @usableFromInline var clock: Instant
    @usableFromInline var counts = LoopCounters()
    /// Events `nextEvent ..< eventCount` of the batch are still to be delivered.
    var nextEvent = 0
    var eventCount = 0
    /// Calls of a phase after which the clock is looked at.
    var sliceEnd = 0
    /// Bytes that calls said they moved, since they last made up a slice.
    var charged = 0
    /// When the first of the fired timers that wait for their turn was due.
    var dueSince: Instant?
    /// The first slot whose interest is not yet the kernel's; -1 if none.
    var firstChanged: Int32 = -1
    var flushList = SourceList(.flush)
    var reapList = SourceList(.reap)
    var handles = HandleTable()
    /// The signalfds, which the loop owns.
    var signalDescriptors: [CInt] = []
    /// What runs tasks here; nil until somebody asks for it. Retained.
    var tasks: Unmanaged<LoopExecutor>?
    /// When `run(until:)` is to end, while it runs.
    var runLimit: Instant?
    /// Slots whose change the kernel refused, and when they are tried again.
    var refused: [SlotID] = []
    var retryAt: Instant?
    /// epoll_pwait2 has not failed yet: the wait has a resolution of nanoseconds.
    var waitsFinely = true
    /// The error number of the last wait; 0 if it did not fail.
    var waitFailure: CInt = 0
    /// Each removal tells the kernel, also of a descriptor that is closed next.
    @usableFromInline var deletesAlways = false
    /// An event came for a registration that was over: the next batch is looked through for one that outlived its slot.
    var isSuspicious = false
    var isStopping = false
    @usableFromInline var isInIteration = false
    /// The thread that runs the loop; 0 before the first run.
    var thread: UInt = 0

    init(_ configuration: EventLoop.Configuration, now: Instant) {
        clock = now
        // One more, for the mailbox.
        slots = SlotTable(capacity: configuration.descriptorCapacity + 1)
        timers = TimerTable(capacity: configuration.timerCapacity)
        wheel = TimerWheel(capacity: configuration.timerCapacity, now: now)
    }
}
