// `reactor-node simulate` and `reactor-node check`: the core that this program runs, proven in virtual time.

import ArgumentParser
import Daemon
import Glibc
import MeshChecker
import MeshSimulator

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Runs a network of many nodes in virtual time, and checks that every promise holds.",
        discussion: SimulatorCommand.usage
    )

    @Argument(parsing: .captureForPassthrough, help: "The simulation's options, as listed above") var options: [String] = []

    func run() throws {
        let status = SimulatorCommand.run(options)
        if status != 0 { Glibc.exit(status == 2 ? 64 : status) }
    }
}

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Checks every interleaving of two or three nodes, with bounded faults, over the connection rules that this program runs.",
        discussion: """
            One line for each configuration: states, transitions, the longest time to one link. A violation prints the shortest \
            trace to it, in words, and ends with status 1.
            """
    )

    @Option(
        help: ArgumentHelp("States of one configuration, at most", valueName: "n"),
        transform: { text in
            guard let count = Int(text), (1...100_000_000).contains(count) else {
                throw OptionError(value: text, accepted: "a whole number from 1 to 100000000")
            }
            return count
        }
    ) var limit = 50_000_000

    @Option(
        help: ArgumentHelp(
            "Which space: two (nodes), three (masternodes), three-regular (peers; not whole), or asynchronous (deadlines in the midst of deliveries)",
            valueName: "space"
        ),
        transform: { text in
            guard let space = CheckSpace(rawValue: text) else {
                throw OptionError(value: text, accepted: CheckSpace.allCases.map(\.rawValue).joined(separator: ", "))
            }
            return space
        }
    ) var space = CheckSpace.two

    func run() throws {
        let status = MeshChecker.CheckCommand.run([space], limit: limit)
        if status != 0 { Glibc.exit(status) }
    }
}
