// More of the address book, each rule at its boundary: the net of phase 3, the choice, what was kept of an earlier life, what
// is told, and what becomes of those who were forgotten.

import Testing
import Timers

@testable import PeerMesh

@Suite("The address book, at its boundaries")
struct BookRuleTests {
    private func report(_ h: borrowing Harness, _ index: Int) -> PeerReport? { h.mesh.peer(at: peer(index), now: h.now) }

    private func told(_ h: inout Harness, _ link: LinkID) -> Set<Endpoint> {
        var told: Set<Endpoint> = []
        h.mesh.sharePeers(with: link, at: h.now) {
            told.insert($0)
            return true
        }
        return told
    }

    /// A linked stranger that has no row.
    private func stranger(_ h: inout Harness, _ index: Int = 90) -> LinkID {
        h.inbound(Hello(isNative: true, nonce: UInt64(index)), from: peer(index)).0!
    }

    /// A learnt peer where a dial of ours is answered and linked.
    private func tried(_ h: inout Harness, _ index: Int) {
        #expect(h.dialled(peer(index), in: h.tell(.recalled(peer(index), .linked)), nonce: UInt64(index)) != nil)
    }

    // Phase 3.

    @Test("the discovery finds a masternode whose timer was lost, dials it and counts it; a regular peer is not its business")
    func net() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.connect(peer(2)))
        for index in [1, 2] { _ = h.tell(.dialFailed(report(h, index)!.dial!, .refused)) }
        for index in [1, 2] { h.mesh.wheel.cancel(h.mesh.rowTimer(h.mesh.row(of: peer(index)))) }
        // Past the invariants, which would tell that a wait has no deadline.
        h.now = h.now + .seconds(120)
        h.mesh.advance(to: h.now)
        #expect(h.dials(h.take()) == [peer(1)])
        #expect(h.mesh.rescues == 1)
    }

    @Test("a masternode that is queued for a dial needs no rescue")
    func queued() {
        var h = Harness { ($0.dialLimit, $0.dialTimeout) = (1, .seconds(1_000)) }
        for index in [1, 2] { _ = h.tell(.registered(peer(index))) }
        #expect(report(h, 2)?.schedule == .ready)
        _ = h.wait(.seconds(130))
        #expect(h.mesh.rescues == 0)
        #expect(report(h, 2)?.schedule == .ready)
    }

    @Test("a masternode that stopped being wanted while its dial was in flight is no rescue")
    func demotedIsNone() {
        var h = Harness { ($0.dialTimeout, $0.pingInterval) = (.seconds(1_000), .seconds(3_600)) }
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.unregistered(peer(1)))
        #expect(report(h, 1)?.role == .masternode)
        _ = h.wait(.seconds(130))
        #expect(h.mesh.rescues == 0)
    }

    @Test("a masternode whose wait ends in the discovery's own step, when the loop was late, is no rescue")
    func lateIsNone() {
        var h = Harness { $0.dialTimeout = .seconds(1_000) }
        _ = h.tell(.registered(peer(1)))
        _ = h.wait(.seconds(116))
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        #expect(report(h, 1)?.nextStep == h.now + .seconds(5))
        h.now = h.now + .seconds(20)
        h.mesh.advance(to: h.now)
        #expect(h.dials(h.take()) == [peer(1)])
        #expect(h.mesh.rescues == 0)
    }

    @Test("the discovery drops bans that have run out")
    func sweeps() {
        var h = Harness()
        _ = h.tell(.ban(Subnet(peer(9).address), until: h.now + .seconds(60), by: .operator))
        _ = h.wait(.milliseconds(119_999))
        #expect(h.mesh.census().bans == 1)
        _ = h.wait(.milliseconds(1))
        #expect(h.mesh.census().bans == 0)
    }

    // Choosing.

    @Test("a chosen peer that is linked, also in the first place of the table, takes one slot and not two")
    func linkedChoice() {
        var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots) = (3, 1) }
        _ = h.tell(.recalled(peer(1), .linked))
        for index in 10..<14 { _ = h.tell(.recalled(peer(index), .known)) }
        let actions = h.tell(.start)
        #expect(h.dials(actions).count == 2)
        let first = h.dialled(peer(1), in: actions)!
        #expect(first.slot == 0)
        let other = h.dials(actions).first { $0 != peer(1) }!
        let second = h.dialled(other, in: actions, nonce: 98)!
        _ = h.tell(.ended(second, .remoteClosed))
        #expect(h.dials(h.wait(.milliseconds(200))).count == 1)
    }

    @Test("those that are chosen together are not always neighbours, and each of a few is chosen at some time")
    func byChance() {
        var pairs: Set<[Int]> = []
        for seed in 1...40 as ClosedRange<UInt64> {
            var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.seed) = (2, 0, seed) }
            for index in 1...6 { _ = h.tell(.recalled(peer(index), .known)) }
            pairs.insert(h.dials(h.tell(.start)).map { dialled in (1...6).first { peer($0) == dialled }! }.sorted())
        }
        #expect(Set(pairs.flatMap { $0 }) == Set(1...6))
        #expect(pairs.allSatisfy { $0.count == 2 })
        #expect(pairs.contains { ![1, 5].contains($0[1] - $0[0]) })
    }

    @Test("each candidate has the same chance, wherever it stands in the table")
    func sameChance() {
        var firsts = 0
        for seed in 1...200 as ClosedRange<UInt64> {
            var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.seed) = (1, 0, seed) }
            for index in 1...2 { _ = h.tell(.recalled(peer(index), .known)) }
            for index in 3...8 { _ = h.tell(.recalled(peer(index), .forgotten(until: .never))) }
            if h.dials(h.tell(.start)) == [peer(1)] { firsts += 1 }
        }
        #expect((70...130).contains(firsts), "\(firsts) of 200")
    }

    @Test("lots are drawn until the last slot is given, and none without a slot to give")
    func lots() {
        for seed in 1...8 as ClosedRange<UInt64> {
            var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.seed) = (1, 0, seed) }
            for index in 1...3 { _ = h.tell(.recalled(peer(index), .known)) }
            var copy = h.mesh.random
            let start = Int(copy.next(below: 3))
            var lots = 0
            var isGiven = false
            while !isGiven {
                isGiven = copy.next(below: UInt64(3 - lots)) < 1
                lots += 1
            }
            h.mesh.fillRegularSlots(at: h.now)
            #expect(h.mesh.random.state == copy.state)
            #expect(h.mesh.peers[(start + lots - 1) % 3].isChosen)
            h.mesh.fillRegularSlots(at: h.now)
            #expect(h.mesh.random.state == copy.state)
        }
    }

    @Test("what turned out to be ourselves is not chosen", arguments: 1...6 as ClosedRange<UInt64>)
    func ourselvesAreNotChosen(seed: UInt64) {
        var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.seed) = (1, 0, seed) }
        for index in [7, 8] { _ = h.tell(.recalled(peer(index), .known)) }
        _ = h.tell(.ownEndpoint(peer(7)))
        #expect(h.dials(h.tell(.start)) == [peer(8)])
    }

    @Test("a failed choice is chosen again at the end of its wait, to the millisecond, when the discovery looks")
    func waitsOver() {
        for early in [0, 1] as [UInt64] {
            var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots) = (1, 0) }
            _ = h.tell(.recalled(peer(1), .known))
            _ = h.tell(.start)
            _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
            // As if another had taken its place meanwhile.
            let row = h.mesh.row(of: peer(1))
            h.mesh.peers[row].isChosen = false
            h.mesh.peers[row].notBefore = h.now + .seconds(120) + .milliseconds(early)
            h.mesh.refresh(row, at: h.now)
            #expect(h.dials(h.wait(.seconds(120))).count == (early == 0 ? 1 : 0))
            if early == 1 { #expect(report(h, 1)?.schedule == .off(.notChosen)) }
        }
    }

    @Test("the failure of a peer that nobody chose is no occasion to choose another")
    func noOccasion() {
        var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots) = (3, 0) }
        _ = h.tell(.recalled(peer(1), .known))
        let row = h.mesh.row(of: peer(1))
        h.mesh.peers[row].notBefore = h.now + .seconds(1)
        _ = h.tell(.start)
        _ = h.tell(.connect(peer(2)))
        _ = h.wait(.seconds(2))
        _ = h.tell(.dialFailed(report(h, 2)!.dial!, .refused))
        #expect(h.failures(peer(2)) == 1)
        #expect(!h.dials(h.wait(.seconds(3))).contains(peer(1)))
    }

    @Test("who tells of a peer need not be in the book: the first row of the table is filled and dialled within a tenth of a second")
    func firstRow() {
        var h = Harness()
        let link = stranger(&h)
        _ = h.tell(.learnt(link, peer(1)))
        #expect(h.mesh.row(of: peer(1)) == 0)
        #expect(report(h, 1)?.schedule == .off(.notChosen))
        #expect(h.dials(h.wait(.milliseconds(99))) == [])
        #expect(h.dials(h.wait(.milliseconds(1))) == [peer(1)])
    }

    @Test("peers that come in a stream are chosen a tenth of a second after the first, not after the last")
    func stream() {
        var h = Harness()
        let link = stranger(&h)
        _ = h.tell(.learnt(link, peer(1)))
        _ = h.wait(.milliseconds(60))
        _ = h.tell(.learnt(link, peer(2)))
        #expect(Set(h.dials(h.wait(.milliseconds(40)))) == [peer(1), peer(2)])
    }

    @Test("a refused stranger's endpoint is in the book, as one that nobody has chosen, also in the first row")
    func refusedIsKnown() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 1) }
        #expect(h.inbound(peer: peer(1), nonce: 1).1 == .full)
        #expect(h.mesh.row(of: peer(1)) == 0)
        #expect(report(h, 1)?.schedule == .off(.notChosen))
        #expect(report(h, 1)?.desire == .learnt)
    }

    // An earlier life.

    @Test("only what can be dialled, is not ourselves and is not known is recalled, also in the first row of the table")
    func recalled() {
        var h = Harness(own: peer(5))
        _ = h.tell(.recalled(Endpoint(peer(1).address, port: 0), .known))
        _ = h.tell(.recalled(peer(5), .known))
        #expect(h.mesh.rowLimit == 0)
        _ = h.tell(.recalled(peer(1), .known))
        #expect(report(h, 1)?.schedule == .off(.notChosen))
        // What is known already keeps what is known of it.
        _ = h.tell(.recalled(peer(1), .forgotten(until: h.now + .seconds(60))))
        _ = h.tell(.recalled(peer(1), .linked))
        #expect(report(h, 1)?.schedule == .off(.notChosen))
        #expect(report(h, 1)?.desire == .learnt)
        var linked = Harness()
        #expect(linked.dials(linked.tell(.recalled(peer(1), .linked))) == [peer(1)])
    }

    @Test("a tombstone that is over is not kept, one that is not ends at its time, to the millisecond, also in the first row")
    func tombstones() {
        var h = Harness()
        _ = h.tell(.recalled(peer(1), .forgotten(until: h.now)))
        #expect(h.mesh.rowLimit == 0)
        _ = h.tell(.recalled(peer(1), .forgotten(until: h.now + .seconds(60))))
        #expect(report(h, 1)?.schedule == .off(.forgotten))
        #expect(h.mesh.peerCount == 0)
        _ = h.wait(.milliseconds(59_999))
        #expect(report(h, 1)?.schedule == .off(.forgotten))
        _ = h.wait(.milliseconds(1))
        #expect(report(h, 1) == nil)
    }

    @Test("a full book recalls nobody")
    func recallIntoFullBook() {
        var h = Harness { $0.bookCapacity = 1 }
        _ = h.tell(.connect(peer(1)))
        _ = h.tell(.recalled(peer(2), .known))
        _ = h.tell(.recalled(peer(3), .forgotten(until: h.now + .seconds(60))))
        #expect(h.mesh.peerCount == 1)
        #expect(report(h, 1)?.desire == .operator)
    }

    @Test("a tombstone makes room for a newcomer in a full book, before those of whom nothing bad is known")
    func tombstoneMakesRoom() {
        for seed in 1...6 as ClosedRange<UInt64> {
            var h = Harness(started: false) { ($0.bookCapacity, $0.seed) = (3, seed) }
            _ = h.tell(.recalled(peer(1), .known))
            _ = h.tell(.recalled(peer(2), .forgotten(until: h.now + .seconds(60))))
            _ = h.tell(.recalled(peer(3), .known))
            _ = h.tell(.connect(peer(4)))
            #expect(report(h, 2) == nil)
            #expect(report(h, 1) != nil && report(h, 3) != nil && report(h, 4) != nil)
        }
    }

    @Test("a peer that the registry or the operator wants and the book has no room for is told of; a learnt one is not")
    func wishWithoutRoom() {
        var h = Harness { $0.bookCapacity = 2 }
        for index in 1...2 { _ = h.tell(.registered(peer(index))) }
        #expect(h.tell(.registered(peer(3))).contains(.bookFull(peer(3), .registry)))
        #expect(h.tell(.connect(peer(4))).contains(.bookFull(peer(4), .operator)))
        // Whom the book knows already needs no room.
        #expect(!h.tell(.connect(peer(2))).contains { if case .bookFull = $0 { true } else { false } })
        let (_, verdict) = h.inbound(peer: peer(6))
        #expect(verdict == .accepted)
        #expect(report(h, 3) == nil && report(h, 6) == nil)
        // With room again the same wish is kept.
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        _ = h.tell(.unregistered(peer(1)))
        #expect(!h.tell(.registered(peer(3))).contains { if case .bookFull = $0 { true } else { false } })
        #expect(report(h, 3)?.desire == .registry)
    }

    @Test("a forgotten peer's hello lifts its tombstone at once, also if the call is then refused")
    func tombstoneLiftedByRefusedCall() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 1) }
        _ = h.tell(.recalled(peer(1), .forgotten(until: h.now + .seconds(3_600))))
        #expect(report(h, 1)?.schedule == .off(.forgotten))
        // No slot for a regular peer.
        #expect(h.inbound(peer: peer(1)).1 == .full)
        #expect(report(h, 1)?.desire == .learnt)
        #expect(report(h, 1)?.schedule == .off(.notChosen))
    }

    @Test("of those for whom nothing speaks the first from a random place makes room", arguments: 1...8 as ClosedRange<UInt64>)
    func randomMakesRoom(seed: UInt64) {
        var h = Harness(started: false) { ($0.bookCapacity, $0.seed) = (3, seed) }
        for index in 1...3 { _ = h.tell(.recalled(peer(index), .known)) }
        var copy = h.mesh.random
        let start = Int(copy.next(below: 3))
        _ = h.tell(.connect(peer(4)))
        #expect((1...3).filter { report(h, $0) == nil } == [start + 1])
    }

    @Test("rows are taken again in the order in which they were freed, the first one too, before a new one is begun")
    func rowsAgain() {
        var h = Harness(started: false)
        for index in 1...4 { _ = h.tell(.connect(peer(index))) }
        for index in [3, 1, 2] { _ = h.tell(.disconnect(peer(index))) }
        // A free row is nobody's to look at.
        _ = h.tell(.ownEndpoint(peer(50)))
        for (index, row) in [(11, 2), (12, 0), (13, 1), (14, 4)] {
            _ = h.tell(.connect(peer(index)))
            #expect(h.mesh.row(of: peer(index)) == row)
        }
    }

    @Test("two endpoints of which the index keeps the same half hash are two peers")
    func twins() {
        let twins = [IPAddress(v4: 10, 1, 149, 222), IPAddress(v4: 10, 1, 232, 59)].map { Endpoint($0, port: 9_000) }
        #expect(UInt32(truncatingIfNeeded: twins[0].stableHash) == UInt32(truncatingIfNeeded: twins[1].stableHash))
        var h = Harness()
        #expect(h.dials(h.tell(.connect(twins[0]))) == [twins[0]])
        #expect(h.mesh.row(of: twins[1]) < 0)
        #expect(h.dials(h.tell(.connect(twins[1]))) == [twins[1]])
        #expect(h.mesh.row(of: twins[0]) == 0 && h.mesh.row(of: twins[1]) == 1)
    }

    @Test("a linked peer stays in a full book, though it has failed before")
    func linkedStays() {
        var h = Harness { ($0.bookCapacity, $0.pingInterval) = (1, .seconds(600)) }
        let first = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.ended(first, .remoteClosed))
        #expect(h.failures(peer(1)) == 1)
        let second = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.connect(peer(2)))
        #expect(report(h, 2) == nil)
        #expect(report(h, 1)?.established == second)
    }

    @Test("a chosen peer stays in a full book")
    func chosenStays() {
        var h = Harness(started: false) { $0.bookCapacity = 1 }
        _ = h.tell(.recalled(peer(1), .linked))
        _ = h.tell(.connect(peer(2)))
        #expect(report(h, 2) == nil)
        #expect(report(h, 1)?.desire == .learnt)
    }

    @Test("the one peer of a book of one makes room, if nothing speaks for it")
    func bookOfOne() {
        var h = Harness(started: false) { $0.bookCapacity = 1 }
        _ = h.tell(.recalled(peer(1), .known))
        _ = h.tell(.connect(peer(2)))
        #expect(report(h, 1) == nil)
        #expect(report(h, 2)?.desire == .operator)
    }

    // Forgetting.

    /// Whoever called with a nonce that we knew was let in and stayed forgotten: the book lost a peer that lives.
    @Test("a forgotten peer that calls is in the book again, whether its nonce or its endpoint tells who it is", arguments: [true, false])
    func liftedByHello(byNonce: Bool) {
        var h = Harness()
        let dialled = h.dialled(peer(1), in: h.tell(.connect(peer(1))), nonce: 7)!
        _ = h.tell(.ended(dialled, .remoteClosed))
        let row = h.mesh.row(of: peer(1))
        h.mesh.forget(row, at: h.now)
        h.mesh.refresh(row, at: h.now)
        #expect(report(h, 1)?.schedule == .off(.forgotten))
        let from = byNonce ? peer(77) : Endpoint(peer(1).address, port: 40_000)
        let (link, verdict) = h.inbound(Hello(isNative: true, endpoint: byNonce ? nil : peer(1), nonce: byNonce ? 7 : 8), from: from)
        #expect(verdict == .accepted)
        #expect(report(h, 1)?.established == link)
        #expect(report(h, 1)?.desire == .learnt)
        _ = h.tell(.ended(link!, .remoteClosed))
        #expect(report(h, 1)?.schedule == .off(.notChosen))
    }

    @Test("a hello leaves the wish of an operator for its peer as it is")
    func keepsDesire() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        _ = h.inbound(peer: peer(1), nonce: 1)
        #expect(report(h, 1)?.desire == .operator)
    }

    @Test("a peer with a weak link is not forgotten, however often its dial fails")
    func weakIsKept() {
        var h = Harness { ($0.isNativeDialect, $0.bookFloor, $0.pingInterval, $0.regularFailures) = (false, 0, .seconds(36_000), 2) }
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        let link = h.inbound(Hello(isNative: false, nonce: 3), from: Endpoint(peer(1).address, port: 40_000)).0!
        #expect(h.mesh.link(link)?.identity == .weak)
        _ = h.tell(.unregistered(peer(1)))
        let row = h.mesh.row(of: peer(1))
        #expect(h.mesh.peers[row].desire == .learnt)
        h.mesh.peers[row].failures = 30
        #expect(h.mesh.shouldForget(row) == false)
        h.mesh.peers[row].bonds = PeerBonds()
        #expect(h.mesh.shouldForget(row) == true)
    }

    @Test("a learnt peer is forgotten only while more than the floor are known; tombstones and free rows do not count")
    func floor() {
        var h = Harness(started: false) { $0.bookFloor = 2 }
        for index in 1...3 { _ = h.tell(.recalled(peer(index), .known)) }
        _ = h.tell(.recalled(peer(4), .forgotten(until: h.now + .seconds(900))))
        let row = h.mesh.row(of: peer(1))
        h.mesh.peers[row].failures = 10
        #expect(h.mesh.shouldForget(row) == true)
        h.mesh.peers[row].failures = 9
        #expect(h.mesh.shouldForget(row) == false)
        h.mesh.peers[row].failures = 10
        _ = h.tell(.disconnect(peer(3)))
        #expect(h.mesh.shouldForget(row) == false)
    }

    // Telling.

    @Test("an empty book is told as nothing")
    func emptyBook() {
        var h = Harness()
        let link = stranger(&h)
        #expect(h.mesh.rowLimit == 0)
        #expect(told(&h, link) == [])
    }

    @Test("who has left the book, and who is forgotten, is told of no more; whose tombstone is over is", arguments: [true, false])
    func notTold(isOver: Bool) {
        var h = Harness()
        let link = stranger(&h)
        for index in [1, 2, 3] { tried(&h, index) }
        #expect(told(&h, link) == [peer(1), peer(2), peer(3)])
        _ = h.tell(.disconnect(peer(2)))
        #expect(told(&h, link) == [peer(1), peer(3)])
        h.mesh.peers[h.mesh.row(of: peer(3))].tombstoneUntil = h.now + .milliseconds(isOver ? 0 : 1)
        #expect(told(&h, link) == (isOver ? [peer(1), peer(3)] : [peer(1)]))
    }

    @Test("so many are told at most, and exactly so many")
    func limit() {
        var h = Harness { $0.shareLimit = 2 }
        let link = stranger(&h)
        for index in 1...3 { tried(&h, index) }
        #expect(told(&h, link).count == 2)
    }

    @Test("who asks for the first time is answered at once, and again two minutes later to the millisecond")
    func asks() {
        var h = Harness { $0.pingInterval = .seconds(3_600) }
        let link = stranger(&h)
        #expect(h.tell(.asked(link)) == [.share(link)])
        _ = h.wait(.milliseconds(119_999))
        #expect(h.tell(.asked(link)) == [])
        _ = h.wait(.milliseconds(1))
        #expect(h.tell(.asked(link)) == [.share(link)])
    }
}
