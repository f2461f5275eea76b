// What a run has shown: collected as it goes, told at its end. Looking changes nothing: the trace is the world's.

/// A promise that was not kept.
public struct Violation: Equatable, Sendable {
    /// Milliseconds after the beginning.
    public var at: Int
    public var text: String
}

/// What followed a step of the scenario.
public struct Phase: Equatable, Sendable {
    public var name: String
    public var at: Int
    /// When every pair that should have a link had one, to stay so until the phase's end; nil if it never came to that.
    public var wholeAt: Int?
    public var mostMissing = 0
}

/// One point of the plot.
public struct Sample: Equatable, Sendable {
    public var at: Int
    /// Links that are established at both ends.
    public var links: Int
    /// Pairs of masternodes that have a link, and that should.
    public var pairs: Int
    public var expected: Int
    /// Dials a second, on average since the last point.
    public var dials: Double
}

/// The result of a run.
public struct Report: Sendable {
    public let scenario: Scenario
    public internal(set) var violations: [Violation] = []
    public internal(set) var phases: [Phase] = []
    public internal(set) var samples: [Sample] = []
    /// Calls of `Mesh.handle`, and of `Mesh.advance`.
    public internal(set) var events = 0
    public internal(set) var wakes = 0
    /// Meshes that were checked in full.
    public internal(set) var checks = 0
    public internal(set) var dials = 0
    public internal(set) var peakDialsOfNode = 0
    /// Dials at the address that `lie ports` tells of.
    public internal(set) var thirdPartyDials = 0
    public internal(set) var peakDialsOverall = 0
    public internal(set) var slotPeak = 0
    public internal(set) var linksUp = 0
    /// Ends of established links by reason, at either end.
    public internal(set) var closes: [String: Int] = [:]
    /// Established links that ended though no fault had touched them.
    public internal(set) var unwantedCloses = 0
    public internal(set) var unwanted: [String: Int] = [:]
    /// Wanted masternodes that only the net of phase 3 saw to. Stays 0.
    public internal(set) var rescues: UInt64 = 0
    /// Least, median and most links of a running node at the end.
    public internal(set) var linksPerNode = [0, 0, 0]
    /// Regular nodes without a link at the end.
    public internal(set) var isolated = 0
    public internal(set) var pairsExpected = 0
    public internal(set) var pairsWithOne = 0
    public internal(set) var pairsMissing = 0
    public internal(set) var maximumPerPair = 0
    public internal(set) var heals = 0
    public internal(set) var slowestHeal = 0
    public internal(set) var traceHash: UInt64 = 0
    public internal(set) var wallSeconds = 0.0
    public internal(set) var processorSeconds = 0.0

    // While it runs.
    var untilCheck = 0
    var dialsThisSample = 0
    var nextSample = 1_000
    var doubles: [(Int, Int, Int)] = []
    private var second = 0
    private var dialsInSecond = 0
    private var lastSample = 1_000
    private let sampleEvery: Int
    /// Times to heal in steps of 10 ms.
    private var healing: [Int32] = []
    private var late: Set<Int> = []

    init(_ scenario: Scenario) {
        self.scenario = scenario
        sampleEvery = max(1_000, scenario.duration / 600)
    }

    /// There is nothing more to learn.
    var isFull: Bool { violations.count >= 20 }

    // Phases.

    mutating func beginPhase(_ name: String, at now: Int) {
        phases.append(Phase(name: name, at: now - 1_000))
    }

    mutating func note(missing: Int, at now: Int) {
        guard !phases.isEmpty else { return }
        let last = phases.count - 1
        phases[last].mostMissing = max(phases[last].mostMissing, missing)
        if missing > 0 {
            phases[last].wholeAt = nil
        } else if phases[last].wholeAt == nil {
            phases[last].wholeAt = now - 1_000
        }
    }

    // Numbers.

    mutating func healed(_ span: Int) {
        heals += 1
        slowestHeal = max(slowestHeal, span)
        let bin = min(span / 10, 199_999)
        while healing.count <= bin { healing.append(0) }
        healing[bin] += 1
    }

    /// The time within which `share` of the broken pairs had their link again, in milliseconds.
    public func healingTime(_ share: Double) -> Int {
        var left = (Double(heals) * share).rounded(.up)
        for (bin, count) in healing.enumerated() {
            left -= Double(count)
            if left <= 0, heals > 0 { return min((bin + 1) * 10, slowestHeal) }
        }
        return slowestHeal
    }

    mutating func countDial(second now: Int) {
        if now != second {
            second = now
            dialsInSecond = 0
        }
        dialsInSecond += 1
        peakDialsOverall = max(peakDialsOverall, dialsInSecond)
    }

    mutating func sample(at now: Int, standing: Int, expected: Int) {
        let seconds = Double(max(now - lastSample, 1)) / 1_000
        samples.append(
            Sample(at: now - 1_000, links: linksUp, pairs: standing, expected: expected, dials: Double(dialsThisSample) / seconds))
        dialsThisSample = 0
        lastSample = now
        nextSample = now + sampleEvery
    }

    /// Whether this pair's lateness was told already; remembers it.
    mutating func lateBefore(_ pair: Int) -> Bool {
        !late.insert(pair).inserted
    }

    /// Events a second of processor time: what the machine can do, whoever else uses it.
    public var eventsPerSecond: Double { processorSeconds > 0 ? Double(events) / processorSeconds : 0 }
}
