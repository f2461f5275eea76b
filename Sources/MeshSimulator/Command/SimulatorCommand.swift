// The command line of the simulator, by hand: the core-only package knows no argument parser. `reactor-node simulate` and
// `mesh-simulator` both call `run`.

/// The simulator as a command.
public enum SimulatorCommand {
    public static let usage = """
        Runs a network of nodes in virtual time and checks that every promise holds.

          --scenario NAME|FILE  \(Scenario.names.joined(separator: ", ")); or a file
          --nodes N             nodes in all (100)
          --masternodes M       of them masternodes (all)
          --hours H             virtual hours; --time 90s, 10m, 2h likewise (1h)
          --seed S              everything follows from it (1)
          --latency SPAN        one way (40ms); --jitter SPAN (20ms)
          --loss SHARE          of packets that find their connection reset (0%)
          --max-peers N, --book N, --seeds N, --registry all|masternodes
          --bound SPAN          time within which a pair must heal (invariant 5's)
          --check N             check one touched mesh in N (1 for up to 16 nodes)
          --json                report as JSON
          --plot FILE.svg       links up and dials a second, over time
          --watch N             write out node N's diary as it comes; may be repeated
          --shrink              find a smaller scenario that still fails
          --print               print the scenario as a file, and run nothing

        Exit status: 0 all invariants held, 1 a violation, 2 a wrong option.

        """

    struct Options {
        var scenario = Scenario()
        var isJSON = false
        var plot: String?
        var watched: [Int] = []
        var shrinks = false
        var printsOnly = false
        var wantsHelp = false
    }

    struct Complaint: Error {
        var text: String
    }

    /// Runs the command and returns its exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        let options: Options
        do throws(Complaint) {
            options = try parse(arguments)
        } catch {
            Output.complain(error.text)
            return 2
        }
        if options.wantsHelp {
            Output.write(usage)
            return 0
        }
        if options.printsOnly {
            Output.write(options.scenario.text)
            return 0
        }
        // Before the run, not after an hour of it.
        if let plot = options.plot, !Output.write("", toFile: plot) {
            Output.complain("cannot write \(plot)")
            return 2
        }
        Memory.prepare(nodes: options.scenario.nodes)
        var world = World(options.scenario)
        world.watched = options.watched
        world.run()
        let report = world.report
        Output.write(options.isJSON ? report.json : report.text)
        if let plot = options.plot, !Output.write(Plot(report).svg, toFile: plot) {
            Output.complain("cannot write \(plot)")
            return 2
        }
        if report.violations.isEmpty { return 0 }
        Output.complain("seed \(options.scenario.seed) fails; replay with: mesh-simulator \(replay(arguments, seed: options.scenario.seed))")
        if options.shrinks { shrink(options.scenario) }
        return 1
    }

    /// The same run once more, without its side dishes.
    static func replay(_ arguments: [String], seed: UInt64) -> String {
        var words = arguments.filter { $0 != "--shrink" && $0 != "--json" }
        if !words.contains("--seed") { words += ["--seed", "\(seed)"] }
        return words.joined(separator: " ")
    }

    private static func shrink(_ scenario: Scenario) {
        var shrinker = Shrinker(scenario)
        shrinker.shrink()
        Output.complain("shrunk in \(shrinker.runs) runs; save these lines to a file and replay with: mesh-simulator --scenario FILE")
        Output.write(shrinker.smallest.text)
    }

    static func parse(_ arguments: [String]) throws(Complaint) -> Options {
        var options = Options()
        try readScenario(arguments, into: &options)
        var namesMasternodes = false
        var isFile = false
        var index = 0
        while index < arguments.count {
            let word = arguments[index]
            switch word {
            case "--json": options.isJSON = true
            case "--shrink": options.shrinks = true
            case "--print": options.printsOnly = true
            case "--help", "-h": options.wantsHelp = true
            default:
                guard word.hasPrefix("--"), index + 1 < arguments.count else { throw Complaint(text: "what is \(word)? See --help") }
                let value = arguments[index + 1]
                index += 1
                if word == "--plot" {
                    options.plot = value
                } else if word == "--watch", let node = Int(value), node >= 0 {
                    options.watched.append(node)
                } else if word == "--scenario" {
                    isFile = !Scenario.names.contains(value)
                } else {
                    if word == "--masternodes" { namesMasternodes = true }
                    guard options.scenario.set(String(word.dropFirst(2)), value) else { throw Complaint(text: "\(word) \(value) makes no sense; see --help") }
                }
            }
            index += 1
        }
        if !namesMasternodes, !isFile { options.scenario.masternodes = min(options.scenario.nodes, 4_096) }
        // What a step does takes its time to show, however few hours are asked for.
        if !isFile { options.scenario.outlastSteps() }
        if let complaint = options.scenario.complaint { throw Complaint(text: complaint) }
        if let late = options.scenario.steps.first(where: { $0.at >= options.scenario.duration }) {
            throw Complaint(text: "“\(late.action.text)” at \(Span.text(late.at)) never happens: the time is \(Span.text(options.scenario.duration))")
        }
        if let node = options.watched.first(where: { $0 >= options.scenario.nodes }) {
            throw Complaint(text: "there is no node \(node) to watch: they are 0 to \(options.scenario.nodes - 1)")
        }
        return options
    }

    /// The scenario first: other options change what it says, wherever they stand.
    private static func readScenario(_ arguments: [String], into options: inout Options) throws(Complaint) {
        guard let place = arguments.firstIndex(of: "--scenario"), place + 1 < arguments.count else { return }
        let name = arguments[place + 1]
        if options.scenario.become(name) { return }
        guard let text = Output.read(file: name) else { throw Complaint(text: "\(name) is no scenario and no file that can be read") }
        do throws(ScenarioError) {
            try options.scenario.read(text)
        } catch {
            throw Complaint(text: "\(name):\(error.line): cannot read “\(error.text)”")
        }
    }
}
