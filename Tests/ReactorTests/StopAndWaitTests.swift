// Two ways for a loop to spin: a stop that nobody uses up, and a wait that fails.

import CEpoll
import CTestSupport
import Glibc
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: stops and failed waits", .ownThread)
struct StopAndWaitTests {
    @Test("a stop ends the run of a task: the task is cancelled, the stop is used up, and the run throws what the task throws", arguments: [true, false])
    func stopsTask(byMailbox: Bool) throws {
        let loop = try EventLoop()
        let (executor, mailbox) = (loop.executor, loop.mailbox)
        let sleeper = TestThread.current
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 0)
        diary.onTimer = { _ in loop.stop() }
        defer { diary.forget() }
        if !byMailbox { loop.arm(timer, after: .milliseconds(20)) }
        let thread = TestThread {
            guard byMailbox else { return }
            TestThread.waitUntilAsleep(sleeper)
            mailbox.stop()
        }
        #expect(throws: CancellationError.self) { try loop.run { try await executor.sleep(for: .seconds(3_600)) } }
        thread.join()
        // A spin would be thousands.
        #expect(loop.counters.waits < 50)
        #expect(!loop.run(until: .zero), "the stop is used up")
    }

    @Test("a task that does not heed its cancellation is run to its end without a spin")
    func stopsStubbornTask() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let answer = try loop.run {
            executor.loop.stop()
            // Not the loop's own sleep, which would throw.
            await Task.detached { _ = usleep(50_000) }.value
            return 7
        }
        #expect(answer == 7 && loop.counters.waits < 50)
    }

    @Test("runOnce says that it was stopped, once, and waits again afterwards", arguments: [true, false])
    func stopsOnce(byMailbox: Bool) throws {
        let loop = try EventLoop()
        let timer = loop.makeTimer(source: Diary(), tag: 0)
        byMailbox ? loop.mailbox.stop() : loop.stop()
        loop.arm(timer, after: .milliseconds(30))
        #expect(loop.runOnce(.wait))
        #expect(loop.isArmed(timer))
        while loop.isArmed(timer) { #expect(!loop.runOnce(.wait)) }
        #expect(loop.counters.waits < 10)
    }

    @Test("a stop from within an iteration is told by that iteration")
    func stopsWithin() throws {
        let loop = try EventLoop()
        let diary = Diary()
        diary.onFlush = { loop.stop() }
        defer { diary.forget() }
        loop.requestFlush(diary)
        #expect(loop.runOnce(.noWait))
        #expect(!loop.runOnce(.noWait))
    }

    @Test("under a filter of system calls that forbids epoll_pwait2, whatever it answers, the loop waits by epoll_wait", arguments: [EPERM, ENOSYS, EACCES, EINVAL])
    func filtered(error: CInt) async {
        await #expect(processExitsWith: .exitCode(42)) { [error] in
            // Also where the filter comes after the loop was made.
            let early = try EventLoop()
            early.runOnce(.noWait)
            guard ctest_forbid_fine_wait(error) == 0 else { exit(42) }
            for loop in [early, try EventLoop()] {
                let diary = Diary()
                let timer = loop.makeTimer(source: diary, tag: 1)
                loop.arm(timer, after: .milliseconds(50))
                let pair = Pair()
                diary.onReady = { _, _ in pair.drain() }
                _ = try loop.add(pair.fd, interest: .read, source: diary, tag: 2)
                let before = loop.counters.waits
                while diary.firedTags.isEmpty { loop.runOnce(.wait) }
                guard loop.counters.failedWaits == 0, loop.waitFailure == nil, loop.counters.waits - before < 10 else { exit(1) }
                pair.send()
                loop.runOnce(.wait)
                guard diary.readyTags == [2] else { exit(2) }
            }
            exit(42)
        }
    }

    #if REACTOR_FAULTS
        @Test("a loop whose every wait fails says so and does not spin; its timers, posts and tasks go on, and so does all when it is over")
        func failedWaits() throws {
            try Faults.with {
                let loop = try EventLoop()
                let diary = Diary()
                let handle = loop.makeHandle(for: diary)
                let timer = loop.makeTimer(source: diary, tag: 1)
                let pair = Pair()
                diary.onReady = { _, _ in pair.drain() }
                _ = try loop.add(pair.fd, interest: .read, source: diary, tag: 2)
                Faults.answer(.wait, Int64(-CEPOLL_EPERM), times: 1)
                Faults.answer(.coarseWait, Int64(-CEPOLL_EBADF), times: 100)
                pair.send()
                let mailbox = loop.mailbox
                let begin = Instant(nanoseconds: cepoll_monotonic())
                loop.arm(timer, after: .milliseconds(10))
                let poster = TestThread { _ = mailbox.post(Job(kind: 3), to: handle) }
                while loop.counters.failedWaits < 50 { loop.runOnce(.wait) }
                #expect(Instant(nanoseconds: cepoll_monotonic()) - begin >= .milliseconds(45), "50 waits of a millisecond")
                #expect(loop.waitFailure == SystemError(.wait, CEPOLL_EBADF))
                poster.join()
                #expect(run(loop) { diary.firedTags == [1] && diary.entries.contains(.posted(3, 0)) && diary.readyTags == [2] })
                #expect(loop.waitFailure == nil && loop.counters.failedWaits == 100)
            }
        }
    #endif
}
