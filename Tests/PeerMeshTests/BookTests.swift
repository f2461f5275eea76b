// The address book: who is taken in, who is chosen, who is told, who makes room, who is forgotten. Each at its boundary.

import Testing
import Timers

@testable import PeerMesh

@Suite("The address book")
struct BookTests {
    private static func loopback(_ port: UInt16) -> Endpoint { Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port) }

    /// A harness whose subject is a linked peer that tells of others.
    private func teller(seed: UInt64 = 1, _ configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        var h = Harness(own: peer(0)) {
            $0.seed = seed
            configure(&$0)
        }
        h.subject = h.inbound(peer: peer(1), nonce: 1).0
        return h
    }

    /// Which of these peers have a row.
    private func known(_ h: borrowing Harness, _ indices: ClosedRange<Int>) -> [Int] {
        var known: [Int] = []
        for index in indices where h.mesh.peer(at: peer(index), now: h.now) != nil { known.append(index) }
        return known
    }

    /// Time passes, and the subject shows life.
    private func stay(_ h: inout Harness, _ span: Nanoseconds) {
        let end = h.now + span
        while h.now < end {
            _ = h.wait(min(.seconds(1), end - h.now))
            _ = h.tell(.received(h.subject!, frames: 1, partial: 0))
        }
    }

    /// Refuses every dial among `actions`.
    private func refuse(_ h: inout Harness, _ actions: [Action]) {
        for case .dial(let link, _) in actions { _ = h.tell(.dialFailed(link, .refused)) }
    }

    @Test("exactly the free regular slots are filled, and a linked peer's slot is not free", arguments: 1...8)
    func fills(seed: UInt64) {
        var h = teller(seed: seed) { ($0.maxPeers, $0.reservedSlots, $0.bookCapacity) = (6, 2, 2_048) }
        let link = h.subject!
        for index in 10..<30 { _ = h.tell(.learnt(link, peer(index))) }
        let dials = h.dials(h.wait(.milliseconds(100)))
        #expect(Set(dials).count == 3)
        // Half a choice is no slot: a fill beside dials in flight adds nothing.
        _ = h.tell(.learnt(link, peer(40)))
        #expect(h.dials(h.wait(.milliseconds(200))) == [])
        #expect(h.mesh.census().dialingRegular == 3)
        #expect(h.mesh.census().knownPeers == 22)
    }

    @Test("a chosen peer that fails makes room for another, at once, and is not chosen again before its wait")
    func givesUpItsPlace() {
        var h = teller { ($0.maxPeers, $0.reservedSlots) = (3, 1) }
        let link = h.subject!
        for index in 10..<13 { _ = h.tell(.learnt(link, peer(index))) }
        var seen: [Endpoint] = []
        for _ in 0..<3 {
            let actions = h.wait(.milliseconds(150))
            seen += h.dials(actions)
            refuse(&h, actions)
        }
        #expect(Set(seen) == Set((10..<13).map(peer)) && seen.count == 3)
        // The last of them had nobody to make room for: it keeps its place and is dialled again after its backoff.
        #expect(h.dials(h.wait(.seconds(6))).count == 1)
        // One that was refused is off, not waiting for a dial of its own.
        var waiting = 0
        for index in 10..<13 { if case .wait = h.mesh.peer(at: peer(index), now: h.now)!.schedule { waiting += 1 } }
        #expect(waiting <= 1)
    }

    @Test("a chosen peer whose long session ends keeps its place, though another waits for one")
    func keepsItsPlace() {
        var h = teller { ($0.maxPeers, $0.reservedSlots) = (3, 1) }
        let link = h.subject!
        _ = h.tell(.learnt(link, peer(10)))
        let chosen = h.dialled(peer(10), in: h.wait(.milliseconds(150)))!
        _ = h.tell(.learnt(link, peer(11)))
        for _ in 0..<13 {
            stay(&h, .seconds(5))
            _ = h.tell(.received(chosen, frames: 1, partial: 0))
        }
        _ = h.tell(.ended(chosen, .remoteClosed))
        #expect(h.mesh.peer(at: peer(10), now: h.now)?.schedule == .wait(until: h.now + .seconds(5), .backoff))
        #expect(h.mesh.peer(at: peer(11), now: h.now)?.schedule == .off(.notChosen))
    }

    @Test("a free row is taken before anybody is put out of the book")
    func freeRowFirst() {
        var h = Harness(started: false) { $0.bookCapacity = 2 }
        _ = h.tell(.start)
        _ = h.tell(.connect(peer(1)))
        let (second, _) = h.inbound(peer: peer(2), nonce: 2)
        _ = h.tell(.ended(second!, .remoteClosed))
        _ = h.tell(.disconnect(peer(1)))
        _ = h.tell(.connect(peer(3)))
        #expect(known(h, 1...3) == [2, 3])
    }

    @Test("only a linked peer tells, only what can be dialled, never ourselves, never what is known")
    func intake() {
        var h = teller()
        let link = h.subject!
        let pending = h.accept(from: peer(50))!
        _ = h.tell(.learnt(pending, peer(10)))
        #expect(known(h, 10...10) == [])
        for nobody in [peer(0), Endpoint(peer(11).address, port: 0), Endpoint(IPAddress(v4: 224, 0, 0, 1), port: 5), Self.loopback(5)] {
            _ = h.tell(.learnt(link, nobody))
        }
        #expect(h.mesh.peerCount == 1)
        _ = h.tell(.learnt(link, peer(10)))
        #expect(known(h, 10...10) == [10])
        #expect(h.mesh.peerCount == 2)
        _ = h.tell(.registered(peer(12)))
        let desire = h.mesh.peer(at: peer(12), now: h.now)?.desire
        _ = h.tell(.learnt(link, peer(12)))
        #expect(h.mesh.peer(at: peer(12), now: h.now)?.desire == desire)
        var first = Harness()
        _ = first.tell(.registered(peer(12)))
        let other = first.inbound(peer: peer(1), nonce: 1).0!
        _ = first.tell(.learnt(other, peer(12)))
        #expect(first.mesh.peer(at: peer(12), now: first.now)?.desire == .registry)
        // Between peers on this machine loopback is as good as anything.
        let near = h.inbound(Hello(isNative: true, endpoint: Self.loopback(7), nonce: 9), from: Self.loopback(40_000)).0!
        _ = h.tell(.learnt(near, Self.loopback(8)))
        #expect(h.mesh.peer(at: Self.loopback(8), now: h.now) != nil)
        _ = h.tell(.learnt(near, peer(13)))
        #expect(known(h, 13...13) == [])
    }

    @Test("a link's bucket gives one entry a period, not before it, and never more than its burst")
    func bucket() {
        var h = teller { ($0.intakeBurst, $0.intakePeriod) = (2, .seconds(10)) }
        let link = h.subject!
        for index in 10..<14 { _ = h.tell(.learnt(link, peer(index))) }
        #expect(known(h, 10...13) == [10, 11])
        stay(&h, .milliseconds(9_999))
        _ = h.tell(.learnt(link, peer(14)))
        #expect(known(h, 14...14) == [])
        stay(&h, .milliseconds(1))
        _ = h.tell(.learnt(link, peer(15)))
        _ = h.tell(.learnt(link, peer(16)))
        #expect(known(h, 15...16) == [15])
        // What is left of a period is not lost.
        stay(&h, .seconds(15))
        _ = h.tell(.learnt(link, peer(17)))
        stay(&h, .seconds(5))
        _ = h.tell(.learnt(link, peer(18)))
        #expect(known(h, 17...18) == [17, 18])
        stay(&h, .seconds(1_000))
        for index in 20..<30 { _ = h.tell(.learnt(link, peer(index))) }
        #expect(known(h, 20...29) == [20, 21])
    }

    @Test("a question for peers is answered again after the interval, not before")
    func answersSeldom() {
        var h = teller()
        let link = h.subject!
        #expect(h.tell(.asked(link)) == [.share(link)])
        for step in 1...13 {
            _ = h.wait(step == 12 ? .milliseconds(9_999) : step == 13 ? .milliseconds(1) : .seconds(10))
            _ = h.tell(.received(link, frames: 1, partial: 0))
            #expect(h.tell(.asked(link)) == (step == 13 ? [.share(link)] : []), "\(step)")
        }
        let pending = h.accept(from: peer(50))!
        #expect(h.tell(.asked(pending)) == [])
    }

    private func told(_ h: inout Harness, _ link: LinkID, atMost: Int = .max) -> [Endpoint] {
        var told: [Endpoint] = []
        h.mesh.sharePeers(with: link, at: h.now) {
            told.append($0)
            return told.count < atMost
        }
        return told
    }

    @Test("who asks is told of peers that answered our dial and of the registry's; not of itself, us, the banned, callers, the merely heard of")
    func tells() {
        var h = teller { $0.shareLimit = 3 }
        let link = h.subject!
        #expect(told(&h, link) == [])
        _ = h.dialled(peer(2), in: h.tell(.connect(peer(2))), nonce: 2)
        _ = h.inbound(peer: peer(10), nonce: 10)
        _ = h.tell(.registered(peer(3)))
        _ = h.tell(.registered(peer(0)))
        _ = h.tell(.learnt(link, peer(4)))
        _ = h.dialled(peer(5), in: h.tell(.connect(peer(5))), nonce: 5)
        _ = h.tell(.ban(Subnet(peer(5).address), until: .never, by: .operator))
        #expect(Set(told(&h, link)) == [peer(2), peer(3)])
        for index in 6...9 { _ = h.tell(.registered(peer(index))) }
        #expect(Set(told(&h, link)).count == 3)
        #expect(told(&h, link).count == 3)
        #expect(told(&h, link, atMost: 1).count == 1)
        #expect(told(&h, LinkID(slot: link.slot, generation: link.generation + 1)) == [])
    }

    @Test("loopback peers are told on loopback only")
    func tellsLoopback() {
        var h = teller()
        let link = h.subject!
        _ = h.tell(.registered(Self.loopback(8)))
        #expect(told(&h, link) == [])
        let near = h.inbound(Hello(isNative: true, endpoint: Self.loopback(7), nonce: 9), from: Self.loopback(40_000)).0!
        #expect(Set(told(&h, near)) == [Self.loopback(8)])
        #expect(told(&h, link) == [])
    }

    @Test("a full book gives up a learnt peer that nothing speaks for, one that failed first, and nobody else", arguments: 1...12)
    func makesRoom(seed: UInt64) {
        var h = teller(seed: seed) { ($0.bookCapacity, $0.maxPeers, $0.reservedSlots) = (5, 8, 5) }
        let link = h.subject!
        // Rows: the teller, one that was dialled and linked for long, an operator's, one that fails, one that is only heard of.
        let second = h.dialled(peer(2), in: h.tell(.recalled(peer(2), .linked)), nonce: 2)
        for _ in 0..<8 {
            _ = h.wait(.seconds(10))
            for one in [link, second!] { _ = h.tell(.received(one, frames: 1, partial: 0)) }
        }
        _ = h.tell(.ended(second!, .remoteClosed))
        #expect(h.failures(peer(2)) == 0)
        let dial = h.tell(.connect(peer(3)))
        #expect(h.dials(dial) == [peer(3)])
        _ = h.tell(.learnt(link, peer(4)))
        refuse(&h, h.wait(.milliseconds(200)))
        #expect(h.failures(peer(4)) == 1)
        _ = h.tell(.learnt(link, peer(5)))
        #expect(known(h, 1...9) == [1, 2, 3, 4, 5])
        // An inbound socket that is being decided holds nothing; a wanted newcomer takes the place of the one that failed.
        _ = h.tell(.registered(peer(6)))
        #expect(known(h, 1...9) == [1, 2, 3, 5, 6])
        // A chosen one is in use; when it is, nobody is left to go.
        let chosen = h.mesh.peer(at: peer(5), now: h.now)!.dial != nil
        _ = h.tell(.registered(peer(7)))
        #expect(known(h, 1...9) == (chosen ? [1, 2, 3, 5, 6] : [1, 2, 3, 6, 7]))
        _ = h.tell(.registered(peer(8)))
        #expect(known(h, 8...8) == [])
        #expect(h.mesh.peerCount == 5)
        _ = h.tell(.learnt(link, peer(9)))
        _ = h.tell(.connect(peer(9)))
        #expect(known(h, 9...9) == [])
        // A stranger who states an endpoint is linked, but has no row.
        let (stranger, verdict) = h.inbound(peer: peer(9), nonce: 99)
        let report = h.mesh.link(stranger!)
        #expect(verdict == .accepted && report?.info.peer == nil && report?.identity == .anonymous)
    }

    @Test("a learnt peer is forgotten at its tenth failure, an operator's never; the tombstone is an hour")
    func forgets() {
        var h = teller { $0.bookFloor = 1 }
        let link = h.subject!
        _ = h.tell(.learnt(link, peer(4)))
        _ = h.tell(.connect(peer(5)))
        var failed = 0
        var forgottenAt: Instant?
        for round in 0..<20_000 where forgottenAt == nil || h.now < forgottenAt! + .milliseconds(3_599_000) {
            _ = h.tell(.received(link, frames: 1, partial: 0))
            for case .dial(let dial, let to) in h.wait(.seconds(1)) {
                _ = h.tell(.dialFailed(dial, .refused))
                if to == peer(4) { failed += 1 }
                if to == peer(4), failed == 10 { forgottenAt = h.now }
                #expect(h.mesh.peer(at: peer(4), now: h.now)?.desire == (failed < 10 ? .learnt : []))
            }
            if forgottenAt != nil, round % 20 == 0 { _ = h.tell(.learnt(link, peer(4))) }
        }
        #expect(failed == 10)
        #expect(h.mesh.peer(at: peer(4), now: h.now)?.schedule == .off(.forgotten))
        #expect(h.failures(peer(5))! >= 10)
        #expect(h.mesh.peer(at: peer(5), now: h.now)?.desire == .operator)
        #expect(h.mesh.census().knownPeers == 2)
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.wait(.seconds(2))
        #expect(known(h, 4...4) == [])
        _ = h.tell(.learnt(link, peer(4)))
        let dialled = h.dials(h.wait(.milliseconds(200)))
        #expect(dialled.contains(peer(4)))
    }

    @Test("what was learnt before the start, or while stopping, is not dialled")
    func onlyWhileRunning() {
        var h = teller()
        let link = h.subject!
        _ = h.tell(.learnt(link, peer(10)))
        _ = h.tell(.shutdown)
        #expect(h.dials(h.wait(.seconds(600))) == [])
        #expect(h.mesh.nextDeadline == nil)
    }
}
