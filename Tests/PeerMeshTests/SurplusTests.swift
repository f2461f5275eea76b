// Rule 6 by hand: links of one process that its dialled hello makes one peer's, put to the rule one at a time.

import Testing
import Timers

@testable import PeerMesh

@Suite("Surplus links")
struct SurplusTests: DuplicateScenes {
    /// While our dial is in flight the peer's process calls twice: from its own address, and from another one, which is nobody's. The
    /// dial's answer makes the second one surplus: that is the one returned.
    private func surplus(_ h: inout Harness) -> LinkID {
        _ = call(&h)
        let (other, _) = call(&h, from: Self.away(1))
        _ = answer(&h)
        return other
    }

    @Test("a surplus link of a proven process is put to the incumbent: an answer ends the surplus one")
    func surplusGoes() {
        var h = dialling(own: 0)
        let (home, _) = call(&h)
        let (other, _) = call(&h, from: Self.away(1))
        #expect(h.mesh.link(home)?.identity == .claimed)
        #expect(h.mesh.link(other)?.identity == .anonymous)
        let actions = answer(&h)
        // Our dial wins over the young claim, and is asked for life for the surplus one's sake.
        #expect(actions.contains(.drain(home, .superseded)))
        #expect(actions.contains { if case .ping(h.subject!, _) = $0 { true } else { false } })
        #expect(h.mesh.hasSurplusUnderProbe == true)
        #expect(state(h, other) == .established)
        let after = h.tell(.received(h.subject!, frames: 1, partial: 0))
        #expect(after.contains(.drain(other, .duplicate)))
        #expect(h.mesh.hasSurplusUnderProbe == false)
        #expect(report(h, 1)?.established == h.subject)
    }

    @Test("a surplus link in the table's first place is put to the incumbent like any other")
    func surplusInFirstPlace() {
        var h = Harness(own: peer(0))
        let other = h.accept(from: Self.away(1))!
        #expect(other.slot == 0)
        _ = h.tell(.connect(peer(1)))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        _ = call(&h)
        _ = h.tell(.hello(other, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        #expect(h.mesh.link(other)?.identity == .anonymous)
        _ = answer(&h)
        #expect(h.mesh.hasSurplusUnderProbe == true)
        #expect(h.tell(.received(h.subject!, frames: 1, partial: 0)).contains(.drain(other, .duplicate)))
    }

    @Test("if the incumbent is silent the surplus link takes its place")
    func surplusStays() {
        var h = dialling(own: 0)
        let other = surplus(&h)
        _ = h.wait(.milliseconds(4_999))
        #expect(report(h, 1)?.established == h.subject)
        let actions = h.wait(.milliseconds(1))
        #expect(actions.contains(.drain(h.subject!, .superseded)))
        #expect(report(h, 1)?.established == other)
        #expect(h.mesh.link(other)?.identity == .proven)
        #expect(h.mesh.census().establishedRegular == 1)
    }

    /// The surplus link was left as nobody's: linked, and shown as unlinked, until a dial of ours met it.
    @Test("if the incumbent ends by itself the surplus link takes its place at once; if the surplus one ends the incumbent stays")
    func surplusPairEnds() {
        for incumbentEnds in [true, false] {
            var h = dialling(own: 0)
            let other = surplus(&h)
            _ = h.tell(.ended(incumbentEnds ? h.subject! : other, .remoteClosed))
            #expect(report(h, 1)?.established == (incumbentEnds ? other : h.subject))
            #expect(h.mesh.hasSurplusUnderProbe == false)
        }
    }

    @Test("a disconnect or a ban of the peer ends the surplus link that would take the place, too")
    func surplusIsThePeers() {
        for event in [Event.disconnect(peer(1)), .ban(Subnet(peer(1).address), until: .never, by: .operator)] {
            var h = dialling(own: 0)
            let other = surplus(&h)
            _ = h.tell(event)
            #expect(state(h, other) == .draining)
            #expect(report(h, 1)?.established == nil)
        }
    }

    @Test("a disconnect of a masternode ends the surplus link that has taken the place, and the masternode is dialled again")
    func surplusOfAMasternode() {
        var h = dialling(own: 0)
        _ = h.tell(.registered(peer(1)))
        let other = surplus(&h)
        _ = h.tell(.disconnect(peer(1)))
        #expect(state(h, other) == .draining)
        #expect(report(h, 1)?.established == nil)
        #expect(h.dials(h.wait(.seconds(6))) == [peer(1)])
    }

    @Test("while a surplus link waits, a newcomer of the peer takes the probe over and the surplus one stays in use")
    func surplusAndNewcomer() {
        var h = dialling(own: 0)
        let other = surplus(&h)
        let (third, _) = call(&h)
        #expect(state(h, third) == .held)
        #expect(state(h, other) == .established)
        _ = h.tell(.received(h.subject!, frames: 1, partial: 0))
        #expect(state(h, third) == .draining)
        // Its turn comes after the newcomer's.
        #expect(h.mesh.hasSurplusUnderProbe == true)
        _ = h.tell(.received(h.subject!, frames: 1, partial: 0))
        #expect(state(h, other) == .draining)
    }

    /// Found by the model checker: the surplus link was forgotten, and the incumbent may be the one that its peer had given up.
    @Test("the answer that proves a peer's process puts its surplus link to the rule, whatever the verdict", arguments: [
        Verdict.accepted, .duplicate, .full, .banned(for: .seconds(60)),
    ])
    func surplusAfterVerdict(verdict: Verdict) {
        var h = dialling(own: 0)
        let (home, _) = call(&h)
        let (other, _) = call(&h, from: Self.away(1))
        _ = answer(&h, verdict)
        #expect(h.mesh.hasSurplusUnderProbe == true)
        let incumbent = verdict == .accepted ? h.subject! : home
        #expect(report(h, 1)?.established == incumbent)
        _ = h.wait(.seconds(5))
        #expect(state(h, incumbent) == .draining && report(h, 1)?.established == other)
    }

    /// The surplus link waited for nobody then: only a later hello of the peer, or its own keepalive, would have met it.
    @Test("a surplus link that gave its turn to a newcomer has it again when that one takes a silent incumbent's place")
    func surplusAfterNewcomer() {
        var h = dialling(own: 0)
        let other = surplus(&h)
        let (third, _) = call(&h)
        _ = h.wait(.seconds(5))
        #expect(report(h, 1)?.established == third)
        #expect(state(h, other) == .established && h.mesh.hasSurplusUnderProbe == true)
        _ = h.tell(.received(third, frames: 1, partial: 0))
        #expect(state(h, other) == .draining && report(h, 1)?.established == third)
    }

    @Test("a surplus link that is itself asked for life has its turn when it has answered")
    func surplusUnderProbe() {
        var h = dialling(own: 0)
        _ = call(&h)
        let (other, _) = call(&h, from: Self.away(1))
        let (next, _) = call(&h, from: Self.away(1))
        #expect(state(h, next) == .held)
        _ = answer(&h)
        #expect(h.mesh.hasSurplusUnderProbe == false)
        _ = h.tell(.received(other, frames: 1, partial: 0))
        #expect(state(h, next) == .draining && h.mesh.hasSurplusUnderProbe == true)
        _ = h.tell(.received(h.subject!, frames: 1, partial: 0))
        #expect(state(h, other) == .draining && report(h, 1)?.established == h.subject)
    }

    @Test("a dialled hello gives its peer the nobody's link of the same process, and no other")
    func merges() {
        var h = dialling(own: 5)
        let (stranger, _) = call(&h, nonce: 7, from: Self.away(2), states: nil)
        let (other, _) = call(&h, nonce: 1, from: Self.away(1), states: nil)
        #expect(report(h, 1)?.established == nil)
        _ = answer(&h, .duplicate)
        #expect(report(h, 1)?.established == other)
        #expect(h.mesh.link(other)?.identity == .proven)
        #expect(h.mesh.link(stranger)?.identity == .anonymous)
        #expect(report(h, 1)?.linkedSince == h.now)
        #expect(h.mesh.census().establishedRegular == 2)
        // From here on the process is known: its next link is the peer's, wherever it comes from.
        let (next, _) = call(&h, nonce: 1, from: Self.away(3), states: nil)
        #expect(h.mesh.link(next)?.identity == .proven)
        #expect(state(h, next) == .held)
    }

    @Test("two links of one process that is nobody's: the older is asked for life")
    func strangersTwice() {
        var h = Harness(own: peer(5))
        let first = call(&h, nonce: 7, from: Self.away(1), states: nil).0
        let second = call(&h, nonce: 7, from: Self.away(1), states: nil).0
        let third = call(&h, nonce: 8, from: Self.away(1), states: nil).0
        #expect(state(h, second) == .held)
        #expect(state(h, third) == .established)
        #expect(h.tell(.received(first, frames: 1, partial: 0)).contains(.answer(second, .duplicate, isNative: true)))
        #expect(h.mesh.peerCount == 0)
        var silent = Harness(own: peer(5))
        let older = call(&silent, nonce: 7, from: Self.away(1), states: nil).0
        let newer = call(&silent, nonce: 7, from: Self.away(1), states: nil).0
        let actions = silent.wait(.seconds(5))
        #expect(actions.contains(.answer(newer, .accepted, isNative: true)))
        #expect(actions.contains(.drain(older, .superseded)))
    }
}
