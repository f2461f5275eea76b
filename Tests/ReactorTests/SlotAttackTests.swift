// Strangers that want a node's slots, on real sockets: what they get, and who is linked all the same.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Attacks on slots", .serialized, .ownThread)
struct SlotAttackTests {
    private func rig() throws -> AttackRig {
        // Strangers here never pong; they are to stay.
        try AttackRig { $0.mesh.regularMisses = 10_000 }
    }

    /// Says hello from `source`, and waits until it is answered. The victim's strangers, linked.
    private func call(_ rig: AttackRig, from source: IPAddress) throws -> RawPeer {
        let stranger = try RawPeer(to: rig.victim.endpoint, source: source)
        stranger.say(RawPeer.hello())
        let isAnswered = rig.world.run {
            stranger.listen()
            return !stranger.heard.isEmpty || stranger.isEnded
        }
        try #require(isAnswered)
        return stranger
    }

    private func strangers(_ rig: AttackRig) -> Int {
        rig.victim.application.ups.filter { up in up.info.role == .regular && rig.victim.application.live.contains(up.link) }.count
    }

    /// The operator's peer and a masternode are linked, and a newcomer from elsewhere; no masternode's link was lost.
    private func newcomers(_ rig: AttackRig, _ name: String, calm: TimeHistogram) throws {
        let began = Instant(nanoseconds: cepoll_monotonic())
        let ups = rig.victim.application.ups.count
        let newcomer = try call(rig, from: IPAddress(v4: 127, 250, 1, 1))
        #expect(rig.victim.application.ups.count == ups + 1 && !newcomer.isEnded, "a newcomer is linked at its first call")
        let greeted = rig.world.loop.now - began
        let friend = try TestNode(world: rig.world, address: 101, wire: TimeWire(network: .mainnet), role: .regular) {
            // It knows the victim and nobody else.
            $0.mesh.intakeBurst = 0
        }
        friend.node.start()
        rig.victim.node.handle(.connect(friend.endpoint))
        func isFriendLinked() -> Bool {
            let application = rig.victim.application
            return application.ups.contains { $0.info.peer == friend.endpoint && application.live.contains($0.link) }
        }
        #expect(rig.world.run(seconds: 15, until: isFriendLinked), "the operator's peer is linked")
        let isLinked = try rig.newcomerIsLinked()
        #expect(isLinked, "a masternode that calls meanwhile is linked")
        let during = rig.pings(milliseconds: 300)
        #expect(isFriendLinked())
        #expect(rig.lost.isEmpty, "\(rig.lost)")
        rig.tell(name, calm: calm, during: during)
        print("\(name): strangers linked \(strangers(rig)); newcomer linked after \(AttackRig.milliseconds(greeted)) ms")
    }

    @Test("one address opens two hundred links and has eight; the operator's peer, a masternode and a newcomer are linked")
    func oneAddress() throws {
        let rig = try rig()
        let calm = rig.pings(milliseconds: 300)
        var attackers: [RawPeer] = []
        for _ in 0..<200 { attackers.append(try call(rig, from: IPAddress(v4: 127, 66, 6, 6))) }
        #expect(strangers(rig) == 8)
        try newcomers(rig, "two hundred links from one address", calm: calm)
        _ = attackers
    }

    @Test("three hundred attackers of two hundred nets keep out neither the operator's peer nor a masternode nor a newcomer")
    func manyNets() throws {
        let rig = try rig()
        let calm = rig.pings(milliseconds: 300)
        var attackers: [RawPeer] = []
        for index in 0..<300 { attackers.append(try call(rig, from: IPAddress(v4: 127, UInt8(10 + index % 200), UInt8(index / 200), 1))) }
        let settings = MeshSettings(nonce: 0, seed: 0)
        // The 32 masternodes have two slots more than are reserved for them.
        #expect(strangers(rig) == Int(settings.regularSlots - settings.effectiveOutboundSlots) - 2)
        try newcomers(rig, "three hundred attackers", calm: calm)
        _ = attackers
    }
}
