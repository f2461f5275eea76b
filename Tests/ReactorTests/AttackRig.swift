// A node with 32 masternode links, and strangers that do to it what the test wants: what must hold meanwhile is asked of it here.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// One node under attack. All on one loop: strangers act between its iterations.
final class AttackRig {
    static let masternodeCount = 32

    let world: TestWorld
    let victim: TestNode
    let masternodes: [TestNode]
    private(set) var strangers: [RawPeer] = []

    /// A node that has `masternodeCount` masternodes linked. Pings go every 100 ms, to be counted; one is missed after 2 s.
    init(_ adjust: (inout NodeSettings) -> Void = { _ in }) throws {
        world = try TestWorld()
        func rules(_ settings: inout NodeSettings) {
            settings.mesh.pingInterval = .milliseconds(100)
            settings.mesh.pongTimeout = .seconds(2)
            settings.mesh.masternodeMisses = 2
            settings.mesh.dialRate = 10_000
            // They know the victim and nobody else.
            settings.mesh.intakeBurst = 0
        }
        victim = try TestNode(world: world, address: 200, wire: TimeWire(network: .mainnet)) {
            rules(&$0)
            adjust(&$0)
        }
        victim.node.start()
        var masternodes: [TestNode] = []
        for index in 0..<Self.masternodeCount {
            let other = try TestNode(world: world, address: UInt8(1 + index), wire: TimeWire(network: .mainnet), rules)
            other.node.handle(.registered(victim.endpoint))
            victim.node.handle(.registered(other.endpoint))
            other.node.start()
            masternodes.append(other)
        }
        self.masternodes = masternodes
        try #require(world.run { self.linked == Self.masternodeCount && self.victim.application.live.count == self.linked })
    }

    /// How many masternodes have a link.
    var linked: Int { masternodes.filter { !$0.application.live.isEmpty }.count }

    /// Links of masternodes that the victim lost. Two dials that crossed become one link, which is no loss.
    var lost: [CloseReason] {
        victim.application.downs.filter { $0.info.role == .masternode && $0.reason != .superseded && $0.reason != .duplicate }.map(\.reason)
    }

    /// The share that strangers have of the victim's memory, and all of it, at most so far.
    var peaks: (strangers: Int, all: Int) { (victim.node.memory.strangers.peak, victim.node.memory.pool.peak) }

    /// Established strangers, each from a net of its own.
    func addStrangers(_ count: Int, receiveBuffer: Int32? = nil) throws -> [RawPeer] {
        var added: [RawPeer] = []
        for _ in 0..<count {
            let index = strangers.count
            let source = IPAddress(v4: 127, UInt8(20 + index), UInt8(index), 1)
            let stranger = try RawPeer(to: victim.endpoint, source: source, receiveBuffer: receiveBuffer)
            strangers.append(stranger)
            added.append(stranger)
            stranger.say(RawPeer.hello())
            let ups = victim.application.ups.count
            try #require(world.run { self.victim.application.ups.count > ups })
        }
        return added
    }

    /// Runs until `condition` holds, and no shorter than `milliseconds`; the round trips of the victim's pings meanwhile.
    func pings(milliseconds: UInt64, until condition: () -> Bool = { true }) -> TimeHistogram {
        let before = victim.node.counters.roundTrips
        let end = Instant(nanoseconds: cepoll_monotonic()) + .milliseconds(milliseconds)
        #expect(world.run { self.world.loop.now >= end && condition() })
        return victim.node.counters.roundTrips - before
    }

    /// A masternode that the victim is told of, and that calls, now: whether a link stands in time.
    func newcomerIsLinked() throws -> Bool {
        let other = try TestNode(world: world, address: 100, wire: TimeWire(network: .mainnet))
        other.node.handle(.registered(victim.endpoint))
        victim.node.handle(.registered(other.endpoint))
        other.node.start()
        return world.run(seconds: 15) { other.application.live.count == 1 }
    }

    static func milliseconds(_ span: Nanoseconds) -> Double { Double(span.count) / 1_000_000 }

    /// One line of figures, for whoever runs the test by hand.
    func tell(_ name: String, calm: TimeHistogram, during: TimeHistogram) {
        let node = victim.node
        print(
            "\(name): masternode links lost \(lost.count); pings p50/p99 calm \(Self.milliseconds(calm.quantile(0.5)))/"
                + "\(Self.milliseconds(calm.quantile(0.99))) ms, attacked \(Self.milliseconds(during.quantile(0.5)))/"
                + "\(Self.milliseconds(during.quantile(0.99))) ms (\(during.count) pings); peak of strangers \(peaks.strangers >> 10) KiB, of all "
                + "\(peaks.all >> 10) KiB of \(node.memory.pool.limit >> 10); rests \(node.counters.memoryPauses), closed \(node.counters.memoryCloses)"
        )
    }
}
