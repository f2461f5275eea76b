// A node from other threads: posts, the ring of records, snapshots.

import CEpoll
import Foundation
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Reactor

/// Runs `body` on a thread of its own, not on the pool's: its two threads may both be in a test that waits for this one.
private final class Elsewhere: @unchecked Sendable {
    private let isOver = Atomic<Bool>(false)

    init(_ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread {
            body()
            self.isOver.store(true, ordering: .releasing)
        }
    }

    var hasEnded: Bool { isOver.load(ordering: .acquiring) }
}

@Suite("PeerNode from other threads", .serialized, .ownThread)
struct PeerNodePortTests {
    @Test("posted frames are sent in order, and each token learns what became of it")
    func posts() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(150)
        let link = left.application.live[0]
        var numbers: [UInt32] = []
        right.application.onFrame = { _, body, _ in if body.byteCount == 4 { numbers.append(body.unsafeLoadUnaligned(as: UInt32.self)) } }
        let port = left.node.port
        let poster = Elsewhere {
            for number in 0..<UInt32(500) {
                let body = [number]
                while port.send(body.span.bytes, type: MessageType(7), to: link, token: UInt64(number)) == .full {}
            }
            let old = LinkID(slot: link.slot, generation: link.generation &+ 1)
            let body: [UInt8] = [1]
            _ = port.send(body.span.bytes, type: MessageType(7), to: old, token: 999)
            _ = port.broadcast(body.span.bytes, type: MessageType(9))
        }
        #expect(world.run { poster.hasEnded && right.application.frames == 501 && left.application.results.count == 501 })
        #expect(Array(numbers.prefix(500)) == Array(0..<500))
        #expect(left.application.results.prefix(500).allSatisfy { $0.1 == .queued })
        #expect(left.application.results.map(\.0) == Array(0..<500) + [999])
        #expect(left.application.results[500].1 == .notLinked)
    }

    @Test("a posted event reaches the mesh")
    func event() throws {
        let world = try TestWorld()
        let left = try TestNode(world: world, address: 152)
        let right = try TestNode(world: world, address: 153)
        left.node.start()
        right.node.start()
        let port = left.node.port
        let there = right.endpoint
        let poster = Elsewhere { _ = port.post(.connect(there)) }
        #expect(world.run { left.application.live.count == 1 && poster.hasEnded })
    }

    @Test("a signal that is handled does not end the wait for a snapshot, nor make it longer")
    func waitInterrupted() async {
        await #expect(processExitsWith: .success) {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in }
            try #require(sigaction(SIGALRM, &action, nil) == 0)
            let request = try SnapshotRequest()
            // A storm of them at the thread that waits. Threads of the runtime's pool block all signals.
            let signals = [SIGALRM]
            try #require(cepoll_signals_block(signals, 1, 0) == 0)
            let waiter = pthread_self()
            let isOver = Atomic<Bool>(false)
            let count = Atomic<Int>(0)
            let storm = Elsewhere {
                while !isOver.load(ordering: .relaxed) {
                    _ = pthread_kill(waiter, SIGALRM)
                    count.add(1, ordering: .relaxed)
                    _ = poll(nil, 0, 1)
                }
            }
            while count.load(ordering: .relaxed) == 0 { sched_yield() }
            let start = cepoll_monotonic()
            try #require(!request.wait(milliseconds: 200))
            try #require(cepoll_monotonic() - start >= 200_000_000)
            let asker = Elsewhere {
                _ = poll(nil, 0, 50)
                request.complete()
            }
            try #require(request.wait(milliseconds: 600_000))
            isOver.store(true, ordering: .relaxed)
            while !storm.hasEnded || !asker.hasEnded { sched_yield() }
        }
    }

    @Test("a snapshot says how the node stands, and its storage is reused")
    func snapshot() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(154)
        let request = try SnapshotRequest()
        let port = left.node.port
        for _ in 0..<3 {
            let asker = Elsewhere {
                _ = port.request(request)
                _ = request.wait(milliseconds: 10_000)
            }
            #expect(world.run { asker.hasEnded })
        }
        let snapshot = request.snapshot
        #expect(snapshot.census.establishedMasternodes == 1)
        #expect(snapshot.peers.map(\.endpoint) == [right.endpoint])
        #expect(snapshot.peers[0].view == .established)
        #expect(snapshot.links.count == 1)
        #expect(snapshot.links[0].report.state == .established)
        #expect(snapshot.links[0].report.info.direction == .outbound)
        #expect(snapshot.listeners == [left.endpoint])
        #expect(snapshot.counters.dials == 1)
        #expect(snapshot.memoryInUse == 0)
    }

    @Test("every transition is in the ring, in order, and a reader that sleeps is woken")
    func records() throws {
        let world = try TestWorld()
        let left = try TestNode(world: world, address: 156)
        let right = try TestNode(world: world, address: 157)
        let ring = try #require(left.node.transitions)
        let states = Mutex<[LinkState]>([])
        let reader = Elsewhere {
            while true {
                while let record = ring.pop() {
                    guard case .transition(let transition) = record, case .link(_, _, let state, _) = transition.subject else { continue }
                    states.withLock { $0.append(state) }
                }
                if ring.isClosed { return }
                ring.wait()
            }
        }
        left.node.handle(.registered(right.endpoint))
        right.node.handle(.registered(left.endpoint))
        left.node.start()
        right.node.start()
        #expect(world.run { left.application.live.count == 1 })
        left.node.shutdown()
        #expect(world.run { left.application.isStopped && reader.hasEnded })
        #expect(states.withLock { $0 } == [.connecting, .greeting, .established, .draining, .closed])
        #expect(ring.lost == 0)
    }

    @Test("a ring that nobody reads loses records and counts them; the node goes on")
    func lost() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(158) { $0.recordCapacity = 2 }
        #expect(try #require(left.node.transitions).lost > 0)
        let body: [UInt8] = [1]
        let result = left.node.send(body.span.bytes, type: MessageType(7), to: left.application.live[0])
        #expect(result == .queued)
        #expect(world.run { right.application.frames == 1 })
    }

    @Test("an idle node writes to no eventfd and arms nothing but its mesh's next deadline")
    func idle() throws {
        let world = try TestWorld()
        let (left, _) = try world.linkedPair(160)
        world.run(milliseconds: 100)
        let before = world.loop.counters
        let sent = left.node.counters.bytesOut
        world.run(milliseconds: 300)
        let after = world.loop.counters
        #expect(after.wakes == before.wakes)
        #expect(after.controls == before.controls)
        #expect(left.node.counters.bytesOut == sent)
    }

    @Test("reading can be paused and resumed by the application, and no frame is lost")
    func pause() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(162)
        let link = right.application.live[0]
        var numbers: [UInt32] = []
        right.application.onFrame = { _, body, link in
            numbers.append(body.unsafeLoadUnaligned(as: UInt32.self))
            if numbers.count % 10 == 0 { right.node.pauseReading(of: link) }
        }
        for number in 0..<UInt32(100) {
            let body = [number]
            let result = left.node.send(body.span.bytes, type: MessageType(7), to: left.application.live[0])
            #expect(result == .queued)
        }
        for pause in 1...10 {
            #expect(world.run { numbers.count == pause * 10 })
            world.run(milliseconds: 10)
            #expect(numbers.count == pause * 10)
            #expect(right.node.resumeReading(of: link))
        }
        #expect(numbers == Array(0..<100))
    }
}
