// Peers that never answer hold their dials for the whole timeout. Those that were linked before do not wait behind them.

import Testing
import Timers

@testable import PeerMesh

@Suite("The queue of dials")
struct DialQueueTests {
    private func endpoint(_ index: Int) -> Endpoint { Endpoint(IPAddress(v4: 0x0a01_0000 + UInt32(index)), port: 9_000) }

    /// A node with three linked masternodes and `dead` ones that swallow every packet, after `settle`.
    private func beside(_ dead: Int, settle: Nanoseconds) -> Harness {
        var h = Harness(own: nil) { ($0.maxPeers, $0.bookCapacity, $0.role) = (3_000, 4_096, .masternode) }
        for index in 1...3 { h.subject = h.dialled(peer(index), in: h.tell(.registered(peer(index))), nonce: UInt64(index)) }
        for index in 0..<dead { h.mesh.handle(.registered(endpoint(index)), at: h.now) }
        while h.mesh.nextAction() != nil {}
        let end = h.now + settle
        while h.now < end {
            _ = h.wait(.seconds(5))
            touch(&h)
        }
        return h
    }

    private func touch(_ h: inout Harness) {
        for index in 1...3 {
            if let link = h.mesh.peer(at: peer(index), now: h.now)?.established { _ = h.tell(.received(link, frames: 1, partial: 0)) }
        }
    }

    @Test("a masternode that was linked is redialled after its backoff, however many dead ones wait", arguments: [900, 2_000])
    func redialled(dead: Int) {
        var h = beside(dead, settle: .seconds(120))
        #expect(h.mesh.census().dialingMasternodes == 48)
        _ = h.tell(.ended(h.mesh.peer(at: peer(1), now: h.now)!.established!, .remoteClosed))
        let closed = h.now
        // 5 s of backoff, then the first turn of the dial rate.
        while !h.dials(h.wait(.milliseconds(100))).contains(peer(1)) {
            touch(&h)
            guard h.now < closed + .seconds(60) else { break }
        }
        print("figure: beside \(dead) dead masternodes a lost one is dialled again after \(h.now - closed)")
        #expect(h.now - closed <= .milliseconds(5_200))
    }

    @Test("a regular peer is dialled beside any number of dead masternodes")
    func regular() {
        var h = beside(2_000, settle: .seconds(60))
        _ = h.tell(.connect(peer(9)))
        let asked = h.now
        while h.mesh.peer(at: peer(9), now: h.now)?.dial == nil, h.now < asked + .seconds(60) {
            _ = h.wait(.milliseconds(100))
            touch(&h)
        }
        // Dials in flight are not cut short: the next ones to time out make room.
        #expect(h.now - asked <= h.mesh.settings.dialTimeout)
    }

    @Test("masternodes are dialled beside any number of dead regular peers, and have most of the dials")
    func besideDeadRegulars() {
        var h = Harness(own: nil) { ($0.maxPeers, $0.bookCapacity, $0.role) = (1_000, 4_096, .masternode) }
        for index in 0..<600 { h.mesh.handle(.connect(endpoint(1_000 + index)), at: h.now) }
        _ = h.wait(.seconds(5))
        #expect(h.mesh.census().dialingMasternodes == 0)
        for index in 0..<200 { h.mesh.handle(.registered(endpoint(index)), at: h.now) }
        // Dials in flight are not cut short: by then each of them has timed out, and the dial rate has refilled the places.
        _ = h.wait(h.mesh.settings.dialTimeout + .seconds(2))
        #expect(h.mesh.census().dialingMasternodes >= Int(h.mesh.settings.dialLimit) * 3 / 4 - 1)
    }

    @Test("a dormant masternode that was linked once is in the queue of those that do not answer")
    func dormant() {
        var h = Harness { $0.masternodeFailures = 2 }
        let link = h.dialled(peer(1), in: h.tell(.registered(peer(1))), nonce: 1)!
        _ = h.tell(.ended(link, .remoteClosed))
        var row = h.mesh.row(of: peer(1))
        #expect(h.mesh.readyList(for: row) == Mesh.PeerList.readyUrgent)
        for case .dial(let dial, _) in h.wait(.seconds(6)) { _ = h.tell(.dialFailed(dial, .refused)) }
        row = h.mesh.row(of: peer(1))
        #expect(h.mesh.readyList(for: row) == Mesh.PeerList.readyMasternode)
    }
}
