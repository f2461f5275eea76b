// What is kept from both ends (link and row, the two links of a probe) stays whole whatever strangers say, in whatever order.

import Testing
import Timers

@testable import PeerMesh

@Suite("Bonds")
struct BondTests: DuplicateScenes {
    static let nonce: UInt64 = 0x4e
    static let other: UInt64 = 0x4f

    /// L calls from elsewhere, C1 claims peer 1, C2 claims it with another nonce and is refused, so that peer 1 is dialled; it answers
    /// with the nonce of all of them, and L waits in C1's probe.
    private func probed(_ h: inout Harness) -> (incumbent: LinkID, waiting: LinkID) {
        let (waiting, _) = h.inbound(Hello(isNative: true, nonce: Self.nonce), from: Self.away(1))
        let (incumbent, _) = h.inbound(peer: peer(1), nonce: Self.nonce)
        _ = h.inbound(peer: peer(1), nonce: Self.other)
        let verifying = h.tell(.received(incumbent!, frames: 1, partial: 0))
        #expect(h.dialled(peer(1), in: verifying, nonce: Self.nonce) != nil)
        _ = h.tell(.received(incumbent!, frames: 1, partial: 0))
        #expect(h.mesh.hasSurplusUnderProbe == true)
        #expect(state(h, waiting!) == .established)
        return (incumbent!, waiting!)
    }

    /// The waiting link tells of peer 2, which is dialled.
    private func dialSecond(_ h: inout Harness, from link: LinkID) -> [Action] {
        _ = h.tell(.learnt(link, peer(2)))
        return h.wait(.milliseconds(200))
    }

    @Test("a link that waits in a probe is not given to another peer, and the probe ends as it always does")
    func waitingLinkStays() {
        var h = Harness()
        let (incumbent, waiting) = probed(&h)
        let dials = dialSecond(&h, from: waiting)
        let second = h.dialled(peer(2), in: dials, nonce: Self.nonce)
        #expect(report(h, 2)?.established == second)
        #expect(report(h, 1)?.established == incumbent)
        // The incumbent is silent: the one that waited in its probe takes its place.
        _ = h.wait(.seconds(6))
        #expect(report(h, 1)?.established == waiting)
        #expect(h.mesh.contradictions == 0)
        for index in 1...2 { #expect(report(h, index)?.established != nil, "peer \(index)") }
    }

    @Test("the same in every order of answer, silence, close and refusal")
    func everyEnd() {
        let ends: [(inout Harness, LinkID, LinkID) -> Void] = [
            { h, incumbent, _ in _ = h.tell(.received(incumbent, frames: 1, partial: 0)) },
            { h, incumbent, _ in _ = h.tell(.ended(incumbent, .remoteClosed)) },
            { h, _, waiting in _ = h.tell(.ended(waiting, .remoteClosed)) },
            { h, _, _ in _ = h.tell(.disconnect(peer(1))) },
            { h, _, _ in _ = h.tell(.ban(Subnet(peer(1).address), until: .never, by: .operator)) },
            { h, _, _ in _ = h.tell(.ban(Subnet(peer(1).address), until: .never, by: .automatic)) },
            { h, _, _ in _ = h.tell(.registered(peer(2))) },
            { h, _, _ in _ = h.tell(.shutdown) },
            { h, _, _ in _ = h.wait(.seconds(6)) },
        ]
        for verdict in [Verdict.accepted, .duplicate, .full, .banned(for: .seconds(60))] {
            for (number, end) in ends.enumerated() {
                for early in [true, false] {
                    var h = Harness()
                    let (incumbent, waiting) = probed(&h)
                    let dials = dialSecond(&h, from: waiting)
                    if early { end(&h, incumbent, waiting) }
                    if case .dial(let link, _)? = dials.first(where: { if case .dial = $0 { true } else { false } }) {
                        _ = h.tell(.connected(link))
                        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(2), nonce: Self.nonce, verdict: verdict)))
                    }
                    if !early { end(&h, incumbent, waiting) }
                    _ = h.wait(.seconds(120))
                    #expect(h.mesh.contradictions == 0, "end \(number), \(verdict), early \(early)")
                }
            }
        }
    }

    @Test("a banned heir is nobody's when it ends: the session of its row ends once")
    func bannedHeir() {
        var h = Harness()
        let (_, waiting) = probed(&h)
        _ = h.tell(.ban(Subnet(peer(1).address), until: .never, by: .automatic))
        let actions = h.wait(.seconds(6))
        #expect(actions.contains(.drain(waiting, .banned)))
        #expect(report(h, 1)?.established == nil)
        #expect(h.mesh.contradictions == 0)
    }

    @Test("a link that was in a probe and drains is written out and read back")
    func drainingRival() {
        var h = Harness()
        let (incumbent, waiting) = probed(&h)
        _ = h.tell(.ended(waiting, .protocolViolation))
        #expect(state(h, waiting) == .draining)
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        if Mesh(h.mesh.settings, decoding: bytes, now: h.now) == nil { Issue.record("not read back") }
        #expect(state(h, incumbent) == .established)
    }

    @Test("a contradiction of the table is counted, ends the link concerned, and ends nothing else")
    func contradiction() {
        var h = Harness()
        let (incumbent, waiting) = probed(&h)
        // The newcomer forgets its incumbent, as no code can.
        h.mesh.links[Int(incumbent.slot)].bonds = LinkBonds(row: h.mesh.links[Int(incumbent.slot)].row, rival: -1)
        #expect(h.mesh.brokenInvariant(at: h.now) != nil)
        while let deadline = h.mesh.nextDeadline, deadline <= h.now + .seconds(6) {
            h.now = max(h.now, deadline)
            h.mesh.advance(to: h.now)
            if h.mesh.contradictions > 0 { break }
        }
        #expect(h.take().contains(.close(incumbent, .internalError)))
        #expect(h.mesh.contradictions == 1)
        #expect(state(h, waiting) == .established)
    }

    // A peer that moved.

    /// A learnt peer that was dialled once, and is without a link.
    private func known(_ h: inout Harness) {
        _ = h.tell(.recalled(peer(1), .linked))
        let link = h.dialled(peer(1), in: [.dial(report(h, 1)!.dial!, peer(1))], nonce: Self.nonce)!
        _ = h.tell(.ended(link, .remoteClosed))
    }

    @Test("a learnt peer that moved is known by the address that it calls from and states")
    func moved() {
        var h = Harness { $0.reservedSlots = 0 }
        known(&h)
        let link = h.inbound(peer: peer(2), nonce: Self.nonce).0!
        #expect(report(h, 2)?.established == link && h.mesh.link(link)?.info.peer == peer(2))
        #expect(report(h, 1)?.established == nil)
    }

    @Test("a learnt peer that moved while its old link stands is known by its new address once the old one is silent")
    func movedLive() {
        var h = Harness { $0.reservedSlots = 0 }
        _ = h.tell(.recalled(peer(1), .linked))
        let old = h.dialled(peer(1), in: [.dial(report(h, 1)!.dial!, peer(1))], nonce: Self.nonce)!
        _ = h.wait(.seconds(40))
        _ = h.tell(.received(old, frames: 1, partial: 0))
        let link = h.accept(from: Endpoint(peer(2).address, port: 40_000))!
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(2), nonce: Self.nonce)))
        #expect(state(h, link) == .held)
        _ = h.wait(.seconds(5))
        #expect(state(h, link) == .established && state(h, old) != .established)
        #expect(report(h, 2)?.established == link)
        #expect(report(h, 1)?.established == nil)
    }

    @Test("what the operator or the registry names does not move by a claim", arguments: [true, false])
    func namedStays(byRegistry: Bool) {
        var h = Harness { $0.reservedSlots = 0 }
        known(&h)
        _ = h.tell(byRegistry ? .registered(peer(1)) : .connect(peer(1)))
        if let dial = report(h, 1)?.dial { _ = h.tell(.dialFailed(dial, .refused)) }
        let link = h.inbound(peer: peer(2), nonce: Self.nonce).0!
        #expect(report(h, 1)?.established == link)
        #expect(report(h, 2) == nil)
    }

    @Test("whoever calls with a copied nonce while its owner is away is put to a dial within the verification's minute, again and again")
    func copierIsVerified() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        let link = h.dialled(peer(1), in: [.dial(report(h, 1)!.dial!, peer(1))], nonce: Self.nonce)!
        _ = h.tell(.ended(link, .remoteClosed))
        let copier = h.inbound(Hello(isNative: true, endpoint: peer(1), nonce: Self.nonce), from: Self.away(1)).0!
        #expect(report(h, 1)?.established == copier)
        func minute(_ h: inout Harness) -> [Action] {
            var actions: [Action] = []
            for _ in 0..<3 {
                actions += h.wait(.seconds(20))
                actions += h.tell(.received(copier, frames: 1, partial: 0))
            }
            return actions
        }
        for _ in 0..<3 {
            #expect(h.dials(minute(&h)) == [peer(1)])
            _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        }
        // The owner is back: the link that we dialled to it takes the copier's place.
        let owner = h.dialled(peer(1), in: minute(&h), nonce: Self.nonce)!
        #expect(report(h, 1)?.established == owner && state(h, copier) != .established)
    }
}
