import Testing
import Timers

@testable import PeerMesh

@Suite("The state as a value")
struct StateTests {
    /// A world in the middle of its life: links, backoffs, bans.
    private func world(_ seed: UInt64) -> World {
        let world = World(seed: seed)
        let registry = (0..<4).map { World.endpoint($0) }
        for _ in 0..<4 { world.add() }
        world.startAll(registry: registry)
        world.run(for: .seconds(50))
        world.kill(Int(seed % 4), silently: seed % 2 == 0)
        world.tell(Int((seed + 1) % 4), .ban(Subnet(IPAddress(v4: 192, 0, 2, 0), prefix: 24), until: .never, by: .operator))
        world.run(for: .milliseconds(1 + world.random.next(below: 200_000)))
        return world
    }

    @Test("what is written out is read back, byte for byte", arguments: 1...30)
    func roundTrip(seed: UInt64) throws {
        let world = world(seed)
        for node in world.nodes where node.isUp {
            var bytes: [UInt8] = []
            node.mesh.encode(into: &bytes)
            var again: [UInt8] = []
            guard let copy = Mesh(node.settings, decoding: bytes, now: world.now) else {
                Issue.record("not read back")
                continue
            }
            copy.encode(into: &again)
            #expect(again == bytes)
        }
    }

    @Test("bytes that are not a state are refused, whatever they are")
    func hostileBytes() {
        let world = world(3)
        let node = world.nodes.first { $0.isUp }!
        var bytes: [UInt8] = []
        node.mesh.encode(into: &bytes)
        var random = Random(state: 9)
        var accepted = 0
        func reads(_ bytes: [UInt8]) -> Bool {
            if Mesh(node.settings, decoding: bytes, now: world.now) != nil { return true }
            return false
        }
        for _ in 0..<300 {
            var mutated = bytes
            for _ in 0..<(1 + random.next(below: 8)) {
                mutated[Int(random.next(below: UInt64(mutated.count)))] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.next(below: 4) == 0 { mutated.removeLast(Int(random.next(below: UInt64(mutated.count)))) }
            if reads(mutated) { accepted += 1 }
        }
        #expect(accepted < 300)
        #expect(!reads([]))
    }

    @Test("a clone goes its own way and the same way: same events, same state", arguments: 1...10)
    func clones(seed: UInt64) {
        let world = world(seed)
        let node = world.nodes.first { $0.isUp }!
        var one = node.mesh.clone()
        var two = node.mesh.clone()
        let before = node.mesh.stableHash()
        var now = world.now
        for _ in 0..<200 {
            now = now + .seconds(3)
            one.advance(to: now)
            two.advance(to: now)
            while let action = one.nextAction() { #expect(two.nextAction() == action) }
            #expect(two.nextAction() == nil)
        }
        #expect(one.stableHash() == two.stableHash())
        #expect(one.stableHash() != before)
        #expect(node.mesh.stableHash() == before)
    }

    @Test("the same seed gives the same trace")
    func replay() {
        func trace(_ seed: UInt64) -> [UInt64] {
            let world = world(seed)
            return world.nodes.map { $0.mesh.stableHash() } + [UInt64(world.connections.count)]
        }
        #expect(trace(5) == trace(5))
        #expect(trace(5) != trace(6))
    }
}
