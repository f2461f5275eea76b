// Runs every configuration of the model and prints what was found.

public enum CheckCommand {
    /// The configurations that the two-node check consists of.
    public static var models: [Model] {
        func model(_ name: String, _ change: (inout Model) -> Void = { _ in }) -> Model {
            var model = Model(name: name)
            change(&model)
            return model
        }
        return [
            model("masternodes") { $0.crashes = 2 },
            model("masternodes, one crash"),
            model("regular peers") { $0.desire = .operators },
            model("only A can be dialled") { $0.walled = [1] },
            model("only B can be dialled") { $0.walled = [0] },
            model("A knows no endpoint of its own") { $0.stateless = [0] },
            model("B sends from another address") { $0.multihomed = [1] },
            model("A sends from another address") { $0.multihomed = [0] },
            model("the operator meddles") { $0.operatorMoves = 1 },
            model("B has two addresses") { $0.roaming = [1] },
            model("A has two addresses") { $0.roaming = [0] },
            model("asynchronous, no crash") { $0.isAsynchronous = true; $0.crashes = 0; $0.connections = 2 },
            model("asynchronous, no fault") { $0.isAsynchronous = true; $0.crashes = 0; $0.breaks = 0; $0.connections = 2 },
            model("three, no fault") { $0.nodes = 3; $0.crashes = 0; $0.breaks = 0; $0.hasOneClock = true; $0.connections = 8 },
            model("three, one break") { $0.nodes = 3; $0.crashes = 0; $0.breaks = 1; $0.hasOneClock = true; $0.connections = 8 },
            model("three, one crash") { $0.nodes = 3; $0.crashes = 1; $0.breaks = 0; $0.hasOneClock = true; $0.connections = 8 },
        ]
    }

    /// Prints one line a model; 1 if anything was violated: an invariant, the one link, or invariant 5's time.
    public static func run(limit: Int, _ isChosen: (Model) -> Bool = { $0.nodes == 2 }) -> Int32 {
        var status: Int32 = 0
        for model in models where isChosen(model) {
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
