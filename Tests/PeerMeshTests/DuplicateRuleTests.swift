// Never two, at the boundaries: what each rule leaves alone, links in the table's first place, and two processes of one hash.

import Testing
import Timers

@testable import PeerMesh

@Suite("Duplicates, at their boundaries")
struct DuplicateRuleTests: DuplicateScenes {
    private static let home = Endpoint(peer(1).address, port: 41_000)

    /// We are the lower one. Our dial of peer 1 stands, and is the subject.
    private func dial(_ h: inout Harness, _ wish: Event = .connect(peer(1))) {
        _ = h.tell(wish)
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
    }

    private func diallingAsLower(_ configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        var h = Harness(own: peer(0), configure: configure)
        dial(&h)
        return h
    }

    private func hello(_ h: inout Harness, _ link: LinkID, nonce: UInt64 = 1, states: Int? = 1) -> [Action] {
        h.tell(.hello(link, Hello(isNative: true, endpoint: states.map(peer), nonce: nonce)))
    }

    private func called(_ h: inout Harness, nonce: UInt64 = 1, from remote: Endpoint = home, states: Int? = 1) -> LinkID {
        let link = h.accept(from: remote)!
        _ = hello(&h, link, nonce: nonce, states: states)
        return link
    }

    @Test("a held newcomer in the table's first place gives way to a newer one")
    func newerThanTheFirst() {
        var h = Harness(own: peer(5))
        let held = h.accept(from: Self.home)!
        #expect(held.slot == 0)
        _ = called(&h)
        _ = hello(&h, held)
        #expect(state(h, held) == .held)
        let newer = called(&h)
        #expect(state(h, held) == .draining && state(h, newer) == .held && report(h, 1)?.held == newer)
    }

    // What a surplus link is spared.

    @Test("a surplus link whose incumbent gives way to a louder newcomer stays in use, and is put to that one")
    func surplusOfTheReplaced() {
        var h = diallingAsLower()
        let other = called(&h, from: Self.away(1))
        let claimed = called(&h)
        // Another process answers there: both are nobody's.
        _ = answer(&h, nonce: 9)
        #expect(h.mesh.link(claimed)?.identity == .anonymous)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        dial(&h, .redial(peer(1)))
        _ = answer(&h, .duplicate)
        #expect(report(h, 1)?.established == other && h.mesh.hasSurplusUnderProbe == true)
        let louder = called(&h)
        #expect(report(h, 1)?.established == louder && state(h, other) == .draining)
        #expect(state(h, claimed) == .established && h.mesh.hasSurplusUnderProbe == true)
    }

    @Test("a surplus link stays when its incumbent is evicted for a masternode")
    func surplusOfTheEvicted() {
        var h = Harness(started: false, own: peer(0)) { ($0.maxPeers, $0.reservedSlots) = (3, 0) }
        _ = h.tell(.recalled(peer(1), .linked))
        dial(&h, .start)
        let other = called(&h, from: Self.away(1))
        let incumbent = called(&h)
        _ = answer(&h, .duplicate)
        #expect(report(h, 1)?.established == incumbent && h.mesh.hasSurplusUnderProbe == true)
        for index in [8, 9] {
            _ = h.tell(.registered(peer(index)))
            #expect(h.inbound(peer: peer(index), nonce: UInt64(index)).1 == .accepted)
        }
        #expect(state(h, incumbent) == .draining)
        #expect(state(h, other) == .established && h.mesh.hasSurplusUnderProbe == false)
    }

    @Test("a surplus link that is evicted itself leaves its incumbent alone")
    func evictedSurplus() {
        var h = Harness(own: peer(0)) { ($0.maxPeers, $0.reservedSlots) = (3, 0) }
        dial(&h, .registered(peer(1)))
        _ = called(&h)
        let other = called(&h, from: Self.away(1))
        _ = answer(&h)
        #expect(h.mesh.hasSurplusUnderProbe == true)
        for index in [8, 9] {
            _ = h.tell(.registered(peer(index)))
            #expect(h.inbound(peer: peer(index), nonce: UInt64(index)).1 == .accepted)
        }
        #expect(state(h, other) == .draining && h.mesh.hasSurplusUnderProbe == false)
        _ = h.wait(.seconds(6))
        #expect(report(h, 1)?.established == h.subject)
    }

    @Test("a surplus link that goes had its answer long ago")
    func surplusIsNotAnswered() {
        var h = diallingAsLower()
        _ = called(&h)
        let other = called(&h, from: Self.away(1))
        _ = answer(&h)
        let actions = h.tell(.received(h.subject!, frames: 1, partial: 0))
        #expect(actions.contains(.drain(other, .duplicate)))
        #expect(!actions.contains { if case .answer = $0 { true } else { false } })
    }

    @Test("a surplus link that a disconnect ends goes as what it was told to be: nobody's")
    func surplusGoesAsNobodys() {
        var h = diallingAsLower()
        _ = called(&h)
        let other = called(&h, from: Self.away(1))
        _ = answer(&h)
        let downs = h.tell(.disconnect(peer(1))).compactMap { if case .down(other, let info, .operator) = $0 { info } else { nil } }
        #expect(downs.map(\.peer) == [nil])
    }

    // The table's first place.

    @Test("a held newcomer in the table's first place is not put aside for the surplus link that waits")
    func heldBeforeSurplus() {
        var h = Harness(own: peer(0))
        let third = h.accept(from: Self.home)!
        #expect(third.slot == 0)
        dial(&h)
        _ = called(&h)
        let other = called(&h, from: Self.away(1))
        _ = answer(&h)
        _ = hello(&h, third)
        #expect(state(h, third) == .held && report(h, 1)?.held == third)
        #expect(state(h, other) == .established && h.mesh.hasSurplusUnderProbe == false)
    }

    @Test("a surplus link that is asked for life for a newcomer in the table's first place waits for its own turn")
    func surplusIsBusy() {
        var h = Harness(own: peer(0))
        let next = h.accept(from: Self.away(1))!
        #expect(next.slot == 0)
        dial(&h)
        _ = called(&h)
        let other = called(&h, from: Self.away(1))
        _ = hello(&h, next)
        #expect(state(h, next) == .held)
        _ = answer(&h)
        #expect(h.mesh.hasSurplusUnderProbe == false && state(h, next) == .held)
        _ = h.tell(.received(other, frames: 1, partial: 0))
        #expect(state(h, next) == .draining && h.mesh.hasSurplusUnderProbe == true)
    }

    @Test("a disconnect of a masternode ends the surplus link in the table's first place, too")
    func heirInFirstPlace() {
        var h = Harness(own: peer(0))
        let other = h.accept(from: Self.away(1))!
        #expect(other.slot == 0)
        dial(&h, .registered(peer(1)))
        _ = called(&h)
        _ = hello(&h, other)
        _ = answer(&h)
        #expect(h.mesh.hasSurplusUnderProbe == true)
        _ = h.tell(.disconnect(peer(1)))
        #expect(state(h, other) == .draining && report(h, 1)?.established == nil)
    }

    // Our dial beside.

    @Test("a louder newcomer leaves our dial in flight alone, if the order is with the dial")
    func dialBesideTheLouder() {
        var h = diallingAsLower()
        _ = answer(&h)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        _ = h.tell(.redial(peer(1)))
        let dial = report(h, 1)!.dial!
        let first = called(&h, from: Self.away(2))
        let louder = called(&h)
        #expect(state(h, first) == .draining && report(h, 1)?.established == louder)
        #expect(state(h, dial) == .connecting && report(h, 1)?.dial == dial)
    }

    @Test("a louder newcomer ends our dial in the table's first place, if the order is with the newcomer")
    func dialGivesWay() {
        var h = diallingAsLower()
        #expect(h.subject!.slot == 0)
        // As if an earlier dial had shown it.
        h.mesh.peers[0].provenNonce = 1
        h.mesh.nonces.insert(h.mesh.links.count, hash: mix(1))
        _ = called(&h, from: Self.away(2))
        #expect(state(h, h.subject!) == .greeting)
        // Where it states nothing the lower nonce is the lower one: theirs.
        let louder = called(&h, states: nil)
        #expect(report(h, 1)?.established == louder && report(h, 1)?.dial == nil)
        #expect(state(h, h.subject!) == .draining)
    }

    // Two nonces of which the index keeps the same half hash: whoever wants such a pair finds one in a second.

    private static let twins: (UInt64, UInt64) = (0x6a3c_60bc_317c_7814, 0x6667_31ae_eeb1_2dc9)

    @Test("two processes whose nonces share a hash are two: to the proof of a peer, among strangers, and to a dial's answer")
    func twins() {
        let (one, other) = Self.twins
        #expect(UInt32(truncatingIfNeeded: mix(one)) == UInt32(truncatingIfNeeded: mix(other)) && one != other)
        var h = Harness(own: peer(5))
        dial(&h)
        let first = called(&h, nonce: other, from: Self.away(1), states: nil)
        let second = called(&h, nonce: one, from: Self.away(2), states: nil)
        #expect(state(h, first) == .established && state(h, second) == .established)
        _ = answer(&h, nonce: one, .duplicate)
        #expect(report(h, 1)?.established == second)
        #expect(h.mesh.link(first)?.identity == .anonymous && h.mesh.link(second)?.identity == .proven)
        let third = called(&h, nonce: other, from: Self.away(3), states: nil)
        #expect(h.mesh.link(third)?.identity == .anonymous && state(h, third) == .held)
    }

    @Test("a link that states an endpoint is not given to it for a twin of its nonce")
    func strayedTwin() {
        let (one, other) = Self.twins
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        for index in [1, 2] { _ = h.tell(.registered(peer(index))) }
        dial(&h, .redial(peer(1)))
        _ = answer(&h, nonce: other)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        let link = called(&h, nonce: other, from: Self.away(1), states: 2)
        #expect(report(h, 1)?.established == link)
        _ = h.tell(.redial(peer(2)))
        let dial = report(h, 2)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(2), nonce: one, verdict: .duplicate)))
        #expect(report(h, 1)?.established == link && report(h, 2)?.established == nil)
    }

    @Test("a held newcomer in the table's first place goes on with the session of the incumbent that ends")
    func heirOfTheSession() {
        var h = Harness(own: peer(5))
        let held = h.accept(from: Self.home)!
        #expect(held.slot == 0)
        let first = called(&h)
        _ = h.wait(.seconds(10))
        let since = report(h, 1)?.linkedSince
        _ = hello(&h, held)
        #expect(state(h, held) == .held)
        #expect(h.tell(.ended(first, .remoteClosed)).contains(.answer(held, .accepted, isNative: true)))
        #expect(report(h, 1)?.established == held)
        #expect(report(h, 1)?.linkedSince == since && h.failures(peer(1)) == 0)
    }

    // Whose links are put to the rule.

    @Test("a stranger of the process that answers now is not put to the link of the one that answered before")
    func surplusOfAnother() {
        var h = diallingAsLower()
        _ = answer(&h)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        dial(&h, .redial(peer(1)))
        let incumbent = called(&h, from: Self.away(1))
        let stranger = called(&h, nonce: 9, from: Self.away(2), states: nil)
        _ = answer(&h, nonce: 9, .full)
        #expect(report(h, 1)?.established == incumbent)
        #expect(state(h, stranger) == .established && h.mesh.hasSurplusUnderProbe == false)
    }

    @Test("an answer that refuses us leaves a foreign link with the peer that it claims")
    func foreignClaimStays() {
        var h = Harness(own: peer(5))
        dial(&h)
        let link = h.accept(from: Self.home)!
        _ = h.tell(.hello(link, Hello(isNative: false, endpoint: peer(1), nonce: 3)))
        #expect(report(h, 1)?.established == link)
        _ = answer(&h, nonce: 9, .duplicate)
        #expect(report(h, 1)?.established == link && h.mesh.link(link)?.identity == .claimed)
    }

    @Test("a stranger's link that drains is no incumbent any more")
    func drainingStranger() {
        var h = Harness(own: peer(5))
        let older = called(&h, nonce: 7, from: Self.away(1), states: nil)
        let newer = called(&h, nonce: 7, from: Self.away(1), states: nil)
        _ = h.wait(.seconds(5))
        #expect(state(h, older) == .draining && state(h, newer) == .established)
        let third = called(&h, nonce: 7, from: Self.away(1), states: nil)
        #expect(state(h, third) == .held)
        _ = h.tell(.received(newer, frames: 1, partial: 0))
        #expect(state(h, third) == .draining && state(h, newer) == .established)
    }

    @Test("a masternode with a weak link in the table's first place is taken for nobody else")
    func weakOnce() {
        var h = Harness { $0.isNativeDialect = false }
        let first = h.accept(from: Self.home)!
        #expect(first.slot == 0)
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.hello(first, Hello(isNative: false, nonce: 3)))
        #expect(h.mesh.link(first)?.identity == .weak && report(h, 1)?.established == first)
        let second = h.accept(from: Self.home)!
        _ = h.tell(.hello(second, Hello(isNative: false, nonce: 4)))
        #expect(h.mesh.link(second)?.identity == .anonymous && report(h, 1)?.established == first)
    }
}
