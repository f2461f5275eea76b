// A small network for tests: nodes on real loopback sockets, all on one loop, run until something holds or time is up.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// The application of one node: remembers what it was told.
final class Application: PeerHandler {
    struct Up { let link: LinkID; let info: LinkInfo }
    struct Down { let link: LinkID; let info: LinkInfo; let reason: CloseReason }

    var ups: [Up] = []
    var downs: [Down] = []
    /// Established now.
    var live: [LinkID] = []
    var highs = 0
    var lows = 0
    var results: [(UInt64, SendResult)] = []
    var isStopped = false
    var onFrame: ((MessageType, RawSpan, LinkID) -> Void)?
    var onLow: ((LinkID) -> Void)?
    var frames = 0

    /// Lets go of what the test's closures hold.
    func forget() {
        onFrame = nil
        onLow = nil
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        ups.append(Up(link: link, info: info))
        live.append(link)
    }

    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        downs.append(Down(link: link, info: info, reason: reason))
        live.removeAll { $0 == link }
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        frames += 1
        onFrame?(type, body, link)
    }

    override func highWater(_ link: LinkID) { highs += 1 }

    override func lowWater(_ link: LinkID) {
        lows += 1
        onLow?(link)
    }

    override func sendResult(_ token: UInt64, _ result: SendResult, _ link: LinkID) { results.append((token, result)) }
    override func stopped() { isStopped = true }
}

/// Wakes the loop, so that a condition is looked at now and then.
private final class Metronome: Source {
    let loop: EventLoop
    var timer: TimerID?

    init(loop: EventLoop) {
        self.loop = loop
        super.init()
        timer = loop.makeTimer(source: self, tag: 0)
        loop.arm(timer!, at: loop.now + .milliseconds(5))
    }

    func end() {
        if let timer { loop.destroy(timer) }
        timer = nil
    }

    override func timerFired(tag: UInt32) {
        loop.arm(timer!, at: loop.now + .milliseconds(5))
    }
}

/// One node of a test, with its application.
final class TestNode {
    let node: PeerNode
    let application = Application()
    let endpoint: Endpoint

    /// A node at 127.0.7.`address`, which its dials come from, too.
    convenience init(
        world: TestWorld, address: UInt8, port: UInt16 = 0, wire: any Wire = TimeWire(network: .reactor),
        role: Role = .masternode, _ adjust: (inout NodeSettings) -> Void = { _ in }
    ) throws {
        let ip = IPAddress(v4: 127, 0, 7, address)
        try self.init(world: world, endpoint: Endpoint(ip, port: port), wire: wire, role: role) {
            $0.dialFrom = ip
            adjust(&$0)
        }
    }

    init(
        world: TestWorld, endpoint: Endpoint, wire: any Wire = TimeWire(network: .reactor), role: Role = .masternode,
        _ adjust: (inout NodeSettings) -> Void
    ) throws {
        var nonce: UInt64 = 0
        _ = cepoll_random(&nonce)
        var settings = NodeSettings(mesh: MeshSettings(nonce: nonce, seed: nonce &* 31))
        settings.mesh.role = role
        settings.mesh.backoffInitial = .milliseconds(100)
        settings.mesh.backoffMax = .milliseconds(800)
        settings.mesh.passiveWait = .milliseconds(300)
        settings.mesh.drainTimeout = .milliseconds(500)
        adjust(&settings)
        node = try PeerNode(loop: world.loop, wire: wire, settings: settings, handler: application)
        self.endpoint = try node.listen(on: endpoint)
        node.handle(.ownEndpoint(self.endpoint))
        world.nodes.append(self)
    }
}

/// A loop and its nodes.
final class TestWorld {
    let loop: EventLoop
    private let metronome: Metronome
    var nodes: [TestNode] = []

    init(_ configuration: EventLoop.Configuration = EventLoop.Configuration()) throws {
        loop = try EventLoop(configuration)
        metronome = Metronome(loop: loop)
    }

    /// The loop keeps what is on it alive: whatever a test left there ends here.
    deinit {
        for node in nodes {
            node.node.abandon()
            node.application.forget()
        }
        metronome.end()
        loop.runOnce(.noWait)
    }

    /// Runs until `condition` holds; false if it did not within `seconds`.
    func run(seconds: UInt64 = 120, until condition: () -> Bool) -> Bool {
        let end = Instant(nanoseconds: cepoll_monotonic()) + .seconds(seconds)
        while !condition() {
            loop.runOnce(.wait)
            if loop.now > end { return condition() }
        }
        return true
    }

    /// Runs for a while, to show that nothing happens.
    func run(milliseconds: UInt64) {
        let end = Instant(nanoseconds: cepoll_monotonic()) + .milliseconds(milliseconds)
        while loop.now < end { loop.runOnce(.wait) }
    }

    /// Two nodes that know each other as masternodes, linked.
    func linkedPair(
        _ address: UInt8, _ adjust: (inout NodeSettings) -> Void = { _ in }
    ) throws -> (TestNode, TestNode) {
        let left = try TestNode(world: self, address: address, adjust)
        let right = try TestNode(world: self, address: address + 1, adjust)
        left.node.handle(.registered(right.endpoint))
        right.node.handle(.registered(left.endpoint))
        left.node.start()
        right.node.start()
        let isLinked = run { left.application.live.count == 1 && right.application.live.count == 1 }
        try #require(isLinked)
        return (left, right)
    }
}
