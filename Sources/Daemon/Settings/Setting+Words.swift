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
                configuration[keyPath: path] = text == "none" ? nil : try checkedPath(text, or: "a path, or none")
            },
            text: { $0[keyPath: path] ?? "none" }
        )
    }

    /// A path that means what it says. What a shell would have changed, and words that mean "no path" elsewhere, are refused: taken as
    /// they are they make a folder of that name somewhere.
    static func checkedPath(_ text: String, or accepted: String) throws(OptionError) -> String {
        func refuse(_ accepted: String) -> OptionError { OptionError(value: text, accepted: accepted) }
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { throw refuse(accepted) }
        guard bytes.count < 4_096 else { throw refuse("a path of at most 4095 bytes") }
        if first == 0x20 || last == 0x20 { throw refuse("a path without blanks around it") }
        if first == UInt8(ascii: "~") { throw refuse("the whole path, such as /home/USER/reactor: only a shell expands '~'") }
        let named = zip(bytes, bytes.dropFirst()).contains { $0 == UInt8(ascii: "$") && (isLetter($1) || $1 == UInt8(ascii: "{") || $1 == UInt8(ascii: "(")) }
        if named { throw refuse("the whole path: variables are not expanded here") }
        if first == UInt8(ascii: "%") { throw refuse("the whole path: '%' is not expanded here") }
        if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") { throw refuse("a path without quotes around it") }
        if text.contains("://") { throw refuse("a path, not a URL") }
        if ["none", "auto", "null", "nil", "off", "on", "false", "true", "no", "yes", "default", "-"].contains(text.lowercased()) {
            throw refuse(accepted + " (write ./\(text) for a file of that name)")
        }
        return text
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f }

    static let controlSocket = Word(
        placeholder: "path", range: "auto, none, or a path", accepted: "a path, auto or none",
        read: { (text, configuration) throws(OptionError) in
            switch text {
            case "auto": configuration.control.place = .automatic
            case "none": configuration.control.place = .none
            default:
                let path = try checkedPath(text, or: "a path, auto or none")
                // sockaddr_un has 108 bytes, the last of them a zero.
                guard path.utf8.count <= 107 else { throw OptionError(value: text, accepted: "a path of at most 107 bytes") }
                configuration.control.place = .path(path)
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
