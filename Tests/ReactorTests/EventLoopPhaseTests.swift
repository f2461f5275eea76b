import CEpoll
import Glibc
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: phases, timers, signals", .ownThread)
struct EventLoopPhaseTests {
    @Test("one iteration: readiness, posted jobs, due timers, flush, close, in this order")
    func order() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        let handle = loop.makeHandle(for: diary)
        let timer = loop.makeTimer(source: diary, tag: 2)
        diary.onReady = { [unowned diary] _, _ in
            loop.requestReap(diary)
            loop.requestFlush(diary)
            loop.arm(timer, at: .zero)
            #expect(loop.mailbox.post(Job(kind: 3, a: 4), to: handle) == .posted)
        }
        pair.send()
        loop.runOnce(.wait)
        #expect(diary.entries == [.ready(.readable, 1), .posted(3, 4), .timer(2), .flush, .reap])
        loop.remove(slot)
        loop.destroy(timer)
        loop.withdraw(handle)
    }

    @Test("the clock is read once: every callback of an iteration sees the same now")
    func oneClock() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        var seen: [Instant] = []
        diary.onPosted = { _ in
            seen.append(loop.now)
            let later = cepoll_monotonic() + 2_000_000
            while cepoll_monotonic() < later {}
        }
        for _ in 0..<3 { #expect(loop.mailbox.post(Job(kind: 0), to: handle) == .posted) }
        loop.runOnce(.noWait)
        #expect(seen.count == 3 && Set(seen).count == 1)
        loop.withdraw(handle)
    }

    @Test("asking twice for a phase calls once; asking within it calls in the next iteration, which does not wait")
    func phaseRequests() throws {
        let loop = try EventLoop()
        let diary = Diary()
        diary.onFlush = { [unowned diary] in if diary.entries.count < 3 { loop.requestFlush(diary) } }
        diary.onReap = { [unowned diary] in if diary.entries.count < 6 { loop.requestReap(diary) } }
        loop.requestFlush(diary)
        loop.requestFlush(diary)
        loop.runOnce(.wait)
        #expect(diary.entries == [.flush])
        #expect(loop.nextDeadline == .zero)
        loop.runOnce(.wait)
        loop.runOnce(.wait)
        #expect(diary.entries == [.flush, .flush, .flush])
        #expect(loop.nextDeadline == nil)
        loop.requestReap(diary)
        for _ in 0..<3 { loop.runOnce(.wait) }
        #expect(diary.entries == [.flush, .flush, .flush, .reap, .reap, .reap])
        #expect(loop.nextDeadline == nil)
    }

    @Test("a timer that re-arms itself at zero fires once an iteration, and readiness has its turn between (trap 16)")
    func zeroTimer() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        let timer = loop.makeTimer(source: diary, tag: 2)
        diary.onTimer = { _ in loop.arm(timer, at: loop.now) }
        loop.arm(timer, at: .zero)
        for _ in 0..<5 { loop.runOnce(.wait) }
        #expect(diary.firedTags.count == 5)
        pair.send()
        loop.runOnce(.wait)
        #expect(diary.entries.suffix(2) == [.ready(.readable, 1), .timer(2)])
        loop.remove(slot)
        loop.destroy(timer)
    }

    @Test("a job that posts itself again does not starve readiness: one a turn when the bound is one")
    func selfPostingJob() throws {
        var configuration = EventLoop.Configuration()
        configuration.jobsPerIteration = 1
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        let handle = loop.makeHandle(for: diary)
        diary.onPosted = { job in _ = loop.mailbox.post(job, to: handle) }
        #expect(loop.mailbox.post(Job(kind: 9), to: handle) == .posted)
        pair.send()
        for _ in 0..<10 { loop.runOnce(.wait) }
        #expect(diary.readyTags.count == 10)
        #expect(loop.counters.jobs == 10)
        loop.remove(slot)
        loop.withdraw(handle)
    }

    @Test("what the bounds leave over is done in the next iterations, in order, and no wait comes between")
    func boundsCarryOver() throws {
        var configuration = EventLoop.Configuration()
        configuration.timersPerIteration = 3
        configuration.jobsPerIteration = 4
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let timers = (0..<10).map { loop.makeTimer(source: diary, tag: $0) }
        for timer in timers { loop.arm(timer, at: .zero) }
        for n in 0..<10 { #expect(loop.mailbox.post(Job(kind: 0, a: UInt64(n)), to: handle) == .posted) }
        loop.runOnce(.wait)
        #expect(diary.entries.count == 7)
        #expect(loop.nextDeadline == .zero)
        // `.wait` would hang here if what is left over were forgotten.
        for _ in 0..<3 { loop.runOnce(.wait) }
        #expect(diary.firedTags == Array(0..<10))
        #expect(diary.entries.filter { if case .posted = $0 { true } else { false } }
            == (0..<10).map { .posted(0, $0) })
        // The first iteration began with posts, the other three with what was left over.
        #expect(loop.counters.carriedOver == 4)
        for timer in timers { loop.destroy(timer) }
        loop.withdraw(handle)
    }

    @Test("a timer never fires early, and wakes a loop that has nothing else")
    func timerWakes() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 1)
        for microseconds in [UInt64(100), 1_000, 2_500, 30_000] {
            diary.entries = []
            let deadline = Instant(nanoseconds: cepoll_monotonic()) + Nanoseconds(microseconds * 1_000)
            loop.arm(timer, at: deadline)
            let iterations = loop.counters.iterations
            while diary.entries.isEmpty { loop.runOnce(.wait) }
            #expect(loop.now >= deadline)
            #expect(loop.counters.iterations - iterations <= 6)
        }
        loop.destroy(timer)
    }

    @Test("a due timer that is cancelled or destroyed by another of the same iteration does not fire")
    func cancelDue() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let first = loop.makeTimer(source: diary, tag: 1)
        let second = loop.makeTimer(source: diary, tag: 2)
        let third = loop.makeTimer(source: diary, tag: 3)
        diary.onTimer = { tag in
            guard tag == 1 else { return }
            loop.cancel(second)
            loop.destroy(third)
        }
        for timer in [first, second, third] { loop.arm(timer, at: .zero) }
        loop.runOnce(.noWait)
        loop.runOnce(.noWait)
        #expect(diary.firedTags == [1])
        #expect(!loop.isArmed(second))
        loop.destroy(first)
        loop.destroy(second)
    }

    @Test("the id of a destroyed timer means nothing to the one that takes its place")
    func staleTimer() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let old = loop.makeTimer(source: diary, tag: 1)
        loop.destroy(old)
        loop.runOnce(.noWait)
        let new = loop.makeTimer(source: diary, tag: 2)
        #expect(old.index == new.index && old.generation != new.generation)
        loop.arm(old, at: .zero)
        #expect(!loop.isArmed(new))
        loop.arm(new, at: .zero)
        loop.cancel(old)
        loop.destroy(old)
        #expect(loop.isArmed(new))
        #expect(loop.counters.staleIDs == 3)
        loop.runOnce(.noWait)
        #expect(diary.firedTags == [2])
        loop.destroy(new)
    }

    @Test("a timer keeps its source alive, and lets it go after the iteration in which it is destroyed")
    func timerLifetime() throws {
        let loop = try EventLoop()
        weak var weakly: Diary?
        do {
            let diary = Diary()
            weakly = diary
            let timer = loop.makeTimer(source: diary, tag: 0)
            diary.onTimer = { [unowned diary] _ in
                loop.destroy(timer)
                diary.entries.append(.flush)
            }
            loop.arm(timer, at: .zero)
        }
        #expect(weakly != nil)
        loop.runOnce(.noWait)
        #expect(weakly == nil)
    }

    @Test("a deadline of never and of a century hence are waits like any other (traps 18, 19)")
    func farDeadlines() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let never = loop.makeTimer(source: diary, tag: 1)
        let century = loop.makeTimer(source: diary, tag: 2)
        loop.arm(never, at: .never)
        loop.arm(century, at: loop.now + .seconds(100 * 365 * 86_400))
        let mailbox = loop.mailbox
        let poster = TestThread { _ = mailbox.post(Job(kind: 1), to: handle) }
        while diary.entries.isEmpty { loop.runOnce(.wait) }
        poster.join()
        #expect(diary.entries == [.posted(1, 0)])
        #expect(loop.counters.failedWaits == 0)
        loop.destroy(never)
        loop.destroy(century)
        loop.withdraw(handle)
    }

    @Test("nextDeadline is never late: a timer's own, none without one, and at once while work is left or interest changed")
    func nextDeadline() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        #expect(loop.nextDeadline == nil)
        let timer = loop.makeTimer(source: diary, tag: 0)
        let deadline = loop.now + .seconds(10)
        loop.arm(timer, at: deadline)
        let due = try #require(loop.nextDeadline)
        #expect(due > loop.now && due <= deadline + .milliseconds(1))
        loop.cancel(timer)
        #expect(loop.nextDeadline == nil)
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
        #expect(loop.nextDeadline == nil)
        loop.setInterest(slot, .write)
        #expect(loop.nextDeadline == .zero)
        loop.runOnce(.noWait)
        #expect(loop.nextDeadline == nil)
        loop.remove(slot)
        loop.destroy(timer)
    }

    @Test("a loop that ends with requests open lets their sources go")
    func droppedRequests() throws {
        weak var first: Diary?
        weak var second: Diary?
        do {
            let loop = try EventLoop()
            let (one, two) = (Diary(), Diary())
            (first, second) = (one, two)
            loop.requestFlush(one)
            loop.requestFlush(two)
            loop.requestReap(one)
        }
        #expect(first == nil && second == nil)
    }

    @Test("stop ends run after the iteration; a stop before run is honoured without a wait")
    func stopping() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 0)
        diary.onTimer = { _ in loop.stop() }
        loop.arm(timer, at: .zero)
        loop.run()
        #expect(diary.firedTags == [0])
        loop.stop()
        loop.run()
        loop.mailbox.stop()
        loop.run()
        let mailbox = loop.mailbox
        let stopper = TestThread { mailbox.stop() }
        loop.run()
        stopper.join()
        loop.destroy(timer)
    }

    @Test("a watched signal reaches its source as a call, and none is lost while the source is busy")
    func signals() throws {
        // A signal that is blocked in, and sent to, this very thread: the process does not notice.
        let signals = [CEPOLL_SIGUSR1, CEPOLL_SIGUSR2]
        try EventLoop.blockSignals(signals)
        defer { _ = cepoll_signals_block(signals, 2, 0) }
        let loop = try EventLoop()
        let diary = Diary()
        try loop.watch(signals: signals, source: diary)
        loop.runOnce(.noWait)
        #expect(diary.entries.isEmpty)
        #expect(pthread_kill(pthread_self(), CEPOLL_SIGUSR2) == 0)
        #expect(run(loop) { diary.entries == [.signal(CEPOLL_SIGUSR2)] })
        #expect(pthread_kill(pthread_self(), CEPOLL_SIGUSR1) == 0)
        #expect(run(loop) { diary.entries == [.signal(CEPOLL_SIGUSR2), .signal(CEPOLL_SIGUSR1)] })
    }

    @Test("using the loop off its thread is caught in a debug build")
    func offThread() async {
        #if DEBUG
        await #expect(processExitsWith: .failure) {
            let loop = try EventLoop()
            loop.runOnce(.noWait)
            nonisolated(unsafe) let shared = loop
            TestThread { shared.stop() }.join()
        }
        #endif
    }
}
