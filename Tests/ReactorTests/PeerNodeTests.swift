// A node on real sockets: links, frames, marks, limits, and the ends of links.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

private let text = MessageType(7)

@Suite("PeerNode", .serialized, .ownThread)
struct PeerNodeTests {
    @Test("two masternodes link once: the lower address dials, and both know each other by endpoint")
    func link() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(10)
        let leftInfo = try #require(left.application.ups.first).info
        let rightInfo = try #require(right.application.ups.first).info
        #expect(leftInfo.direction == .outbound)
        #expect(rightInfo.direction == .inbound)
        #expect(leftInfo.peer == right.endpoint)
        #expect(rightInfo.peer == left.endpoint)
        #expect(leftInfo.isNative && rightInfo.isNative)
        #expect(rightInfo.remote.address == left.endpoint.address)
        world.run(milliseconds: 600)
        #expect(left.application.ups.count == 1)
        #expect(right.application.ups.count == 1)
    }

    @Test("frames of the application arrive untouched, both ways, with their type")
    func frames() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(12)
        var heard: [UInt8] = []
        right.application.onFrame = { type, body, link in
            #expect(type == text)
            heard = body.withUnsafeBytes { Array($0) }
            #expect(right.node.send(body, type: MessageType(8), to: link) == .queued)
        }
        var echo: [UInt8] = []
        left.application.onFrame = { type, body, _ in
            #expect(type == MessageType(8))
            echo = body.withUnsafeBytes { Array($0) }
        }
        let body: [UInt8] = Array("hello over there".utf8)
        let result = left.node.send(body.span.bytes, type: text, to: left.application.live[0])
        #expect(result == .queued)
        #expect(world.run { !echo.isEmpty })
        #expect(heard == body)
        #expect(echo == body)
    }

    @Test("a frame that is too large is an error to the caller, not a lost link; the largest one arrives")
    func tooLarge() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(14)
        let link = left.application.live[0]
        let body = [UInt8](repeating: 5, count: left.node.wire.maximumBody + 1)
        let refused = left.node.send(body.span.bytes, type: text, to: link)
        #expect(refused == .tooLarge)
        var size = 0
        right.application.onFrame = { _, body, _ in size = body.byteCount }
        let taken = left.node.send(body.span.bytes.extracting(droppingLast: 1), type: text, to: link)
        #expect(taken == .queued)
        #expect(world.run { size > 0 })
        #expect(size == left.node.wire.maximumBody)
        #expect(left.application.downs.isEmpty)
        #expect(world.run { left.node.memory.pool.inUse == 0 && right.node.memory.pool.inUse == 0 })
    }

    @Test("an old link's id reaches nobody")
    func notLinked() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(16)
        let old = left.application.live[0]
        right.node.handle(.disconnect(left.endpoint))
        #expect(world.run { left.application.downs.count == 1 })
        let body: [UInt8] = [1]
        let result = left.node.send(body.span.bytes, type: text, to: old)
        #expect(result == .notLinked)
        #expect(world.run { left.application.live.count == 1 }, "a registered masternode is linked again")
        #expect(left.application.live[0] != old)
    }

    @Test("both ends of one link send numbered frames at once: none lost, none reordered, memory under the mark")
    func numbered() throws {
        #if DEBUG
            let total: UInt64 = 50_000
        #else
            let total: UInt64 = 1_000_000
        #endif
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(18)
        let ends = [left, right]
        var sent: [UInt64] = [0, 0]
        var received: [UInt64] = [0, 0]
        var wrong = 0
        func push(_ index: Int) {
            guard let link = ends[index].application.live.first else { return }
            while sent[index] < total {
                let padding = Int(sent[index] % 61)
                let result = withUnsafeTemporaryAllocation(byteCount: 8 + padding, alignment: 8) { buffer in
                    buffer.storeBytes(of: sent[index], as: UInt64.self)
                    for offset in 8..<8 + padding { buffer[offset] = UInt8(truncatingIfNeeded: sent[index]) }
                    return ends[index].node.send(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(buffer)), type: text, to: link)
                }
                guard result == .queued else { return }
                sent[index] += 1
            }
        }
        for index in 0..<2 {
            ends[index].application.onFrame = { _, body, _ in
                let number = body.unsafeLoadUnaligned(as: UInt64.self)
                if number != received[index] || body.byteCount != 8 + Int(number % 61) { wrong += 1 }
                received[index] += 1
            }
            ends[index].application.onLow = { _ in push(index) }
        }
        push(0)
        push(1)
        #expect(world.run(seconds: 120) { received[0] == total && received[1] == total })
        #expect(wrong == 0)
        #expect(left.application.highs > 0 && left.application.lows > 0)
        for end in ends {
            let mark = end.node.settings.highWater
            #expect(end.node.memory.pool.peak < mark * 4, "queue, lengths and one growth step")
            #expect(end.application.downs.isEmpty)
        }
    }

    @Test("a broadcast is one buffer, whoever many links send it")
    func broadcast() throws {
        let world = try TestWorld()
        let hub = try TestNode(world: world, address: 30)
        var spokes: [TestNode] = []
        for index in 0..<8 {
            let spoke = try TestNode(world: world, address: 31 + UInt8(index), role: .regular)
            spoke.node.handle(.connect(hub.endpoint))
            spoke.node.start()
            spokes.append(spoke)
        }
        hub.node.start()
        #expect(world.run { hub.application.live.count == 8 })
        world.run(milliseconds: 50)
        let body = [UInt8](repeating: 9, count: 60_000)
        let before = hub.node.memory.pool.inUse
        let taken = hub.node.broadcast(body.span.bytes, type: text)
        #expect(taken == 8)
        #expect(hub.node.memory.pool.inUse - before < 60_000 * 2, "one copy, not eight")
        #expect(world.run { spokes.allSatisfy { $0.application.frames == 1 } })
        #expect(world.run { hub.node.memory.pool.inUse == 0 })
        let excepted = hub.node.broadcast(body.span.bytes, type: text, except: hub.application.live[0])
        #expect(excepted == 7)
    }

    @Test("a sender that yields waits at the mark and is told when to go on")
    func marks() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(42) { $0.socket.sendBuffer = 16_384; $0.socket.receiveBuffer = 16_384 }
        let link = left.application.live[0]
        #expect(right.node.pauseReading(of: right.application.live[0]))
        let body = [UInt8](repeating: 1, count: 10_000)
        var queued = 0
        #expect(world.run {
            let result = left.node.send(body.span.bytes, type: text, to: link)
            if result == .queued { queued += 1 }
            return result == .wouldBlock && left.node.memory.pool.inUse > 200_000
        })
        #expect(left.application.highs == 1)
        #expect(left.application.lows == 0)
        #expect(try #require(left.node.queuedBytes(of: link)) < left.node.settings.highWater + 10_100)
        #expect(right.node.resumeReading(of: right.application.live[0]))
        #expect(world.run { left.application.lows == 1 && right.application.frames == queued })
    }

    @Test("a peer that reads too slowly is closed as slowConsumer, and no other link notices")
    func slowConsumer() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(44)
        let other = try TestNode(world: world, address: 46, role: .regular)
        other.node.handle(.connect(left.endpoint))
        other.node.start()
        #expect(world.run { left.application.live.count == 2 })
        #expect(right.node.pauseReading(of: right.application.live[0]))
        let body = [UInt8](repeating: 1, count: 1_000_000)
        #expect(world.run {
            _ = left.node.broadcast(body.span.bytes, type: text)
            return !left.application.downs.isEmpty
        })
        #expect(left.application.downs.map(\.reason) == [.slowConsumer])
        #expect(left.application.live.count == 1)
        let frames = other.application.frames
        let taken = left.node.broadcast(body.span.bytes, type: text)
        #expect(taken == 1)
        #expect(world.run { other.application.frames > frames })
    }

    @Test("simultaneous dials end with one link, the same one on both sides")
    func simultaneous() throws {
        let world = try TestWorld()
        for round in 0..<10 {
            let address = UInt8(50 + round * 2)
            // No preference between regular peers: both dial at once.
            let left = try TestNode(world: world, address: address, role: .regular)
            let right = try TestNode(world: world, address: address + 1, role: .regular)
            left.node.handle(.connect(right.endpoint))
            right.node.handle(.connect(left.endpoint))
            left.node.start()
            right.node.start()
            #expect(world.run { left.application.live.count == 1 && right.application.live.count == 1 })
            #expect(left.node.counters.dials == 1 && right.node.counters.dials == 1)
            world.run(milliseconds: 700)
            #expect(left.application.live.count == 1 && right.application.live.count == 1)
            let a = try #require(left.application.live.first)
            let b = try #require(right.application.live.first)
            let leftSocket = try #require(left.node.current(a)?.descriptor)
            let rightSocket = try #require(right.node.current(b)?.descriptor)
            var local = cepoll_address()
            var remote = cepoll_address()
            #expect(cepoll_local(leftSocket, &local) == 0)
            #expect(cepoll_remote(rightSocket, &remote) == 0)
            #expect(local.port == remote.port, "two ends of one connection")
            #expect(left.node.linkCount == 1 && right.node.linkCount == 1)
        }
    }

    @Test("a node that is gone is redialled until it is back")
    func redial() throws {
        let world = try TestWorld()
        let left = try TestNode(world: world, address: 80)
        var right: TestNode? = try TestNode(world: world, address: 81)
        let there = right!.endpoint
        left.node.handle(.registered(there))
        left.node.start()
        right!.node.start()
        #expect(world.run { left.application.live.count == 1 })
        right!.node.shutdown()
        #expect(world.run { right!.application.isStopped })
        right = nil
        #expect(world.run { left.application.live.isEmpty })
        #expect(world.run { left.node.counters.dialsFailed >= 3 }, "refused, and tried again")
        let again = try TestNode(world: world, address: 81, port: there.port)
        again.node.start()
        #expect(world.run { left.application.live.count == 1 && again.application.live.count == 1 })
    }

    @Test("a link over which nothing comes any more is closed by the keepalive, and redialled")
    func partition() throws {
        let world = try TestWorld()
        // The right end sends no pings of its own: they would be life.
        let left = try TestNode(world: world, address: 82) { ($0.mesh.pingInterval, $0.mesh.pongTimeout) = (.milliseconds(200), .milliseconds(50)) }
        let right = try TestNode(world: world, address: 83) { $0.mesh.pingInterval = .seconds(3_600) }
        left.node.handle(.registered(right.endpoint))
        right.node.handle(.registered(left.endpoint))
        left.node.start()
        right.node.start()
        try #require(world.run { left.application.live.count == 1 && right.application.live.count == 1 })
        // The right end does not read this link any more, which is not its peer's silence; the next one is a new link.
        #expect(right.node.pauseReading(of: right.application.live[0]))
        let since = world.loop.now
        try #require(world.run { !left.application.downs.isEmpty && !right.application.downs.isEmpty })
        // Masternodes have six misses. How late at most is held on a clock of its own, in PeerMeshTests.
        #expect(world.loop.now - since >= .milliseconds(5 * 50))
        #expect(left.application.downs[0].reason == .keepaliveTimeout)
        #expect(right.application.downs[0].reason != .keepaliveTimeout)
        #expect(world.run { left.application.live.count == 1 && right.application.live.count == 1 })
    }

    @Test("shutdown drains: what was queued arrives, then both ends are closed and the node is over")
    func shutdown() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(84)
        let body = [UInt8](repeating: 3, count: 100_000)
        for _ in 0..<2 {
            let result = left.node.send(body.span.bytes, type: text, to: left.application.live[0])
            #expect(result == .queued)
        }
        left.node.shutdown()
        #expect(world.run { left.application.isStopped })
        #expect(right.application.frames == 2)
        #expect(left.application.downs.map(\.reason) == [.shutdown])
        #expect(world.run { right.application.downs.count == 1 })
        #expect(left.node.linkCount == 0 && left.node.memory.pool.inUse == 0)
        #expect(left.node.port.post(.redial(right.endpoint)) == .closed)
    }

    @Test("a node that is abandoned says no farewell, leaves nothing on the loop, and is redialled")
    func abandon() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(86)
        let descriptors = world.loop.descriptorCount
        right.node.abandon()
        #expect(world.run { right.application.isStopped })
        #expect(right.application.downs.isEmpty)
        #expect(world.loop.descriptorCount <= descriptors - 2, "its listener and its link")
        #expect(world.run { left.application.downs.count == 1 })
        #expect(left.application.downs.map(\.reason) == [.remoteClosed])
        let again = try TestNode(world: world, address: 87, port: right.endpoint.port)
        again.node.start()
        #expect(world.run { left.application.live.count == 1 && again.application.live.count == 1 })
    }

    @Test("a handler may end the node from within any call", arguments: 0..<3)
    func endFromWithin(where place: Int) throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(88)
        right.application.onFrame = { _, body, _ in
            if place == 0 { right.node.abandon() }
            if place == 1 { right.node.shutdown() }
            if place == 2 { right.node.handle(.disconnect(left.endpoint)) }
            #expect(body.byteCount == 50)
        }
        let body = [UInt8](repeating: 1, count: 50)
        for _ in 0..<10 {
            let result = left.node.send(body.span.bytes, type: text, to: left.application.live[0])
            #expect(result == .queued)
        }
        #expect(world.run { !left.application.downs.isEmpty })
        #expect(right.application.frames == 1, "what comes after the end is nobody's")
        if place < 2 { #expect(world.run { right.application.isStopped }) }
    }

    @Test("ten masternodes on one loop become a full mesh, one link a pair")
    func mesh() throws {
        let world = try TestWorld()
        let nodes = try (0..<10).map { try TestNode(world: world, address: 100 + UInt8($0)) }
        for node in nodes {
            for other in nodes where other !== node { node.node.handle(.registered(other.endpoint)) }
        }
        for node in nodes { node.node.start() }
        #expect(world.run { nodes.allSatisfy { $0.application.live.count == 9 } })
        world.run(milliseconds: 500)
        for node in nodes {
            #expect(node.application.live.count == 9)
            #expect(node.node.linkCount == 9)
            for up in node.application.ups where node.application.live.contains(up.link) {
                let dials = node.endpoint < up.info.peer!
                #expect((up.info.direction == .outbound) == dials, "the lower address dials")
            }
        }
    }
}
