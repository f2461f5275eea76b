// From a scenario that fails to a smaller one that still does.

/// Finds a smaller scenario that still fails: fewer nodes, if need be with another seed, fewer steps, less time.
public struct Shrinker {
    /// The smallest one so far.
    public private(set) var smallest: Scenario
    /// Worlds that were run to find it.
    public private(set) var runs = 0
    private let fails: (Scenario) -> Bool

    /// `fails` says whether a scenario still shows what is looked for; any violation unless said otherwise.
    public init(_ scenario: Scenario, fails: @escaping (Scenario) -> Bool = Shrinker.violates) {
        smallest = scenario
        self.fails = fails
    }

    /// Whether a run of the scenario breaks a promise.
    public static func violates(_ scenario: Scenario) -> Bool {
        var world = World(scenario)
        world.run()
        return !world.report.violations.isEmpty
    }

    /// Tries smaller scenarios until none fails any more.
    public mutating func shrink() {
        var progress = true
        while progress {
            progress = false
            if shorten() { progress = true }
            if dropSteps() { progress = true }
            if sharpenSteps() { progress = true }
            if dropNodes() { progress = true }
            if dropGroups() { progress = true }
        }
    }

    /// Takes the candidate if it fails; the failure's time bounds the next ones.
    private mutating func keep(_ candidate: Scenario) -> Bool {
        guard candidate != smallest, candidate.complaint == nil else { return false }
        runs += 1
        guard fails(candidate) else { return false }
        smallest = candidate
        return true
    }

    private mutating func shorten() -> Bool {
        var progress = false
        var cut = smallest.duration / 2
        while cut >= 1_000 {
            var candidate = smallest
            candidate.duration = max(1_000, candidate.duration - cut)
            candidate.steps.removeAll { $0.at >= candidate.duration }
            if keep(candidate) { progress = true } else { cut /= 2 }
        }
        return progress
    }

    private mutating func dropSteps() -> Bool {
        var progress = false
        var index = smallest.steps.count - 1
        while index >= 0 {
            var candidate = smallest
            if index < candidate.steps.count {
                candidate.steps.remove(at: index)
                if keep(candidate) { progress = true }
            }
            index -= 1
        }
        return progress
    }

    /// A share of all that is hit, made the whole: fewer nodes are enough for it then.
    private mutating func sharpenSteps() -> Bool {
        var progress = false
        for index in smallest.steps.indices {
            var candidate = smallest
            switch candidate.steps[index].action {
            case .silence(let share) where share < 1_000_000: candidate.steps[index].action = .silence(1_000_000)
            case .reset(let share) where share < 1_000_000: candidate.steps[index].action = .reset(1_000_000)
            default: continue
            }
            if keep(candidate) { progress = true }
        }
        return progress
    }

    private mutating func dropNodes() -> Bool {
        var progress = false
        for field in [\Scenario.masternodes, \Scenario.nodes] {
            var cut = smallest[keyPath: field] / 2
            while cut >= 1 {
                var candidate = smallest
                candidate[keyPath: field] -= cut
                if field == \.masternodes { candidate.nodes -= cut }
                if keepWithAnySeed(candidate) { progress = true } else { cut /= 2 }
            }
        }
        return progress
    }

    /// The seed chooses who is hit: where fewer nodes do not fail with this one, they may with another.
    private mutating func keepWithAnySeed(_ candidate: Scenario) -> Bool {
        if keep(candidate) { return true }
        var other = candidate
        for seed in 1...8 as ClosedRange<UInt64> {
            other.seed = seed
            if keep(other) { return true }
        }
        return false
    }

    private mutating func dropGroups() -> Bool {
        var progress = false
        for group in smallest.groups where !smallest.steps.contains(where: { $0.action.groupNames.contains { $0 == group.name || $0 == "!" + group.name } }) {
            var candidate = smallest
            candidate.groups.removeAll { $0.name == group.name }
            if keep(candidate) { progress = true }
        }
        return progress
    }
}
