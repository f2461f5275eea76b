// `reactor-node demo`: a whole network in one terminal.

import ArgumentParser
import Daemon
import Timers

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Shows a network of nodes that forms, loses nodes and heals.",
        discussion: """
            Every node has a real listener on its own address, 127.0.1.1 and up; all of them run on one loop in one thread. \
            One is killed every few seconds and comes back; its links heal by themselves. Timings are short so that a \
            minute shows it. On a terminal it is a live picture, elsewhere one line for each event. ^C ends it.
            """
    )

    @Option(
        help: ArgumentHelp("How many nodes, 2 to 99", valueName: "n"),
        transform: { text in
            guard let count = Int(text), (2...99).contains(count) else {
                throw OptionError(value: text, accepted: "a whole number from 2 to 99")
            }
            return count
        }
    ) var nodes = 12

    @Option(
        help: ArgumentHelp("How long it runs, in seconds", valueName: "n"),
        transform: { text in
            guard let count = UInt64(text), (1...86_400).contains(count) else {
                throw OptionError(value: text, accepted: "a whole number from 1 to 86400")
            }
            return count
        }
    ) var seconds: UInt64 = 60

    func run() throws {
        var settings = DemoSettings()
        settings.nodes = nodes
        settings.runs = .seconds(seconds)
        try Demo(settings).run()
    }
}
