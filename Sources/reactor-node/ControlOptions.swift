// Where operators reach the node.

import ArgumentParser
import Daemon
import PeerMesh

struct ControlOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The Unix socket that commands go to, or none (default: one named after --listen, in the user's run directory)", valueName: "path"))
    var controlSocket: String?

    @Option(help: ArgumentHelp("A loopback address and port that serves reading only, for metrics", valueName: "address:port"))
    var controlTcp: String?

    func settings() throws -> ControlSettings {
        var settings = ControlSettings()
        settings.version = Version.text
        if let controlSocket { settings.place = controlSocket == "none" ? .none : .path(controlSocket) }
        guard let controlTcp else { return settings }
        guard let endpoint = Endpoint(controlTcp), endpoint.address.isLoopback else {
            throw OptionConflict(option: "control-tcp", value: controlTcp, accepted: "a loopback address and port, such as 127.0.0.1:9200")
        }
        settings.readOnly = endpoint
        return settings
    }
}
