// `reactor-node config`: what a node would run with, and who said so, without running it.

import ArgumentParser
import Daemon
import Glibc

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Checks and shows the settings that a node would run with.",
        subcommands: [Check.self, Print.self]
    )

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Reads every layer of settings and says all that is wrong with them.",
            discussion: """
                Takes the options of `run`. Looks at the files, folders and addresses that the settings name, too, and changes nothing. Exit \
                status 0 if a node would start with them here, 64 or 78 if not.
                """
        )

        @OptionGroup var options: NodeSettingsOptions

        func run() throws {
            let resolved = try options.layers().resolve()
            let mistakes = resolved.mistakes.isEmpty ? resolved.obstacles() : resolved.mistakes
            for mistake in mistakes { print(mistake.description) }
            if let first = mistakes.first { Glibc.exit(first.status.rawValue) }
            print("\(resolved.file ?? "no settings file"): all is well")
        }
    }

    struct Print: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "print",
            abstract: "Shows each setting, its value and where that comes from.",
            discussion: "Takes the options of `run`. What is wrong is said first, as `config check` says it."
        )

        @Flag(help: "One JSON object, for programs") var json = false
        @Flag(help: "Only what is not the default") var changed = false
        @OptionGroup var options: NodeSettingsOptions

        func run() throws {
            let resolved = try options.layers().resolve()
            if let first = resolved.mistakes.first {
                for mistake in resolved.mistakes.dropFirst() { print(mistake.description) }
                throw first
            }
            let settings = Setting.all.filter { !changed || resolved.origin(of: $0) != .fallback }
            print(json ? SettingsText.json(settings, resolved) : SettingsText.table(settings, resolved), terminator: "")
        }
    }
}
