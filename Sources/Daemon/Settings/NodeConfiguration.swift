// Everything that `run` takes, in one checked value: who we are, where we listen, whom we want, and every number. What is
// wrong with it is said before anything is opened.

import CEpoll
public import PeerMesh
public import Timers

/// The configuration of one node.
public struct NodeConfiguration: Sendable {
    public var network: Network
    /// Where to listen. Empty only until `complete()`.
    public var listen: [Endpoint] = []
    /// Where others can reach us, if we know it.
    public var advertise: Endpoint?
    public var masternodes: [PeerName] = []
    public var peers: [PeerName] = []
    public var logLevel = LogLevel.info
    public var logFormat = LogFormat.text
    /// Equal transitions within this span are counted instead of printed.
    public var logRepeat = Nanoseconds.seconds(10)
    /// Role, slots and every timing.
    public var mesh: MeshSettings
    /// Nothing was said about where to listen: the node is a first try on this machine.
    public private(set) var isFirstTry = false

    /// A configuration with every default, and a nonce and seed from the system's entropy.
    public init(network: Network = .reactor) throws(DaemonError) {
        self.network = network
        mesh = MeshSettings(nonce: try NodeConfiguration.entropy(), seed: try NodeConfiguration.entropy())
        mesh.isNativeDialect = network.isNative
    }

    private static func entropy() throws(DaemonError) -> UInt64 {
        var word: UInt64 = 0
        let result = unsafe cepoll_random(&word)
        guard result == 0 else { throw DaemonError.system("cannot read the system's entropy", -result) }
        return word
    }

    /// Fills in what follows from the rest: where to listen, where we can be reached.
    public mutating func complete() {
        mesh.isNativeDialect = network.isNative
        if listen.isEmpty {
            // Loopback: a node that nobody configured must not be reachable from outside.
            isFirstTry = true
            listen = [Endpoint(IPAddress(v4: 127, 0, 0, 1), port: NodeConfiguration.firstPort(of: network))]
        }
        if advertise == nil, listen.count == 1, let only = listen.first, only.isDialable { advertise = only }
    }

    /// Adds the addresses of sockets that the process was given. Nobody who passes sockets needs the address of a first try.
    mutating func inherit(_ endpoints: [Endpoint]) {
        guard !endpoints.isEmpty else { return }
        if isFirstTry {
            if advertise == listen.first { advertise = nil }
            listen = []
            isFirstTry = false
        }
        for endpoint in endpoints where !listen.contains(endpoint) { listen.append(endpoint) }
        complete()
    }

    /// The port that a node without `--listen` takes: its network's, or the private network's where it has none.
    static func firstPort(of network: Network) -> UInt16 {
        network.defaultPort != 0 ? network.defaultPort : Network.reactor.defaultPort
    }

    /// Refuses values that contradict each other. The text names the option.
    public func check() throws(OptionConflict) {
        if mesh.greetingTimeout < mesh.probeTimeout * 2 {
            throw OptionConflict(
                option: "greeting-timeout", value: mesh.greetingTimeout.span,
                accepted: "at least twice --probe-timeout, which is \(mesh.probeTimeout.span)"
            )
        }
        if mesh.backoffMax < mesh.backoffInitial {
            throw OptionConflict(
                option: "backoff-max", value: mesh.backoffMax.span,
                accepted: "at least --backoff-initial, which is \(mesh.backoffInitial.span)"
            )
        }
        if let reserve = mesh.reservedSlots, reserve > mesh.maxPeers {
            throw OptionConflict(
                option: "reserve", value: String(reserve), accepted: "at most --max-peers, which is \(mesh.maxPeers)"
            )
        }
        if let twice = NodeConfiguration.duplicate(in: listen) {
            throw OptionConflict(option: "listen", value: twice.description, accepted: "each address once")
        }
        let wanted = UInt64(masternodes.count + peers.count)
        if wanted > UInt64(mesh.bookCapacity) {
            throw OptionConflict(
                option: "book-capacity", value: String(mesh.bookCapacity),
                accepted: "room for the \(wanted) peers of --masternode and --peer"
            )
        }
    }

    private static func duplicate(in endpoints: [Endpoint]) -> Endpoint? {
        endpoints.indices.first { index in
            endpoints[index].port != 0 && endpoints[..<index].contains(endpoints[index])
        }.map { endpoints[$0] }
    }

    /// The descriptors that this configuration may come to need.
    public var budget: DescriptorBudget {
        DescriptorBudget(links: UInt64(mesh.linkCapacity), listeners: UInt64(listen.count))
    }
}

/// Two values that do not go together, or one that its neighbours forbid.
public struct OptionConflict: Error, Hashable, Sendable, CustomStringConvertible {
    /// The option's name without its dashes.
    public let option: String
    public let value: String
    public let accepted: String

    public init(option: String, value: String, accepted: String) {
        self.option = option
        self.value = value
        self.accepted = accepted
    }

    public var description: String { "The value '\(value)' is invalid for '--\(option)': give \(accepted)" }
}
