import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: readiness", .ownThread)
struct EventLoopReadinessTests {
    @Test("a descriptor with bytes is reported as readable, with its tag, until they are taken")
    func readable() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 7)
        loop.runOnce(.noWait)
        #expect(diary.entries.isEmpty)
        pair.send()
        loop.runOnce(.wait)
        loop.runOnce(.wait)
        #expect(diary.entries == [.ready(.readable, 7), .ready(.readable, 7)])
        pair.drain()
        loop.runOnce(.noWait)
        #expect(diary.entries.count == 2)
        loop.remove(slot)
    }

    @Test("interest costs one epoll_ctl per real change, and none if it is taken back before the wait")
    func coalescedInterest() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
        #expect(loop.counters.controls == 1)
        for _ in 0..<10 {
            loop.setInterest(slot, [.read, .write])
            loop.setInterest(slot, .read)
            loop.setInterest(slot, .read)
        }
        loop.runOnce(.noWait)
        #expect(loop.counters.controls == 1)
        loop.setInterest(slot, [.read, .write])
        #expect(loop.interest(of: slot) == [.read, .write])
        loop.runOnce(.noWait)
        #expect(loop.counters.controls == 2)
        #expect(diary.entries == [.ready(.writable, 0)])
        loop.setInterest(slot, .read)
        loop.runOnce(.noWait)
        loop.runOnce(.noWait)
        #expect(loop.counters.controls == 3)
        #expect(diary.entries.count == 1)
        loop.remove(slot)
    }

    @Test("an event of a descriptor that was closed and reopened within the batch reaches nobody (trap 1)")
    func staleEvents() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let fresh = Diary()
        let count = 8
        var pairs: [(near: CInt, far: CInt, slot: SlotID)] = []
        for index in 0..<count {
            var (a, b): (CInt, CInt) = (-1, -1)
            #expect(cepoll_pair(&a, &b) == 0)
            pairs.append((a, b, try loop.add(a, interest: .read, source: diary, tag: UInt32(index))))
            #expect(cepoll_send(b, "x", 1) == 1)
        }
        // Whoever is called first closes all others and opens each of them anew under its own number: by dup2, as the number that
        // a close gives back may be another thread's by then.
        var survivor = -1
        var reopened: [(near: CInt, far: CInt, slot: SlotID)] = []
        diary.onReady = { _, tag in
            guard survivor < 0 else { return }
            survivor = Int(tag)
            for (index, pair) in pairs.enumerated() where index != survivor {
                loop.remove(pair.slot)
                var (a, b): (CInt, CInt) = (-1, -1)
                _ = cepoll_pair(&a, &b)
                _ = dup2(a, pair.near)
                _ = cepoll_close(a)
                _ = cepoll_close(pair.far)
                guard let slot = try? loop.add(pair.near, interest: .read, source: fresh, tag: 99) else { return }
                reopened.append((pair.near, b, slot))
            }
        }
        loop.runOnce(.wait)
        #expect(reopened.count == count - 1)
        #expect(diary.readyTags == [UInt32(survivor)])
        #expect(fresh.entries.isEmpty)
        #expect(loop.counters.staleEvents == UInt64(count - 1))
        for pair in reopened + [pairs[survivor]] {
            loop.remove(pair.slot)
            _ = cepoll_close(pair.near)
            _ = cepoll_close(pair.far)
        }
        loop.runOnce(.noWait)
        #expect(loop.counters.failedControls == 0)
        #expect(loop.descriptorCount == 0)
    }

    @Test("a full table has room at once for what takes the place of a removed descriptor, within an iteration too")
    func roomAtOnce() throws {
        var configuration = EventLoop.Configuration()
        configuration.descriptorCapacity = 2
        configuration.timerCapacity = 1
        let loop = try EventLoop(configuration)
        let pair = Pair()
        let source = Diary()
        let first = try loop.add(pair.fd, interest: .read, source: source, tag: 0)
        var id = try loop.add(pair.farFD, interest: .read, source: source, tag: 1)
        var timer = loop.makeTimer(source: source, tag: 2)
        var failures = 0
        source.onReady = { [unowned source] _, _ in
            for round in 0..<10 as Range<UInt32> {
                loop.remove(id, staysOpen: true)
                loop.destroy(timer)
                timer = loop.makeTimer(source: source, tag: round)
                guard let new = try? loop.add(pair.farFD, interest: .read, source: source, tag: round) else { return failures += 1 }
                if new == id || loop.interest(of: id) != nil { failures += 1 }
                id = new
            }
        }
        pair.send()
        loop.runOnce(.wait)
        #expect(source.readyTags == [0] && failures == 0 && loop.descriptorCount == 2)
        source.forget()
        for id in [first, id] { loop.remove(id) }
        loop.destroy(timer)
    }

    @Test("an id that is over changes nothing, though its slot is used again")
    func staleIDs() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let old = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        loop.remove(old, staysOpen: true)
        loop.runOnce(.noWait)
        let new = try loop.add(pair.fd, interest: .read, source: diary, tag: 2)
        #expect(old.index == new.index && old.generation != new.generation)
        loop.setInterest(old, [])
        loop.remove(old)
        #expect(loop.counters.staleIDs == 2)
        pair.send()
        loop.runOnce(.wait)
        #expect(diary.readyTags == [2])
        loop.remove(new)
    }

    @Test("a hangup that nobody wants to hear of wakes the loop once, and is told when somebody asks (traps 5, 6)")
    func unwantedHangup() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 3)
        loop.setInterest(slot, [])
        loop.runOnce(.noWait)
        pair.closeFar()
        run(loop, for: .milliseconds(100))
        #expect(loop.counters.latchedHangups == 1)
        #expect(loop.counters.events == 1)
        #expect(loop.counters.iterations < 50)
        #expect(diary.entries.isEmpty)
        loop.setInterest(slot, .read)
        #expect(run(loop) { !diary.entries.isEmpty })
        #expect(diary.entries.first == .ready([.readable, .hangup], 3))
        loop.remove(slot)
    }

    @Test("a failed descriptor is ready for what was wanted, so that the next write says why")
    func errorWakesWriter() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .write, source: diary, tag: 0)
        pair.closeFar()
        loop.runOnce(.wait)
        guard case .ready(let readiness, 0) = diary.entries.first else {
            Issue.record("not told")
            return
        }
        #expect(readiness.contains(.writable))
        #expect(readiness.contains(.hangup))
        #expect(!readiness.contains(.readable))
        loop.remove(slot)
    }

    @Test("a descriptor that stays open elsewhere is taken out of epoll (trap 2)")
    func removedButOpen() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
        pair.send()
        loop.remove(slot, staysOpen: true)
        loop.runOnce(.noWait)
        loop.runOnce(.noWait)
        #expect(diary.entries.isEmpty)
        #expect(loop.counters.events == 0)
    }

    @Test("what does not fit into one batch stays ready: none of 20 is starved by a batch of 3")
    func boundedBatch() throws {
        var configuration = EventLoop.Configuration()
        configuration.eventsPerIteration = 3
        let loop = try EventLoop(configuration)
        let diary = Diary()
        var pairs: [(CInt, CInt)] = []
        for index in 0..<20 {
            var (a, b): (CInt, CInt) = (-1, -1)
            #expect(cepoll_pair(&a, &b) == 0)
            _ = try loop.add(a, interest: .read, source: diary, tag: UInt32(index))
            #expect(cepoll_send(b, "x", 1) == 1)
            pairs.append((a, b))
        }
        for _ in 0..<7 { loop.runOnce(.noWait) }
        #expect(Set(diary.readyTags) == Set(0..<20))
        for (a, b) in pairs {
            _ = cepoll_close(a)
            _ = cepoll_close(b)
        }
    }

    @Test("a full table and a descriptor that epoll cannot watch are errors, and keep nothing alive")
    func refusedRegistration() throws {
        var configuration = EventLoop.Configuration()
        configuration.descriptorCapacity = 1
        let loop = try EventLoop(configuration)
        let pair = Pair()
        let file = cepoll_reserve()
        defer { _ = cepoll_close(file) }
        weak var gone: Diary?
        do {
            let diary = Diary()
            gone = diary
            let error = #expect(throws: SystemError.self) {
                try loop.add(file, interest: .read, source: diary, tag: 0)
            }
            #expect(error == SystemError(.control, CEPOLL_EPERM))
        }
        #expect(gone == nil)
        let slot = try loop.add(pair.fd, interest: .read, source: Diary(), tag: 0)
        let error = #expect(throws: SystemError.self) {
            try loop.add(pair.farFD, interest: .read, source: Diary(), tag: 0)
        }
        #expect(error?.call == .slotTable)
        loop.remove(slot)
        loop.runOnce(.noWait)
        _ = try loop.add(pair.farFD, interest: .read, source: Diary(), tag: 0)
    }

    @Test("a registered source lives until the close phase after its removal, though it removes itself when called")
    func sourceLifetime() throws {
        let loop = try EventLoop()
        let pair = Pair()
        weak var weakly: Diary?
        do {
            let diary = Diary()
            weakly = diary
            let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
            diary.onReady = { [unowned diary] _, _ in
                loop.remove(slot)
                diary.entries.append(.flush)
            }
        }
        #expect(weakly != nil)
        pair.send()
        loop.runOnce(.wait)
        #expect(weakly == nil)
    }

    @Test("backendFD is readable exactly when a descriptor or a post has news: one loop nests in another")
    func nested() throws {
        let inner = try EventLoop()
        let outer = try EventLoop()
        let diary = Diary()
        let driver = Diary()
        let pair = Pair()
        let slot = try inner.add(pair.fd, interest: .read, source: diary, tag: 5)
        let handle = inner.makeHandle(for: diary)
        let nested = try outer.add(inner.backendFD, interest: .read, source: driver, tag: 0)
        driver.onReady = { _, _ in inner.runOnce(.noWait) }
        diary.onReady = { _, _ in
            pair.drain()
        }
        outer.runOnce(.noWait)
        #expect(diary.entries.isEmpty)
        #expect(inner.nextDeadline == nil)
        pair.send()
        #expect(run(outer) { diary.entries.count == 1 })
        #expect(inner.mailbox.post(Job(kind: 1, a: 2), to: handle) == .posted)
        #expect(run(outer) { diary.entries.count == 2 })
        #expect(diary.entries == [.ready(.readable, 5), .posted(1, 2)])
        let before = outer.counters.events
        run(outer, for: .milliseconds(50))
        #expect(outer.counters.events == before)
        inner.remove(slot)
        outer.remove(nested, staysOpen: true)
        inner.withdraw(handle)
    }

    @Test("every descriptor that the loop opens is closed on exec")
    func closeOnExec() throws {
        let loop = try EventLoop()
        #expect(cepoll_is_close_on_exec(loop.backendFD) == 1)
        #expect(cepoll_is_close_on_exec(loop.mailbox.eventDescriptor) == 1)
        let diary = Diary()
        try loop.watch(signals: [CEPOLL_SIGUSR1], source: diary)
        #expect(cepoll_is_close_on_exec(loop.state.signalDescriptors[0]) == 1)
    }
}
