// Everything that `run` takes, in one checked value: who we are, where we listen, whom we want, and every number. What is
// wrong with it is said before anything is opened.

import CEpoll
public import PeerMesh
import Reactor
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
    /// A file of masternodes that is watched.
    public var registryFile: String?
    /// Where the node keeps what outlives it; nil keeps it in memory.
    public var stateDirectory: String?
    /// Where operators reach the node.
    public var control = ControlSettings()
    public var health = HealthThresholds()
    public var memory = MemoryLimits()
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

    /// Every default. Its nonce is nobody's: for texts and comparisons.
    public static let blank = NodeConfiguration(blank: .reactor)

    private init(blank network: Network) {
        self.network = network
        mesh = MeshSettings(nonce: 0, seed: 0)
    }

    static func entropy() throws(DaemonError) -> UInt64 {
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
    }

    /// Where others can dial us: as set, or the only address that we listen on.
    public var effectiveAdvertise: Endpoint? {
        if let advertise { return advertise }
        guard listen.count == 1, let only = listen.first, only.isDialable else { return nil }
        return only
    }

    /// How far the address reaches by which others know this node; nil if it is not one.
    var scope: AddressScope? {
        let addresses = (effectiveAdvertise.map { [$0] } ?? listen).map(\.address)
        guard let first = addresses.first, !first.isUnspecified, addresses.allSatisfy({ $0.scope == first.scope }) else { return nil }
        return first.scope
    }

    /// Adds the addresses of sockets that the process was given. Nobody who passes sockets needs the address of a first try.
    mutating func inherit(_ endpoints: [Endpoint]) {
        guard !endpoints.isEmpty else { return }
        if isFirstTry {
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
                accepted: "at least twice probe-timeout, which is \(mesh.probeTimeout.span)"
            )
        }
        if mesh.backoffMax < mesh.backoffInitial {
            throw OptionConflict(
                option: "backoff-max", value: mesh.backoffMax.span,
                accepted: "at least backoff-initial, which is \(mesh.backoffInitial.span)"
            )
        }
        if let reserve = mesh.reservedSlots, reserve > mesh.maxPeers {
            throw OptionConflict(
                option: "reserve", value: String(reserve), accepted: "at most max-peers, which is \(mesh.maxPeers)"
            )
        }
        try checkMemory()
        if let twice = NodeConfiguration.duplicate(in: listen) {
            throw OptionConflict(option: "listen", value: twice.description, accepted: "each address once")
        }
        let wanted = UInt64(masternodes.count + peers.count)
        if wanted > UInt64(mesh.bookCapacity) {
            throw OptionConflict(
                option: "book-capacity", value: String(mesh.bookCapacity),
                accepted: "room for the \(wanted) values of masternode and peer"
            )
        }
    }

    /// A frame that the network allows must have room, or whoever sends it is cut off.
    private func checkMemory() throws(OptionConflict) {
        // A frame's block and the larger one that follows are held together while its bytes are moved.
        let least = network.makeWire().maximumBody * 2
        guard memory.perStranger >= least else {
            throw OptionConflict(
                option: "memory-per-stranger", value: SizeText.text(memory.perStranger),
                accepted: "at least \(SizeText.text(least, roundedTo: 16)), twice the largest frame of the network \(network.name)"
            )
        }
        let share = memory.limit - memory.limit / 100 * Int(memory.reserve)
        guard share < memory.perStranger else { return }
        let words = "\(100 - memory.reserve) % of memory-limit, which memory-reserve leaves to strangers"
        guard memory.limit != MemoryLimits().limit else {
            throw OptionConflict(
                option: "memory-per-stranger", value: SizeText.text(memory.perStranger), accepted: "at most \(SizeText.text((share >> 20) << 20)): \(words); or raise memory-limit"
            )
        }
        let needed = memory.perStranger / Int(100 - memory.reserve) * 100 + 100
        throw OptionConflict(
            option: "memory-limit", value: SizeText.text(memory.limit),
            accepted: "at least \(SizeText.text(needed, roundedTo: 20)): memory-per-stranger is \(SizeText.text(memory.perStranger)), and strangers have "
                + "\(words); or lower these"
        )
    }

    private static func duplicate(in endpoints: [Endpoint]) -> Endpoint? {
        var seen: Set<Endpoint> = []
        return endpoints.first { $0.port != 0 && !seen.insert($0).inserted }
    }

    /// The descriptors that this configuration may come to need.
    public var budget: DescriptorBudget {
        DescriptorBudget(links: UInt64(mesh.linkCapacity), listeners: UInt64(listen.count), control: control.descriptors)
    }
}

/// How much memory the buffers of links may hold.
public struct MemoryLimits: Hashable, Sendable {
    /// All of them together, in bytes.
    public var limit = 256 << 20
    /// The share of it that strangers cannot use, in percent.
    public var reserve: UInt32 = 50
    /// One stranger's, in bytes.
    public var perStranger = 16 << 20

    public init() {}
}

/// When a node's health is degraded.
public struct HealthThresholds: Hashable, Sendable {
    /// Established links, at least; nil asks for one if anybody is wanted.
    public var links: UInt32?
    /// Those to masternodes; nil asks for one if the registry names any.
    public var masternodes: UInt32?
    /// Those that others opened, and those that we opened.
    public var inbound: UInt32 = 0
    public var outbound: UInt32 = 0
    /// Free descriptors, at least.
    public var descriptors: UInt32 = 32
    /// Loop lag, at most.
    public var lag = Nanoseconds.seconds(1)

    public init() {}
}
