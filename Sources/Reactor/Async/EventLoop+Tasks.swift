// The loop's side of its executor: the phase in which tasks run, and a way to run one task to its end.

import CEpoll

extension EventLoop {
    /// Where Swift's actors and tasks live on this loop; made when it is first asked for. On the loop's thread; what is
    /// returned may go anywhere. The loop must outlive the tasks that use it.
    public var executor: LoopExecutor {
        assertOnThread()
        if let tasks = unsafe state.tasks { return unsafe tasks.takeUnretainedValue() }
        let executor = LoopExecutor(loop: self)
        unsafe state.tasks = Unmanaged.passRetained(executor)
        return executor
    }

    /// Runs the loop until `body` is done, as a task on it, and returns what it returned. Other tasks and sources go on meanwhile,
    /// and stay when it is done. Throws what `body` throws. Not from within an iteration.
    ///
    /// `stop`, here or by the mailbox, cancels the task of `body` and is used up; the loop runs on until the task has ended.
    public func run<Success: Sendable>(_ body: @escaping @Sendable () async throws -> Success) throws -> Success {
        if state.isInIteration { refuseNested() }
        let outcome = TaskOutcome<Success>()
        let task = Task.detached(executorPreference: executor) {
            do {
                outcome.result = .success(try await body())
            } catch {
                outcome.result = .failure(error)
            }
        }
        while true {
            if runOnce(.wait) { task.cancel() }
            if let result = outcome.result { return try result.get() }
        }
    }

    /// The phase after the timers, so that a task that a descriptor, a post or a timer has woken runs in the same iteration.
    /// Bounded as posted jobs are, in number and by the iteration's time.
    @inline(__always)
    func runTasks() {
        if let tasks = unsafe state.tasks { unsafe tasks._withUnsafeGuaranteedRef { run(jobsOf: $0) } }
    }

    private func run(jobsOf tasks: LoopExecutor) {
        var left = configuration.jobsPerIteration
        while true {
            let slice = min(left, Self.callsPerSlice)
            let done = tasks.runJobs(slice)
            state.counts.taskJobs &+= UInt64(done)
            left -= done
            guard done == slice, tasks.hasJobs else { return }
            guard left > 0 else { return state.counts.exhausted.jobs &+= 1 }
            if isTimeUp() { return }
        }
    }

    var hasTaskJobs: Bool {
        guard let tasks = unsafe state.tasks else { return false }
        return unsafe tasks._withUnsafeGuaranteedRef { $0.hasJobs }
    }

    func bindTasks() {
        unsafe state.tasks?._withUnsafeGuaranteedRef { $0.bind(to: state.thread) }
    }

    func endTasks() {
        guard let tasks = unsafe state.tasks else { return }
        unsafe state.tasks = nil
        let executor = unsafe tasks.takeRetainedValue()
        executor.end()
    }

    func forgetTasks() {
        unsafe state.tasks?._withUnsafeGuaranteedRef { $0.forgetAll() }
    }

    func deliverEdge(_ events: UInt32, tag: UInt32, to source: Unmanaged<Source>) {
        unsafe source._withUnsafeGuaranteedRef {
            unsafe unsafeDowncast($0, to: AsyncDriver.self).edge(events, place: Int(tag))
        }
    }
}

/// Where a task leaves what came of it for the thread that it runs on.
private final class TaskOutcome<Success: Sendable>: @unchecked Sendable {
    var result: Result<Success, any Error>?
}
