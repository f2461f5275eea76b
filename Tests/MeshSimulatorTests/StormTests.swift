// The storm bound: never more than the rate allows, masternodes first, all back within T(N).

import PeerMesh
import Testing
import Timers

@testable import MeshSimulator

@Suite("The storm bound")
struct StormTests {
    /// N peers of one hub end together and are back at once. The hub's dials keep 64 a second with a burst of 16 and 64
    /// in flight (the world checks every dial), and all are back within T(N) = 36 s + N/64 + round trips.
    @Test("after N peers drop together all are back within 36 s + N/64 s + round trips", arguments: isDebug ? [20] : [20, 50, 99])
    func storm(size: Int) {
        let report = report("cold-start", nodes: size + 1, masternodes: size + 1, seed: UInt64(size)) {
            $0.duration = 400_000
            $0.checkEvery = 64
            $0.steps = [Step(at: 180_000, .crash("all", silently: false)), Step(at: 180_000, .restart("all", keepsBook: true, over: 0))]
        }
        #expect(report.violations == [])
        #expect(report.peakDialsOfNode <= 80)
        guard let phase = report.phases.last, let wholeAt = phase.wholeAt else {
            Issue.record("not whole again")
            return
        }
        #expect(wholeAt - phase.at <= 36_000 + size * 1_000 / 64 + 2_000)
    }

    /// The same when nothing was said (power loss) and nobody was there for ten minutes: the backoff in force is at its
    /// longest, and T(N) is invariant 5's: 460 s + N/64 and round trips.
    @Test("after an outage of 10 minutes all are back within 460 s + N/64 s, the rate kept")
    func returnAfterOutage() {
        let size = isDebug ? 20 : 80
        let report = report("thundering-return", nodes: size, masternodes: size, seed: 4)
        #expect(report.violations == [])
        #expect(report.peakDialsOfNode <= 80)
        #expect(report.slowestHeal <= 460_000 + size * 1_000 / 64 + 5_600)
    }

    /// Every regular dial is checked against the masternodes that wait (`World.checkMasternodesFirst`).
    @Test("masternodes are dialled before regular peers")
    func masternodesFirst() {
        let report = report("thundering-return", nodes: isDebug ? 12 : 40, masternodes: isDebug ? 6 : 20, seed: 5) { $0.checkEvery = 1 }
        #expect(report.violations == [])
    }
}
