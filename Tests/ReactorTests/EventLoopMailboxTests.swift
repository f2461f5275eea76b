import CEpoll
import Glibc
import Synchronization
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: mailbox", .ownThread)
struct EventLoopMailboxTests {
    final class Parcel: Sendable {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    @Test("a storm of posts from four threads loses none, keeps each thread's order, and wakes once a batch")
    func storm() throws {
        let threads: UInt32 = 4
        let each: UInt64 = 50_000
        var configuration = EventLoop.Configuration()
        configuration.mailboxCapacity = 256
        configuration.jobsPerIteration = 100
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let mailbox = loop.mailbox
        let source = CountingSource(threads: Int(threads))
        let counting = loop.makeHandle(for: source)
        let posters = Posters(count: threads) { thread in
            for n in 0..<each {
                while mailbox.post(Job(kind: thread, a: n), to: counting) == .full { sched_yield() }
            }
        }
        #expect(run(loop, limit: .seconds(60)) { source.total == UInt64(threads) * each })
        posters.join()
        #expect(source.outOfOrder == 0)
        #expect(source.next.allSatisfy { $0 == each })
        #expect(loop.counters.jobs == UInt64(threads) * each)
        #expect(loop.counters.wakes < UInt64(threads) * each)
        loop.withdraw(handle)
        loop.withdraw(counting)
    }

    @Test("posts into a sleeping loop are never slept over: twenty thousand times there and back", .timeLimit(.minutes(5)))
    func noLostWake() throws {
        let loop = try EventLoop()
        let source = CountingSource(threads: 1)
        let handle = loop.makeHandle(for: source)
        let mailbox = loop.mailbox
        let rounds: UInt64 = 20_000
        let seen = AtomicBox()
        source.onJob = { [unowned source] in seen.value.store(source.total, ordering: .releasing) }
        let poster = TestThread {
            for n in 0..<rounds {
                _ = mailbox.post(Job(kind: 0, a: n), to: handle)
                while seen.value.load(ordering: .acquiring) <= n { sched_yield() }
            }
        }
        // No guard timer: a lost wake hangs here, and the time limit says so.
        while source.total < rounds { loop.runOnce(.wait) }
        poster.join()
        #expect(source.outOfOrder == 0)
        loop.withdraw(handle)
    }

    @Test("a full ring says so, keeps what it has, and takes posts again when there is room")
    func full() throws {
        var configuration = EventLoop.Configuration()
        configuration.mailboxCapacity = 8
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        for n in 0..<8 { #expect(loop.mailbox.post(Job(kind: 0, a: UInt64(n)), to: handle) == .posted) }
        weak var refused: Parcel?
        do {
            let parcel = Parcel(1)
            refused = parcel
            #expect(loop.mailbox.post(Job(kind: 0, object: parcel), to: handle) == .full)
        }
        #expect(refused == nil)
        loop.runOnce(.wait)
        #expect(diary.entries == (0..<8).map { .posted(0, $0) })
        #expect(loop.mailbox.post(Job(kind: 0, a: 8), to: handle) == .posted)
        loop.runOnce(.wait)
        #expect(diary.entries.last == .posted(0, 8))
        loop.withdraw(handle)
    }

    @Test("a batch of posts is one wake")
    func oneWake() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        for _ in 0..<100 { _ = loop.mailbox.post(Job(kind: 0), to: handle) }
        loop.runOnce(.wait)
        for _ in 0..<100 { _ = loop.mailbox.post(Job(kind: 0), to: handle) }
        loop.runOnce(.wait)
        loop.runOnce(.noWait)
        #expect(loop.counters.wakes == 2)
        #expect(loop.counters.jobs == 200)
        loop.withdraw(handle)
    }

    @Test("an object arrives with its job, and is held by nobody afterwards")
    func object() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        weak var weakly: Parcel?
        var number = 0
        diary.onPosted = { job in number = (job.object as? Parcel)?.number ?? -1 }
        do {
            let parcel = Parcel(17)
            weakly = parcel
            #expect(loop.mailbox.post(Job(kind: 0, object: parcel), to: handle) == .posted)
        }
        #expect(weakly != nil)
        loop.runOnce(.wait)
        #expect(number == 17)
        #expect(weakly == nil)
        loop.withdraw(handle)
    }

    @Test("a post to a withdrawn handle reaches nobody, not even who took its place")
    func withdrawn() throws {
        let loop = try EventLoop()
        let old = Diary()
        let new = Diary()
        let handle = loop.makeHandle(for: old)
        #expect(loop.mailbox.post(Job(kind: 1), to: handle) == .posted)
        loop.withdraw(handle)
        let successor = loop.makeHandle(for: new)
        #expect(successor.index == handle.index)
        loop.runOnce(.wait)
        #expect(old.entries.isEmpty && new.entries.isEmpty)
        #expect(loop.counters.staleJobs == 1)
        loop.withdraw(successor)
    }

    @Test("the mailbox outlives its loop: a post is answered `closed`, and what was in the ring is let go (trap 30)")
    func closed() throws {
        weak var weakly: Parcel?
        let mailbox: Mailbox
        let handle: SourceHandle
        do {
            let loop = try EventLoop()
            mailbox = loop.mailbox
            handle = loop.makeHandle(for: Diary())
            let parcel = Parcel(1)
            weakly = parcel
            #expect(mailbox.post(Job(kind: 0, object: parcel), to: handle) == .posted)
        }
        #expect(mailbox.post(Job(kind: 0), to: handle) == .closed)
        mailbox.stop()
        withExtendedLifetime(mailbox) {}
        _ = consume mailbox
        #expect(weakly == nil)
    }
}

/// Counts jobs per poster, and those that came out of order.
final class CountingSource: Source {
    var next: [UInt64]
    var total: UInt64 = 0
    var outOfOrder = 0
    var onJob: () -> Void = {}

    init(threads: Int) { next = Array(repeating: 0, count: threads) }

    override func posted(_ job: Job) {
        if next[Int(job.kind)] != job.a { outOfOrder += 1 }
        next[Int(job.kind)] = job.a + 1
        total += 1
        onJob()
    }
}

final class AtomicBox: Sendable {
    let value = Atomic<UInt64>(0)
}

/// Some threads that do the same.
struct Posters: ~Copyable {
    private let first: TestThread
    private let second: TestThread
    private let third: TestThread
    private let fourth: TestThread

    init(count: UInt32, _ body: @escaping @Sendable (UInt32) -> Void) {
        precondition(count == 4)
        first = TestThread { body(0) }
        second = TestThread { body(1) }
        third = TestThread { body(2) }
        fourth = TestThread { body(3) }
    }

    consuming func join() {
        first.join()
        second.join()
        third.join()
        fourth.join()
    }
}
