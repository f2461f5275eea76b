// The world, seen from outside: named scenarios hold, a seed is a trace, what is broken is noticed.

import PeerMesh
import Testing
import Timers

@testable import MeshSimulator

/// Debug builds are thirteen times slower than release ones.
#if DEBUG
let isDebug = true
#else
let isDebug = false
#endif

func report(_ name: String, nodes: Int, masternodes: Int, seed: UInt64, _ change: (inout Scenario) -> Void = { _ in }) -> Report {
    var scenario = Scenario()
    let isKnown = scenario.become(name)
    #expect(isKnown)
    scenario.nodes = nodes
    scenario.masternodes = masternodes
    scenario.seed = seed
    change(&scenario)
    #expect(scenario.complaint == nil)
    var world = World(scenario)
    world.run()
    return world.report
}

@Suite("The world")
struct WorldTests {
    @Test("every named scenario holds, all invariants checked after every event", arguments: Scenario.names)
    func scenarios(name: String) {
        for seed in 1...(isDebug ? 1 : 8) as ClosedRange<UInt64> {
            let report = report(name, nodes: isDebug ? 8 : 16, masternodes: isDebug ? 6 : 10, seed: seed)
            #expect(report.violations == [], "\(name), seed \(seed)")
            #expect(report.heals > 0 && report.events > 1_000)
            #expect(report.rescues == 0)
        }
    }

    @Test("takers of slots cost no masternode a link, keep no newcomer out, and lose links to others")
    func slotCapture() {
        let report = report("slot-capture", nodes: 80, masternodes: 8, seed: 1) { $0.maxPeers = 60 }
        #expect(report.violations == [])
        #expect(report.isolated == 0)
        // From the attack to the first masternode that goes by itself no pair is without its link.
        for phase in report.phases where phase.at >= 300_000 && phase.at < 1_500_000 { #expect(phase.mostMissing == 0, "\(phase.name)") }
        #expect(report.closes["evicted", default: 0] > 0)
    }

    @Test("the same seed has the same trace, another seed another one")
    func determinism() {
        let first = report("flapping", nodes: 10, masternodes: 6, seed: 7) { $0.duration = 600_000 }
        let second = report("flapping", nodes: 10, masternodes: 6, seed: 7) { $0.duration = 600_000 }
        let other = report("flapping", nodes: 10, masternodes: 6, seed: 8) { $0.duration = 600_000 }
        #expect(first.traceHash == second.traceHash && first.events == second.events)
        #expect(first.traceHash != other.traceHash)
    }

    @Test("looking changes nothing: the trace is the same whatever is checked")
    func lookingChangesNothing() {
        let all = report("cold-start", nodes: 8, masternodes: 8, seed: 3) { ($0.checkEvery, $0.duration) = (1, 300_000) }
        let few = report("cold-start", nodes: 8, masternodes: 8, seed: 3) { ($0.checkEvery, $0.duration) = (1_000, 300_000) }
        #expect(all.traceHash == few.traceHash && all.checks > few.checks)
    }

    @Test("reading ahead changes nothing: large worlds have the trace of small ones", arguments: ["thundering-return", "one-way-walls", "flapping"])
    func readingAheadChangesNothing(name: String) {
        func trace(ahead: Bool) -> UInt64 {
            var scenario = Scenario()
            let isKnown = scenario.become(name)
            #expect(isKnown)
            scenario.nodes = isDebug ? 8 : 40
            scenario.masternodes = 6
            scenario.checkEvery = 1_000
            var world = World(scenario)
            world.readsAhead = ahead
            world.run()
            return world.report.traceHash
        }
        #expect(trace(ahead: true) == trace(ahead: false))
    }

    @Test("debug and release have one trace")
    func goldenTrace() {
        let report = report("rolling-restart", nodes: 6, masternodes: 4, seed: 11) { $0.duration = 1_500_000 }
        #expect(String(report.traceHash, radix: 16) == WorldTests.golden)
    }

    /// Changes with every change of the core's behaviour or of the world's: then write the new one down, in both builds.
    static let golden = "4de6d259550e1c9b"

    @Test("a network without faults ends no link")
    func peaceIsQuiet() {
        let report = report("cold-start", nodes: isDebug ? 12 : 30, masternodes: isDebug ? 8 : 20, seed: 2)
        #expect(report.unwantedCloses == 0)
        #expect(report.pairsWithOne == (isDebug ? 28 : 190) && report.pairsMissing == 0)
        #expect(report.phases.first?.wholeAt.map { $0 < 60_000 } == true)
    }

    @Test("a bound that cannot be kept is a violation, told with its pair")
    func boundIsChecked() {
        let report = report("split-halves", nodes: 4, masternodes: 4, seed: 1) { $0.statedBound = 2_000 }
        #expect(report.violations.contains { $0.text.contains("no link") })
    }

    @Test("10 million events, all invariants held", .enabled(if: !isDebug))
    func tenMillion() {
        var events = 0
        var seed: UInt64 = 100
        while events < 10_000_000 {
            let name = Scenario.names[Int(seed) % Scenario.names.count]
            let report = report(name, nodes: 60, masternodes: 40, seed: seed) { $0.checkEvery = 512 }
            #expect(report.violations == [], "\(name), seed \(seed)")
            events += report.events
            seed += 1
        }
    }
}
