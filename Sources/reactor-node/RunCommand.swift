// `reactor-node run`: reads the command line into a `NodeConfiguration` and hands it to the daemon.

import ArgumentParser
import Daemon
import PeerMesh
import Timers

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs one node until SIGTERM or SIGINT.",
        discussion: """
            Without any option the node listens on 127.0.0.1:24200, on a private network named `reactor`, and says what to \
            type to link a second one to it.

            Spans are whole numbers with a unit: 500ms, 5s, 2m, 1h. Log lines go to stderr. A wrong option is one line \
            and exit status 64.
            """
    )

    @Option(
        help: ArgumentHelp("The network to join: \(Network.acceptedForm)", valueName: "name"),
        transform: { text in
            guard let network = Network(text) else { throw OptionError(value: text, accepted: Network.acceptedForm) }
            return network
        }
    ) var network: Network = .reactor

    @Option(
        name: .customLong("listen"), parsing: .singleValue,
        help: ArgumentHelp("Where to listen; may be given several times (default: loopback)", valueName: "address:port")
    ) var listen: [String] = []

    @Option(help: ArgumentHelp("Where others can dial this node, if not at its only --listen", valueName: "address:port"))
    var advertise: String?

    @Option(
        help: ArgumentHelp("masternode or regular (default: regular)", valueName: "role"),
        transform: { text in
            switch text {
            case "masternode": return Role.masternode
            case "regular": return Role.regular
            default: throw OptionError(value: text, accepted: "masternode or regular")
            }
        }
    ) var role: Role?

    @Option(
        name: .customLong("masternode"), parsing: .upToNextOption,
        help: ArgumentHelp("Masternodes to keep links to, for ever; several values, names allowed", valueName: "host:port")
    ) var masternodes: [String] = []

    @Option(
        name: .customLong("peer"), parsing: .upToNextOption,
        help: ArgumentHelp("Peers to keep links to, for ever; several values, names allowed", valueName: "host:port")
    ) var peers: [String] = []

    @Option(
        help: ArgumentHelp("error, warning, info or debug (default: info)", valueName: "level"),
        transform: { text in
            guard let level = LogLevel(text) else { throw OptionError(value: text, accepted: "error, warning, info or debug") }
            return level
        }
    ) var logLevel: LogLevel?

    @Option(
        help: ArgumentHelp("text or json (default: text)", valueName: "format"),
        transform: { text in
            guard let format = LogFormat(rawValue: text) else { throw OptionError(value: text, accepted: "text or json") }
            return format
        }
    ) var logFormat: LogFormat?

    @Option(
        help: ArgumentHelp("Equal lines within this span are counted, not repeated; 0s prints all (default: 10s)", valueName: "span"),
        transform: { text in
            guard let span = Nanoseconds(span: text), span <= .seconds(3_600) else {
                throw OptionError(value: text, accepted: "a span from 0s to 1h, such as 500ms, 5s or 2m")
            }
            return span
        }
    ) var logRepeat: Nanoseconds?

    @OptionGroup(title: "Slots") var slots: SlotOptions
    @OptionGroup(title: "Dials and deadlines") var dials: DialOptions
    @OptionGroup(title: "Keepalive") var keepalive: KeepaliveOptions
    @OptionGroup(title: "Schedule, abuse, discovery") var schedule: ScheduleOptions

    /// The configuration that these options describe, checked.
    func nodeConfiguration() throws -> NodeConfiguration {
        var configuration = try NodeConfiguration(network: network)
        configuration.listen = try listen.map { try endpoint("listen", $0, allowsAnyPort: true) }
        configuration.advertise = try advertise.map { try endpoint("advertise", $0, allowsAnyPort: false) }
        if let address = configuration.advertise?.address, address.isUnspecified || address.isMulticast {
            throw OptionConflict(option: "advertise", value: advertise ?? "", accepted: "an address that others can dial")
        }
        configuration.masternodes = try masternodes.map { try name("masternode", $0) }
        configuration.peers = try peers.map { try name("peer", $0) }
        if let role { configuration.mesh.role = role }
        if let logLevel { configuration.logLevel = logLevel }
        if let logFormat { configuration.logFormat = logFormat }
        if let logRepeat { configuration.logRepeat = logRepeat }
        for choice in slots.choices + dials.choices + keepalive.choices + schedule.choices {
            choice?.apply(to: &configuration.mesh)
        }
        if let reserve = slots.reserve { configuration.mesh.reservedSlots = reserve }
        configuration.complete()
        try configuration.check()
        return configuration
    }

    private func endpoint(_ option: String, _ text: String, allowsAnyPort: Bool) throws -> Endpoint {
        if let endpoint = Endpoint(text), allowsAnyPort || endpoint.port != 0 { return endpoint }
        if let endpoint = PeerName(text, defaultPort: network.defaultPort)?.endpoint { return endpoint }
        let port = network.defaultPort == 0 ? "" : "; without a port it is \(network.defaultPort)"
        throw OptionConflict(option: option, value: text, accepted: "ADDRESS:PORT or [V6ADDRESS]:PORT\(port)")
    }

    private func name(_ option: String, _ text: String) throws -> PeerName {
        guard let name = PeerName(text, defaultPort: network.defaultPort) else {
            throw OptionConflict(option: option, value: text, accepted: PeerName.acceptedForm)
        }
        if let endpoint = name.endpoint, !endpoint.isDialable {
            throw OptionConflict(option: option, value: text, accepted: "an address that can be dialled")
        }
        return name
    }

    func run() throws {
        let configuration = try nodeConfiguration()
        print(configuration)
    }
}
