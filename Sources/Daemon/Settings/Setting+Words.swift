// The settings that are no numbers: how each is read, shown and refused.

import PeerMesh
import Timers

extension Setting {
    static let network = Word(
        placeholder: "name", range: "a name from `--help`, or `DIALECT:MAGIC`", accepted: Network.acceptedForm,
        read: { (text, configuration) throws(OptionError) in
            guard let network = Network(text) else { throw OptionError(value: text, accepted: Network.acceptedForm) }
            configuration.network = network
        },
        text: { $0.network.name }
    )

    private static let addressForm =
        "ADDRESS:PORT or [V6ADDRESS]:PORT; the port may be left out where the network has one of its own"

    static let listen = List(
        placeholder: "address:port", accepted: addressForm,
        read: { (texts, configuration) throws(OptionError) in
            var endpoints: [Endpoint] = []
            for text in texts {
                let endpoint = try endpoint(text, configuration.network, allowsAnyPort: true)
                guard !endpoint.address.isMulticast else {
                    throw OptionError(value: text, accepted: "an address of this machine; multicast and broadcast addresses are no host")
                }
                endpoints.append(endpoint)
            }
            configuration.listen = endpoints
        },
        texts: { $0.listen.map(\.description) }
    )

    static let advertise = Word(
        placeholder: "address:port", range: "auto, or an address and port", accepted: addressForm + ", or auto",
        read: { (text, configuration) throws(OptionError) in
            guard text != "auto" else { return configuration.advertise = nil }
            let endpoint = try endpoint(text, configuration.network, allowsAnyPort: false, or: ", or auto")
            if let why = endpoint.refusal { throw OptionError(value: text, accepted: "an address that others can dial; this is \(why)") }
            configuration.advertise = endpoint
        },
        text: { $0.advertise?.description ?? "auto" }
    )

    private static func endpoint(
        _ text: String, _ network: Network, allowsAnyPort: Bool, or alternative: String = ""
    ) throws(OptionError) -> Endpoint {
        if let endpoint = Endpoint(text), allowsAnyPort || endpoint.port != 0 { return endpoint }
        if let endpoint = PeerName(text, defaultPort: network.defaultPort)?.endpoint { return endpoint }
        throw OptionError(value: text, accepted: addressForm + alternative)
    }

    static let role = Word(
        placeholder: "role", range: "masternode, regular", accepted: "masternode or regular",
        read: { (text, configuration) throws(OptionError) in
            switch text {
            case "masternode": configuration.mesh.role = .masternode
            case "regular": configuration.mesh.role = .regular
            default: throw OptionError(value: text, accepted: "masternode or regular")
            }
        },
        text: { $0.mesh.role == .masternode ? "masternode" : "regular" }
    )

    static func peers(_ path: any WritableKeyPath<NodeConfiguration, [PeerName]> & Sendable) -> List {
        List(
            placeholder: "host:port", accepted: PeerName.acceptedForm,
            read: { (texts, configuration) throws(OptionError) in
                var names: [PeerName] = []
                for text in texts {
                    guard let name = PeerName(text, defaultPort: configuration.network.defaultPort) else {
                        throw OptionError(value: text, accepted: PeerName.acceptedForm)
                    }
                    if let why = name.endpoint?.refusal {
                        throw OptionError(value: text, accepted: "an address that can be dialled; this is \(why)")
                    }
                    names.append(name)
                }
                configuration[keyPath: path] = names
            },
            texts: { $0[keyPath: path].map(\.description) }
        )
    }

    static func path(_ path: any WritableKeyPath<NodeConfiguration, String?> & Sendable) -> Word {
        Word(
            placeholder: "path", range: "none, or a path", accepted: "a path, or none",
            read: { (text, configuration) throws(OptionError) in
                guard !text.isEmpty, !text.utf8.contains(0) else { throw OptionError(value: text, accepted: "a path, or none") }
                configuration[keyPath: path] = text == "none" ? nil : text
            },
            text: { $0[keyPath: path] ?? "none" }
        )
    }

    static let controlSocket = Word(
        placeholder: "path", range: "auto, none, or a path", accepted: "a path, auto or none",
        read: { (text, configuration) throws(OptionError) in
            switch text {
            case "auto": configuration.control.place = .automatic
            case "none": configuration.control.place = .none
            case "": throw OptionError(value: text, accepted: "a path, auto or none")
            default: configuration.control.place = .path(text)
            }
        },
        text: { configuration in
            switch configuration.control.place {
            case .automatic: "auto"
            case .none: "none"
            case .path(let path): path
            }
        }
    )

    static let controlTCP = Word(
        placeholder: "address:port", range: "none, or a loopback address and port",
        accepted: "a loopback address and port such as 127.0.0.1:9100, or none",
        read: { (text, configuration) throws(OptionError) in
            guard text != "none" else { return configuration.control.readOnly = nil }
            guard let endpoint = Endpoint(text), endpoint.address.isLoopback else {
                throw OptionError(value: text, accepted: "a loopback address and port such as 127.0.0.1:9100, or none")
            }
            configuration.control.readOnly = endpoint
        },
        text: { $0.control.readOnly?.description ?? "none" }
    )

    static let logLevel = Word(
        placeholder: "level", range: "error, warning, info, debug", accepted: "error, warning, info or debug",
        read: { (text, configuration) throws(OptionError) in
            guard let level = LogLevel(text) else { throw OptionError(value: text, accepted: "error, warning, info or debug") }
            configuration.logLevel = level
        },
        text: { $0.logLevel.name }
    )

    static let logFormat = Word(
        placeholder: "format", range: "text, json", accepted: "text or json",
        read: { (text, configuration) throws(OptionError) in
            guard let format = LogFormat(rawValue: text) else { throw OptionError(value: text, accepted: "text or json") }
            configuration.logFormat = format
        },
        text: { $0.logFormat.rawValue }
    )
}
