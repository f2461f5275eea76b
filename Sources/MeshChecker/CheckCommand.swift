// Runs every configuration of the model and prints what was found.

/// What is searched.
public enum CheckSpace: String, CaseIterable, Sendable {
    /// Two nodes, each at a clock of its own.
    case two
    /// Three masternodes at one clock.
    case three
    /// Three regular peers at one clock: more states than fit into 16 GiB, to be searched as far as `limit` goes.
    case threeRegular = "three-regular"
    /// Two nodes, more of whose deadlines fire in the midst of what is under way.
    case asynchronous

    /// The configurations of this space.
    public var models: [Model] {
        switch self {
        case .two: CheckSpace.twoNodes
        case .three: CheckSpace.threeMasternodes
        case .threeRegular: CheckSpace.threeRegularPeers
        case .asynchronous: CheckSpace.asynchronousNodes
        }
    }

    private static func model(_ name: String, _ change: (inout Model) -> Void = { _ in }) -> Model {
        var model = Model(name: name)
        change(&model)
        return model
    }

    private static var twoNodes: [Model] {
        [
            model("masternodes") { $0.crashes = 2 },
            model("masternodes, one crash"),
            model("regular peers") { $0.desire = .operators },
            model("only A can be dialled") { $0.walled = [1] },
            model("only B can be dialled") { $0.walled = [0] },
            model("A knows no endpoint of its own") { $0.stateless = [0] },
            model("B sends from another address") { $0.multihomed = [1] },
            model("A sends from another address") { $0.multihomed = [0] },
            model("B has two addresses") { $0.roaming = [1] },
            model("A has two addresses") { $0.roaming = [0] },
            model("the operator meddles") { $0.operatorMoves = 1 },
            model("the registry meddles") { $0.registryMoves = 1 },
            model("the registry meddles twice") { ($0.registryMoves, $0.crashes) = (2, 0) },
            model("the registry meddles twice, operators name them, too") { ($0.desire, $0.registryMoves, $0.crashes) = (.both, 2, 0) },
            model("only A is a masternode") { $0.desire = .onlyA },
            hasty("B has two addresses", 4) { $0.roaming = [1] },
            hasty("B has two addresses", 2) { ($0.roaming, $0.breaks) = ([1], 1) },
        ]
    }

    /// So many deadlines fire in the midst of what is under way; no fault but what is said.
    private static func hasty(_ name: String, _ overtakes: Int, _ change: (inout Model) -> Void = { _ in }) -> Model {
        var it = model(name) {
            ($0.overtakes, $0.crashes, $0.breaks) = (overtakes, 0, 0)
            change(&$0)
        }
        it.name += ", \(overtakes) deadlines in the midst"
        if it.crashes > 0 { it.name += ", one crash" }
        if it.breaks > 0 { it.name += ", one broken connection" }
        return it
    }

    private static var asynchronousNodes: [Model] {
        [
            hasty("masternodes", 5),
            hasty("masternodes", 3) { $0.breaks = 1 },
            hasty("masternodes", 2) { $0.crashes = 1 },
            hasty("regular peers", 3) { $0.desire = .operators },
            hasty("B has two addresses", 5) { $0.roaming = [1] },
            hasty("B has two addresses", 3) { ($0.roaming, $0.breaks) = ([1], 1) },
            hasty("B has two addresses", 3) { ($0.roaming, $0.crashes) = ([1], 1) },
            hasty("A has two addresses", 4) { $0.roaming = [0] },
            model("B has two addresses, the operator meddles") { ($0.roaming, $0.operatorMoves) = ([1], 1) },
        ]
    }

    private static func three(_ name: String, crashes: Int, breaks: Int, _ change: (inout Model) -> Void = { _ in }) -> Model {
        model("three " + name) {
            ($0.nodes, $0.hasOneClock, $0.connections) = (3, true, 8)
            ($0.crashes, $0.breaks) = (crashes, breaks)
            change(&$0)
        }
    }

    private static var threeMasternodes: [Model] {
        [
            three("masternodes, one crash", crashes: 1, breaks: 0),
            three("masternodes, two broken connections", crashes: 0, breaks: 2),
            three("masternodes, B cannot be dialled, one crash", crashes: 1, breaks: 0) { $0.walled = [1] },
            three("masternodes, B has two addresses, one crash", crashes: 1, breaks: 0) { $0.roaming = [1] },
        ]
    }

    private static var threeRegularPeers: [Model] {
        [
            three("regular peers, one crash", crashes: 1, breaks: 0) { $0.desire = .operators },
            three("regular peers, one broken connection", crashes: 0, breaks: 1) { $0.desire = .operators },
        ]
    }
}

public enum CheckCommand {
    /// Prints one line a model; 1 if anything was violated: an invariant, the one link, or invariant 5's time.
    public static func run(_ spaces: [CheckSpace], limit: Int, name: String = "") -> Int32 {
        var status: Int32 = 0
        for model in spaces.flatMap(\.models) where name.isEmpty || model.name == name {
            let before = Cost.seconds
            var explorer = Explorer(model, limit: limit)
            let report = explorer.run()
            print(line(report, seconds: Cost.seconds - before))
            for line in report.violation { print("    \(line)") }
            if !report.violation.isEmpty { status = 1 }
            if report.longestToGood > model.bound {
                print("    VIOLATED: one link takes \(report.longestToGood) s, the bound is \(model.bound) s")
                status = 1
            }
            Cost.flush()
        }
        print("at most \(Cost.peakMiB) MiB")
        return status
    }

    private static func line(_ report: CheckReport, seconds: Double) -> String {
        let rate = Int(Double(report.transitions) / max(seconds, 0.001))
        return "\(report.model): \(report.states) states, \(report.transitions) transitions, \(report.calmStates) fault-free, "
            + "\(report.goodStates) good, \(report.unjudged) unjudged, \(report.beyond) beyond, "
            + "\(report.surplusStates) + \(report.calmSurplusStates) with a surplus link, "
            + "\(report.nodeStates) states of a node, \(report.meshCalls) calls, longest \(report.longestToGood) s; "
            + "\(Int(seconds * 10) / 10) s, \(rate) a second" + (report.isWhole ? "" : " — NOT WHOLE")
    }
}
