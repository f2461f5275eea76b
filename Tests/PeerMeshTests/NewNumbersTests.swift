// New settings for a mesh at work: what becomes shorter holds at once, what becomes longer postpones nothing, and what nobody
// changed stays as it is.

import Testing
import Timers

@testable import PeerMesh

@Suite("New numbers for a mesh at work")
struct NewNumbersTests {
    private func schedule(_ h: borrowing Harness, _ index: Int) -> Schedule? { h.mesh.peer(at: peer(index), now: h.now)?.schedule }
    private func round(_ h: borrowing Harness) -> Instant? { h.mesh.wheel.deadline(of: h.mesh.globalTimer(GlobalTimer.discovery)) }

    private func apply(_ h: inout Harness, _ change: (inout MeshSettings) -> Void) -> [Action] {
        var settings = h.mesh.settings
        change(&settings)
        h.mesh.apply(settings, at: h.now)
        #expect(h.mesh.brokenInvariant(at: h.now) == nil)
        return h.take()
    }

    /// A jittered mesh with a wait of every kind: a backoff, a turn, a tombstone, a linked peer, one that is being dialled.
    private func busy() -> Harness {
        var h = Harness(own: peer(5)) { ($0.jitterPercent, $0.role) = (20, .masternode) }
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.connect(peer(10)))
        _ = h.tell(.dialFailed(h.mesh.peer(at: peer(10), now: h.now)!.dial!, .refused))
        _ = h.tell(.connect(peer(11)))
        _ = h.tell(.recalled(peer(12), .forgotten(until: h.now + .seconds(600))))
        h.subject = h.inbound(peer: peer(13), nonce: 13).0
        return h
    }

    @Test("the same numbers again change nothing, not even the course of chance")
    func same() {
        var h = busy()
        let before = h.mesh.stableHash()
        #expect(apply(&h) { _ in } == [])
        #expect(h.mesh.stableHash() == before)
    }

    @Test("a number that bounds no wait in force leaves every wait, turn and tombstone as it is")
    func untouched() {
        var h = busy()
        let before = [1, 10, 11, 12, 13].map { schedule(h, $0) }
        let next = h.mesh.link(h.subject!)?.deadline
        let began = round(h)
        #expect(apply(&h) { $0.shareLimit = 7 } == [])
        #expect([1, 10, 11, 12, 13].map { schedule(h, $0) } == before)
        #expect(round(h) == began)
        #expect(h.mesh.link(h.subject!)!.deadline! <= next!)
        #expect(h.mesh.settings.shareLimit == 7)
    }

    @Test("longer numbers postpone nothing that is under way")
    func longer() {
        var h = busy()
        let before = [1, 10, 11, 12].map { schedule(h, $0) }
        let next = h.mesh.link(h.subject!)!.deadline!
        let began = round(h)
        let longer = apply(&h) {
            $0.pingInterval = .seconds(3_000)
            ($0.backoffMax, $0.passiveWait, $0.tombstoneTime) = (.seconds(3_000), .seconds(3_000), .seconds(30_000))
            $0.discoveryInterval = .seconds(9_000)
        }
        #expect(longer == [])
        #expect([1, 10, 11, 12].map { schedule(h, $0) } == before)
        #expect(h.mesh.link(h.subject!)?.deadline == next)
        #expect(round(h) == began)
    }

    @Test("a shorter longest wait, turn, tombstone and round hold from now on, each to the millisecond")
    func shorter() {
        var h = Harness(own: peer(5)) { ($0.role, $0.backoffInitial, $0.passiveWait) = (.masternode, .seconds(200), .seconds(100)) }
        _ = h.tell(.registered(peer(1)))
        h.mesh.beginWait(h.mesh.row(of: peer(1)), at: h.now)
        _ = h.tell(.connect(peer(10)))
        _ = h.tell(.dialFailed(h.mesh.peer(at: peer(10), now: h.now)!.dial!, .refused))
        _ = h.tell(.recalled(peer(12), .forgotten(until: h.now + .seconds(600))))
        _ = h.wait(.seconds(1))
        _ = apply(&h) {
            ($0.backoffInitial, $0.backoffMax, $0.passiveWait) = (.seconds(5), .seconds(30), .seconds(20))
            ($0.tombstoneTime, $0.discoveryInterval) = (.seconds(60), .seconds(40))
        }
        #expect(schedule(h, 10) == .wait(until: h.now + .seconds(30), .backoff))
        #expect(schedule(h, 1) == .wait(until: h.now + .seconds(20), .theirTurn))
        #expect(h.mesh.peers[h.mesh.row(of: peer(12))].tombstoneUntil == h.now + .seconds(60))
        #expect(round(h) == h.now + .seconds(40))
    }

    @Test("a wait at the very end of the new jitter stays, one a nanosecond beyond it is drawn anew")
    func boundary() {
        for beyond in [0, 1] as [UInt64] {
            var h = busy()
            let row = h.mesh.row(of: peer(10))
            let turnRow = h.mesh.row(of: peer(1))
            h.mesh.peers[row].notBefore = h.now + .seconds(360) + Nanoseconds(beyond)
            h.mesh.peers[turnRow].turnAt = h.now + .seconds(36) + Nanoseconds(beyond)
            h.mesh.wheel.arm(h.mesh.globalTimer(GlobalTimer.discovery), at: h.now + .seconds(144) + .milliseconds(beyond))
            _ = apply(&h) { $0.shareLimit = 7 }
            #expect((h.mesh.peers[row].notBefore == h.now + .seconds(360)) == (beyond == 0))
            #expect((h.mesh.peers[turnRow].turnAt == h.now + .seconds(36)) == (beyond == 0))
            #expect((round(h) == h.now + .seconds(144)) == (beyond == 0))
            #expect(h.mesh.peers[row].notBefore <= h.now + .seconds(360))
            #expect(h.mesh.peers[turnRow].turnAt <= h.now + .seconds(36))
        }
    }

    @Test("a mesh that has not started, or is stopping, begins no round and dials nobody for new numbers")
    func notAtWork() {
        var early = Harness(started: false)
        _ = early.tell(.connect(peer(1)))
        #expect(apply(&early) { $0.discoveryInterval = .seconds(10) } == [])
        #expect(round(early) == nil)
        var late = Harness()
        _ = late.tell(.shutdown)
        #expect(apply(&late) { $0.discoveryInterval = .seconds(10) } == [])
        #expect(round(late) == nil)
    }

    @Test("what waited for the dial rate is dialled at once under a larger burst")
    func pumps() {
        var h = Harness { $0.dialBurst = 1 }
        for index in 1...3 { _ = h.tell(.connect(peer(index))) }
        #expect(h.mesh.census().dialingRegular == 1)
        #expect(h.dials(apply(&h) { $0.dialBurst = 16 }).count == 2)
    }

    @Test("an outstanding ping keeps its deadline, and an idle link's next ping comes no later than the new interval")
    func pings() {
        var h = Harness { $0.pongTimeout = .seconds(10) }
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.wait(.seconds(10))
        _ = apply(&h) { $0.pingInterval = .seconds(5) }
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(5))
        _ = h.wait(.seconds(6))
        let waiting = h.mesh.link(link)?.deadline
        _ = apply(&h) { $0.pingInterval = .seconds(2) }
        #expect(h.mesh.link(link)?.deadline == waiting)
    }

    @Test("a running mesh keeps its tables, its slots and who it is: each of these numbers alone is for a restart")
    func restart() {
        let old = MeshSettings(nonce: 1, seed: 2)
        #expect(old.canBecome(old))
        let changes: [(inout MeshSettings) -> Void] = [
            { $0.role = .masternode }, { $0.nonce = 7 }, { $0.seed = 7 }, { $0.isNativeDialect = false }, { $0.maxPeers += 1 },
            { $0.reservedSlots = 30 }, { $0.pendingLimit += 1 }, { $0.drainingLimit += 1 }, { $0.dialLimit += 1 }, { $0.bookCapacity += 1 },
            { $0.banCapacity += 1 },
            // The same number of links in all, differently shared.
            { ($0.maxPeers, $0.dialLimit) = ($0.maxPeers + 1, $0.dialLimit - 1) },
            { ($0.pendingLimit, $0.drainingLimit) = ($0.pendingLimit + 1, $0.drainingLimit - 1) },
            { ($0.pendingLimit, $0.maxPeers) = ($0.pendingLimit + 1, $0.maxPeers - 1) },
            { ($0.drainingLimit, $0.maxPeers) = ($0.drainingLimit + 1, $0.maxPeers - 1) },
            { ($0.dialLimit, $0.drainingLimit) = ($0.dialLimit + 1, $0.drainingLimit - 1) },
        ]
        for (index, change) in changes.enumerated() {
            var new = old
            change(&new)
            #expect(!old.canBecome(new), "change \(index)")
        }
    }
}
