// Who the node is, where it listens, whom it wants, and how it logs: the options that most operators need.

import ArgumentParser
import Daemon
import PeerMesh
import Timers

struct NodeOptions: ParsableArguments {
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
        help: ArgumentHelp(
            "Equal lines within this span are counted, not repeated; 0s prints all (default: 10s)", valueName: "span"
        ),
        transform: { text in
            guard let span = Nanoseconds(span: text), span <= .seconds(3_600) else {
                throw OptionError(value: text, accepted: "a span from 0s to 1h, such as 500ms, 5s or 2m")
            }
            return span
        }
    ) var logRepeat: Nanoseconds?
}
