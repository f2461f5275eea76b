// The loop as a place where Swift's actors and tasks live. Who uses none pays for none: the executor is made when it is first
// asked for, and until then the loop looks at one word an iteration. What it must never do: lose a job, take a lock, or
// run a job anywhere but on the loop's thread, in its phase.

import CEpoll
import Synchronization

/// A loop's executor: for actors (`unownedExecutor`) and for tasks (`Task(executorPreference:)`). `EventLoop.executor` is where
/// it comes from.
///
/// Any thread may hold it and enqueue. All else (`loop`, `sleep`, `connect`, `listen` and what they return) is for code that
/// runs on the loop: in an actor that lives on it, in a task that prefers it, or in a callback of a `Source`.
@safe
public final class LoopExecutor: SerialExecutor, TaskExecutor, @unchecked Sendable {
    /// What changes; the loop's thread only. Behind a pointer for the reason given in LoopState.
    @safe
    struct State: ~Copyable {
        var jobs = JobRing()
        var places = AsyncPlaces()
        /// Nil once the loop is gone.
        var loop: Unmanaged<EventLoop>?
        /// The loop is going, or was inherited by a fork: nothing is waited for any more.
        var isEnding = false
        /// The job under way, see `TaskJob.address`; 0 outside of jobs.
        var running: UInt = 0
        /// What the task that parks next waits for.
        var leaving = Leaving()
    }

    let mailbox: Mailbox
    let driver: AsyncDriver
    @usableFromInline let parking: Parking
    private let arrivals = JobStack()
    /// The loop's thread; 0 while it has none.
    private let thread = Atomic<UInt>(0)
    private let storage: UnsafeMutablePointer<State>

    init(loop: EventLoop) {
        mailbox = loop.mailbox
        driver = AsyncDriver()
        let lot = ParkingLot()
        parking = Parking(lot)
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: State())
        unsafe state.loop = Unmanaged.passUnretained(loop)
        unsafe driver.executor = Unmanaged.passUnretained(self)
        unsafe lot.executor = Unmanaged.passUnretained(self)
        bind(to: loop.state.thread)
    }

    deinit {
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    var state: State {
        unsafeAddress { unsafe UnsafePointer(storage) }
        unsafeMutableAddress { unsafe storage }
    }

    // MARK: For the runtime

    /// A job of an actor that lives on this loop. Any thread.
    public func enqueue(_ job: consuming ExecutorJob) {
        enqueue(TaskJob(UnownedJob(job), .ofActor))
    }

    /// A job of a task that prefers this loop.
    @_implements(TaskExecutor,enqueue(_:))
    public func enqueuePreferring(_ job: consuming ExecutorJob) {
        enqueue(TaskJob(UnownedJob(job), .byPreference))
    }

    @inline(__always)
    private func enqueue(_ job: TaskJob) {
        if isOnThread {
            enqueueHere(job)
        } else {
            switch arrivals.push(job) {
            case .first: mailbox.wake()
            case .behind: break
            case .refused: Self.refuse()
            }
        }
    }

    /// Has the loop do it. Any thread but the loop's. False if the loop is gone: then nothing will be done, and nobody but those
    /// who hold them uses the places any more.
    func send(_ kind: Errand.Kind) -> Bool {
        let errand = TaskJob(Errand(kind))
        switch arrivals.push(errand) {
        case .first: mailbox.wake()
        case .behind: break
        case .refused:
            _ = errand.takeErrand()
            return false
        }
        return true
    }

    private func run(_ errand: Errand) {
        switch errand.kind {
        case .close(let place): closePlace(place)
        case .wake(let place): wakeBoth(place)
        case .closeListener(let listener): listener.close()
        }
    }

    /// The same on the loop's thread.
    @inline(__always)
    func enqueueHere(_ job: TaskJob) {
        state.jobs.append(job)
        guard let loop = unsafe state.loop else { Self.refuse() }
        // An iteration under way looks at its jobs before the next wait; whoever runs the loop by hand may wait elsewhere.
        if unsafe !loop._withUnsafeGuaranteedRef({ $0.isInIteration }) { mailbox.wake() }
    }

    @inline(never)
    private static func refuse() -> Never {
        fatalError("a task went on on an event loop that is gone: a loop must outlive its tasks")
    }

    /// For an actor's `unownedExecutor`. The actor must keep this executor. Any thread.
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }

    /// For the runtime: `Task(executorPreference:)` asks for it. Any thread.
    public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
        unsafe UnownedTaskExecutor(ordinary: self)
    }

    /// Traps unless the caller is on the loop's thread. `assumeIsolated` of an actor that lives here asks it, so that callbacks of
    /// a `Source` can call such an actor.
    public func checkIsolated() {
        if !isOnThread { fatalError("not on the thread of this event loop") }
    }

    /// Whether the caller is on the loop's thread, which the first run of the loop decides.
    public func isIsolatingCurrentContext() -> Bool? { isOnThread }

    // MARK: For the loop

    /// Any thread.
    var isLoopGone: Bool { arrivals.isClosed }

    var isOnThread: Bool { thread.load(ordering: .relaxed) == UInt(cepoll_thread()) }

    func bind(to thread: UInt) {
        self.thread.store(thread, ordering: .relaxed)
    }

    var hasJobs: Bool { !state.jobs.isEmpty || !arrivals.isEmpty }

    /// Runs at most `limit` jobs, those included that are enqueued meanwhile; returns how many.
    func runJobs(_ limit: Int) -> Int {
        state.jobs.append(stack: arrivals.takeAll())
        var done = 0
        while done < limit, let job = state.jobs.popFirst() {
            done &+= 1
            state.running = job.address
            switch job.kind {
            case .byPreference: unsafe job.job.runSynchronously(on: asUnownedTaskExecutor())
            case .ofActor: unsafe job.job.runSynchronously(on: asUnownedSerialExecutor())
            case .both: unsafe job.job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
            case .errand: run(job.takeErrand())
            }
        }
        state.running = 0
        return done
    }

    /// The loop is going away: whoever waits is told, and tasks are run until none has anything to do, or so many jobs later.
    func end() {
        bind(to: UInt(cepoll_thread()))
        state.isEnding = true
        wakeAll()
        var left = 1_000_000
        repeat { left -= runJobs(left) } while left > 0 && !(state.jobs.isEmpty && arrivals.closeIfEmpty())
        if left == 0 { endEndless() }
        unsafe state.loop = nil
    }

    /// Tasks that never come to rest are left where they are; what else was to be done is done.
    private func endEndless() {
        state.jobs.append(stack: arrivals.close())
        while let job = state.jobs.popFirst() {
            if job.kind == .errand { run(job.takeErrand()) }
        }
    }

    /// In a forked child: the parent's tasks are the parent's. What they were to do here is forgotten, not freed.
    func forgetAll() {
        _ = arrivals.takeAll()
        state.jobs.removeAll()
        closeAllPlaces()
        bind(to: 0)
    }
}
