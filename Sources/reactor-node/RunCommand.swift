// `reactor-node run`: reads every layer of settings and hands what they come to to the daemon.

import ArgumentParser
import Daemon

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs one node until SIGTERM or SIGINT.",
        discussion: """
            Without any option the node listens on 127.0.0.1:24200, on a private network named `reactor`, and says what to \
            type to link a second one to it.

            Every option may also stand in a settings file (max-peers: 200) or in the environment (REACTOR_NODE_MAX_PEERS=200); \
            the command line is believed first, then the environment, then the file. `reactor-node config print` shows what \
            they come to; SIGHUP reads the file again.

            Spans are whole numbers with a unit: 500ms, 5s, 2m, 1h. Log lines go to stderr. A wrong option is one line \
            and exit status 64, a wrong file or variable 78.
            """
    )

    @OptionGroup var options: NodeSettingsOptions

    /// What all layers come to, or the first thing that is wrong with them.
    func settings(_ layers: SettingsLayers) throws -> ResolvedSettings {
        var resolved = try layers.resolve()
        resolved.configuration.control.version = Version.text
        if let mistake = resolved.mistakes.first { throw mistake }
        return resolved
    }

    func run() throws {
        let layers = options.layers()
        try NodeDaemon(settings(layers), layers: layers).run()
    }
}
