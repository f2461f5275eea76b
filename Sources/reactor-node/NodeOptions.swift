// Who the node is, where it listens, whom it wants, what it keeps and how it logs: the options that most operators need.

import ArgumentParser
import Daemon

struct NodeOptions: SettingOptions {
    @Option("network") var network: String?
    @Option(several: "listen", parsing: .singleValue) var listen: [String] = []
    @Option("advertise") var advertise: String?
    @Option("role") var role: String?
    @Option(several: "masternode", parsing: .upToNextOption) var masternode: [String] = []
    @Option(several: "peer", parsing: .upToNextOption) var peer: [String] = []
    @Option("registry") var registry: String?
    @Option("state-dir") var stateDir: String?
    @Option("log-level") var logLevel: String?
    @Option("log-format") var logFormat: String?
    @Option("log-repeat") var logRepeat: String?
}

/// Everything that a node takes, for the commands that read it.
struct NodeSettingsOptions: ParsableArguments {
    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "The settings file, YAML or JSON (default: \(SettingsLayers.usualPlaces.joined(separator: ", ")), if there is one; none: no file)",
            valueName: "path"
        )
    ) var config: String?

    @OptionGroup(title: "Node") var node: NodeOptions
    @OptionGroup(title: "Control and health") var control: ControlOptions
    @OptionGroup(title: "Memory") var memory: MemoryOptions
    @OptionGroup(title: "Slots") var slots: SlotOptions
    @OptionGroup(title: "Dials and deadlines") var dials: DialOptions
    @OptionGroup(title: "Keepalive") var keepalive: KeepaliveOptions
    @OptionGroup(title: "Schedule, abuse, discovery") var schedule: ScheduleOptions

    /// The layers that these options are the first of.
    func layers(environment: [String: String] = SettingsLayers.processEnvironment()) -> SettingsLayers {
        let groups: [any SettingOptions] = [node, control, memory, slots, dials, keepalive, schedule]
        var values: [String: [String]] = [:]
        for group in groups { values.merge(group.given) { first, _ in first } }
        return SettingsLayers(commandLine: values, path: config, environment: environment)
    }
}
