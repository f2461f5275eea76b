// Never two: every branch of the duplicate rules by hand. The model checker runs them in every order; here each one is named.

import Testing
import Timers

@testable import PeerMesh

@Suite("Duplicates")
struct DuplicateTests: DuplicateScenes {
    // Rules 3 and 4.

    @Test("over our dial in flight an inbound link wins if its opener is lower, and stands until the dial's answer if not", arguments: [0, 5])
    func overDial(own: Int) {
        var h = dialling(own: own)
        let (link, actions) = call(&h)
        #expect(actions.contains(.answer(link, .accepted, isNative: true)))
        #expect(state(h, link) == .established)
        // Peer 1 is lower than 5 and higher than 0.
        #expect(state(h, h.subject!) == (own == 5 ? .draining : .greeting))
        if own == 5 { return }
        let after = answer(&h)
        #expect(after.contains(.drain(link, .superseded)))
        #expect(state(h, h.subject!) == .established)
        #expect(report(h, 1)?.established == h.subject)
    }

    @Test("if one states no endpoint the lower nonce's link wins", arguments: [(1, true), (0x5eed, false), (0x6000, false)] as [(UInt64, Bool)])
    func byNonce(theirs: UInt64, theyWin: Bool) {
        if theirs == Harness.nonce { return }
        var h = dialling(own: nil)
        let (link, _) = call(&h, nonce: theirs)
        #expect(state(h, link) == .established)
        #expect((state(h, h.subject!) == .draining) == theyWin)
    }

    @Test("a young incumbent gives way to a newcomer that wins by order; an old one is asked for life", arguments: [24_999, 25_000] as [UInt64])
    func young(age: UInt64) {
        var h = dialling { $0.pingInterval = .seconds(200) }
        _ = answer(&h)
        _ = h.wait(.milliseconds(age))
        let (link, _) = call(&h)
        #expect(state(h, link) == (age < 25_000 ? .established : .held))
        #expect(state(h, h.subject!) == (age < 25_000 ? .draining : .established))
    }

    @Test("a young incumbent is asked for life by a newcomer that loses by order, or that has the same opener")
    func youngButStronger() {
        var h = dialling(own: 0)
        _ = answer(&h)
        let (link, _) = call(&h)
        #expect(state(h, link) == .held)
        var same = Harness(own: peer(5))
        let first = call(&same).0
        let second = call(&same).0
        #expect(state(same, first) == .established)
        #expect(state(same, second) == .held)
        #expect(report(same, 1)?.held == second)
    }

    // Rule 5.

    @Test("a newer newcomer replaces the held one and does not prolong the probe")
    func newerNewcomer() {
        var h = Harness(own: peer(5))
        let first = call(&h).0
        _ = h.wait(.seconds(26))
        let (second, asked) = call(&h)
        #expect(asked.filter { if case .ping(first, _) = $0 { true } else { false } }.count == 1)
        _ = h.wait(.seconds(3))
        let (third, actions) = call(&h)
        #expect(actions.contains(.answer(second, .duplicate, isNative: true)))
        #expect(!actions.contains { if case .ping = $0 { true } else { false } })
        #expect(state(h, third) == .held)
        #expect(state(h, second) == .draining)
        let end = h.wait(.milliseconds(1_999))
        #expect(!end.contains(.answer(third, .accepted, isNative: true)))
        #expect(h.wait(.milliseconds(1)).contains(.answer(third, .accepted, isNative: true)))
        #expect(state(h, first) == .draining)
        #expect(report(h, 1)?.established == third)
        #expect(report(h, 1)?.held == nil)
    }

    @Test("the incumbent's own end lets the held newcomer in; the newcomer's end lets the incumbent be")
    func oneOfThePairEnds() {
        var h = Harness(own: peer(5))
        let first = call(&h).0
        _ = h.wait(.seconds(26))
        let second = call(&h).0
        _ = h.tell(.ended(second, .remoteClosed))
        #expect(state(h, first) == .established)
        #expect(h.mesh.link(first)?.deadline != h.now + .seconds(5))
        _ = h.wait(.seconds(6))
        #expect(state(h, first) == .established)
        let third = call(&h).0
        let since = report(h, 1)?.linkedSince
        let actions = h.tell(.ended(first, .remoteClosed))
        #expect(actions.contains(.answer(third, .accepted, isNative: true)))
        #expect(report(h, 1)?.established == third)
        // Without a gap it is one session, and no failure.
        #expect(report(h, 1)?.linkedSince == since)
        #expect(h.failures(peer(1)) == 0)
    }

    @Test("without dial budget, or beside a dial of ours, nothing is verified")
    func notVerified() {
        var h = Harness(own: peer(5)) { $0.dialLimit = 1 }
        _ = h.tell(.connect(peer(9)))
        #expect(report(h, 9)?.dial != nil)
        let first = call(&h, nonce: 1).0
        _ = call(&h, nonce: 2)
        #expect(h.dials(h.tell(.received(first, frames: 1, partial: 0))) == [])
        var slow = Harness(own: peer(5)) { $0.dialTimeout = .seconds(1_000) }
        let second = call(&slow, nonce: 1).0
        for round in 0..<2 {
            let rival = call(&slow, nonce: 2).0
            #expect(state(slow, rival) == .held)
            #expect(slow.dials(slow.tell(.received(second, frames: 1, partial: 0))) == (round == 0 ? [peer(1)] : []))
            for _ in 0..<7 {
                _ = slow.wait(.seconds(10))
                _ = slow.tell(.received(second, frames: 1, partial: 0))
            }
        }
    }

    /// The row's schedule stayed at "linked" when both were gone: nobody would have dialled again.
    @Test("a held newcomer whose address is banned meanwhile does not take the place, and the peer is dialled when the ban ends")
    func notAnyMore() {
        var h = Harness(own: peer(5))
        let first = call(&h).0
        _ = h.wait(.seconds(26))
        let held = call(&h).0
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.ban(Subnet(peer(1).address), until: h.now + .seconds(100), by: .automatic))
        let actions = h.tell(.ended(first, .remoteClosed))
        #expect(actions.contains(.answer(held, .banned(for: .seconds(100)), isNative: true)))
        #expect(state(h, held) == .draining)
        #expect(report(h, 1)?.schedule == .off(.banned))
        #expect(report(h, 1)?.linkedSince == nil)
        #expect(h.dials(h.wait(.seconds(100))) == [peer(1)])
    }

    @Test("two nonces that claim one endpoint are settled by one verifying dial a minute")
    func verifying() {
        var h = Harness(own: peer(5))
        let first = call(&h, nonce: 1).0
        func rival(_ h: inout Harness, after span: Nanoseconds) -> [Endpoint] {
            let end = h.now + span
            while h.now < end {
                _ = h.wait(min(.seconds(5), end - h.now))
                _ = h.tell(.received(first, frames: 1, partial: 0))
            }
            let rival = call(&h, nonce: 2).0
            #expect(state(h, rival) == .held)
            let actions = h.tell(.received(first, frames: 1, partial: 0))
            #expect(actions.contains(.answer(rival, .duplicate, isNative: true)))
            return h.dials(actions)
        }
        #expect(rival(&h, after: .seconds(26)) == [peer(1)])
        // Nothing follows from a second rival while that dial is in flight, nor within the minute.
        #expect(rival(&h, after: .seconds(1)) == [])
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        #expect(state(h, first) == .established)
        #expect(rival(&h, after: .milliseconds(58_999)) == [])
        #expect(rival(&h, after: .milliseconds(1)) == [peer(1)])
        // The same process twice is no rival.
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        _ = h.wait(.seconds(25))
        _ = h.tell(.received(first, frames: 1, partial: 0))
        _ = h.wait(.seconds(25))
        _ = h.tell(.received(first, frames: 1, partial: 0))
        _ = h.wait(.seconds(15))
        _ = call(&h, nonce: 1)
        #expect(h.dials(h.tell(.received(first, frames: 1, partial: 0))) == [])
    }

    @Test("the verifying dial's answer proves the incumbent of that nonce, and makes one of another nonce nobody's", arguments: [1, 2] as [UInt64])
    func verified(answering: UInt64) {
        var h = Harness(own: peer(5))
        let first = call(&h, nonce: 1).0
        _ = h.wait(.seconds(26))
        _ = call(&h, nonce: 2)
        _ = h.tell(.received(first, frames: 1, partial: 0))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        _ = answer(&h, nonce: answering, answering == 1 ? .duplicate : .accepted)
        if answering == 1 {
            #expect(h.mesh.link(first)?.identity == .proven)
            #expect(report(h, 1)?.established == first)
            #expect(state(h, h.subject!) == .draining)
        } else {
            #expect(h.mesh.link(first)?.identity == .anonymous)
            #expect(state(h, first) == .established)
            #expect(report(h, 1)?.established == h.subject)
        }
    }

    @Test("a disowned link without a regular slot goes")
    func disownedWithoutSlot() {
        var h = Harness(own: peer(5)) { ($0.maxPeers, $0.reservedSlots) = (2, 2) }
        _ = h.tell(.registered(peer(1)))
        let first = call(&h, nonce: 1).0
        h.subject = report(h, 1)!.dial
        #expect(h.subject == nil)
        _ = h.wait(.seconds(26))
        _ = call(&h, nonce: 2)
        _ = h.tell(.received(first, frames: 1, partial: 0))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        _ = answer(&h, nonce: 2)
        #expect(state(h, first) == .draining)
        #expect(state(h, h.subject!) == .established)
    }

    @Test("a held newcomer in the table's first place is answered when a third link of its peer takes the incumbent's place")
    func heldInFirstPlace() {
        var h = Harness(own: peer(5))
        let held = h.accept(from: Self.away(1))!
        #expect(held.slot == 0)
        _ = h.tell(.connect(peer(1)))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        _ = answer(&h)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        let first = call(&h, from: Self.away(2)).0
        #expect(h.mesh.link(first)?.identity == .proven)
        _ = h.tell(.hello(held, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        #expect(state(h, held) == .held)
        // From the peer's own address its process speaks louder.
        let (third, actions) = call(&h)
        #expect(actions.contains(.answer(held, .duplicate, isNative: true)))
        #expect(state(h, third) == .established && state(h, held) == .draining && state(h, first) == .draining)
    }

    @Test("a verifying dial that reaches the incumbent's own process is held, and ends without an answer, which is the acceptor's to give")
    func dialIsNotAnswered() {
        var h = Harness(own: peer(5))
        let first = call(&h, nonce: 1).0
        _ = h.wait(.seconds(26))
        _ = call(&h, nonce: 2)
        _ = h.tell(.received(first, frames: 1, partial: 0))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        _ = answer(&h, nonce: 1)
        #expect(state(h, h.subject!) == .held)
        let actions = h.tell(.received(first, frames: 1, partial: 0))
        #expect(actions.contains(.drain(h.subject!, .duplicate)))
        #expect(!actions.contains { if case .answer = $0 { true } else { false } })
    }

    @Test("a peer that states our own endpoint is told apart by its nonce", arguments: [1, 0x6000] as [UInt64])
    func statesOurs(theirs: UInt64) {
        var h = dialling(own: 5)
        _ = answer(&h, nonce: theirs)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        _ = h.tell(.redial(peer(1)))
        h.subject = report(h, 1)!.dial
        let (link, _) = call(&h, nonce: theirs, from: Self.away(1), states: 5)
        #expect(h.mesh.link(link)?.identity == .proven)
        // Our own nonce is 0x5eed: the lower one's link wins.
        #expect((h.mesh.link(h.subject!)?.state == .connecting) == (theirs > Harness.nonce))
    }

    @Test("a foreign hello's nonce names no process")
    func foreignNonce() {
        var h = dialling()
        _ = answer(&h, nonce: 1)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        let (link, _) = call(&h, nonce: 1, isNative: false, from: Self.away(1), states: nil)
        #expect(h.mesh.link(link)?.identity == .anonymous)
    }

    @Test("a new process that answers our dial takes the place of the old one's young link")
    func newProcess() {
        var h = dialling(own: 0)
        _ = answer(&h, nonce: 1)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        _ = h.tell(.redial(peer(1)))
        h.subject = report(h, 1)!.dial
        let (old, _) = call(&h, nonce: 1, from: Self.away(1))
        #expect(h.mesh.link(old)?.identity == .proven)
        _ = h.tell(.connected(h.subject!))
        _ = answer(&h, nonce: 2)
        #expect(state(h, old) == .draining)
        #expect(report(h, 1)?.established == h.subject)
    }

    @Test("a rival of a link that is proven is no reason to dial: who it is, is known")
    func provenNeedsNoVerifying() {
        var h = dialling()
        _ = answer(&h, nonce: 1)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        let (link, _) = call(&h, nonce: 1)
        #expect(h.mesh.link(link)?.identity == .proven)
        let (rival, _) = call(&h, nonce: 2)
        #expect(state(h, rival) == .held)
        #expect(h.dials(h.tell(.received(link, frames: 1, partial: 0))) == [])
        #expect(state(h, rival) == .draining)
    }

    // Rule 7.

    @Test("a foreign peer's further link goes on as nobody's, beside the one that we dialled")
    func foreignInbound() {
        var h = dialling()
        _ = answer(&h, isNative: false)
        let (link, actions) = call(&h, nonce: 9, isNative: false)
        #expect(actions.contains(.answer(link, .accepted, isNative: false)))
        #expect(h.mesh.link(link)?.identity == .anonymous)
        #expect(report(h, 1)?.established == h.subject)
    }

    @Test("of two links that a foreign peer dialled the newest is the row's, and the older goes on as nobody's")
    func foreignTwice() {
        var h = Harness(own: peer(5))
        let first = call(&h, nonce: 8, isNative: false).0
        let second = call(&h, nonce: 9, isNative: false).0
        #expect(report(h, 1)?.established == second)
        #expect(h.mesh.link(first)?.identity == .anonymous)
        #expect(state(h, first) == .established)
        // A native one stays.
        var other = Harness(own: peer(5))
        let native = call(&other, nonce: 8).0
        let foreign = call(&other, nonce: 9, isNative: false).0
        #expect(report(other, 1)?.established == native)
        #expect(other.mesh.link(foreign)?.identity == .anonymous)
    }

    @Test("a native newcomer takes the row of a foreign one, in the first place of the table too, and neither is closed")
    func nativeAfterForeign() {
        var h = Harness(own: peer(5))
        let foreign = call(&h, nonce: 8, isNative: false).0
        #expect(foreign.slot == 0 && h.mesh.link(foreign)?.identity == .claimed)
        let native = call(&h, nonce: 9).0
        #expect(report(h, 1)?.established == native)
        #expect(state(h, foreign) == .established)
        #expect(h.mesh.link(foreign)?.identity == .anonymous)
    }

    @Test("nothing is verified beside a dial of ours in the first place of the table")
    func notBesideADial() {
        var h = dialling(own: 0)
        #expect(h.subject!.slot == 0)
        let first = call(&h, nonce: 1).0
        let rival = call(&h, nonce: 2).0
        #expect(state(h, rival) == .held)
        #expect(h.dials(h.tell(.received(first, frames: 1, partial: 0))) == [])
        #expect(report(h, 1)?.dial == h.subject)
    }

    @Test("without room for both a foreign peer's further link is told so, and our own dial takes the place of its link")
    func foreignWithoutRoom() {
        var h = dialling { ($0.maxPeers, $0.reservedSlots) = (2, 1) }
        _ = answer(&h, isNative: false)
        let (link, actions) = call(&h, nonce: 9, isNative: false)
        #expect(actions.contains(.answer(link, .full, isNative: false)))
        #expect(state(h, link) == .draining)
        var other = dialling { ($0.maxPeers, $0.reservedSlots) = (2, 1) }
        let first = call(&other, nonce: 9, isNative: false).0
        #expect(state(other, first) == .established)
        _ = answer(&other, isNative: false)
        #expect(state(other, first) == .draining)
        #expect(report(other, 1)?.established == other.subject)
    }
}
