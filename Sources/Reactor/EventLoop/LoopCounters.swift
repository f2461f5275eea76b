// What the loop counts of itself. Plain numbers, for metrics and for tests; also of what "cannot happen".

/// What a loop did since it was made.
public struct LoopCounters: Hashable, Sendable, BitwiseCopyable {
    /// Iterations, each with one wait.
    public var iterations: UInt64 = 0
    /// Events taken from the kernel.
    public var events: UInt64 = 0
    /// Events for a descriptor that is no longer the one they were meant for: dropped.
    public var staleEvents: UInt64 = 0
    /// Wakes by a post.
    public var wakes: UInt64 = 0
    /// Jobs delivered.
    public var jobs: UInt64 = 0
    /// Jobs whose handle had been withdrawn: dropped.
    public var staleJobs: UInt64 = 0
    /// Timers fired.
    public var timers: UInt64 = 0
    /// Uses of a timer's or descriptor's id that was over: ignored.
    public var staleIDs: UInt64 = 0
    /// Calls of epoll_ctl.
    public var controls: UInt64 = 0
    /// Calls of epoll_ctl that failed where none should: an owner closed its descriptor too early.
    public var failedControls: UInt64 = 0
    /// Hangups and errors on descriptors that nobody wanted to hear of: unregistered until somebody does.
    public var latchedHangups: UInt64 = 0
    /// Iterations that began with work at hand, left over or posted, and so did not wait.
    public var carriedOver: UInt64 = 0
    /// Waits that failed otherwise than by an interruption.
    public var failedWaits: UInt64 = 0

    public init() {}
}
