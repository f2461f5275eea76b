// What the loop counts of itself. Plain numbers, for metrics and for tests; also of what "cannot happen". Always on: none
// costs more than an addition, and the two histograms together one reading of the clock an iteration.

/// What a loop did since it was made: one plain value, a kilobyte or so. Copy it on the loop's thread (a `NodeSnapshot` carries
/// it to others).
public struct LoopCounters: Hashable, Sendable, BitwiseCopyable {
    /// Iterations.
    public var iterations: UInt64 = 0
    /// Waits: one an iteration, but for those that had events of an earlier one left to deliver.
    public var waits: UInt64 = 0
    /// Events taken from the kernel.
    public var events: UInt64 = 0
    /// Events for a descriptor that is no longer the one they were meant for: dropped.
    public var staleEvents: UInt64 = 0
    /// Times that the epoll was made anew, because an open file in it had outlived its descriptor (docs/Fork.md).
    public var rebuilds: UInt64 = 0
    /// Wakes by a post.
    public var wakes: UInt64 = 0
    /// Jobs delivered.
    public var jobs: UInt64 = 0
    /// Jobs whose handle had been withdrawn: dropped.
    public var staleJobs: UInt64 = 0
    /// Jobs of tasks run: a task has one for each time that it starts or goes on.
    public var taskJobs: UInt64 = 0
    /// Timers fired.
    public var timers: UInt64 = 0
    /// Uses of a timer's or descriptor's id that was over: ignored.
    public var staleIDs: UInt64 = 0
    /// Calls of epoll_ctl.
    public var controls: UInt64 = 0
    /// Calls of epoll_ctl that failed where none should: an owner closed its descriptor too early, or the kernel had no memory.
    public var failedControls: UInt64 = 0
    /// Hangups and errors on descriptors that nobody wanted to hear of: unregistered until somebody does.
    public var latchedHangups: UInt64 = 0
    /// Iterations that began with work at hand, left over or posted, and so did not wait.
    public var carriedOver: UInt64 = 0
    /// Waits that failed otherwise than by an interruption.
    public var failedWaits: UInt64 = 0
    /// Writes of a node's links that the kernel took in part or not at all: writability was asked for.
    public var shortWrites: UInt64 = 0
    /// What came of accepting, over all listeners.
    public var accepts = AcceptCounts()
    /// How often each budget ended something before its time.
    public var exhausted = BudgetCounts()
    /// How late timers are. One sample for each iteration that fires a timer whose deadline lay ahead when it was set: from when
    /// the first of them was due, in whole ticks, to when the timers had their turn. In it are a late wake by the kernel, the
    /// work of this iteration before its timers, and that of the one before.
    public var lag = TimeHistogram()
    /// How long the loop is away from the kernel. One sample for each iteration: from the return of its wait to the end of its
    /// close phase, all callbacks in between. What becomes ready meanwhile waits so long.
    public var callbackTime = TimeHistogram()

    /// All zero.
    public init() {}
}

/// What came of calls of accept, by class.
public struct AcceptCounts: Hashable, Sendable, BitwiseCopyable {
    /// Connections handed to their owners.
    public var accepted: UInt64 = 0
    /// Calls that found nobody.
    public var drained: UInt64 = 0
    /// Connections that had failed before they were ours: the next one was taken.
    public var retried: UInt64 = 0
    /// Tables that were full: the listener rested.
    public var paused: UInt64 = 0
    /// Errors that should not be: the listener rested for longer.
    public var fatal: UInt64 = 0
    /// Connections closed unseen for want of a descriptor.
    public var shed: UInt64 = 0

    /// All zero.
    public init() {}
}

/// How often each budget ended something before its time; the rest came in the next iteration.
public struct BudgetCounts: Hashable, Sendable, BitwiseCopyable {
    /// Batches of events as large as `eventsPerIteration`: the kernel may have had more.
    public var events: UInt64 = 0
    /// Bursts of a listener that were full.
    public var accepts: UInt64 = 0
    /// Reads of a link that ended at its `readBudget`.
    public var reads: UInt64 = 0
    /// Writes of a link that ended at its `writeBudget`.
    public var writes: UInt64 = 0
    /// Job phases that ended at `jobsPerIteration`.
    public var jobs: UInt64 = 0
    /// Timer phases that ended at `timersPerIteration`.
    public var timers: UInt64 = 0
    /// Phases that ended because the iteration had lasted `timePerIteration`.
    public var time: UInt64 = 0

    /// All zero.
    public init() {}
}
