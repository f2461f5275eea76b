import Glibc
import PeerMesh
import Testing
import Timers

@testable import Daemon
@testable import Reactor

/// Ends a test's loop that waits for what does not come.
private final class Limit: Source {
    var isOver = false
    override func timerFired(tag: UInt32) { isOver = true }
}

@Suite("A node's named peers")
struct KeeperTests {
    private func settings() -> MeshSettings {
        var mesh = MeshSettings(nonce: .random(in: 1 ... .max), seed: .random(in: 1 ... .max))
        mesh.backoffInitial = .milliseconds(20)
        mesh.backoffMax = .milliseconds(40)
        mesh.bookCapacity = 64
        return mesh
    }

    @Test("a name whose first address is dead is linked at its second one, off the loop's thread, by itself")
    func secondAddress() throws {
        let loop = try EventLoop()
        let there = try PeerNode(
            loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(mesh: settings()), handler: PeerHandler()
        )
        let live = try there.listen(on: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 0))
        there.handle(.ownEndpoint(live))
        there.start()
        // Nobody listens at 127.0.0.2 with this port.
        let dead = Endpoint(IPAddress(v4: 127, 0, 0, 2), port: live.port)

        let handler = DaemonHandler()
        let here = try PeerNode(
            loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(mesh: settings()), handler: handler
        )
        let log = Log(LogSettings(), records: try #require(here.transitions))
        let loopThread = pthread_self()
        let resolver = try Resolver(names: [PeerName("two.test:\(live.port)")!]) { _ in
            #expect(pthread_equal(pthread_self(), loopThread) == 0)
            return ([dead, live], 0)
        } say: {
            log.sayFromResolver($0)
        }
        let keeper = NodeDaemon.Keeper(node: here, log: log, resolver: resolver, names: NamedPeers([.peer], pinned: []))
        handler.keeper = keeper
        try keeper.begin(OperatorDesk(mailbox: loop.mailbox))
        here.start()

        let limit = Limit()
        loop.arm(loop.makeTimer(source: limit, tag: 0), at: loop.now + .seconds(120))
        while !limit.isOver, here.peer(at: live)?.established == nil { loop.runOnce() }
        #expect(here.peer(at: live)?.established != nil)
        #expect(here.peer(at: dead)?.desire.contains(.operator) != true, "the name is one desire, and it moved")
        resolver.stop()
    }
}
