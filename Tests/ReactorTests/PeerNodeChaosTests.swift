// Nodes under a storm of everything at once: frames, broadcasts, kills, bans, pauses, strangers with junk. While it
// lasts the mesh's invariants hold after every iteration; when it is over the network is whole and nothing is left behind.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// A small generator, so that a seed names a storm.
private struct Dice {
    var state: UInt64

    mutating func roll(_ sides: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(sides))
    }
}

private final class Storm {
    let world: TestWorld
    var dice: Dice
    var nodes: [TestNode] = []
    var ports: [UInt16] = []
    var strangers: [RawPeer] = []
    var broken: [String] = []
    let blob = [UInt8](repeating: 0xab, count: 300_000)

    init(seed: UInt64, count: Int) throws {
        world = try TestWorld()
        dice = Dice(state: seed &* 0x9e37_79b9_7f4a_7c15 | 1)
        for index in 0..<count {
            nodes.append(try make(index, port: 0))
            ports.append(nodes[index].endpoint.port)
        }
        for node in nodes { introduce(node) }
    }

    private func make(_ index: Int, port: UInt16) throws -> TestNode {
        let node = try TestNode(
            world: world, address: 180 + UInt8(index), port: port, wire: TimeWire(network: .mainnet),
            role: index % 2 == 0 ? .masternode : .regular
        ) {
            $0.mesh.pingInterval = .milliseconds(150)
            $0.mesh.pongTimeout = .milliseconds(100)
            $0.mesh.greetingTimeout = .milliseconds(800)
            $0.mesh.probeTimeout = .milliseconds(200)
            $0.mesh.backoffInitial = .milliseconds(30)
            $0.mesh.backoffMax = .milliseconds(200)
            $0.mesh.passiveWait = .milliseconds(100)
            $0.mesh.dialRate = 10_000
            $0.mesh.bookCapacity = 64
            $0.memoryLimit = 8 << 20
            $0.queueLimit = 16 << 20
            $0.socket.sendBuffer = 65_536
        }
        node.application.onFrame = { [unowned self, unowned node] type, body, link in
            if dice.roll(4) == 0 { node.node.send(body, type: type, to: link) }
        }
        return node
    }

    private func introduce(_ node: TestNode) {
        for (index, other) in nodes.enumerated() where other !== node {
            let there = Endpoint(IPAddress(v4: 127, 0, 7, 180 + UInt8(index)), port: ports[index])
            node.node.handle(index % 2 == 0 ? .registered(there) : .connect(there))
        }
        node.node.start()
    }

    /// One random thing.
    func step() throws {
        let blob = blob
        let index = dice.roll(nodes.count)
        let node = nodes[index]
        let links = node.application.live
        switch dice.roll(24) {
        case 0..<10:
            guard !links.isEmpty else { return }
            let size = dice.roll(6) == 0 ? dice.roll(blob.count) : dice.roll(2_000)
            let policy: SendPolicy = dice.roll(3) == 0 ? .insists : .yields
            node.node.send(blob.span.bytes.extracting(first: size), type: MessageType(60), to: links[dice.roll(links.count)], policy: policy)
        case 10..<13:
            node.node.broadcast(blob.span.bytes.extracting(first: dice.roll(3_000)), type: MessageType(61))
        case 13:
            guard !links.isEmpty else { return }
            node.node.pauseReading(of: links[dice.roll(links.count)])
        case 14, 15:
            for link in links { node.node.resumeReading(of: link) }
        case 16:
            node.node.handle(.redial(nodes[dice.roll(nodes.count)].endpoint))
        case 17:
            let other = nodes[dice.roll(nodes.count)].endpoint
            node.node.handle(.disconnect(other))
            node.node.handle(.connect(other))
        case 18 where dice.roll(20) == 0:
            if dice.roll(2) == 0 { node.node.abandon() } else { node.node.shutdown() }
            _ = world.run { node.application.isStopped }
            node.application.forget()
            nodes[index] = try make(index, port: ports[index])
            introduce(nodes[index])
        case 19, 20:
            guard strangers.count < 12 else { return }
            strangers.append(try RawPeer(to: node.endpoint, from: UInt8(1 + dice.roll(6))))
        case 21, 22:
            guard !strangers.isEmpty else { return }
            let stranger = strangers[dice.roll(strangers.count)]
            if dice.roll(3) == 0 { stranger.say(stormHello) }
            var junk: [UInt8] = dice.roll(2) == 0 ? [0, 0, UInt8(dice.roll(3)), UInt8(dice.roll(256))] : []
            for _ in 0..<dice.roll(200) { junk.append(UInt8(dice.roll(256))) }
            stranger.say(junk)
        case 23:
            guard !strangers.isEmpty else { return }
            strangers.remove(at: dice.roll(strangers.count)).close()
        default: break
        }
    }

    func check() {
        for node in nodes {
            if let words = node.node.mesh.brokenInvariant(at: world.loop.now) { broken.append(words) }
        }
    }
}

/// The seed's hello for its mainnet: what a foreign peer says.
private let stormHello: [UInt8] = [
    0, 0, 0, 0x1f, 10, 0, 0, 0, 0xc0, 0x1d, 0x7e, 0x4d, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0x6d, 0x61, 0x69, 0x6e, 0x6e, 0x65, 0x74,
    0x28, 0x09, 0, 0,
]

@Suite("PeerNode in a storm", .serialized, .ownThread)
struct PeerNodeChaosTests {
    @Test("after a storm the network is whole, and all memory and descriptors are back", arguments: [1, 2, 3] as [UInt64])
    func storm(seed: UInt64) throws {
        let storm = try Storm(seed: seed, count: 6)
        let world = storm.world
        let isWhole = { storm.nodes.allSatisfy { $0.application.live.count >= 5 } }
        #expect(world.run(until: isWhole))
        for step in 0..<3_000 {
            try storm.step()
            if step % 3 == 0 { world.loop.runOnce(.noWait) }
            if step % 10 == 0 { storm.check() }
        }
        #expect(storm.broken.isEmpty, "\(storm.broken.prefix(3))")
        for stranger in storm.strangers { stranger.close() }
        for node in storm.nodes {
            node.application.onFrame = nil
            for link in node.application.live { node.node.resumeReading(of: link) }
        }
        // Full mesh: every node has one link to each of the five others.
        #expect(world.run {
            storm.nodes.allSatisfy { node in
                Set(node.application.ups.filter { node.application.live.contains($0.link) }.compactMap(\.info.peer)).count == 5
            }
        })
        #expect(world.run { storm.nodes.allSatisfy { $0.node.memory.pool.inUse == 0 } })
        for node in storm.nodes { #expect(node.node.memory.pool.peak <= 8 << 20 + 1 << 20) }
        for node in storm.nodes { node.node.shutdown() }
        #expect(world.run { storm.nodes.allSatisfy(\.application.isStopped) })
        #expect(world.loop.descriptorCount == 0)
        storm.check()
        #expect(storm.broken.isEmpty)
    }

    @Test("two nodes link over IPv6")
    func v6() throws {
        let world = try TestWorld()
        let here = Endpoint(IPAddress(v6High: 0, low: 1), port: 0)
        let left = try TestNode(world: world, endpoint: here) { _ in }
        let right = try TestNode(world: world, endpoint: here) { _ in }
        left.node.handle(.registered(right.endpoint))
        right.node.handle(.registered(left.endpoint))
        left.node.start()
        right.node.start()
        #expect(world.run { left.application.live.count == 1 && right.application.live.count == 1 })
        #expect(try #require(right.application.ups.first).info.peer == left.endpoint)
        #expect(try #require(left.application.ups.first).info.peer == right.endpoint)
    }
}
