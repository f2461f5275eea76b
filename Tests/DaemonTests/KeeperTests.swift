import Glibc
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Daemon
@testable import Reactor

/// Ends a test's loop that waits for what does not come.
private final class Limit: Source {
    var isOver = false
    override func timerFired(tag: UInt32) { isOver = true }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}

/// A node with a keeper, and another node that it may link to, on one loop; names mean what the test says.
private final class Scene {
    let loop: EventLoop
    let there: PeerNode
    let here: PeerNode
    let handler = DaemonHandler()
    let keeper: NodeDaemon.Keeper
    let resolver: Resolver
    let desk: OperatorDesk
    let live: Endpoint
    let own: Endpoint
    private let limit = Limit()

    init(address: UInt8, answer: @escaping @Sendable (PeerName, Endpoint, Endpoint) -> [Endpoint]) throws {
        func settings() -> MeshSettings {
            var mesh = MeshSettings(nonce: .random(in: 1 ... .max), seed: .random(in: 1 ... .max))
            mesh.backoffInitial = .milliseconds(20)
            mesh.backoffMax = .milliseconds(40)
            mesh.bookCapacity = 64
            return mesh
        }
        loop = try EventLoop()
        let wire = TimeWire(network: .reactor)
        there = try PeerNode(loop: loop, wire: wire, settings: NodeSettings(mesh: settings()), handler: PeerHandler())
        live = try there.listen(on: Endpoint(IPAddress(v4: 127, 0, address, 1), port: 0))
        there.handle(.ownEndpoint(live))
        there.start()
        here = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(mesh: settings()), handler: handler)
        own = try here.listen(on: Endpoint(IPAddress(v4: 127, 0, address, 3), port: 0))
        here.handle(.ownEndpoint(own))
        let log = Log(LogSettings(), records: try #require(here.transitions))
        let loopThread = pthread_self()
        var timing = NameTable.Timing()
        (timing.refresh, timing.firstRetry) = (.milliseconds(20), .milliseconds(1))
        let (live, own) = (live, own)
        resolver = try Resolver(timing: timing, acceptsLoopback: true) { name in
            #expect(pthread_equal(pthread_self(), loopThread) == 0)
            return (answer(name, live, own), 0)
        } say: {
            log.say($0)
        }
        desk = OperatorDesk(mailbox: loop.mailbox, names: resolver)
        keeper = NodeDaemon.Keeper(node: here, log: log, resolver: resolver)
        keeper.bound = [own]
        handler.keeper = keeper
        try keeper.begin(desk)
        here.start()
        loop.arm(loop.makeTimer(source: limit, tag: 0), at: loop.now + .seconds(120))
    }

    func settings(masternodes: [String] = [], peers: [String] = []) -> NodeConfiguration {
        var configuration = NodeConfiguration.blank
        configuration.masternodes = masternodes.map { PeerName($0)! }
        configuration.peers = peers.map { PeerName($0)! }
        return configuration
    }

    func wait(until condition: () -> Bool) {
        while !limit.isOver, !condition() { loop.runOnce() }
        #expect(!limit.isOver)
    }

    var isLinked: Bool { here.peer(at: live)?.established != nil }

    deinit { resolver.stop() }
}

@Suite("A node's named peers")
struct KeeperTests {
    @Test("a name whose first address is dead is linked at its second one, off the loop's thread, by itself", arguments: [true, false])
    func secondAddress(isMasternode: Bool) throws {
        // Nobody listens at the second address with this port.
        let scene = try Scene(address: 61) { _, live, _ in [Endpoint(IPAddress(v4: 127, 0, 61, 2), port: live.port), live] }
        let name = "two.test:\(scene.live.port)"
        scene.keeper.want(isMasternode ? scene.settings(masternodes: [name]) : scene.settings(peers: [name]))
        scene.wait { scene.isLinked }
        let dead = scene.here.peer(at: Endpoint(IPAddress(v4: 127, 0, 61, 2), port: scene.live.port))
        #expect(dead?.desire.isDisjoint(with: [.operator, .registry]) != false, "the name is one desire, and it moved")
        #expect(scene.here.peer(at: scene.live)?.desire.contains(isMasternode ? .registry : .operator) == true)
    }

    @Test("a peer that is listed by name and by address keeps its link when either is taken away, and loses it with the last", arguments: [true, false])
    func bothWays(isNameFirst: Bool) throws {
        let scene = try Scene(address: 62) { _, live, _ in [live] }
        let (name, address) = ("a.test:\(scene.live.port)", scene.live.description)
        let both = scene.settings(peers: [name, address])
        let one = scene.settings(peers: [isNameFirst ? address : name])
        scene.keeper.want(both)
        scene.wait { scene.isLinked && scene.resolver.reports.first?.current == scene.live }
        let link = scene.here.peer(at: scene.live)?.established
        func change(_ old: NodeConfiguration, _ new: NodeConfiguration) {
            scene.keeper.apply(SettingsChange(old: old, new: new))
            let (before, after) = (Set(old.namedPeers), Set(new.namedPeers))
            #expect(scene.desk.change(names: Array(after.subtracting(before)), removed: Array(before.subtracting(after)), by: .settings) == .posted)
            scene.loop.runOnce(.noWait)
        }
        change(both, one)
        for _ in 0..<20 { scene.loop.runOnce(.noWait) }
        #expect(scene.here.peer(at: scene.live)?.established == link && scene.here.peer(at: scene.live)?.desire.contains(.operator) == true)
        change(one, scene.settings())
        scene.wait { !scene.isLinked }
        // A name that comes with a reload is looked up at once.
        change(scene.settings(), scene.settings(peers: [name]))
        scene.wait { scene.isLinked }
    }

    @Test("a masternode's name that means ourselves now is asked again, and linked when it means another")
    func onceOurselves() throws {
        let asked = Counter()
        let scene = try Scene(address: 63) { _, live, own in
            asked.next() < 3 ? [own] : [live]
        }
        scene.keeper.want(scene.settings(masternodes: ["moving.test:\(scene.live.port)"]))
        scene.wait { scene.isLinked }
        #expect(scene.here.peer(at: scene.live)?.desire.contains(.registry) == true)
        #expect(scene.here.peer(at: scene.own)?.desire.contains(.registry) != true)
    }

    @Test("a name whose address the operator bans is linked at its next one")
    func banned() throws {
        let scene = try Scene(address: 64) { _, live, _ in [Endpoint(IPAddress(v4: 127, 0, 64, 2), port: live.port), live] }
        scene.here.handle(.ban(Subnet(IPAddress(v4: 127, 0, 64, 2)), until: .never, by: .operator))
        scene.keeper.want(scene.settings(masternodes: ["two.test:\(scene.live.port)"]))
        scene.wait { scene.isLinked }
    }

    @Test("an operator's disconnect ends the wish of the names that stand for the address, too")
    func disconnected() throws {
        let scene = try Scene(address: 65) { _, live, _ in [live] }
        scene.keeper.want(scene.settings(peers: ["a.test:\(scene.live.port)"]))
        scene.wait { scene.isLinked }
        scene.keeper.perform(.disconnect(scene.live))
        scene.wait { !scene.isLinked }
        for _ in 0..<20 { scene.loop.runOnce(.noWait) }
        #expect(scene.here.peer(at: scene.live)?.desire.contains(.operator) != true)
    }
}
