// What a loop does in one iteration is bounded, what is left over is done next, and nobody is left out. Counted in iterations:
// no test here looks at a clock. docs/Budgets.md states the bounds.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// A loop whose iterations are over at once: each phase does one slice of 64 calls.
private func hastyLoop() throws -> EventLoop {
    var configuration = EventLoop.Configuration()
    configuration.timePerIteration = Nanoseconds(1)
    return try EventLoop(configuration)
}

/// Registers a pair for each tag `0 ..< count`, each with a byte to read.
private func readyPairs(_ count: Int, _ loop: EventLoop, _ source: Source) throws -> ([Pair], [SlotID]) {
    let pairs = (0..<count).map { _ in Pair() }
    var slots: [SlotID] = []
    for (tag, pair) in pairs.enumerated() {
        slots.append(try loop.add(pair.fd, interest: .read, source: source, tag: UInt32(tag)))
        pair.send()
    }
    return (pairs, slots)
}

@Suite("Budgets: one iteration is bounded, and nobody is left out", .ownThread)
struct BudgetTests {
    @Test("events: a batch that is too small for all that is ready goes round, and each has its turn as often as the others")
    func eventsGoRound() throws {
        var configuration = EventLoop.Configuration()
        configuration.eventsPerIteration = 4
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let (pairs, slots) = try readyPairs(20, loop, diary)
        for _ in 0..<25 { loop.runOnce(.wait) }
        let turns = Dictionary(grouping: diary.readyTags) { $0 }.mapValues(\.count)
        #expect(turns.count == 20 && turns.values.allSatisfy { $0 == 5 })
        #expect(loop.counters.exhausted.events == 25)
        for slot in slots { loop.remove(slot) }
        withExtendedLifetime(pairs) {}
    }

    @Test("time: what is left of a batch comes first in the next iteration, in order, each once, and without another wait")
    func batchIsCarriedOver() throws {
        let loop = try hastyLoop()
        let diary = Diary()
        let (pairs, slots) = try readyPairs(200, loop, diary)
        for soFar in [64, 128, 192, 200] {
            loop.runOnce(.wait)
            #expect(diary.entries.count == soFar)
            #expect(loop.nextDeadline == (soFar < 200 ? .zero : nil))
        }
        #expect(diary.readyTags == Array(0..<200))
        let counters = loop.counters
        #expect(counters.iterations == 4 && counters.waits == 1 && counters.carriedOver == 3)
        #expect(counters.exhausted.time == 3)
        // All are ready still: the next batch begins with the first again.
        loop.runOnce(.wait)
        #expect(diary.readyTags.suffix(64) == Array(0..<64)[...])
        for slot in slots { loop.remove(slot) }
        withExtendedLifetime(pairs) {}
    }

    @Test("time: a call that says that it did much ends its slice")
    func charges() throws {
        let loop = try hastyLoop()
        let diary = Diary()
        diary.onReady = { _, _ in loop.charge(bytes: 128 << 10) }
        let (pairs, slots) = try readyPairs(5, loop, diary)
        for soFar in [2, 4, 5] {
            loop.runOnce(.wait)
            #expect(diary.entries.count == soFar)
        }
        for slot in slots { loop.remove(slot) }
        withExtendedLifetime(pairs) {}
    }

    @Test("time: readiness, jobs and timers each do a slice in every iteration, however late it is")
    func everyPhaseGoesOn() throws {
        let loop = try hastyLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let (pairs, slots) = try readyPairs(150, loop, diary)
        let timers = (0..<150).map { loop.makeTimer(source: diary, tag: $0) }
        for timer in timers { loop.arm(timer, at: .zero) }
        for n in 0..<150 { #expect(loop.mailbox.post(Job(kind: 0, a: UInt64(n)), to: handle) == .posted) }
        for soFar in [64, 128, 150] {
            loop.runOnce(.wait)
            // The mailbox's own event is one of the batch.
            #expect(diary.readyTags.count >= soFar - 1 && diary.readyTags.count <= soFar)
            #expect(diary.firedTags.count == soFar && loop.counters.jobs == UInt64(soFar))
        }
        #expect(diary.firedTags == Array(0..<150))
        for slot in slots { loop.remove(slot) }
        for timer in timers { loop.destroy(timer) }
        loop.withdraw(handle)
        withExtendedLifetime(pairs) {}
    }

    @Test("a descriptor that is closed while its event is left over hears nothing, nor does the one in its place (trap 1)")
    func leftOverEventsGoStale() throws {
        let loop = try hastyLoop()
        let (first, second) = (Diary(), Diary())
        var (pairs, slots) = try readyPairs(100, loop, first)
        loop.runOnce(.wait)
        #expect(first.entries.count == 64)
        for slot in slots { loop.remove(slot) }
        pairs = (0..<100).map { _ in Pair() }
        slots = try pairs.map { try loop.add($0.fd, interest: .read, source: second, tag: 0) }
        for _ in 0..<3 { loop.runOnce(.noWait) }
        #expect(first.entries.count == 64 && second.entries.isEmpty)
        // Those left over; and, while a child that another test forked still has some of the old pairs' files open, what the kernel
        // tells of them.
        #expect(loop.counters.staleEvents >= 36, "\(loop.counters.staleEvents)")
        for slot in slots { loop.remove(slot) }
    }

    @Test("a wake that is left over is not forgotten: the next post still ends a wait")
    func leftOverWake() throws {
        let loop = try hastyLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let (pairs, slots) = try readyPairs(100, loop, diary)
        diary.onReady = { _, tag in pairs[Int(tag)].drain() }
        // The kernel tells of the mailbox last: its event is not in the first slice.
        #expect(loop.mailbox.post(Job(kind: 1), to: handle) == .posted)
        loop.runOnce(.wait)
        #expect(loop.counters.jobs == 1 && loop.counters.wakes == 0)
        loop.runOnce(.wait)
        #expect(loop.counters.wakes == 1 && diary.readyTags.count == 100)
        let mailbox = loop.mailbox
        let poster = TestThread { _ = mailbox.post(Job(kind: 2), to: handle) }
        while loop.counters.jobs < 2 { loop.runOnce(.wait) }
        poster.join()
        for slot in slots { loop.remove(slot) }
        loop.withdraw(handle)
    }

    @Test("with the default bounds, a job and a timer that ask for more for ever leave every descriptor its turn in each iteration")
    func selfPosting() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let (pairs, slots) = try readyPairs(3, loop, diary)
        let timer = loop.makeTimer(source: diary, tag: 9)
        diary.onTimer = { _ in loop.arm(timer, at: .zero) }
        diary.onPosted = { job in _ = loop.mailbox.post(job, to: handle) }
        loop.arm(timer, at: .zero)
        #expect(loop.mailbox.post(Job(kind: 0), to: handle) == .posted)
        for turn in 1...20 {
            diary.entries = []
            loop.runOnce(.wait)
            #expect(diary.readyTags.sorted() == [0, 1, 2])
            #expect(diary.firedTags == [9])
            #expect(loop.counters.jobs <= UInt64(turn * loop.configuration.jobsPerIteration))
        }
        #expect(loop.counters.exhausted.jobs + loop.counters.exhausted.time == 20)
        for slot in slots { loop.remove(slot) }
        loop.destroy(timer)
        loop.withdraw(handle)
        withExtendedLifetime(pairs) {}
    }

    @Test("accepts: a listener takes a burst a turn, and counts the full ones")
    func accepts() throws {
        let loop = try EventLoop()
        let owner = Diary()
        var settings = Listener.Settings()
        settings.burst = 2
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner, settings: settings)
        var sockets: [CInt] = []
        for _ in 0..<20 {
            let descriptor = cepoll_tcp(4)
            #expect([0, -CEPOLL_EINPROGRESS].contains(cepoll_connect(descriptor, listener.endpoint.systemAddress)))
            sockets.append(descriptor)
        }
        while owner.accepted.count < 20 {
            let before = owner.accepted.count
            loop.runOnce(.wait)
            #expect(owner.accepted.count <= before + 2)
        }
        let accepts = loop.counters.accepts
        #expect(accepts.accepted == 20 && accepts.accepted + accepts.drained == listener.counters.calls)
        #expect(loop.counters.exhausted.accepts >= 8)
        listener.close()
        for descriptor in sockets { _ = cepoll_close(descriptor) }
    }
}

/// A peer of a node, at the other end of a socket: says hello, floods, pings.
private final class Guest {
    private let raw: RawPeer
    private let wire = TimeWire(network: .reactor)
    private var state = WireState(direction: .outbound)
    /// What the node says.
    private var probe: WireProbe
    private let flood: [UInt8]
    private var floodSent = 0

    init(to node: TestNode, from address: UInt8) throws {
        raw = try RawPeer(to: node.endpoint, from: address)
        probe = WireProbe(wire, .outbound)
        var state = state
        let identity = OwnIdentity(
            endpoint: nil, nonce: 0xf100_d000 + UInt64(address), role: .regular, unixTime: 1_700_000_000, remote: node.endpoint
        )
        let wire = wire
        raw.say(written { wire.encodeHello(into: $0, state: &state, identity: identity) })
        flood = written { frame in
            let body = [UInt8](repeating: 1, count: 4_000)
            wire.encode(body.span.bytes, type: MessageType(1_000), into: frame)
        }
        self.state = state
    }

    /// Sends frames until the kernel takes no more.
    func floodAll() {
        while true {
            let sent = flood.withUnsafeBytes { cepoll_send(raw.descriptor, $0.baseAddress! + floodSent, $0.count - floodSent) }
            guard sent > 0 else { return }
            floodSent = (floodSent + sent) % flood.count
        }
    }

    func ping(_ nonce: UInt64) {
        var state = state
        let wire = wire
        raw.say(written { wire.encodePing(nonce: nonce, unixTime: 1_700_000_000, into: $0, state: &state) })
    }

    /// Whether the pong to `nonce` has come.
    func hasPong(_ nonce: UInt64) -> Bool {
        raw.listen()
        probe.receive(raw.heard)
        raw.heard = []
        return probe.seen.contains(.pong(nonce))
    }
}

@Suite("Budgets: a flood and a ping", .serialized, .ownThread)
struct FloodTests {
    struct Case: CustomTestStringConvertible {
        var flooders: Int
        var batch: Int
        var testDescription: String { "\(flooders) that flood, batches of \(batch)" }
    }

    @Test(
        "however many peers flood, a ping is answered within the iteration under way and a turn of each that is ready",
        arguments: [Case(flooders: 1, batch: 256), Case(flooders: 8, batch: 256), Case(flooders: 8, batch: 2)]
    )
    func pingsGetThrough(_ scene: Case) throws {
        var configuration = EventLoop.Configuration()
        configuration.eventsPerIteration = scene.batch
        // Iterations are counted here, so time must not cut them.
        configuration.timePerIteration = .seconds(3_600)
        let world = try TestWorld(configuration)
        let budget = 64 << 10
        let node = try TestNode(world: world, address: 200) {
            $0.readBudget = budget
            $0.mesh.pingInterval = .seconds(3_600)
        }
        node.node.start()
        let flooders = try (0..<scene.flooders).map { try Guest(to: node, from: UInt8(10 + $0)) }
        let guest = try Guest(to: node, from: 9)
        let areLinked = world.run { node.application.live.count == scene.flooders + 1 }
        try #require(areLinked)
        // The ready ones, and the listener and the mailbox at most; then the iteration that was under way.
        let bound = (scene.flooders + 3 + scene.batch - 1) / scene.batch + 1
        let scratch = 64 << 10
        for round in 0..<30 as Range<UInt64> {
            for flooder in flooders { flooder.floodAll() }
            world.loop.runOnce(.noWait)
            guest.ping(round)
            var iterations = 0
            while !guest.hasPong(round), iterations < bound {
                let before = node.node.counters.bytesIn
                world.loop.runOnce(.noWait)
                iterations += 1
                let turns = min(scene.batch, scene.flooders + 1)
                #expect(node.node.counters.bytesIn - before <= UInt64(turns * (budget + scratch)))
                for flooder in flooders { flooder.floodAll() }
            }
            #expect(guest.hasPong(round), "round \(round): no pong after \(iterations) iterations")
        }
        #expect(world.loop.counters.exhausted.reads >= 30, "the flood was none")
        #expect(node.application.live.count == scene.flooders + 1)
    }

    @Test("however large the frames and however many send them, an iteration reads the budget of one link, or 16 KiB of each", arguments: [1, 4, 40])
    func largeFrames(flooders count: Int) throws {
        let world = try TestWorld()
        let node = try TestNode(world: world, address: 201, wire: TimeWire(network: .mainnet)) { $0.mesh.pingInterval = .seconds(3_600) }
        node.node.start()
        let flooders = try (0..<count).map { try RawPeer(to: node.endpoint, source: IPAddress(v4: 127, UInt8(20 + $0), 0, 1)) }
        for flooder in flooders { flooder.say(RawPeer.hello()) }
        try #require(world.run { node.application.live.count == count })
        let chunk = [UInt8](repeating: 0, count: 1 << 20)
        for flooder in flooders { flooder.say([0, 0x7a, 0x12, 0, 84, 0, 0, 0]) }
        let settings = node.node.settings
        let bound = UInt64(max(settings.readBudget, count * 16_384))
        var (most, all) = (UInt64(0), UInt64(0))
        // A few MB of each frame, which none completes.
        while all < UInt64(min(count, 8)) << 20 {
            for flooder in flooders { flooder.say(chunk) }
            let before = node.node.counters.bytesIn
            world.loop.runOnce(.noWait)
            most = max(most, node.node.counters.bytesIn - before)
            all += node.node.counters.bytesIn - before
        }
        #expect(most <= bound, "\(most) bytes in one iteration")
        #expect(most >= bound / 2, "the flood was none: \(most)")
        #expect(node.application.downs.isEmpty)
    }
}
