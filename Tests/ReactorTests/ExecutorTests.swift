// Actors and tasks on the loop: where they run, what a job costs, that none is lost, that I/O keeps flowing.

import CEpoll
import Glibc
import Synchronization
import Testing
import Timers

@_spi(ExperimentalCustomExecutors) import _Concurrency
@testable import Reactor

/// An actor that lives on a loop.
actor Resident {
    let executor: LoopExecutor
    private(set) var visits = 0
    private(set) var threads: Set<UInt> = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) {
        self.executor = executor
    }

    func visit() {
        visits += 1
        threads.insert(UInt(cepoll_thread()))
    }

    func spin(until isDone: @Sendable () -> Bool) async {
        while !isDone() { await Task.yield() }
        visits += 1
    }
}

@Suite("Executor", .ownThread)
struct ExecutorTests {
    @Test("the words that link queued jobs are the ones that the runtime sets aside for it")
    func layout() throws {
        let loop = try EventLoop()
        var found: [Int] = []
        let probe = Probe { job in
            let address = Int(bitPattern: unsafeBitCast(UnownedJob(job), to: UnsafeRawPointer.self))
            ExecutorJob(unsafeBitCast(address, to: UnownedJob.self)).withUnsafeExecutorPrivateData { words in
                found = [Int(bitPattern: words.baseAddress) - address, words.count]
            }
        }
        Task.detached(executorPreference: probe) {}
        #expect(found == [TaskJob.linkOffset, 2 * MemoryLayout<UInt>.size])
        withExtendedLifetime(loop) {}
    }

    @Test("an actor on the loop runs on the loop's thread, whoever calls it, and one call after the other")
    func actorOnLoop() throws {
        let loop = try EventLoop()
        let resident = Resident(loop.executor)
        let callers = 8
        let calls = 500
        let (visits, threads) = try loop.run {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<callers {
                    // No preference: these run on the runtime's own threads.
                    group.addTask(executorPreference: globalConcurrentExecutor) {
                        for _ in 0..<calls { await resident.visit() }
                    }
                }
            }
            return await (resident.visits, resident.threads)
        }
        #expect(visits == callers * calls)
        #expect(threads == [UInt(cepoll_thread())])
    }

    @Test("a task that prefers the loop, its children and what they await run on the loop's thread")
    func preference() throws {
        let loop = try EventLoop()
        let here = UInt(cepoll_thread())
        let threads = try loop.run {
            await withTaskGroup(of: UInt.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        await Task.yield()
                        return await currentThread()
                    }
                }
                var found: Set<UInt> = [await currentThread()]
                for await thread in group { found.insert(thread) }
                return found
            }
        }
        #expect(threads == [here])
    }

    @Test("a callback of a source may call an actor of its loop without a hop; other threads may not")
    func isolation() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let resident = Resident(executor)
        let source = Diary()
        source.onFlush = { resident.assumeIsolated { $0.visit() } }
        loop.requestFlush(source)
        loop.runOnce(.noWait)
        #expect(executor.isIsolatingCurrentContext() == true)
        executor.checkIsolated()
        let other = AtomicBox()
        let thread = TestThread { other.value.store(executor.isIsolatingCurrentContext() == false ? 1 : 2, ordering: .relaxed) }
        thread.join()
        #expect(other.value.load(ordering: .relaxed) == 1)
        #expect(try loop.run { await resident.visits } == 1)
    }

    @Test("checkIsolated on another thread ends the process, in words")
    func checkIsolatedTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try EventLoop()
            loop.runOnce(.noWait)
            let executor = loop.executor
            let thread = TestThread { executor.checkIsolated() }
            thread.join()
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("not on the thread of this event loop"), "\(text)")
    }

    @Test("a hundred thousand jobs from four threads: none is lost though the mailbox holds eight, each thread's in order, one wake a batch")
    func storm() throws {
        var configuration = EventLoop.Configuration()
        configuration.mailboxCapacity = 8
        configuration.jobsPerIteration = 100
        let loop = try EventLoop(configuration)
        let executor = loop.executor
        let threads = 4
        let each = 25_000
        let ledger = Ledger(threads: threads)
        let posters = Posters(count: UInt32(threads)) { thread in
            for n in 0..<each {
                Task.detached(executorPreference: executor) { ledger.enter(Int(thread), n) }
            }
        }
        #expect(run(loop, limit: .seconds(120)) { ledger.total == threads * each })
        posters.join()
        #expect(ledger.outOfOrder == 0)
        #expect(loop.counters.taskJobs == UInt64(threads * each))
        #expect(loop.counters.wakes < UInt64(threads * each) / 2)
    }

    @Test("posts by tasks into a sleeping loop are never slept over: five thousand times there and back", .timeLimit(.minutes(5)))
    func noLostWake() throws {
        let loop = try EventLoop()
        let resident = Resident(loop.executor)
        let done = AtomicBox()
        Task.detached {
            for _ in 0..<5_000 { await resident.visit() }
            done.value.store(1, ordering: .releasing)
            resident.executor.mailbox.wake()
        }
        // No guard timer: a lost wake hangs here, and the time limit says so.
        while done.value.load(ordering: .acquiring) == 0 { loop.runOnce(.wait) }
        #expect(try loop.run { await resident.visits } == 5_000)
    }

    @Test("jobs of the loop's own thread cost no wake")
    func ownThread() throws {
        let loop = try EventLoop()
        try loop.run {}
        let wakes = loop.counters.wakes
        try loop.run {
            for _ in 0..<1_000 { await Task.yield() }
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<100 { group.addTask {} }
            }
        }
        // One for the first job, which was enqueued between two iterations.
        #expect(loop.counters.wakes - wakes <= 1)
        #expect(loop.counters.taskJobs >= 1_100)
    }

    @Test("while two tasks reschedule themselves for ever, descriptors, timers and posts have their turn in each iteration")
    func fairness() throws {
        var configuration = EventLoop.Configuration()
        configuration.jobsPerIteration = 10
        let loop = try EventLoop(configuration)
        let executor = loop.executor
        let resident = Resident(executor)
        let diary = Diary()
        let pair = Pair()
        diary.onReady = { _, _ in pair.drain() }
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        let timer = loop.makeTimer(source: diary, tag: 2)
        let handle = loop.makeHandle(for: diary)
        let isDone = AtomicBox()
        Task.detached { await resident.spin { isDone.value.load(ordering: .relaxed) == 1 } }
        Task.detached(executorPreference: executor) {
            while isDone.value.load(ordering: .relaxed) == 0 { await Task.yield() }
            await resident.visit()
        }
        #expect(run(loop) { loop.counters.taskJobs > 100 })
        for round in 1...20 {
            pair.send()
            loop.arm(timer, at: loop.now)
            _ = loop.mailbox.post(Job(kind: 3), to: handle)
            let before = loop.counters
            // The timer's tick may lie ahead of the clock by less than a tick.
            #expect(run(loop) { diary.entries.count == 3 * round })
            let after = loop.counters
            #expect(after.taskJobs - before.taskJobs <= 10 * (after.iterations - before.iterations))
        }
        isDone.value.store(1, ordering: .relaxed)
        // The first task begins on the shared pool, which tests that block may hold for long.
        #expect(run(loop, limit: .seconds(120)) { resident.assumeIsolated { $0.visits == 2 } })
        loop.remove(slot)
        loop.destroy(timer)
        loop.withdraw(handle)
    }

    @Test("a loop that ends tells its tasks, and runs them to their end")
    func end() throws {
        let ended = AtomicBox()
        do {
            let loop = try EventLoop()
            let executor = loop.executor
            for _ in 0..<3 {
                Task.detached(executorPreference: executor) {
                    do {
                        try await executor.sleep(for: .seconds(3_600))
                    } catch {
                        ended.value.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            }
            loop.runOnce(.noWait)
            #expect(loop.nextDeadline != nil)
        }
        #expect(ended.value.load(ordering: .relaxed) == 3)
    }

    @Test("who uses no task has no executor")
    func unused() throws {
        let loop = try EventLoop()
        loop.runOnce(.noWait)
        #expect(loop.state.tasks == nil)
    }
}

private func currentThread() async -> UInt { UInt(cepoll_thread()) }

/// Shows a job, and runs it.
private final class Probe: TaskExecutor, @unchecked Sendable {
    let look: (consuming ExecutorJob) -> Void

    init(_ look: @escaping (consuming ExecutorJob) -> Void) {
        self.look = look
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        look(ExecutorJob(job))
        job.runSynchronously(on: asUnownedTaskExecutor())
    }
}

/// What arrived of whom. The loop's thread only.
private final class Ledger: @unchecked Sendable {
    private(set) var total = 0
    private(set) var outOfOrder = 0
    private var next: [Int]

    init(threads: Int) {
        next = Array(repeating: 0, count: threads)
    }

    func enter(_ thread: Int, _ number: Int) {
        if next[thread] != number { outOfOrder += 1 }
        next[thread] = number + 1
        total += 1
    }
}
