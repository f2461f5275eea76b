import Glibc
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Daemon
@testable import Reactor

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}

@Suite("A node's named peers")
struct KeeperTests {
    @Test("a name whose first address is dead is linked at its second one, off the loop's thread, by itself", arguments: [true, false])
    func secondAddress(isMasternode: Bool) throws {
        // Nobody listens at the second address with this port.
        let scene = try NameScene(address: 61) { _, live, _ in [Endpoint(IPAddress(v4: 127, 0, 61, 2), port: live.port), live] }
        let name = "two.test:\(scene.live.port)"
        scene.keeper.want(isMasternode ? scene.settings(masternodes: [name]) : scene.settings(peers: [name]))
        scene.wait { scene.isLinked }
        let dead = scene.here.peer(at: Endpoint(IPAddress(v4: 127, 0, 61, 2), port: scene.live.port))
        #expect(dead?.desire.isDisjoint(with: [.operator, .registry]) != false, "the name is one desire, and it moved")
        #expect(scene.here.peer(at: scene.live)?.desire.contains(isMasternode ? .registry : .operator) == true)
    }

    @Test("a peer that is listed by name and by address keeps its link when either is taken away, and loses it with the last", arguments: [true, false])
    func bothWays(isNameFirst: Bool) throws {
        let scene = try NameScene(address: 62) { _, live, _ in [live] }
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
        let scene = try NameScene(address: 63) { _, live, own in
            asked.next() < 3 ? [own] : [live]
        }
        scene.keeper.want(scene.settings(masternodes: ["moving.test:\(scene.live.port)"]))
        scene.wait { scene.isLinked }
        #expect(scene.here.peer(at: scene.live)?.desire.contains(.registry) == true)
        #expect(scene.here.peer(at: scene.own)?.desire.contains(.registry) != true)
    }

    @Test("a name whose address the operator bans is linked at its next one")
    func banned() throws {
        let scene = try NameScene(address: 64) { _, live, _ in [Endpoint(IPAddress(v4: 127, 0, 64, 2), port: live.port), live] }
        scene.here.handle(.ban(Subnet(IPAddress(v4: 127, 0, 64, 2)), until: .never, by: .operator))
        scene.keeper.want(scene.settings(masternodes: ["two.test:\(scene.live.port)"]))
        scene.wait { scene.isLinked }
    }

    @Test("an operator's disconnect ends the wish of the names that stand for the address, too")
    func disconnected() throws {
        let scene = try NameScene(address: 65) { _, live, _ in [live] }
        scene.keeper.want(scene.settings(peers: ["a.test:\(scene.live.port)"]))
        scene.wait { scene.isLinked }
        scene.keeper.perform(.disconnect(scene.live))
        scene.wait { !scene.isLinked }
        for _ in 0..<20 { scene.loop.runOnce(.noWait) }
        #expect(scene.here.peer(at: scene.live)?.desire.contains(.operator) != true)
    }
}
