// The command line's entrance. A wrong option is one line and exit 64; what the line says is the parser's and the options'
// own words, put together here.

import ArgumentParser
import Daemon
import Glibc

@main
enum Main {
    static func main() {
        StandardStreams.open()
        // A reader that has enough closes its pipe: that is no reason to die (`peers | head`).
        _ = signal(SIGPIPE, SIG_IGN)
        do {
            var command = try ReactorNode.parseAsRoot()
            try command.run()
        } catch let error as DaemonError {
            fail(error.description, status: error.status.rawValue)
        } catch let error as CommandFailure {
            fail(error.description, status: error.status)
        } catch let mistake as SettingsMistake {
            fail(mistake.description, status: mistake.status.rawValue)
        } catch {
            let status = ReactorNode.exitCode(for: error)
            // Help and version are asked for, not failures: the parser prints them as they are.
            if status == .success { ReactorNode.exit(withError: error) }
            fail(complete(ReactorNode.message(for: error)), status: DaemonError.Status.usage.rawValue)
        }
    }

    /// Tells where the accepted forms are, where the parser's own words do not.
    private static func complete(_ message: String) -> String {
        message.contains(": give ") ? message : "\(message); `reactor-node --help` lists the commands, and a command's --help what it accepts"
    }

    /// Says why in one line on stderr, and ends.
    private static func fail(_ message: String, status: Int32) -> Never {
        let line = message.split(whereSeparator: \.isNewline).map { $0.trimmingSpaces() }.joined(separator: " ")
        write("reactor-node: \(VisibleText.escape(line))\n")
        exit(status)
    }

    private static func write(_ text: String) {
        var bytes = Array(text.utf8)
        _ = unsafe Glibc.write(2, &bytes, bytes.count)
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> Substring {
        var text = drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return text
    }
}

struct ReactorNode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reactor-node",
        abstract: "Holds a node's peer connections, for years.",
        discussion: """
            Try `reactor-node demo` first: a whole network in one terminal. Then `reactor-node run`: one node of your own, \
            on a private network on this machine; it says what to type next.
            """,
        version: Version.text,
        subcommands: [RunCommand.self, ConfigCommand.self, DemoCommand.self, SimulateCommand.self, CheckCommand.self, ManualCommand.self],
        groupedSubcommands: [
            CommandGroup(
                name: "Ask a running node",
                subcommands: [
                    TopCommand.self, StatusCommand.self, PeersCommand.self, WhyCommand.self, MasternodesCommand.self, SlotsCommand.self, BansCommand.self,
                    EventsCommand.self, HealthCommand.self, MetricsCommand.self, LoopCommand.self,
                ]),
            CommandGroup(
                name: "Change a running node",
                subcommands: [
                    ConnectCommand.self, DisconnectCommand.self, RedialCommand.self, BanCommand.self, UnbanCommand.self, TrustCommand.self,
                    UntrustCommand.self, ReloadCommand.self, LogLevelCommand.self, DrainCommand.self,
                ]),
        ]
    )
}
