// The loop inside others: for a while, and by a foreign poll(2).

import CEpoll
import Glibc
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: nesting", .ownThread)
struct NestingTests {
    @Test("run(until:) ends at its deadline, not before, though nothing is ready, and says that nobody stopped it")
    func deadline() throws {
        let loop = try EventLoop()
        let end = Instant(nanoseconds: cepoll_monotonic()) + .milliseconds(30)
        #expect(!loop.run(until: end))
        #expect(Instant(nanoseconds: cepoll_monotonic()) >= end)
        // It slept: one wait to the deadline, and perhaps one that ended early.
        #expect(loop.counters.iterations <= 3)
        #expect(loop.nextDeadline == nil, "the deadline of the run is over with the run")
    }

    @Test("run(until:) a past instant does one iteration and does not wait")
    func pastDeadline() throws {
        let loop = try EventLoop()
        let source = Diary()
        loop.requestFlush(source)
        #expect(!loop.run(until: .zero))
        #expect(source.entries == [.flush])
        #expect(loop.counters.iterations == 1)
    }

    @Test("run(until:) is ended by stop from a callback and from another thread, and says so")
    func stopped() throws {
        let loop = try EventLoop()
        let source = Diary()
        source.onFlush = { loop.stop() }
        loop.requestFlush(source)
        let far = Instant(nanoseconds: cepoll_monotonic()) + .seconds(3_600)
        #expect(loop.run(until: far))
        source.onFlush = {}
        let mailbox = loop.mailbox
        let other = TestThread { mailbox.stop() }
        #expect(loop.run(until: far))
        other.join()
        // Both stops are used up.
        #expect(!loop.run(until: .zero))
    }

    @Test("a foreign poll(2) loop drives ours: readiness, timers, posts and tasks, each without a wait of our own")
    func foreignPoll() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        diary.onReady = { _, _ in pair.drain() }
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 7)
        let timer = loop.makeTimer(source: diary, tag: 8)
        let handle = loop.makeHandle(for: diary)
        let executor = loop.executor
        let host = ForeignLoop(loop)

        host.turn()
        #expect(diary.entries.isEmpty)
        pair.send()
        #expect(host.run { !diary.readyTags.isEmpty })
        #expect(diary.entries == [.ready(.readable, 7)])

        loop.arm(timer, at: Instant(nanoseconds: cepoll_monotonic()) + .milliseconds(20))
        #expect(host.run { !diary.firedTags.isEmpty })

        let mailbox = loop.mailbox
        let poster = TestThread { _ = mailbox.post(Job(kind: 9, a: 1), to: handle) }
        #expect(host.run { diary.entries.last == .posted(9, 1) })
        poster.join()

        let ran = AtomicBox()
        let starter = TestThread {
            Task(executorPreference: executor) { ran.value.store(1, ordering: .relaxed) }
        }
        #expect(host.run { ran.value.load(ordering: .relaxed) == 1 })
        starter.join()

        // On the loop's own thread, but between two iterations: the host's poll must hear of it, too.
        Task(executorPreference: executor) { ran.value.store(2, ordering: .relaxed) }
        #expect(host.isReady, "a task that was started between iterations makes the descriptor readable")
        #expect(host.run { ran.value.load(ordering: .relaxed) == 2 })
        loop.remove(slot)
        loop.destroy(timer)
        loop.withdraw(handle)
    }
}

/// A program's own loop, as one would write it around poll(2).
private struct ForeignLoop {
    let loop: EventLoop

    init(_ loop: EventLoop) {
        self.loop = loop
    }

    private func poll(_ milliseconds: CInt) -> Bool {
        var entry = pollfd(fd: loop.backendFD, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&entry, 1, milliseconds) == 1
    }

    var isReady: Bool { poll(0) }

    func turn() { loop.runOnce(.noWait) }

    /// False after two minutes.
    func run(until condition: () -> Bool) -> Bool {
        let end = ContinuousClock.now + .seconds(120)
        while !condition() {
            if ContinuousClock.now > end { return false }
            var wait: UInt64 = 1_000
            if let deadline = loop.nextDeadline {
                let left = deadline - Instant(nanoseconds: cepoll_monotonic())
                wait = min(wait, (left.count + 999_999) / 1_000_000)
            }
            _ = poll(CInt(wait))
            turn()
        }
        return true
    }
}
