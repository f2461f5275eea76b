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

    @OptionGroup(title: "Node") var node: NodeOptions
    @OptionGroup(title: "Control") var control: ControlOptions
    @OptionGroup(title: "Slots") var slots: SlotOptions
    @OptionGroup(title: "Dials and deadlines") var dials: DialOptions
    @OptionGroup(title: "Keepalive") var keepalive: KeepaliveOptions
    @OptionGroup(title: "Schedule, abuse, discovery") var schedule: ScheduleOptions

    /// The configuration that these options describe, checked.
    func nodeConfiguration() throws -> NodeConfiguration {
        var configuration = try NodeConfiguration(network: node.network)
        configuration.listen = try node.listen.map { try endpoint("listen", $0, allowsAnyPort: true) }
        configuration.advertise = try node.advertise.map { try endpoint("advertise", $0, allowsAnyPort: false) }
        if let address = configuration.advertise?.address, address.isUnspecified || address.isMulticast {
            throw OptionConflict(option: "advertise", value: node.advertise ?? "", accepted: "an address that others can dial")
        }
        configuration.masternodes = try node.masternodes.map { try name("masternode", $0) }
        configuration.peers = try node.peers.map { try name("peer", $0) }
        if let role = node.role { configuration.mesh.role = role }
        if let logLevel = node.logLevel { configuration.logLevel = logLevel }
        if let logFormat = node.logFormat { configuration.logFormat = logFormat }
        if let logRepeat = node.logRepeat { configuration.logRepeat = logRepeat }
        for choice in slots.choices + dials.choices + keepalive.choices + schedule.choices {
            choice?.apply(to: &configuration.mesh)
        }
        if let reserve = slots.reserve { configuration.mesh.reservedSlots = reserve }
        configuration.control = try control.settings()
        configuration.complete()
        try configuration.check()
        return configuration
    }

    private func endpoint(_ option: String, _ text: String, allowsAnyPort: Bool) throws -> Endpoint {
        if let endpoint = Endpoint(text), allowsAnyPort || endpoint.port != 0 { return endpoint }
        if let endpoint = PeerName(text, defaultPort: node.network.defaultPort)?.endpoint { return endpoint }
        let port = node.network.defaultPort == 0 ? "" : "; without a port it is \(node.network.defaultPort)"
        throw OptionConflict(option: option, value: text, accepted: "ADDRESS:PORT or [V6ADDRESS]:PORT\(port)")
    }

    private func name(_ option: String, _ text: String) throws -> PeerName {
        guard let name = PeerName(text, defaultPort: node.network.defaultPort) else {
            throw OptionConflict(option: option, value: text, accepted: PeerName.acceptedForm)
        }
        if let endpoint = name.endpoint, !endpoint.isDialable {
            throw OptionConflict(option: option, value: text, accepted: "an address that can be dialled")
        }
        return name
    }

    func run() throws {
        try NodeDaemon(nodeConfiguration()).run()
    }
}
