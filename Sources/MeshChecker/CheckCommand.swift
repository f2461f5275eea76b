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
        ]
    }

    /// Prints one line a model; 1 if anything was violated.
    public static func run(limit: Int) -> Int32 {
        var status: Int32 = 0
        for model in models {
            let clock = ContinuousClock()
            let start = clock.now
            var explorer = Explorer(model, limit: limit)
            let report = explorer.run()
            let seconds = start.duration(to: clock.now) / .seconds(1)
            print(
                "\(model.name): \(report.states) states, \(report.transitions) transitions, \(report.calmStates) calm, "
                    + "\(report.goodStates) good, \(report.unjudged) unjudged, \(report.nodeStates) node states, \(report.meshCalls) mesh calls, \(report.beyond) beyond, "
                    + "longest \(report.longestToGood) s, \(Int(seconds)) s, \(Int(Double(report.transitions) / seconds)) a second"
                    + (report.isWhole ? "" : " — NOT WHOLE"))
            for line in report.violation { print("    \(line)") }
            if !report.violation.isEmpty { status = 1 }
        }
        return status
    }
}
