// The schedule and the gate for dials, each rule at its boundary.

import Testing
import Timers

@testable import PeerMesh

@Suite("The schedule")
struct ScheduleTests {
    private func dial(_ h: borrowing Harness, _ index: Int) -> LinkID? { h.mesh.peer(at: peer(index), now: h.now)?.dial }
    private func schedule(_ h: borrowing Harness, _ index: Int) -> Schedule? { h.mesh.peer(at: peer(index), now: h.now)?.schedule }

    /// A started harness that dials these registered masternodes.
    private func registered(_ indices: [Int], own: Int? = nil, _ configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        var h = Harness(started: false, own: own.map(peer), configure: configure)
        for index in indices { _ = h.tell(.registered(peer(index))) }
        _ = h.tell(.start)
        return h
    }

    /// Refuses the peer's dial, and those that follow until it has failed so often.
    private func fail(_ h: inout Harness, _ index: Int, times: UInt32) {
        while h.failures(peer(index))! < times {
            if let dial = dial(h, index) { _ = h.tell(.dialFailed(dial, .refused)) } else { _ = h.wait(.seconds(1)) }
        }
    }

    // The fact that decides.

    @Test("a banned learnt peer that was not chosen is off for the ban, which is what would have to go, and is not chosen meanwhile")
    func bannedAndNotChosen() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 0) }
        _ = h.inbound(peer: peer(2), nonce: 2)
        _ = h.tell(.recalled(peer(1), .known))
        #expect(schedule(h, 1) == .off(.notChosen))
        _ = h.tell(.ban(Subnet(peer(1).address), until: h.now + .seconds(500), by: .operator))
        #expect(schedule(h, 1) == .off(.banned) && h.view(peer(1)) == .banned)
        #expect(h.mesh.peer(at: peer(1), now: h.now)?.verdict == .no(.banned(until: h.now + .seconds(500))))
        _ = h.wait(.seconds(499))
        #expect(schedule(h, 1) == .off(.banned))
        _ = h.wait(.seconds(1))
        #expect(schedule(h, 1) == .off(.notChosen))
    }

    @Test("a banned peer takes no place among the chosen: another one is chosen instead", arguments: 1...6 as ClosedRange<UInt64>)
    func bannedIsNotChosen(seed: UInt64) {
        var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.seed) = (1, 0, seed) }
        _ = h.tell(.start)
        _ = h.tell(.ban(Subnet(peer(1).address), until: .never, by: .operator))
        for index in [1, 2] { _ = h.tell(.recalled(peer(index), .known)) }
        #expect(h.dials(h.wait(.seconds(200))).first == peer(2))
    }

    @Test("our own endpoint comes before a ban of it, a ban before a tombstone, and a tombstone before a missing wish")
    func decidingFact() {
        var h = Harness()
        _ = h.tell(.recalled(peer(1), .forgotten(until: h.now + .seconds(900))))
        #expect(schedule(h, 1) == .off(.forgotten))
        _ = h.tell(.ban(Subnet(peer(1).address), until: .never, by: .operator))
        #expect(schedule(h, 1) == .off(.banned))
        _ = h.tell(.ownEndpoint(peer(1)))
        #expect(schedule(h, 1) == .off(.ourselves))
        _ = h.tell(.ownEndpoint(nil))
        // The row of the tombstone goes at its time, whatever else holds.
        _ = h.wait(.seconds(899))
        #expect(schedule(h, 1) == .off(.banned))
        _ = h.wait(.seconds(1))
        #expect(schedule(h, 1) == nil)
    }

    // Backoff.

    @Test("a masternode is dormant from its twentieth failure on, an operator's peer from its tenth")
    func dormant() {
        var h = registered([1])
        _ = h.tell(.connect(peer(2)))
        fail(&h, 1, times: 19)
        #expect(h.view(peer(1)) == .backoff)
        fail(&h, 1, times: 20)
        #expect(h.view(peer(1)) == .dormant)
        #expect(schedule(h, 1) == .wait(until: h.now + .seconds(300), .dormant))
        var two = Harness()
        _ = two.tell(.connect(peer(2)))
        fail(&two, 2, times: 9)
        #expect(two.view(peer(2)) == .backoff)
        fail(&two, 2, times: 10)
        #expect(two.view(peer(2)) == .dormant)
    }

    @Test("the wait doubles with each failure from 5 s up to 300 s, and is jittered by a fifth at most")
    func delays() {
        var h = registered([1])
        for (failures, delay) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300)] as [(UInt32, UInt64)] {
            fail(&h, 1, times: failures)
            #expect(schedule(h, 1) == .wait(until: h.now + .seconds(delay), .backoff))
        }
        // A count beyond every doubling that fits a word.
        var long = registered([1]) { $0.masternodeFailures = 100 }
        fail(&long, 1, times: 40)
        #expect(schedule(long, 1) == .wait(until: long.now + .seconds(300), .backoff))
    }

    @Test("failures count for 120 s after the last sign of life of our own network, and not longer", arguments: [120_000, 120_001] as [UInt64])
    func ownLife(silence: UInt64) {
        var h = registered([1]) { $0.dialTimeout = .seconds(1_000) }
        _ = h.tell(.dialFailed(dial(h, 1)!, .refused))
        #expect(h.failures(peer(1)) == 1)
        // From here on nothing is heard.
        _ = h.wait(.milliseconds(silence))
        _ = h.tell(.dialFailed(dial(h, 1)!, .io(113)))
        #expect(h.failures(peer(1)) == (silence == 120_000 ? 2 : 1))
    }

    @Test("a network that never showed life fails nobody; one established link is life enough")
    func noLife() {
        var h = registered([1])
        for _ in 0..<10 { _ = h.wait(.seconds(12)) }
        #expect(h.failures(peer(1)) == 0)
        let link = h.inbound(peer: peer(30), nonce: 30).0!
        for _ in 0..<10 {
            _ = h.wait(.seconds(20))
            _ = h.tell(.received(link, frames: 1, partial: 0))
        }
        #expect(h.failures(peer(1))! > 2)
    }

    @Test("a session of exactly 60 s to its last byte clears the count, a millisecond less adds to it", arguments: [59_999, 60_000] as [UInt64])
    func session(length: UInt64) {
        var h = registered([1]) { $0.pingInterval = .seconds(100) }
        fail(&h, 1, times: 2)
        _ = h.wait(.seconds(10))
        let link = dial(h, 1)!
        _ = h.tell(.connected(link))
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(1), nonce: 9, verdict: .accepted)))
        _ = h.wait(.milliseconds(length))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.wait(.seconds(5))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.failures(peer(1)) == (length == 60_000 ? 0 : 3))
    }

    @Test("a superseded, a duplicate and an operator's close leave the count and wait the present delay; full waits the slow cadence")
    func neutral() {
        for (verdict, wait, why) in [(Verdict.duplicate, 10, WaitReason.backoff), (.full, 300, .full)] as [(Verdict, UInt64, WaitReason)] {
            var h = registered([1])
            fail(&h, 1, times: 2)
            _ = h.wait(.seconds(10))
            let link = dial(h, 1)!
            _ = h.tell(.connected(link))
            _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(1), nonce: 9, verdict: verdict)))
            #expect(h.failures(peer(1)) == 2)
            #expect(schedule(h, 1) == .wait(until: h.now + .seconds(wait), why))
        }
    }

    @Test("a peer that bans us is left alone as long as it said, five minutes at most", arguments: [(60, 60), (300, 300), (4_000, 300)] as [(UInt64, UInt64)])
    func bannedThere(said: UInt64, waited: UInt64) {
        var h = registered([1])
        let link = dial(h, 1)!
        _ = h.tell(.connected(link))
        _ = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(1), nonce: 9, verdict: .banned(for: .seconds(said)))))
        #expect(schedule(h, 1) == .wait(until: h.now + .seconds(waited), .bannedThere))
        #expect(h.failures(peer(1)) == 0)
    }

    @Test("an inbound socket that comes to nothing changes no schedule; an inbound link's end does")
    func inbound() {
        var h = registered([1])
        fail(&h, 1, times: 3)
        let before = schedule(h, 1)
        let one = h.accept(from: Endpoint(peer(1).address, port: 50_000))!
        _ = h.tell(.ended(one, .remoteClosed))
        #expect(schedule(h, 1) == before)
        #expect(h.failures(peer(1)) == 3)
        let two = h.inbound(peer: peer(1), nonce: 1).0!
        #expect(schedule(h, 1) == Schedule.none)
        #expect(h.failures(peer(1)) == 3)
        _ = h.tell(.ended(two, .remoteClosed))
        #expect(h.failures(peer(1)) == 4)
        #expect(schedule(h, 1) == .wait(until: h.now + .seconds(40), .backoff))
    }

    // Direction.

    @Test("the higher of two masternodes waits 2 s for the lower one at first, 30 s after that, the lower does not, and backoff and turn run side by side")
    func turn() {
        var high = registered([1], own: 5) { $0.role = .masternode }
        #expect(schedule(high, 1) == .wait(until: high.now + .seconds(2), .theirTurn))
        let dials = high.dials(high.wait(.milliseconds(1_999)))
        #expect(dials == [])
        #expect(high.dials(high.wait(.milliseconds(1))) == [peer(1)])
        _ = high.tell(.dialFailed(dial(high, 1)!, .refused))
        #expect(schedule(high, 1) == .wait(until: high.now + .seconds(30), .theirTurn))
        fail(&high, 1, times: 4)
        #expect(schedule(high, 1) == .wait(until: high.now + .seconds(40), .backoff))
        let low = registered([7], own: 5) { $0.role = .masternode }
        #expect(dial(low, 7) != nil)
        let unknown = registered([1]) { $0.role = .masternode }
        #expect(dial(unknown, 1) != nil)
        let regular = registered([1], own: 5)
        #expect(dial(regular, 1) != nil)
        let foreign = registered([1], own: 5) { ($0.role, $0.isNativeDialect) = (.masternode, false) }
        #expect(dial(foreign, 1) != nil)
        var learnt = Harness(own: peer(5)) { $0.role = .masternode }
        #expect(learnt.dials(learnt.tell(.connect(peer(1)))) == [peer(1)])
    }

    @Test("at a tie the backoff is what is waited for")
    func tie() {
        var h = registered([1], own: 5) { ($0.role, $0.passiveWait) = (.masternode, .seconds(5)) }
        _ = h.wait(.seconds(5))
        _ = h.tell(.dialFailed(dial(h, 1)!, .refused))
        #expect(schedule(h, 1) == .wait(until: h.now + .seconds(5), .backoff))
    }

    @Test("a peer that lacks our extension is not waited for")
    func foreignPeer() {
        var h = registered([1], own: 5) { $0.role = .masternode }
        let link = h.dialled(peer(1), in: h.wait(.seconds(2)), isNative: false)!
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(schedule(h, 1) == .wait(until: h.now + .seconds(5), .backoff))
    }

    // Dials.

    @Test("the dial rate gives the next dial 1/64 s after the burst, on average, and an idle time earns sixteen at once, no more")
    func rate() {
        var h = registered(Array(1...40)) { ($0.dialRate, $0.dialBurst, $0.maxPeers, $0.reservedSlots) = (10, 4, 100, 50) }
        #expect(h.mesh.census().dialingMasternodes == 4)
        #expect(h.mesh.mayDial(peer(5), at: h.now) == .queue(.dialRate))
        #expect(h.dials(h.wait(.milliseconds(99))).count == 0)
        #expect(h.dials(h.wait(.milliseconds(1))).count == 1)
        #expect(h.dials(h.wait(.milliseconds(900))).count == 9)
        #expect(h.dials(h.wait(.seconds(1))).count == 10)
        // All are dialled; after a pause the burst is whole again, and no larger.
        _ = h.wait(.seconds(3))
        #expect(h.mesh.census().dialingMasternodes == 40)
        for index in 50...60 { _ = h.tell(.registered(peer(index))) }
        #expect(h.mesh.census().dialingMasternodes == 44)
    }

    @Test("so many dials are in flight at most; the end of one is the beginning of the next")
    func budget() {
        var h = registered([1, 2, 3, 4]) { $0.dialLimit = 2 }
        #expect(h.mesh.census().dialingMasternodes == 2)
        #expect(h.mesh.mayDial(peer(3), at: h.now) == .queue(.dialBudget))
        #expect(h.mesh.mayDial(peer(1), at: h.now) == .no(.dialInFlight))
        #expect(h.mesh.mayDial(peer(9), at: h.now) == .no(.unknownPeer))
        #expect(h.dials(h.tell(.dialFailed(dial(h, 1)!, .refused))) == [peer(3)])
        let link = h.inbound(peer: peer(4), nonce: 4).0!
        #expect(h.mesh.mayDial(peer(4), at: h.now) == .no(.alreadyLinked))
        #expect(h.mesh.link(link)?.state == .established)
        _ = h.tell(.ban(Subnet(peer(2).address), until: h.now + .seconds(9), by: .operator))
        #expect(h.mesh.mayDial(peer(2), at: h.now) == .no(.banned(until: h.now + .seconds(9))))
    }

    @Test("a regular peer waits for a slot, and has it when one is free")
    func slot() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (3, 1) }
        for index in 1...3 { _ = h.tell(.connect(peer(index))) }
        #expect(h.mesh.census().dialingRegular == 2)
        #expect(h.mesh.mayDial(peer(3), at: h.now) == .queue(.slot))
        #expect(h.dials(h.tell(.dialFailed(dial(h, 1)!, .refused))) == [peer(3)])
        // A masternode needs no slot to be dialled.
        #expect(h.dials(h.tell(.registered(peer(9)))) == [peer(9)])
    }

    @Test("nobody is dialled before the start")
    func notStarted() {
        var h = Harness(started: false)
        #expect(h.dials(h.tell(.registered(peer(1)))) == [])
        #expect(h.dials(h.tell(.connect(peer(2)))) == [])
        #expect(schedule(h, 1) == .off(.notStarted))
        #expect(h.accept(from: peer(3)) == nil)
        #expect(Set(h.dials(h.tell(.start))) == [peer(1), peer(2)])
        #expect(h.tell(.start) == [])
    }
}
