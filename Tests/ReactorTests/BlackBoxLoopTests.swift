// Scenarios that other projects learnt to test, told again in terms of our loop (no code of theirs). The group's number and
// where the idea comes from stand in each name; docs/Traps.md has the whole list, with what is tested elsewhere.

import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Black box: the loop", .ownThread)
struct BlackBoxLoopTests {
    @Test("group 1: what is removed, destroyed and condemned in one callback is told no more, and let go in the close phase (libuv close_order)")
    func closeOrder() throws {
        let loop = try EventLoop()
        weak var released: Diary?
        var log: [String] = []
        let pair = Pair()
        let later = Diary()
        let laterTimer = loop.makeTimer(source: later, tag: 9)
        later.onTimer = { _ in log.append(released == nil ? "gone" : "alive") }
        do {
            let diary = Diary()
            released = diary
            let slot = try loop.add(pair.fd, interest: [.read, .write], source: diary, tag: 0)
            let timer = loop.makeTimer(source: diary, tag: 1)
            loop.arm(timer, at: loop.now)
            loop.arm(laterTimer, at: loop.now)
            diary.onReady = { [unowned diary] _, _ in
                log.append("ready")
                loop.remove(slot)
                loop.destroy(timer)
                loop.requestReap(diary)
            }
            diary.onTimer = { _ in log.append("timer") }
            diary.onReap = { log.append("reap") }
        }
        pair.send()
        loop.runOnce(.wait)
        #expect(log == ["ready", "alive", "reap"])
        #expect(released == nil)
        loop.runOnce(.noWait)
        #expect(log.count == 3)
    }

    @Test("group 1: a loop that ends with everything still registered lets everything go (libuv loop_close)")
    func loopClose() throws {
        weak var released: Diary?
        let pair = Pair()
        do {
            let loop = try EventLoop()
            let diary = Diary()
            released = diary
            _ = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
            loop.arm(loop.makeTimer(source: diary, tag: 0), after: .seconds(60))
            _ = loop.makeHandle(for: diary)
            loop.requestFlush(diary)
        }
        #expect(released == nil)
    }

    @Test("group 1: one iteration that may not wait takes what is there and returns (libuv run_nowait, run_once)")
    func noWait() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 0)
        loop.arm(timer, after: .seconds(3_600))
        loop.runOnce(.noWait)
        #expect(diary.entries.isEmpty && loop.counters.iterations == 1)
        loop.arm(timer, at: loop.now)
        loop.runOnce(.wait)
        #expect(diary.entries == [.timer(0)])
    }

    @Test("group 2: a timer may be armed again, moved, cancelled and destroyed from within its own call (libuv timer_again, timer_is_closing)")
    func timerFromItsCall() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 4)
        var calls = 0
        diary.onTimer = { _ in
            calls += 1
            #expect(!loop.isArmed(timer), "it is disarmed when it is called")
            switch calls {
            case 1...3: loop.arm(timer, after: .milliseconds(1))
            case 4:
                loop.arm(timer, after: .zero)
                loop.cancel(timer)
                loop.arm(timer, after: .milliseconds(2))
            default: loop.destroy(timer)
            }
        }
        loop.arm(timer, at: loop.now)
        #expect(run(loop) { calls == 5 })
        loop.arm(timer, after: .zero)
        #expect(!loop.isArmed(timer))
        #expect(loop.counters.staleIDs == 1)
        run(loop, for: .milliseconds(5))
        #expect(calls == 5)
    }

    @Test("group 2: timers of one instant fire in the order in which they were armed, those of several by deadline (libuv timer_run_once)")
    func timerOrder() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let base = loop.now + .milliseconds(3)
        for tag in 0..<UInt32(50) {
            loop.arm(loop.makeTimer(source: diary, tag: tag), at: base + .milliseconds(UInt64(tag / 10)))
        }
        #expect(run(loop) { diary.firedTags.count == 50 })
        #expect(diary.firedTags == Array(0..<50))
    }

    @Test("group 3: both ends of a connection on one loop, both directions at once: a megabyte each way (libuv poll_duplex)")
    func duplex() throws {
        let loop = try EventLoop()
        let pair = try TCPPair()
        let ends = [pair.near, pair.far].map { Pump(loop: loop, descriptor: $0, amount: 1 << 20) }
        for end in ends { try end.start() }
        #expect(run(loop) { ends.allSatisfy(\.isOver) })
        #expect(ends.map(\.received) == [1 << 20, 1 << 20])
        #expect(ends.map(\.sent) == [1 << 20, 1 << 20])
        #expect(loop.descriptorCount == 0)
    }

    @Test("group 3: one descriptor cannot be in a loop twice (libuv poll_multiple_handles)")
    func sameDescriptorTwice() throws {
        let loop = try EventLoop()
        let pair = Pair()
        let diary = Diary()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        let error = #expect(throws: SystemError.self) { try loop.add(pair.fd, interest: .write, source: diary, tag: 2) }
        #expect(error == SystemError(.control, CEPOLL_EEXIST))
        pair.send()
        loop.runOnce(.wait)
        #expect(diary.entries == [.ready(.readable, 1)])
        loop.remove(slot)
        #expect(loop.descriptorCount == 0)
    }

    @Test("group 3: of two that are ready in one batch, whoever comes first may stop the other (libuv watcher_cross_stop)")
    func crossStop() throws {
        let loop = try EventLoop()
        let diary = Diary()
        defer { diary.forget() }
        let pairs = [Pair(), Pair()]
        let slots = try pairs.enumerated().map { try loop.add($1.fd, interest: .read, source: diary, tag: UInt32($0)) }
        diary.onReady = { _, tag in loop.remove(slots[1 - Int(tag)]) }
        for pair in pairs { pair.send() }
        // An optimised build closes them after their last use.
        withExtendedLifetime(pairs) { _ = loop.runOnce(.noWait) }
        #expect(diary.entries.count == 1)
        #expect(loop.counters.staleEvents == 1)
        #expect(loop.descriptorCount == 1)
    }

    @Test("group 8: a post to a sleeping loop wakes it once, and its job has run when run returns (SwiftNIO: scheduling on a sleeping loop)")
    func wakesOnce() throws {
        let loop = try EventLoop()
        let diary = Diary()
        defer { diary.forget() }
        let handle = loop.makeHandle(for: diary)
        let mailbox = loop.mailbox
        diary.onPosted = { _ in loop.stop() }
        let sleeper = TestThread.current
        let thread = TestThread {
            TestThread.waitUntilAsleep(sleeper)
            _ = mailbox.post(Job(kind: 7), to: handle)
        }
        loop.run()
        thread.join()
        #expect(diary.entries == [.posted(7, 0)])
        #expect(loop.counters.wakes == 1)
    }

    @Test("group 10: a storm of signals interrupts waits and loses nothing: timers, bytes and posts arrive (libuv eintr_handling)")
    func signalStorm() async {
        await #expect(processExitsWith: .success) {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in }
            try #require(sigaction(SIGALRM, &action, nil) == 0)
            let tick = timeval(tv_sec: 0, tv_usec: 500)
            var interval = itimerval(it_interval: tick, it_value: tick)
            try #require(setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &interval, nil) == 0)
            let loop = try EventLoop()
            let pair = try TCPPair()
            let ends = [pair.near, pair.far].map { Pump(loop: loop, descriptor: $0, amount: 1 << 18) }
            let diary = Diary()
            let timers = (0..<100).map { loop.makeTimer(source: diary, tag: UInt32($0)) }
            for (index, timer) in timers.enumerated() { loop.arm(timer, after: .milliseconds(UInt64(index) * 3)) }
            for end in ends { try end.start() }
            try #require(run(loop) { ends.allSatisfy(\.isOver) && diary.firedTags.count == 100 })
            try #require(diary.firedTags == Array(0..<100))
            try #require(ends.map(\.received) == [1 << 18, 1 << 18])
            try #require(loop.counters.failedWaits == 0)
        }
    }

    @Test("group 11: the counters are exact, and a loop that sleeps counts nothing (libuv metrics_info_check, metrics_idle_time_zero)")
    func metrics() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pairs = (0..<5).map { _ in Pair() }
        diary.onReady = { _, tag in pairs[Int(tag)].drain() }
        for (index, pair) in pairs.enumerated() { _ = try loop.add(pair.fd, interest: .read, source: diary, tag: UInt32(index)) }
        for round in UInt64(1)...4 {
            for pair in pairs { pair.send() }
            loop.runOnce(.wait)
            #expect(loop.counters.iterations == round && loop.counters.events == 5 * round)
        }
        let timer = loop.makeTimer(source: diary, tag: 9)
        loop.arm(timer, after: .milliseconds(50))
        let before = loop.counters
        while loop.isArmed(timer) { loop.runOnce(.wait) }
        #expect(loop.counters.events == before.events && loop.counters.timers == before.timers + 1)
        #expect(loop.counters.iterations - before.iterations <= 3, "50 ms of sleep are a wake for each level of the wheel at most")
    }

    @Test("group 12: a full timer table is the caller's mistake and says so; a full descriptor table is an error and passes (libuv loop_init_oom)")
    func fullTables() async throws {
        await #expect(processExitsWith: .failure) {
            var configuration = EventLoop.Configuration()
            configuration.timerCapacity = 2
            let loop = try EventLoop(configuration)
            for _ in 0..<3 { _ = loop.makeTimer(source: Diary(), tag: 0) }
        }
        var configuration = EventLoop.Configuration()
        configuration.descriptorCapacity = 2
        let loop = try EventLoop(configuration)
        let pairs = (0..<3).map { _ in Pair() }
        let first = try loop.add(pairs[0].fd, interest: .read, source: Diary(), tag: 0)
        _ = try loop.add(pairs[1].fd, interest: .read, source: Diary(), tag: 0)
        let error = #expect(throws: SystemError.self) { try loop.add(pairs[2].fd, interest: .read, source: Diary(), tag: 0) }
        #expect(error?.call == .slotTable)
        loop.remove(first)
        #expect(throws: Never.self) { try loop.add(pairs[2].fd, interest: .read, source: Diary(), tag: 0) }
    }

    @Test("group 13: when a slot's generation wraps, its last use and its first are still told apart (nobody's: ours)")
    func generationWrap() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let first = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
        let index = Int(first.index)
        loop.remove(first, staysOpen: true)
        loop.state.slots[index].generation = .max
        let last = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        #expect(last.generation == .max && last.index == first.index)
        loop.remove(last, staysOpen: true)
        let wrapped = try loop.add(pair.fd, interest: .read, source: diary, tag: 2)
        #expect(wrapped.generation == 0 && wrapped.index == first.index)
        loop.remove(last)
        #expect(loop.interest(of: last) == nil && loop.interest(of: wrapped) == .read)
        pair.send()
        loop.runOnce(.wait)
        #expect(diary.readyTags == [2])
    }
}
