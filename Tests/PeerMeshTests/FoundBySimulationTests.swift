// What simulated worlds have found wrong in the core, each with the scenario and the seed that showed it. The list is in
// docs/Simulation.md.

import Testing
import Timers

@testable import PeerMesh

/// Found by the simulator: `hello-liars`, 16 nodes, 10 masternodes, seeds 1 and 8; 12 nodes, 11 masternodes, seed 1.
@Suite("A copied nonce")
struct CopiedNonceTests {
    static let victim = Endpoint(IPAddress(v4: 10, 0, 1, 1), port: 9_000)
    static let copier = Endpoint(IPAddress(v4: 10, 0, 7, 1), port: 9_000)
    static let nonce: UInt64 = 0x1111

    /// Accepts a socket from `remote` and lets it say hello as the victim. Returns its link.
    private func call(_ harness: inout Harness, from remote: IPAddress) -> (LinkID, [Action]) {
        harness.tickets += 1
        var adopted = LinkID(slot: 0, generation: 0)
        for action in harness.tell(.accepted(ticket: harness.tickets, from: Endpoint(remote, port: 50_000))) {
            if case .adopt(_, let link) = action { adopted = link }
        }
        let hello = Hello(isNative: true, endpoint: CopiedNonceTests.victim, nonce: CopiedNonceTests.nonce, version: 2)
        return (adopted, harness.tell(.hello(adopted, hello)))
    }

    /// Lets our dial of `endpoint` be answered with the victim's nonce. Returns the dialled link.
    private func answerDial(_ harness: inout Harness, of endpoint: Endpoint, verdict: Verdict) -> LinkID {
        var link = LinkID(slot: 0, generation: 0)
        for action in harness.tell(.redial(endpoint)) { if case .dial(let dialled, _) = action { link = dialled } }
        _ = harness.tell(.connected(link))
        _ = harness.tell(.hello(link, Hello(isNative: true, endpoint: endpoint, nonce: CopiedNonceTests.nonce, verdict: verdict, version: 2)))
        return link
    }

    private func harness() -> Harness {
        var harness = Harness(own: Endpoint(IPAddress(v4: 10, 0, 9, 1), port: 9_000)) { $0.role = .masternode }
        _ = harness.tell(.registered(CopiedNonceTests.victim))
        _ = harness.tell(.registered(CopiedNonceTests.copier))
        return harness
    }

    @Test("a peer that answers our dial with another's nonce does not receive the other's link for good")
    func strayedLinkComesBack() {
        var harness = harness()
        let dialled = answerDial(&harness, of: CopiedNonceTests.copier, verdict: .accepted)
        _ = harness.tell(.ended(dialled, .remoteClosed))
        // The victim's packets leave from an address that is not its own.
        let (link, _) = call(&harness, from: IPAddress(v4: 10, 0, 77, 1))
        #expect(harness.mesh.peer(at: CopiedNonceTests.copier, now: harness.now)?.established == link)
        // Our dial reaches the victim, which holds our link and says so.
        _ = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .duplicate)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == link)
        #expect(harness.mesh.peer(at: CopiedNonceTests.copier, now: harness.now)?.established == nil)
    }

    @Test("a copier that calls first gives way to the victim that calls from its own address")
    func copierGivesWay() {
        var harness = harness()
        let dialled = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .accepted)
        _ = harness.tell(.ended(dialled, .remoteClosed))
        let (copied, _) = call(&harness, from: CopiedNonceTests.copier.address)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == copied)
        let (genuine, actions) = call(&harness, from: CopiedNonceTests.victim.address)
        #expect(actions.contains(.answer(genuine, .accepted, isNative: true)))
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == genuine)
    }

    @Test("a call from the address of a wanted peer is that peer's, though a copier has shown its nonce to our dial")
    func ownAddressBeatsCopiedProof() {
        var harness = harness()
        let dialled = answerDial(&harness, of: CopiedNonceTests.copier, verdict: .accepted)
        _ = harness.tell(.ended(dialled, .remoteClosed))
        let (copied, _) = call(&harness, from: CopiedNonceTests.copier.address)
        #expect(harness.mesh.peer(at: CopiedNonceTests.copier, now: harness.now)?.established == copied)
        // It was held as the copier's second link, and refused when the first one answered.
        let (genuine, actions) = call(&harness, from: CopiedNonceTests.victim.address)
        #expect(actions.contains(.answer(genuine, .accepted, isNative: true)))
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == genuine)
        #expect(harness.mesh.peer(at: CopiedNonceTests.copier, now: harness.now)?.established == copied)
    }

    @Test("a copier's call does not take the place of our young dial of the victim: the victim is asked for life")
    func copierDoesNotWinByOrder() {
        // The victim is the lower one: a call of its own would win.
        var harness = harness()
        let dialled = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .accepted)
        let (copied, actions) = call(&harness, from: CopiedNonceTests.copier.address)
        #expect(!actions.contains(.answer(copied, .accepted, isNative: true)))
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == dialled)
        let after = harness.tell(.received(dialled, frames: 1, partial: 0))
        #expect(after.contains(.answer(copied, .duplicate, isNative: true)))
        let (genuine, welcome) = call(&harness, from: CopiedNonceTests.victim.address)
        #expect(welcome.contains(.answer(genuine, .accepted, isNative: true)))
    }

    /// A link for which only the victim's nonce speaks, kept alive for `span`. Returns the dials that were made meanwhile.
    private func keep(_ harness: inout Harness, _ link: LinkID, for span: Nanoseconds) -> [Action] {
        var actions: [Action] = []
        let end = harness.now + span
        while harness.now < end {
            actions += harness.wait(min(.seconds(10), end - harness.now))
            actions += harness.tell(.received(link, frames: 1, partial: 0))
        }
        return actions.filter { if case .dial = $0 { true } else { false } }
    }

    @Test("a masternode for whose link only its nonce speaks is dialled beside it: who answers at its address takes the link's place")
    func copierIsFoundOut() {
        var harness = harness()
        _ = harness.tell(.unregistered(CopiedNonceTests.copier))
        let dialled = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .accepted)
        _ = harness.tell(.ended(dialled, .remoteClosed))
        let (copied, _) = call(&harness, from: CopiedNonceTests.copier.address)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == copied)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.schedule == .wait(until: harness.now + .seconds(60), .weakLink))
        // The victim does not call: at its end the copier holds our place.
        #expect(keep(&harness, copied, for: .milliseconds(59_999)).isEmpty)
        let dials = keep(&harness, copied, for: .milliseconds(1))
        let genuine = harness.dialled(CopiedNonceTests.victim, in: dials, nonce: CopiedNonceTests.nonce)
        #expect(genuine != nil)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.established == genuine)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.schedule == Schedule.none)
    }

    @Test("a masternode that calls from another address and refuses our dial as a duplicate keeps its link, and is asked again a minute later")
    func multihomedKeepsItsLink() {
        var harness = harness()
        let dialled = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .accepted)
        _ = harness.tell(.ended(dialled, .remoteClosed))
        let (link, _) = call(&harness, from: IPAddress(v4: 10, 0, 77, 1))
        _ = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .duplicate)
        let report = harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)
        #expect(report?.established == link && report?.failures == 0)
        #expect(report?.schedule == .wait(until: harness.now + .seconds(60), .weakLink))
    }

    @Test("a second call of such a masternode is held like any other, and its schedule waits for the answer")
    func heldBesideDoubt() {
        var harness = harness()
        let dialled = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .accepted)
        _ = harness.tell(.ended(dialled, .remoteClosed))
        let (first, _) = call(&harness, from: IPAddress(v4: 10, 0, 77, 1))
        let (second, _) = call(&harness, from: IPAddress(v4: 10, 0, 77, 2))
        #expect(harness.mesh.link(second)?.state == .held)
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.schedule == Schedule.none)
        #expect(harness.tell(.received(first, frames: 1, partial: 0)).contains(.answer(second, .duplicate, isNative: true)))
        #expect(harness.mesh.peer(at: CopiedNonceTests.victim, now: harness.now)?.schedule == .wait(until: harness.now + .seconds(60), .weakLink))
    }

    @Test("a link that is taken from a copier is put to the rule beside the link of the peer whose nonce it shows")
    func disownedIsSurplus() {
        var harness = harness()
        let genuine = answerDial(&harness, of: CopiedNonceTests.victim, verdict: .accepted)
        let copier = CopiedNonceTests.copier
        // The copier calls from its own address as itself, but with the victim's nonce; then a rival claims its place.
        let (copied, _) = harness.inbound(peer: copier, nonce: CopiedNonceTests.nonce)
        #expect(harness.mesh.peer(at: copier, now: harness.now)?.established == copied)
        _ = harness.inbound(peer: copier, nonce: 0x2222)
        let verifying = harness.tell(.received(copied!, frames: 1, partial: 0))
        guard case .dial(let dial, _)? = verifying.first(where: { if case .dial = $0 { true } else { false } }) else {
            Issue.record("two nonces at one endpoint are settled by a dial")
            return
        }
        _ = harness.tell(.connected(dial))
        // `tell` checks that the link, which is nobody's now, waits for the victim's sign of life.
        let hello = Hello(isNative: true, endpoint: copier, nonce: 0x2222, verdict: .duplicate)
        let actions = harness.tell(.hello(dial, hello))
        #expect(harness.mesh.link(copied!)?.identity == .anonymous)
        #expect(actions.contains { if case .ping(genuine, _) = $0 { true } else { false } })
        #expect(harness.tell(.received(genuine, frames: 1, partial: 0)).contains(.drain(copied!, .duplicate)))
    }

    @Test("a copier that answers with our own nonce keeps no registered masternode undialled")
    func copiesOurs() {
        var harness = harness()
        var link = LinkID(slot: 0, generation: 0)
        for action in harness.tell(.redial(CopiedNonceTests.copier)) { if case .dial(let dialled, _) = action { link = dialled } }
        _ = harness.tell(.connected(link))
        _ = harness.tell(.hello(link, Hello(isNative: true, endpoint: CopiedNonceTests.copier, nonce: Harness.nonce, verdict: .accepted)))
        #expect(harness.dials(harness.wait(.seconds(31))).contains(CopiedNonceTests.copier))
    }
}

/// Found by the simulator: `one-way-walls`, 16 nodes, 10 masternodes, any seed: a clock leaps by ten minutes.
@Suite("A leap of the clock")
struct ClockLeapTests {
    @Test("a leap over a wait and the discovery is no rescue: the peer's own timer was due")
    func leapRescuesNobody() {
        let peer = Endpoint(IPAddress(v4: 10, 0, 1, 1), port: 9_000)
        var harness = Harness()
        var dialled = LinkID(slot: 0, generation: 0)
        for action in harness.tell(.registered(peer)) + harness.wait(.seconds(40)) {
            if case .dial(let link, _) = action { dialled = link }
        }
        _ = harness.tell(.connected(dialled))
        _ = harness.tell(.hello(dialled, Hello(isNative: true, endpoint: peer, nonce: 7, verdict: .banned(for: .seconds(3_600)), version: 2)))
        _ = harness.tell(.ended(dialled, .remoteClosed))
        // The wait of 300 s outlasts the next discovery: one leap makes both due, the discovery first.
        harness.now = harness.now + .seconds(600)
        harness.mesh.advance(to: harness.now)
        let dials = harness.take().filter { if case .dial = $0 { true } else { false } }
        #expect(dials.count == 1)
        #expect(harness.mesh.rescues == 0)
    }
}

/// Found by the simulator: `hello-liars`, 1,000 nodes, 50 masternodes, seed 3: 101 established of 100.
@Suite("Eviction while a newcomer waits")
struct EvictionWhileProbedTests {
    @Test("a newcomer that waits for an evicted peer's link does not take the slot that was made")
    func evictionWhileProbed() {
        var h = Harness { $0.maxPeers = 2; $0.reservedSlots = 1 }
        for index in 10...11 { _ = h.tell(.registered(peer(index))) }
        _ = h.wait(.milliseconds(1))
        let incumbent = h.inbound(peer: peer(1), nonce: 1).0!
        #expect(h.inbound(peer: peer(10), nonce: 10).1 == .accepted)
        let (held, verdict) = h.inbound(peer: peer(1), nonce: 1)
        #expect(verdict == nil)
        let link = h.accept(from: peer(11))!
        // `tell` checks the slots: with the newcomer in the evicted link's place there would be three established of two.
        let actions = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(11), nonce: 11)))
        #expect(actions.contains(.answer(link, .accepted, isNative: true)))
        #expect(actions.contains(.answer(held!, .full, isNative: true)))
        #expect(actions.contains(.drain(incumbent, .evicted)))
        #expect(h.mesh.census().establishedMasternodes == 2)
    }

    @Test("a newcomer that waits for a link which makes room for a foreign one does not take its place")
    func foreignWhileProbed() {
        var h = Harness { $0.maxPeers = 2; $0.reservedSlots = 1 }
        let dials = h.tell(.connect(peer(1))) + h.wait(.milliseconds(1))
        // Our nonce is the lower one: our dial goes on beside the link, and turns out to reach a foreign process.
        #expect(h.inbound(peer: peer(1), nonce: .max).1 == .accepted)
        let (held, verdict) = h.inbound(peer: peer(1), nonce: .max)
        #expect(verdict == nil)
        let dialled = h.dialled(peer(1), in: dials, isNative: false)
        #expect(dialled != nil)
        #expect(h.mesh.peer(at: peer(1), now: h.now)?.established == dialled)
        #expect(!h.tell(.ended(held!, .remoteClosed)).contains { if case .up = $0 { true } else { false } })
    }
}
