// The networks that a node can join by name. A name stands for a dialect and one of its networks; the numbers are the
// dialects' own.

public import BitcoinWire
public import Reactor

/// A peer-to-peer network: how its nodes speak, and how they recognise each other.
public struct Network: Hashable, Sendable {
    /// A dialect and one of its networks.
    public enum Speech: Hashable, Sendable {
        /// The native dialect: length-prefixed frames, our hello extension, verdicts.
        case time(TimeNetwork)
        /// Bitcoin's v1 messages, which Litecoin, Dash and many others share.
        case bitcoin(BitcoinNetwork)
    }

    /// As given on the command line: `reactor`, `litecoin-regtest`, `bitcoin:fabfb5da`.
    public let name: String
    public let speech: Speech
    /// The network's real nodes expect TLS, and ours do not speak it yet.
    public let isPlainForNow: Bool

    /// The private network that a node without options joins.
    public static let reactor = Network("reactor", .time(.reactor))

    /// Every network with a name of its own.
    public static let named: [Network] = [
        reactor,
        Network("time-mainnet", .time(.mainnet), isPlainForNow: true),
        Network("time-testnet", .time(.testnet), isPlainForNow: true),
        Network("bitcoin-mainnet", .bitcoin(.bitcoinMainnet)),
        Network("bitcoin-testnet", .bitcoin(.bitcoinTestnet3)),
        Network("bitcoin-testnet4", .bitcoin(.bitcoinTestnet4)),
        Network("bitcoin-signet", .bitcoin(.bitcoinSignet)),
        Network("bitcoin-regtest", .bitcoin(.bitcoinRegtest)),
        Network("litecoin-mainnet", .bitcoin(.litecoinMainnet)),
        Network("litecoin-testnet", .bitcoin(.litecoinTestnet)),
        Network("litecoin-regtest", .bitcoin(.litecoinRegtest)),
        Network("dash-mainnet", .bitcoin(.dashMainnet)),
        Network("dash-testnet", .bitcoin(.dashTestnet)),
        Network("dash-regtest", .bitcoin(.dashRegtest)),
    ]

    /// What `init(_:)` accepts, for messages.
    public static var acceptedForm: String {
        "one of \(named.map(\.name).joined(separator: ", ")), or DIALECT:MAGIC with DIALECT time or bitcoin "
            + "and MAGIC of 8 hex digits"
    }

    private init(_ name: String, _ speech: Speech, isPlainForNow: Bool = false) {
        self.name = name
        self.speech = speech
        self.isPlainForNow = isPlainForNow
    }

    /// Reads a network's name, or `DIALECT:MAGICHEX` for one of your own. Nil if it is neither.
    public init?(_ text: String) {
        if let known = Network.named.first(where: { $0.name == text }) {
            self = known
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].utf8.count == 8, parts[1].allSatisfy(\.isHexDigit),
            let magic = UInt32(parts[1], radix: 16)
        else { return nil }
        switch parts[0] {
        case "time": self.init(text, .time(TimeNetwork(magic: magic, name: "private", defaultPort: 0)))
        case "bitcoin": self.init(text, .bitcoin(BitcoinNetwork(magic: magic, defaultPort: 0)))
        default: return nil
        }
    }

    /// The port that an address without one means; 0 if the network has none.
    public var defaultPort: UInt16 {
        switch speech {
        case .time(let network): network.defaultPort
        case .bitcoin(let network): network.defaultPort
        }
    }

    /// The four magic bytes, big-endian: as they stand on the wire.
    public var magic: UInt32 {
        switch speech {
        case .time(let network): network.magic
        case .bitcoin(let network): network.magic
        }
    }

    /// Whether its nodes may show our extension: verdicts and process nonces.
    public var isNative: Bool {
        switch speech {
        case .time: true
        case .bitcoin: false
        }
    }

    /// A wire that speaks this network's dialect, for one node.
    public func makeWire() -> any Wire {
        switch speech {
        case .time(let network): TimeWire(network: network)
        case .bitcoin(let network): BitcoinWire(network: network)
        }
    }
}
