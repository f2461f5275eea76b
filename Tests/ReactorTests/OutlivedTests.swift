// Open files that outlive their descriptors: a child of fork, a dup. What the loop's owner closed must go quiet all the same.

import CEpoll
import CTestSupport
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: open files that outlive their descriptors", .ownThread)
struct OutlivedTests {
    /// Descriptors that hold what a child process would.
    private final class Holder: @unchecked Sendable {
        private var held: [CInt] = []
        func hold(_ descriptor: CInt) { held.append(dup(descriptor)) }
        deinit { for descriptor in held { close(descriptor) } }
    }

    @Test("what is closed while somebody else holds it is reported twice at most, and then no more", arguments: [1, 300])
    func bounded(count: Int) throws {
        let loop = try EventLoop()
        let diary = Diary()
        let holder = Holder()
        for wave in 0..<3 {
            var pairs: [Pair] = []
            var slots: [SlotID] = []
            for index in 0..<count {
                pairs.append(Pair())
                slots.append(try loop.add(pairs[index].fd, interest: .read, source: diary, tag: UInt32(index)))
                holder.hold(pairs[index].fd)
                pairs[index].send()
            }
            let stale = loop.counters.staleEvents
            for slot in slots { loop.remove(slot, staysOpen: false) }
            pairs.removeAll()
            for _ in 0..<100 { loop.runOnce(.noWait) }
            #expect(loop.counters.staleEvents - stale <= (wave == 0 ? 2 * UInt64(count) : 0), "wave \(wave)")
        }
        #expect(diary.entries.isEmpty && loop.counters.rebuilds == 1 && loop.counters.failedControls == 0)
    }

    @Test("removing a descriptor is safe by default: not one event comes of what lives on")
    func safeByDefault() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = Pair()
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
        pair.send()
        loop.remove(slot)
        for _ in 0..<100 { loop.runOnce(.noWait) }
        #expect(diary.entries.isEmpty && loop.counters.events == 0 && loop.counters.rebuilds == 0)
    }

    @Test("when the epoll is made anew, all that is registered goes on: readiness, interest, edges, hangups, posts, signals, timers, tasks")
    func allElseGoesOn() throws {
        try EventLoop.blockSignals([SIGUSR2])
        let loop = try EventLoop()
        let diary = Diary()
        let holder = Holder()
        let (read, written, silent, ended) = (Pair(), Pair(), Pair(), Pair())
        let slots = [
            try loop.add(read.fd, interest: .read, source: diary, tag: 1),
            try loop.add(written.fd, interest: .read, source: diary, tag: 2),
            try loop.add(silent.fd, interest: [], source: diary, tag: 3),
            try loop.add(ended.fd, interest: [], source: diary, tag: 4),
        ]
        try loop.watch(signals: [SIGUSR2], source: diary)
        let handle = loop.makeHandle(for: diary)
        let timer = loop.makeTimer(source: diary, tag: 5)
        ended.closeFar()
        loop.runOnce(.noWait)
        let executor = loop.executor
        let answer = try loop.run {
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            let reading = Task(executorPreference: executor) { try await server.read(upTo: 10) }
            try await executor.sleep(for: .milliseconds(1))
            try await executor.rebuildForTest(holder.hold)
            try await client.write([7])
            return try await reading.value
        }
        #expect(answer == [7] && loop.counters.rebuilds == 1)
        diary.entries = []
        for pair in [read, silent] { pair.send() }
        loop.setInterest(slots[1], .write)
        for slot in slots[2...] { loop.setInterest(slot, .read) }
        loop.arm(timer, at: .zero)
        let mailbox = loop.mailbox
        let poster = TestThread { _ = mailbox.post(Job(kind: 6), to: handle) }
        pthread_kill(pthread_self(), SIGUSR2)
        #expect(run(loop) {
            Set(diary.readyTags) == [1, 2, 3, 4] && diary.firedTags == [5] && diary.entries.contains(.posted(6, 0))
                && diary.entries.contains(.signal(SIGUSR2))
        })
        poster.join()
        for slot in slots { loop.remove(slot) }
        #expect(loop.counters.failedControls == 0)
    }

    @Test("it is found though the batch is full of others at every wait")
    func fullBatches() throws {
        var configuration = EventLoop.Configuration()
        configuration.eventsPerIteration = 2
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let holder = Holder()
        let busy = (0..<9).map { _ in Pair() }
        for pair in busy {
            pair.send()
            _ = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        }
        var pair: Pair? = Pair()
        let slot = try loop.add(pair!.fd, interest: .read, source: diary, tag: 0)
        pair!.send()
        holder.hold(pair!.fd)
        loop.remove(slot, staysOpen: false)
        pair = nil
        for _ in 0..<100 { loop.runOnce(.noWait) }
        #expect(loop.counters.staleEvents <= 2 && loop.counters.rebuilds == 1)
        // An optimised build closes them after their last use.
        withExtendedLifetime(busy) {}
    }

    @Test("a loop that is nested in another keeps its epoll: it leaves no registration behind")
    func nested() throws {
        let (outer, inner) = (try EventLoop(), try EventLoop())
        let (diary, driver) = (Diary(), Diary())
        let holder = Holder()
        let nested = try outer.add(inner.backendFD, interest: .read, source: driver, tag: 0)
        driver.onReady = { _, _ in inner.runOnce(.noWait) }
        defer { driver.forget() }
        var pair: Pair? = Pair()
        let slot = try inner.add(pair!.fd, interest: .read, source: diary, tag: 1)
        pair!.send()
        holder.hold(pair!.fd)
        inner.remove(slot, staysOpen: false)
        pair = nil
        for _ in 0..<100 { outer.runOnce(.noWait) }
        #expect(outer.counters.events == 0 && inner.counters.events == 0)
        let next = Pair()
        diary.onReady = { _, _ in next.drain() }
        _ = try inner.add(next.fd, interest: .read, source: diary, tag: 2)
        next.send()
        outer.runOnce(.wait)
        #expect(diary.readyTags == [2])
        outer.remove(nested)
        diary.forget()
    }

    #if REACTOR_FAULTS
        @Test("without a descriptor or memory for a new epoll the loop tries a thousand times a second, not more, until there is")
        func noRoom() throws {
            try Faults.with {
                let loop = try EventLoop()
                let diary = Diary()
                let holder = Holder()
                let timer = loop.makeTimer(source: diary, tag: 9)
                var pair: Pair? = Pair()
                let slot = try loop.add(pair!.fd, interest: .read, source: diary, tag: 0)
                pair!.send()
                holder.hold(pair!.fd)
                loop.remove(slot, staysOpen: false)
                pair = nil
                Faults.answer(.epoll, Int64(-CEPOLL_EMFILE), times: 10)
                loop.arm(timer, after: .milliseconds(5))
                #expect(run(loop) { diary.firedTags == [9] && loop.counters.rebuilds == 1 })
                #expect(loop.counters.rebuilds == 1 && loop.counters.staleEvents <= 12)
                #expect(Faults.records.count { $0.call == .epoll && $0.result == -Int64(CEPOLL_EMFILE) } == 10)
            }
        }
    #endif

    @Test("a child that keeps a node's sockets costs its parent a bounded number of events when a link ends, and then none")
    func childOfNode() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let loop = try EventLoop()
            let diary = Diary()
            let settings = NodeSettings(mesh: MeshSettings(nonce: 1, seed: 2))
            let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings, handler: PeerHandler())
            let endpoint = try node.listen(on: .loopback())
            node.start()
            let listener = try Listener(loop: loop, on: .loopback(), owner: diary)
            let clients = try [endpoint, listener.endpoint].map { try connect(to: $0) }
            guard run(loop, until: { node.linkCount == 1 && diary.accepted.count == 1 }) else { exit(1) }
            var slots = [try loop.add(diary.accepted[0], interest: .read, source: diary, tag: 1)]
            guard ctest_fork_holder() > 0 else { exit(4) }
            diary.onReady = { _, _ in
                guard let slot = slots.popLast() else { return }
                loop.remove(slot, staysOpen: false)
                close(diary.accepted.removeLast())
            }
            // The child holds the other ends, too: it is the shutdown that is seen.
            for client in clients {
                _ = cepoll_shutdown_send(client)
                _ = cepoll_close(client)
            }
            guard run(loop, until: { node.linkCount == 0 && diary.accepted.isEmpty }) else { exit(2) }
            listener.close()
            run(loop, for: .milliseconds(50))
            let before = loop.counters
            run(loop, for: .milliseconds(200))
            exit(before.staleEvents <= 4 && loop.counters.staleEvents == before.staleEvents && loop.counters.events == before.events ? 42 : 3)
        }
    }

    @Test("a child gets its signals back when its parent takes the mask off between fork and exec, or by posix_spawn", arguments: [true, false])
    func signalsOfChildren(forks: Bool) async {
        await #expect(processExitsWith: .exitCode(42)) { [forks] in
            try EventLoop.blockSignals([SIGTERM])
            var child: pid_t = -1
            if forks {
                child = ctest_fork_exec("sleep", "60") { try? EventLoop.unblockSignals([SIGTERM]) }
            } else {
                var attributes = posix_spawnattr_t()
                var mask = sigset_t()
                posix_spawnattr_init(&attributes)
                sigemptyset(&mask)
                posix_spawnattr_setsigmask(&attributes, &mask)
                posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
                let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("60"), nil]
                posix_spawnp(&child, "sleep", nil, &attributes, arguments, nil)
            }
            guard child > 0 else { exit(1) }
            kill(child, SIGTERM)
            var status: CInt = 0
            waitpid(child, &status, 0)
            exit(status & 0x7f == SIGTERM ? 42 : 2)
        }
    }
}

extension LoopExecutor {
    /// Has the loop find a registration that outlived its slot, from within a task.
    fileprivate nonisolated(nonsending) func rebuildForTest(_ hold: (CInt) -> Void) async throws {
        var pair: Pair? = Pair()
        let slot = try loop.add(pair!.fd, interest: .read, source: Source(), tag: 0)
        pair!.send()
        hold(pair!.fd)
        loop.remove(slot, staysOpen: false)
        pair = nil
        while loop.counters.rebuilds == 0 { try await sleep(for: .milliseconds(1)) }
    }
}
