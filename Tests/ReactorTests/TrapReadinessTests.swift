// Traps of descriptors and of what epoll says about them. Each number is a row of docs/Traps.md.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Traps: readiness", .ownThread)
struct TrapReadinessTests {
    @Test("trap 1: an event taken in the same batch in which its descriptor was closed and reopened reaches nobody")
    func trap1() throws {
        try trap(1, leftOut: { Faults.leaveOut(1) }) {
            let loop = try EventLoop()
            let (diary, fresh) = (Diary(), Diary())
            defer { diary.forget() }
            var pairs: [Pair] = (0..<8).map { _ in Pair() }
            var reopened: [Pair] = []
            let slots = try pairs.enumerated().map { try loop.add($1.fd, interest: .read, source: diary, tag: UInt32($0)) }
            for pair in pairs { pair.send() }
            diary.onReady = { _, tag in
                guard reopened.isEmpty else { return }
                for (index, slot) in slots.enumerated() where index != Int(tag) { loop.remove(slot) }
                pairs = [pairs[Int(tag)]]
                reopened = (0..<7).map { _ in Pair() }
                for pair in reopened { _ = try? loop.add(pair.fd, interest: .read, source: fresh, tag: 99) }
            }
            loop.runOnce(.noWait)
            guard fresh.entries.isEmpty else { return "\(fresh.entries.count) events reached the reopened descriptors" }
            guard diary.entries.count == 1 else {
                return "\(diary.entries.count - 1) events of closed descriptors were delivered to the owner that had closed them"
            }
            return loop.counters.staleEvents == 7 ? nil : "\(loop.counters.staleEvents) stale events were counted, not 7"
        }
    }

    @Test("trap 2: a descriptor that lives on elsewhere is taken out of epoll when it is removed")
    func trap2() throws {
        try trap(2, leftOut: { Faults.answer(.del, 0); Faults.leaveOut(2) }) {
            let loop = try EventLoop()
            let diary = Diary()
            let pair = Pair()
            let elsewhere = dup(pair.fd)
            defer { close(elsewhere) }
            let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
            pair.send()
            loop.remove(slot, staysOpen: true)
            for _ in 0..<100 { loop.runOnce(.noWait) }
            return loop.counters.events == 0 ? nil : "\(loop.counters.events) events in 100 waits from a descriptor that was removed"
        }
    }

    @Test("trap 3: a descriptor that was closed before its slot was removed is noticed and counted, and the loop goes on")
    func trap3() throws {
        try trap(3, leftOut: { Faults.answer(.del, 0) }) {
            let loop = try EventLoop()
            let diary = Diary()
            let bystander = Pair()
            _ = try loop.add(bystander.fd, interest: .read, source: diary, tag: 5)
            let descriptor = cepoll_eventfd()
            let slot = try loop.add(descriptor, interest: .read, source: diary, tag: 0)
            _ = cepoll_close(descriptor)
            loop.remove(slot, staysOpen: true)
            bystander.send()
            loop.runOnce(.noWait)
            guard diary.readyTags == [5] else { return "the loop was told \(diary.readyTags)" }
            return loop.counters.failedControls == 1 ? nil : "\(loop.counters.failedControls) failed calls were counted: nobody noticed"
        }
    }

    #if DEBUG
        @Test("trap 3: changing the interest of a closed descriptor stops a debug build, with the call and the error")
        func trap3Asserts() async {
            await #expect(processExitsWith: .failure) {
                let loop = try EventLoop()
                let descriptor = cepoll_eventfd()
                let slot = try loop.add(descriptor, interest: .read, source: Diary(), tag: 0)
                _ = cepoll_close(descriptor)
                loop.setInterest(slot, .write)
                loop.runOnce(.noWait)
            }
        }
    #endif

    @Test("trap 5: a hangup that nobody wants to hear of wakes the loop once, not for ever")
    func trap5() throws {
        try trap(5, leftOut: { Faults.leaveOut(5) }) {
            let loop = try EventLoop()
            let pair = Pair()
            let slot = try loop.add(pair.fd, interest: .read, source: Diary(), tag: 0)
            loop.setInterest(slot, [])
            pair.closeFar()
            for _ in 0..<100 { loop.runOnce(.noWait) }
            return loop.counters.events == 1 ? nil : "\(loop.counters.events) wakes in 100 waits: 100 % of a core"
        }
    }

    @Test("trap 6: a hangup that came while reading was stopped is told when reading goes on")
    func trap6() throws {
        // The third ADD: the mailbox's, the slot's, and the one after the hangup.
        try trap(6, leftOut: { Faults.answer(.add, 0, after: 2) }) {
            let loop = try EventLoop()
            let diary = Diary()
            let pair = Pair()
            let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 3)
            loop.setInterest(slot, [])
            pair.closeFar()
            loop.runOnce(.noWait)
            loop.runOnce(.noWait)
            guard diary.entries.isEmpty else { return "it was told while nobody wanted to hear" }
            loop.setInterest(slot, .read)
            loop.runOnce(.noWait)
            return diary.entries == [.ready([.readable, .hangup], 3)] ? nil : "after reading went on: \(diary.entries), and the end is never seen"
        }
    }

    @Test("trap 7: a peer that only stopped sending is not gone: it is still written to, and no hangup is told")
    func trap7() throws {
        try trap(7, leftOut: { Faults.leaveOut(7) }) {
            let loop = try EventLoop()
            let diary = Diary()
            let pair = try TCPPair()
            let slot = try loop.add(pair.near, interest: .read, source: diary, tag: 0)
            _ = cepoll_shutdown_send(pair.far)
            loop.runOnce(.wait)
            guard diary.entries == [.ready(.readable, 0)] else { return "a half-closed peer was told as \(diary.entries)" }
            guard receive(pair.near) == .ended else { return "the end of the stream was not read" }
            // What libuv's users got wrong: the other direction works on.
            loop.setInterest(slot, [])
            guard send(pair.near, 50_000) == .bytes(50_000) else { return "it could not be written to" }
            loop.runOnce(.noWait)
            guard receiveAll(pair.far, waiting: 50).bytes == 50_000 else { return "it did not get what was sent" }
            guard loop.counters.latchedHangups == 0 else { return "a hangup was latched with one direction open" }
            // Both directions over: that is a hangup.
            _ = cepoll_shutdown_send(pair.near)
            loop.setInterest(slot, .read)
            loop.runOnce(.wait)
            return diary.entries.last == .ready([.readable, .hangup], 0) ? nil : "with both directions over it was told \(diary.entries)"
        }
    }

    @Test("trap 11: a failed dial is told though the kernel says only ERR and HUP, and its error is taken once")
    func trap11() throws {
        try trap(11, leftOut: { Faults.leaveOut(11) }) {
            let loop = try EventLoop()
            let diary = Diary()
            let nobody = try RawListener().endpoint
            // A kernel that omits OUT, as old ones did.
            Faults.mask(CEPOLL_ERR | CEPOLL_HUP)
            guard case .pending(let socket) = Socket.dial(nobody) else { return "a dial to nobody was not pending" }
            let slot = try loop.add(socket.descriptor, interest: .write, source: diary, tag: 0)
            defer { loop.remove(slot) }
            loop.runOnce(.wait)
            guard case .ready(let readiness, _) = diary.entries.first, readiness.contains(.writable) else {
                return "whoever waits to write was told \(diary.entries)"
            }
            guard socket.dialResult() == .failed(CEPOLL_ECONNREFUSED) else { return "the error was not the kernel's" }
            let second = socket.dialResult()
            return second == .pending ? nil : "the error was still there: \(second)"
        }
    }

    @Test("trap 12: a socket that the kernel connected to itself is never taken for a peer")
    func trap12() throws {
        try trap(12, leftOut: { Faults.answer(.local, Int64(-CEPOLL_ENOBUFS), after: 1) }) {
            let socket = try Socket(family: .v4)
            try SystemError.check(cepoll_bind(socket.descriptor, Endpoint.loopback().systemAddress), .bind)
            let own = try socket.localEndpoint()
            _ = cepoll_connect(socket.descriptor, own.systemAddress)
            let result = socket.dialResult()
            return result == .connectedToItself ? nil : "\(own) dialled itself and the dial was \(result)"
        }
    }

    @Test("trap 15: what a callback leaves unread is told again: nothing waits for an edge that never comes")
    func trap15() throws {
        try trap(15, leftOut: { Faults.leaveOut(15) }) {
            let loop = try EventLoop()
            let (greedy, other) = (Diary(), Diary())
            let (large, small) = (Pair(), Pair())
            var sum = 0
            greedy.onReady = { _, _ in
                if case .bytes(let count) = receive(large.fd, 4_096) { sum += count }
            }
            _ = try loop.add(large.fd, interest: .read, source: greedy, tag: 0)
            _ = try loop.add(small.fd, interest: .read, source: other, tag: 0)
            guard send(large.farFD, 65_536) == .bytes(65_536) else { return "the pair is too small" }
            small.send()
            for _ in 0..<16 { loop.runOnce(.noWait) }
            guard !other.entries.isEmpty else { return "a descriptor was starved" }
            return sum == 65_536 ? nil : "\(sum) of 65536 bytes were told of, and no more will be"
        }
    }

    @Test("trap 24: a connection wakes the one loop that listens, and no other")
    func trap24() throws {
        let loops = try (0..<3).map { _ in try EventLoop() }
        let owner = Diary()
        let listener = try Listener(loop: loops[0], on: .loopback(), owner: owner)
        defer { listener.close() }
        let dialer = try connect(to: listener.endpoint)
        defer { close(dialer) }
        #expect(cepoll_poll_readable(loops[0].backendFD, 20_000) == 1)
        #expect(loops.dropFirst().allSatisfy { cepoll_poll_readable($0.backendFD, 0) == 0 }, "the herd was woken")
        #expect(run(loops[0]) { owner.accepted.count == 1 })
        // The herd, to show that the check can fail: one listening descriptor in two loops wakes both.
        let shared = try RawListener()
        let ids = try loops.map { try $0.add(shared.descriptor, interest: .read, source: owner, tag: 9) }
        let second = try connect(to: shared.endpoint)
        defer { close(second) }
        #expect(loops.allSatisfy { cepoll_poll_readable($0.backendFD, 20_000) == 1 })
        for (loop, id) in zip(loops, ids) { loop.remove(id) }
    }

    @Test("trap 30: a post to a loop that is gone is answered, not swallowed")
    func trap30() throws {
        try trap(30, leftOut: { Faults.leaveOut(30) }) {
            func leaveMailbox() throws -> (Mailbox, SourceHandle) {
                let loop = try EventLoop()
                return (loop.mailbox, loop.makeHandle(for: Diary()))
            }
            let (mailbox, handle) = try leaveMailbox()
            let result = mailbox.post(Job(kind: 1), to: handle)
            return result == .closed ? nil : "the post was answered `\(result)`, and nobody will ever take it"
        }
    }
}
