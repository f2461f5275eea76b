// Scenario files, the command line, the shrinker.

import Glibc
import PeerMesh
import Testing

@testable import MeshSimulator

@Suite("Scenarios")
struct ScenarioTests {
    @Test("every named scenario reads back from its own file", arguments: Scenario.names)
    func roundTrip(name: String) throws {
        var scenario = Scenario()
        let isKnown = scenario.become(name)
        #expect(isKnown)
        var copy = Scenario()
        try copy.read(scenario.text)
        #expect(copy == scenario)
    }

    @Test("every step reads back from its own words")
    func steps() {
        let actions: [Step.Action] = [
            .crash("a", silently: true), .crash("!a", silently: false), .restart("a", keepsBook: false, over: 1_500),
            .restart("a", keepsBook: true, over: 0), .roll("a", down: 20_000, over: 60_000),
            .wall("a", "!a", isTwoWay: true, onlyDials: false), .wall("a", "b", isTwoWay: false, onlyDials: true), .open,
            .silence(125_000), .reset(1_000_000), .freeze("a"), .thaw("a"), .jump("a", 3_600_000), .flap("a", up: 40_000, down: 1),
            .calm("a"), .slow("a", 4_000), .latency(250, jitter: 30), .loss(12_500), .lie("a", .nonce), .lie("a", nil),
            .firewall("a"), .nat("a"), .multihome("a"), .source("a", .nets), .unregister("a"), .register("a"),
        ]
        for action in actions {
            #expect(Step.Action(action.text.split(separator: " ").map(String.init)) == action, "\(action.text)")
        }
    }

    @Test("a line that cannot be read is named", arguments: [
        "at 5 open", "nodes many", "at 5m explode all", "group x", "crash all", "at 99999999999999999999h open", "time 1e9h", "hours nan",
        "hours inf", "hours -1", "seed -1", "latency -5ms", "group all 5%", "loss 101%", "at 5m silence -1%", "at 1m slow all 31s", "nodes",
    ])
    func badLine(line: String) {
        var scenario = Scenario()
        #expect(throws: ScenarioError(line: 2, text: line)) { try scenario.read("seed 1\n\(line)\n") }
    }

    @Test("wrong options are refused with status 2", arguments: [
        ["--nodes"], ["--nodes", "x"], ["--scenario", "no-such"], ["what"], ["--nodes", "0"], ["--nodes", "-5"], ["--hours", "nan"],
        ["--hours", "1e300"], ["--latency", "9223372036854775807ms"], ["--jitter", "1m"], ["--masternodes", "9", "--nodes", "8"],
        ["--watch", "-1"], ["--watch", "100"], ["--scenario", "/"], ["--plot", "/no/such/directory/x.svg"], ["--max-peers", "0"],
        ["--nodes", "60000", "--book", "1000000"], ["--registry", "some"], ["--nodes", "8", "--max-peers", "6"],
        ["--nodes", "8", "--book", "7"],
    ])
    func badOptions(arguments: [String]) {
        #expect(SimulatorCommand.run(arguments) == 2)
    }

    /// The time of a named scenario follows its steps; a file says its own.
    @Test("what a file's step would do after the end is refused, and so is what no network has", arguments: [
        ("time 10m\nat 10m open", "never happens"), ("at 1m latency 4s jitter 2s", "at most 5 s"), ("at 1m crash none", "no group"),
    ])
    func badFile(text: String, says: String) throws {
        let path = "/tmp/scenario-\(getpid())-\(text.count).txt"
        #expect(Output.write(text, toFile: path))
        defer { unlink(path) }
        do throws(SimulatorCommand.Complaint) {
            _ = try SimulatorCommand.parse(["--scenario", path, "--nodes", "4", "--masternodes", "4"])
            Issue.record("\(text) was taken")
        } catch {
            #expect(error.text.contains(says), "\(error.text)")
        }
    }

    @Test("a group has one name and one meaning")
    func groupTwice() {
        var scenario = Scenario()
        #expect(throws: ScenarioError(line: 2, text: "group a 3")) { try scenario.read("group a 5%\ngroup a 3\n") }
    }

    @Test("options stand above the scenario, wherever they are written")
    func options() throws {
        let options = try SimulatorCommand.parse(["--seed", "9", "--nodes", "30", "--scenario", "split-halves", "--hours", "2", "--json"])
        #expect(options.scenario.name == "split-halves" && options.scenario.seed == 9 && options.scenario.nodes == 30)
        #expect(options.scenario.masternodes == 30 && options.scenario.duration == 7_200_000 && options.isJSON)
    }

    @Test("a named scenario runs to its end, however few hours are asked for")
    func fewHours() throws {
        let options = try SimulatorCommand.parse(["--scenario", "datacentre-lost", "--hours", "0.1"])
        #expect(options.scenario.duration == 35 * 60_000)
        #expect(try SimulatorCommand.parse(["--scenario", "cold-start", "--hours", "0.1"]).scenario.duration == 360_000)
    }

    @Test("a failing scenario is shrunk to at most five nodes and still fails")
    func shrinks() {
        var scenario = Scenario()
        let isKnown = scenario.become("split-halves")
        #expect(isKnown)
        scenario.nodes = 12
        scenario.masternodes = 12
        scenario.statedBound = 2_000
        var shrinker = Shrinker(scenario)
        shrinker.shrink()
        #expect(shrinker.smallest.nodes <= 5 && shrinker.smallest.steps.count <= 2)
        #expect(Shrinker.violates(shrinker.smallest))
    }
}
