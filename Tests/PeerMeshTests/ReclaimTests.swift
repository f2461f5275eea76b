// One nonce at two endpoints: which of the inbound links that were given to the one are the other's. Branch by branch.

import Testing
import Timers

@testable import PeerMesh

@Suite("Links that were given to a copier")
struct ReclaimTests {
    private static let away = Endpoint(IPAddress(v4: 10, 9, 9, 9), port: 40_000)

    private func report(_ h: borrowing Harness, _ index: Int) -> PeerReport? { h.mesh.peer(at: peer(index), now: h.now) }

    /// Peer 1 has answered our dial with the nonce 7 of peer 2, whom we do not know yet by it. `first` is the row 0.
    private func copied(first: Int = 1, stays: Bool = false, states: Int = 1) -> Harness {
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        copy(&h, first: first, stays: stays, states: states)
        return h
    }

    private func copy(_ h: inout Harness, first: Int = 1, stays: Bool = false, states: Int = 1) {
        for index in first == 1 ? [1, 2] : [2, 1] { _ = h.tell(.registered(peer(index))) }
        _ = h.tell(.redial(peer(1)))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        _ = h.tell(.hello(h.subject!, Hello(isNative: true, endpoint: peer(states), nonce: 7, verdict: .accepted)))
        if !stays { _ = h.tell(.ended(h.subject!, .remoteClosed)) }
    }

    private func call(_ h: inout Harness, states: Int?, from remote: Endpoint = away) -> LinkID {
        let link = h.accept(from: remote)!
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: states.map(peer), nonce: 7)))
        return link
    }

    /// Our dial of peer 2 is answered with the nonce.
    private func dialTwo(_ h: inout Harness, _ verdict: Verdict = .duplicate) {
        _ = h.tell(.redial(peer(2)))
        let dial = report(h, 2)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(2), nonce: 7, verdict: verdict)))
    }

    @Test("an inbound link that states the other endpoint goes back to it, from the first row of the table as from any other", arguments: [1, 2])
    func goesBack(first: Int) {
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        // The stray has the table's first place, or not.
        let early = first == 2 ? h.accept(from: Self.away) : nil
        copy(&h, first: first)
        let link = early ?? h.accept(from: Self.away)!
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(2), nonce: 7)))
        let since = h.now
        #expect(report(h, 1)?.established == link)
        _ = h.wait(.seconds(3))
        dialTwo(&h)
        #expect(report(h, 1)?.established == nil && report(h, 1)?.linkedSince == nil)
        #expect(report(h, 2)?.established == link)
        #expect(report(h, 2)?.linkedSince == since)
        #expect(h.mesh.link(link)?.info.peer == peer(2))
        // The copier is dialled again when its turn comes.
        #expect(report(h, 1)?.schedule != Schedule.none)
    }

    @Test("one that states nothing, or the copier's endpoint, stays where it was given", arguments: [nil, 1] as [Int?])
    func staysWithoutWord(states: Int?) {
        var h = copied()
        let link = call(&h, states: states)
        dialTwo(&h)
        #expect(report(h, 1)?.established == link)
        #expect(report(h, 2)?.established == nil)
    }

    @Test("a link that we dialled stays with the peer that we dialled, whatever it states")
    func dialledStays() {
        var h = copied(stays: true, states: 2)
        dialTwo(&h)
        #expect(report(h, 1)?.established == h.subject)
        #expect(report(h, 2)?.established == nil)
    }

    @Test("a link that is being probed stays until the probe is over, and a held one is nobody's to give")
    func probedStays() {
        // The held one has the first slot of the table.
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        let second = h.accept(from: Self.away)!
        #expect(second.slot == 0)
        copy(&h)
        let first = call(&h, states: 2)
        _ = h.tell(.hello(second, Hello(isNative: true, endpoint: peer(2), nonce: 7)))
        #expect(h.mesh.link(second)?.state == .held)
        dialTwo(&h)
        #expect(report(h, 1)?.established == first)
        #expect(report(h, 1)?.held == second)
        #expect(report(h, 2)?.established == nil)
        _ = h.tell(.received(first, frames: 1, partial: 0))
        #expect(h.mesh.link(first)?.state == .established)
    }

    @Test("a peer that has a link, in the table's first place or not, takes no other back", arguments: [true, false])
    func linkedTakesNone(isFirst: Bool) {
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        let home = Endpoint(peer(2).address, port: 40_001)
        let early = isFirst ? h.accept(from: home) : nil
        copy(&h)
        let strayed = call(&h, states: 2)
        let claimed = early ?? h.accept(from: home)!
        #expect((claimed.slot == 0) == isFirst)
        _ = h.tell(.hello(claimed, Hello(isNative: true, endpoint: peer(2), nonce: 8)))
        #expect(report(h, 2)?.established == claimed)
        _ = h.wait(.seconds(30))
        let rival = h.accept(from: Endpoint(peer(2).address, port: 40_002))!
        _ = h.tell(.hello(rival, Hello(isNative: true, endpoint: peer(2), nonce: 9)))
        for link in [strayed, claimed] { _ = h.tell(.received(link, frames: 1, partial: 0)) }
        // The verifying dial beside the live link.
        let dial = report(h, 2)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(2), nonce: 8, verdict: .duplicate)))
        #expect(report(h, 2)?.established == claimed)
        #expect(report(h, 1)?.established == strayed)
    }

    @Test("a peer with a foreign link, in the table's first place or not, takes no other back either", arguments: [true, false])
    func foreignLinkedTakesNone(isFirst: Bool) {
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        let home = Endpoint(peer(2).address, port: 40_001)
        let early = isFirst ? h.accept(from: home) : nil
        copy(&h)
        let strayed = call(&h, states: 2)
        _ = h.tell(.redial(peer(2)))
        let dial = report(h, 2)!.dial!
        _ = h.tell(.connected(dial))
        let foreign = early ?? h.accept(from: home)!
        #expect((foreign.slot == 0) == isFirst)
        _ = h.tell(.hello(foreign, Hello(isNative: false, endpoint: peer(2), nonce: 3)))
        #expect(report(h, 2)?.established == foreign)
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(2), nonce: 7, verdict: .duplicate)))
        #expect(report(h, 2)?.established == foreign && report(h, 1)?.established == strayed)
    }

    @Test("nobody's link of the process that answers is the peer's, also when it states the endpoint; one of another process is not")
    func anonymousMerges() {
        var h = Harness(own: peer(5)) { $0.role = .masternode }
        let link = h.accept(from: Self.away)!
        _ = h.tell(.registered(peer(2)))
        let other = h.accept(from: Self.away)!
        _ = h.tell(.hello(other, Hello(isNative: true, endpoint: peer(2), nonce: 6)))
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(2), nonce: 7)))
        #expect(link.slot == 0 && h.mesh.link(link)?.identity == .anonymous)
        dialTwo(&h)
        #expect(report(h, 2)?.established == link)
        #expect(h.mesh.link(link)?.identity == .proven)
        #expect(h.mesh.link(other)?.identity == .anonymous)
    }

    @Test("of a peer with a link of its own, in the table's first place or not, no nobody's link takes the row", arguments: [true, false])
    func mergesOnlyIntoAnEmptyRow(isFirst: Bool) {
        var h = Harness(own: peer(0)) { $0.pingInterval = .seconds(600) }
        let home = Endpoint(peer(1).address, port: 40_001)
        let early = isFirst ? h.accept(from: home) : nil
        _ = h.tell(.connect(peer(1)))
        let dial = report(h, 1)!.dial!
        _ = h.tell(.connected(dial))
        let claimed = early ?? h.accept(from: home)!
        #expect((claimed.slot == 0) == isFirst)
        _ = h.tell(.hello(claimed, Hello(isNative: true, endpoint: peer(1), nonce: 7)))
        let nobodys = call(&h, states: nil)
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(1), nonce: 7, verdict: .duplicate)))
        #expect(report(h, 1)?.established == claimed)
        #expect(h.mesh.link(nobodys)?.identity == .anonymous)
    }
}
