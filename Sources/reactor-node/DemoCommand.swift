// `reactor-node demo`: a whole network in one terminal.

import ArgumentParser
import Daemon

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "demo", abstract: "Shows a whole network of nodes in one terminal.")
    func run() throws {}
}
