// A link's life at its edges: reports that come twice or too late, and who is nobody's victim.

import Testing
import Timers

@testable import PeerMesh

@Suite("Links, at their boundaries")
struct LinkRuleTests {
    private func report(_ h: borrowing Harness, _ index: Int) -> PeerReport? { h.mesh.peer(at: peer(index), now: h.now) }

    private func events(_ link: LinkID) -> [Event] {
        [
            .connected(link), .dialFailed(link, .refused), .received(link, frames: 1, partial: 3), .sent(link, bytes: 9, controlEmpty: true),
            .hello(link, Hello(isNative: true, endpoint: peer(3), nonce: 4)), .ping(link, nonce: 1), .pong(link, nonce: 1), .asked(link),
            .learnt(link, peer(8)), .ended(link, .remoteClosed),
        ]
    }

    @Test("what is reported of a link that is over changes nothing, though its slot has no later use; nor of a slot beyond the table")
    func over() {
        var h = Harness()
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.ended(link, .remoteClosed))
        let before = h.mesh.stableHash()
        for event in events(link) + events(LinkID(slot: h.mesh.settings.linkCapacity, generation: 0)) { #expect(h.tell(event) == []) }
        #expect(h.mesh.stableHash() == before)
    }

    @Test("a connection that is reported twice, and a dial that fails after it stood, change nothing")
    func twice() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        let link = report(h, 1)!.dial!
        #expect(h.tell(.connected(link)) == [.greet(link)])
        _ = h.wait(.seconds(1))
        #expect(h.tell(.connected(link)) == [])
        #expect(h.tell(.dialFailed(link, .refused)) == [])
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(14))
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .accepted)))
        #expect(h.tell(.connected(link)) == [])
        #expect(h.tell(.hello(link, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .full))) == [])
        #expect(h.mesh.link(link)?.state == .established)
    }

    @Test("an error is no sign of life of our own network, a refusal is")
    func signs() {
        for (reason, failures) in [(CloseReason.io(113), 0), (.refused, 1)] as [(CloseReason, UInt32)] {
            var h = Harness()
            _ = h.tell(.connect(peer(1)))
            _ = h.tell(.dialFailed(report(h, 1)!.dial!, reason))
            #expect(h.failures(peer(1)) == failures)
        }
    }

    @Test("a socket whose newcomer is held is not given up for a registered address, and one that says nothing is")
    func heldIsNoVictim() {
        for isHeld in [true, false] {
            var h = Harness { $0.pendingLimit = 1 }
            _ = h.tell(.registered(peer(300)))
            let first = h.inbound(peer: peer(1), nonce: 1).0!
            let pending = h.accept(from: Endpoint(peer(1).address, port: 2))!
            if isHeld { _ = h.tell(.hello(pending, Hello(isNative: true, endpoint: peer(1), nonce: 1))) }
            #expect((h.accept(from: Endpoint(peer(300).address, port: 3)) == nil) == isHeld)
            #expect(h.mesh.link(first)?.state == .established)
            #expect((h.mesh.link(pending)?.state == .held) == isHeld)
        }
    }

    @Test("each close reason scores and drains by its own row of the table, and a link that was never established tells no application")
    func quiet() {
        var h = Harness()
        let pending = h.accept(from: peer(1))!
        let actions = h.tell(.ended(pending, .remoteClosed))
        #expect(actions == [.close(pending, .remoteClosed)])
        _ = h.tell(.connect(peer(2)))
        let dial = report(h, 2)!.dial!
        // A dial in flight has nobody to drain for.
        #expect(h.tell(.disconnect(peer(2))) == [.close(dial, .operator)])
    }

    @Test("the diary of a link of the first row names its peer, not the address that it comes from, and the next step")
    func diary() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var settings = MeshSettings(nonce: 1, seed: 1)
        settings.jitterPercent = 0
        var mesh = Mesh(settings, now: now)
        mesh.handle(.registered(peer(1)), at: now)
        mesh.handle(.start, at: now)
        mesh.handle(.accepted(ticket: 1, from: Endpoint(peer(1).address, port: 40_000)), at: now)
        var adopted: LinkID?
        while let action = mesh.nextAction() { if case .adopt(_, let link) = action { adopted = link } }
        mesh.handle(.hello(adopted!, Hello(isNative: true, endpoint: peer(1), nonce: 5)), at: now)
        while mesh.nextAction() != nil {}
        while mesh.nextTransition() != nil {}
        mesh.handle(.dialFailed(mesh.peer(at: peer(1), now: now)?.dial ?? adopted!, .refused), at: now)
        mesh.handle(.ended(adopted!, .remoteClosed), at: now)
        var ended: Transition?
        while mesh.nextAction() != nil {}
        while let transition = mesh.nextTransition() {
            if case .link(adopted!, from: .established, to: .closed, direction: .inbound) = transition.subject { ended = transition }
        }
        #expect(ended?.endpoint == peer(1))
        #expect(ended?.isPeer == true && ended?.role == .masternode)
        #expect(ended?.next == now + .seconds(5))
        #expect(ended?.reason == .remoteClosed && ended?.failures == 1)
    }

    @Test("a mesh tells of its links what they are, also of those that are nobody's, in the first row and beyond it")
    func tally() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        _ = h.inbound(peer: peer(1), nonce: 1)
        _ = h.inbound(Hello(isNative: true, nonce: 9), from: peer(9))
        let over = h.inbound(peer: peer(2), nonce: 2).0!
        _ = h.tell(.ended(over, .remoteClosed))
        _ = h.tell(.disconnect(peer(2)))
        var peers: [Endpoint] = []
        h.mesh.forEachPeer(at: h.now) { peers.append($0.endpoint) }
        #expect(peers == [peer(1)] && h.mesh.rowLimit == 2)
        var roles: [Role] = []
        h.mesh.forEachLinkState { _, role, _, state in
            #expect(state != .closed)
            roles.append(role)
        }
        #expect(roles.filter { $0 == .masternode }.count == 1)
        #expect(roles.count == h.mesh.census().establishedMasternodes + h.mesh.census().establishedRegular + h.mesh.census().dialingMasternodes)
    }

    @Test("whose turn it is to dial is told by the rule of direction, and nobody's without an endpoint of our own")
    func turns() {
        for (own, turn) in [(0, DialTurn.ours), (5, .theirs), (nil, .either)] as [(Int?, DialTurn)] {
            var h = Harness(own: own.map(peer)) { $0.role = .masternode }
            _ = h.tell(.registered(peer(3)))
            #expect(report(h, 3)?.turn == turn)
        }
        var regular = Harness(own: peer(5))
        _ = regular.tell(.registered(peer(3)))
        #expect(report(regular, 3)?.turn == .either)
        // A wish of the registry's without an end has no next step by the clock.
        _ = regular.tell(.connect(peer(4)))
        #expect(report(regular, 4)?.nextStep == nil)
        _ = regular.tell(.dialFailed(report(regular, 4)!.dial!, .refused))
        #expect(report(regular, 4)?.nextStep == regular.now + .seconds(5))
    }

    @Test("addresses with points are told, and no other")
    func scores() {
        var h = Harness()
        let stranger = Endpoint(IPAddress(v4: 198, 51, 100, 7), port: 5)
        _ = h.tell(.ended(h.accept(from: stranger)!, .protocolViolation))
        var told: [UInt32] = []
        h.mesh.forEachScore(at: h.now) { _, points in told.append(points) }
        #expect(told == [20])
        told = []
        h.mesh.forEachScore(at: h.now + .seconds(6_000)) { _, points in told.append(points) }
        #expect(told == [])
    }

    @Test("a short session that the operator ends is no failure, one that the peer ends is")
    func whoEnds() {
        for (event, failures) in [(Event.disconnect(peer(1)), 0), (.ban(Subnet(peer(1).address), until: .never, by: .operator), 0)] as [(Event, UInt32)] {
            var h = Harness()
            _ = h.tell(.registered(peer(1)))
            let link = h.inbound(peer: peer(1), nonce: 1).0!
            _ = h.tell(event)
            #expect(h.mesh.link(link)?.state == .draining)
            #expect(h.failures(peer(1)) == failures)
        }
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.failures(peer(1)) == 1)
    }

    @Test("while a dial is in flight, in the first place of the table too, the end of a link begins no wait")
    func besideADial() {
        var h = Harness(own: peer(0))
        _ = h.tell(.connect(peer(1)))
        let dial = report(h, 1)!.dial!
        #expect(dial.slot == 0)
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        #expect(h.mesh.link(link)?.state == .established && h.mesh.link(dial)?.state == .connecting)
        _ = h.wait(.seconds(1))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(report(h, 1)?.schedule == Schedule.none)
        #expect(report(h, 1)?.dial == dial)
        #expect(h.mesh.peers[h.mesh.row(of: peer(1))].notBefore == .zero)
    }

    @Test("a disconnect of a learnt peer with a link and a dial ends both, and then its row")
    func disconnectsAll() {
        var h = Harness(own: peer(0))
        _ = h.tell(.connect(peer(1)))
        let dial = report(h, 1)!.dial!
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        #expect(report(h, 1)?.established == link && report(h, 1)?.dial == dial)
        let actions = h.tell(.disconnect(peer(1)))
        #expect(actions.contains(.drain(link, .operator)) && actions.contains(.close(dial, .operator)))
        #expect(report(h, 1) == nil)
    }

    @Test("a masternode waits its turn for no regular peer")
    func noTurnForRegular() {
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        _ = h.tell(.connect(peer(1)))
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        #expect(report(h, 1)?.schedule == .wait(until: h.now + .seconds(5), .backoff))
        #expect(report(h, 1)?.turn == .either)
    }

    @Test("who did nothing wrong takes no place in the table of scores")
    func harmless() {
        var h = Harness { $0.banCapacity = 1 }
        let abuser = Endpoint(IPAddress(v4: 198, 51, 100, 7), port: 5)
        for _ in 0..<4 { _ = h.tell(.ended(h.accept(from: abuser)!, .protocolViolation)) }
        _ = h.tell(.ended(h.accept(from: peer(9))!, .remoteClosed))
        #expect(h.mesh.census().bans == 0)
        _ = h.tell(.ended(h.accept(from: abuser)!, .protocolViolation))
        #expect(h.mesh.census().bans == 1)
    }

    @Test("a full table takes the dial that replaces its peer's own link, in the first place too")
    func replacesInAFullTable() {
        var h = Harness(own: peer(0)) { ($0.maxPeers, $0.reservedSlots) = (1, 0) }
        let early = h.accept(from: Endpoint(peer(1).address, port: 40_001))!
        #expect(early.slot == 0)
        _ = h.tell(.connect(peer(1)))
        let dial = report(h, 1)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(early, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        #expect(report(h, 1)?.established == early)
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .accepted)))
        #expect(report(h, 1)?.established == dial)
    }

    @Test("a second start changes nothing")
    func startsOnce() {
        var h = Harness(own: peer(5)) { ($0.role, $0.jitterPercent) = (.masternode, 20) }
        _ = h.tell(.registered(peer(1)))
        _ = h.wait(.seconds(10))
        let before = h.mesh.stableHash()
        #expect(h.tell(.start) == [])
        #expect(h.mesh.stableHash() == before)
    }

    @Test("a link of the first row has its peer's role")
    func roleOfFirstRow() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        #expect(h.mesh.row(of: peer(1)) == 0)
        #expect(h.mesh.link(link)?.info.role == .masternode)
    }

    @Test("a newcomer in the table's first place, held for an evicted peer's link, is told that the table is full")
    func heldOfTheEvicted() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 0) }
        let early = h.accept(from: Endpoint(peer(1).address, port: 40_000))!
        #expect(early.slot == 0)
        let incumbent = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.hello(early, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        _ = h.tell(.registered(peer(9)))
        let link = h.accept(from: peer(9))!
        let actions = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(9), nonce: 9)))
        #expect(actions.contains(.answer(early, .full, isNative: true)))
        #expect(actions.contains(.drain(incumbent, .evicted)))
        #expect(actions.contains(.answer(link, .accepted, isNative: true)))
    }

    @Test("each abuser has points of its own")
    func twoAbusers() {
        var h = Harness()
        let abusers = [7, 8].map { Endpoint(IPAddress(v4: 198, 51, 100, $0), port: 5) }
        for _ in 0..<4 { for abuser in abusers { _ = h.tell(.ended(h.accept(from: abuser)!, .protocolViolation)) } }
        #expect(h.mesh.census().bans == 0)
        for abuser in abusers { _ = h.tell(.ended(h.accept(from: abuser)!, .protocolViolation)) }
        #expect(h.mesh.census().bans == 2)
    }

    @Test("to drop from the registry whom it never named changes nothing")
    func neverNamed() {
        var h = Harness()
        let link = h.dialled(peer(1), in: h.tell(.connect(peer(1))))!
        let before = h.mesh.stableHash()
        _ = h.tell(.unregistered(peer(1)))
        #expect(h.mesh.stableHash() == before)
        #expect(h.mesh.link(link)?.state == .established)
    }

    @Test("there is output while there is an action or a record of the diary, and none after both")
    func output() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        for actionsFirst in [true, false] {
            var mesh = Mesh(MeshSettings(nonce: 1, seed: 1), now: now)
            #expect(mesh.hasOutput == false)
            mesh.handle(.start, at: now)
            mesh.handle(.connect(peer(1)), at: now)
            if actionsFirst { while mesh.nextAction() != nil {} } else { while mesh.nextTransition() != nil {} }
            #expect(mesh.hasOutput == true)
            if actionsFirst { while mesh.nextTransition() != nil {} } else { while mesh.nextAction() != nil {} }
            #expect(mesh.hasOutput == false)
        }
    }

    @Test("what a hello states is kept as it was stated, also at the address that it comes from, also without a port")
    func stated() {
        for endpoint in [Endpoint(peer(1).address, port: 0), peer(1), Endpoint(peer(2).address, port: 0), peer(2), nil] {
            var h = Harness()
            let link = h.accept(from: Endpoint(peer(1).address, port: 40_000))!
            _ = h.tell(.hello(link, Hello(isNative: true, endpoint: endpoint, nonce: 1)))
            #expect(h.mesh.stated(byLink: Int(link.slot)) == endpoint)
        }
    }
}
