import Testing
import Timers

@testable import PeerMesh

@Suite("Two masternodes and more, in virtual time")
struct MeshTests {
    private func pair(seed: UInt64 = 1, configure: (inout MeshSettings) -> Void = { _ in }) -> (World, [Endpoint]) {
        let world = World(seed: seed)
        world.add(configure: configure)
        world.add(configure: configure)
        return (world, [World.endpoint(0), World.endpoint(1)])
    }

    @Test("two masternodes link once, and the lower endpoint is the dialler")
    func lowerDials() {
        let (world, registry) = pair()
        world.startAll(registry: registry)
        #expect(world.run(for: .seconds(5)) { world.isWhole })
        let dialler = world.connections.filter { $0.ends.allSatisfy { $0.isOpen && $0.link != nil } }.map { $0.ends[0].node }
        #expect(dialler == [0])
        world.run(for: .seconds(600))
        #expect(world.isWhole)
        #expect(world.violations == [])
        #expect(world.nodes[0].downs.isEmpty && world.nodes[1].downs.isEmpty)
    }

    @Test("the higher side dials after its passive wait when the lower one cannot")
    func passiveWaitEnds() {
        let (world, registry) = pair()
        world.walls = [[0, 1]]
        world.startAll(registry: registry)
        world.run(for: .seconds(1))
        #expect(world.connections.allSatisfy { $0.ends[0].node == 0 })
        world.walls = []
        for connection in world.connections { connection.isSilent = true }
        // Only 1 → 0 can be dialled from here on.
        let before = world.connections.count
        #expect(world.run(for: .seconds(60)) { world.isWhole })
        #expect(world.connections.count > before)
        #expect(world.violations == [])
    }

    @Test("a masternode that starts again dials the lower one after two seconds, though that one is deep in its backoff", arguments: 1...5)
    func firstWait(seed: UInt64) {
        let (world, registry) = pair(seed: seed)
        world.startAll(registry: registry)
        #expect(world.run(for: .seconds(60)) { world.isWhole })
        world.run(for: .seconds(100))
        world.kill(1, silently: false)
        world.run(for: .seconds(1_800))
        world.restart(1, registry: registry)
        // Two seconds and a fifth, and the link's own round trips.
        #expect(world.run(for: .seconds(4)) { world.isWhole })
        #expect(world.violations == [])
    }

    @Test("a killed masternode is linked again by backoff, without help", arguments: 1...20)
    func killAndRestart(seed: UInt64) {
        let (world, registry) = pair(seed: seed)
        world.startAll(registry: registry)
        #expect(world.run(for: .seconds(60)) { world.isWhole })
        world.run(for: .seconds(world.random.next(below: 200)))
        let victim = Int(seed % 2)
        world.kill(victim, silently: seed % 3 == 0)
        world.run(for: .seconds(world.random.next(below: 1_000)))
        world.restart(victim, registry: registry)
        #expect(world.run(for: .seconds(460)) { world.isWhole })
        world.run(for: .seconds(300))
        #expect(world.isWhole)
        #expect(world.violations == [])
    }

    @Test("a frozen masternode is found within 90 s, a frozen regular peer within 60 s", arguments: [Role.masternode, .regular])
    func frozen(role: Role) {
        let world = World(seed: 7)
        world.add(role: .masternode)
        world.add(role: role)
        if role == .masternode { world.startAll(registry: [World.endpoint(1)]) } else {
            world.tell(0, .connect(World.endpoint(1)))
            world.startAll(registry: [])
        }
        #expect(world.run(for: .seconds(60)) { world.believes(0, in: 1) })
        world.run(for: .seconds(100))
        let frozenAt = world.now
        world.nodes[1].isFrozen = true
        #expect(world.run(for: .seconds(200)) { world.nodes[0].downs == [.keepaliveTimeout] })
        let took = world.now - frozenAt
        #expect(took <= (role == .masternode ? .seconds(90) : .seconds(60)))
        #expect(took >= .seconds(20))
        #expect(world.violations == [])
    }

    @Test("ten masternodes that start at one instant become a full mesh with one link a pair", arguments: 1...10)
    func tenAtOnce(seed: UInt64) {
        let world = World(seed: seed)
        let registry = (0..<10).map { World.endpoint($0) }
        for _ in 0..<10 { world.add() }
        world.startAll(registry: registry)
        #expect(world.run(for: .seconds(90)) { world.isWhole })
        world.run(for: .seconds(300))
        #expect(world.isWhole)
        #expect(world.violations == [])
    }

    @Test("simultaneous dials end with one link, the same on both sides", arguments: 1...50)
    func simultaneousDials(seed: UInt64) {
        let world = World(seed: seed)
        // Regular peers have no direction: both dial at once.
        let states = seed % 3 != 0
        world.add(role: .regular, knowsItself: states)
        world.add(role: .regular, knowsItself: states || seed % 2 == 0)
        world.tell(0, .connect(World.endpoint(1)))
        world.tell(1, .connect(World.endpoint(0)))
        world.startAll(registry: [])
        // Before any backoff could repair a mutual close.
        world.run(for: .seconds(3))
        #expect(world.links(0, 1) == 1)
        let survivor = world.connections.count
        world.run(for: .seconds(120))
        #expect(world.links(0, 1) == 1)
        #expect(world.connections.count == survivor, "nobody dialled again")
        world.run(for: .seconds(600))
        #expect(world.links(0, 1) == 1)
        #expect(world.violations == [])
    }

    @Test("a masternode is never given up: after a week of silence it is still dialled every 300 s ±20 %")
    func neverGivenUp() {
        let (world, registry) = pair()
        world.add(role: .regular)
        world.kill(1, silently: true)
        world.startAll(registry: registry)
        world.run(for: .seconds(7 * 86_400))
        let peer = world.nodes[0].mesh.peer(at: registry[1], now: world.now)
        #expect(peer?.view == .dormant || peer?.view == .dialing)
        func dials() -> Int { world.connections.count { $0.ends[0].node == 0 && $0.to == registry[1] } }
        let before = dials()
        world.run(for: .seconds(3_600))
        #expect((9...16).contains(dials() - before))
        world.restart(1, registry: registry)
        #expect(world.run(for: .seconds(400)) { world.links(0, 1) == 1 })
        #expect(world.violations == [])
    }

    @Test("a peer that lost power and came back replaces its ghost within the probe's time", arguments: 1...20)
    func ghost(seed: UInt64) {
        let (world, registry) = pair(seed: seed)
        world.startAll(registry: registry)
        #expect(world.run(for: .seconds(60)) { world.isWhole })
        world.run(for: .seconds(40 + world.random.next(below: 200)))
        world.kill(0, silently: true)
        world.restart(0, registry: registry)
        #expect(world.run(for: .seconds(7)) { world.isWhole }, "the ghost kept the newcomer out")
        #expect(world.violations == [])
    }

    @Test("a live incumbent is not kicked out by a liar at its address who states its endpoint", arguments: 1...10)
    func liarIsRefused(seed: UInt64) {
        let (world, registry) = pair(seed: seed)
        world.startAll(registry: registry)
        #expect(world.run(for: .seconds(60)) { world.isWhole })
        world.run(for: .seconds(60))
        let liar = world.add(role: .regular, at: registry[1]) { $0.dialRate = 64 }
        // The listener at that endpoint is the real one's; the liar only dials.
        world.tell(liar, .ownEndpoint(registry[1]))
        world.tell(liar, .connect(registry[0]))
        world.tell(liar, .start)
        world.run(for: .seconds(600))
        #expect(world.links(0, 1) == 1)
        #expect(world.links(0, liar) == 0)
        #expect(world.nodes[0].downs == [] && world.nodes[1].downs == [])
        #expect(world.violations == [])
    }

    @Test("a liar who took the row while the peer was away loses it to the verifying dial", arguments: 1...10)
    func liarIsDislodged(seed: UInt64) {
        let (world, registry) = pair(seed: seed)
        world.startAll(registry: registry)
        world.kill(1)
        let liar = world.add(role: .regular, at: registry[1])
        world.tell(liar, .connect(registry[0]))
        world.tell(liar, .start)
        #expect(world.run(for: .seconds(60)) { world.links(0, liar) == 1 })
        world.run(for: .seconds(60))
        world.restart(1, registry: registry)
        #expect(world.run(for: .seconds(120)) { world.links(0, 1) == 1 && world.believes(0, in: 1) })
        world.run(for: .seconds(300))
        #expect(world.links(0, 1) == 1)
        #expect(world.violations == [])
    }
}

@Suite("Found by the model checker")
struct CheckedTests {
    @Test("a held newcomer is answered when its incumbent is replaced by a third link")
    func heldNewcomerIsAnswered() {
        var h = Harness(started: false, own: peer(1))
        _ = h.tell(.connect(peer(2)))
        let actions = h.tell(.start)
        guard case .dial(let dial, _)? = actions.first else {
            Issue.record("no dial")
            return
        }
        _ = h.tell(.connected(dial))
        // Two links of the peer come in while our dial waits for its answer: the second is held against the first.
        let (first, verdict) = h.inbound(peer: peer(2), nonce: 2)
        #expect(verdict == .accepted)
        let second = h.accept(from: Endpoint(peer(2).address, port: 40_777))!
        _ = h.tell(.hello(second, Hello(isNative: true, endpoint: peer(2), nonce: 2)))
        #expect(h.mesh.link(second)?.state == .held)
        // Our dial wins by order over the first: the held one must not wait for an incumbent that is gone.
        let after = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(2), nonce: 2, verdict: .accepted)))
        #expect(h.mesh.link(dial)?.state == .established)
        #expect(h.mesh.link(first!)?.state == .draining)
        #expect(after.contains { if case .answer(second, .duplicate, _) = $0 { true } else { false } })
    }
}
