// The networks that a node can join by name. A name stands for a dialect, the four bytes that open its frames or its
// hello, the network's own word for itself, and the port that an address without one means.

/// A peer-to-peer network: how its nodes speak, and how they recognise each other.
public struct Network: Hashable, Sendable {
    /// How its frames are cut and named.
    public enum Dialect: String, Hashable, Sendable, CaseIterable {
        /// The native one: length-prefixed frames, our hello extension, verdicts.
        case time
        /// Bitcoin's v1 messages, which Litecoin, Dash and many others share.
        case bitcoin
    }

    /// As given on the command line: `reactor`, `litecoin-regtest`, `bitcoin:fabfb5da`.
    public let name: String
    public let dialect: Dialect
    /// The four magic bytes, big-endian: as they stand on the wire.
    public let magic: UInt32
    /// What the network calls itself in a hello of the time dialect.
    public let word: String
    /// The port that an address without one means; 0 if the network has none.
    public let defaultPort: UInt16

    /// The private network that a node without options joins.
    public static let reactor = Network(name: "reactor", .time, 0x5243_5452, word: "reactor", port: 24200)

    /// Every network with a name of its own.
    public static let named: [Network] = [
        reactor,
        Network(name: "time-mainnet", .time, 0xc01d_7e4d, word: "mainnet", port: 24000),
        Network(name: "time-testnet", .time, 0x5449_4d45, word: "testnet", port: 24100),
        Network(name: "bitcoin-mainnet", .bitcoin, 0xf9be_b4d9, word: "mainnet", port: 8333),
        Network(name: "bitcoin-testnet", .bitcoin, 0x0b11_0907, word: "testnet", port: 18333),
        Network(name: "bitcoin-testnet4", .bitcoin, 0x1c16_3f28, word: "testnet4", port: 48333),
        Network(name: "bitcoin-signet", .bitcoin, 0x0a03_cf40, word: "signet", port: 38333),
        Network(name: "bitcoin-regtest", .bitcoin, 0xfabf_b5da, word: "regtest", port: 18444),
        Network(name: "litecoin-mainnet", .bitcoin, 0xfbc0_b6db, word: "mainnet", port: 9333),
        Network(name: "litecoin-testnet", .bitcoin, 0xfdd2_c8f1, word: "testnet", port: 19335),
        Network(name: "litecoin-regtest", .bitcoin, 0xfabf_b5da, word: "regtest", port: 19444),
        Network(name: "dash-mainnet", .bitcoin, 0xbf0c_6bbd, word: "mainnet", port: 9999),
        Network(name: "dash-testnet", .bitcoin, 0xcee2_caff, word: "testnet", port: 19999),
        Network(name: "dash-regtest", .bitcoin, 0xfcc1_b7dc, word: "regtest", port: 19899),
    ]

    /// What `init(_:)` accepts, for messages.
    public static var acceptedForm: String {
        "one of \(named.map(\.name).joined(separator: ", ")), or DIALECT:MAGIC with DIALECT time or bitcoin and MAGIC of 8 hex digits"
    }

    private init(name: String, _ dialect: Dialect, _ magic: UInt32, word: String, port: UInt16) {
        self.name = name
        self.dialect = dialect
        self.magic = magic
        self.word = word
        self.defaultPort = port
    }

    /// Reads a network's name, or `DIALECT:MAGICHEX` for one of your own. Nil if it is neither.
    public init?(_ text: String) {
        if let known = Network.named.first(where: { $0.name == text }) {
            self = known
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let dialect = Dialect(rawValue: String(parts[0])), parts[1].utf8.count == 8,
            parts[1].allSatisfy(\.isHexDigit), let magic = UInt32(parts[1], radix: 16)
        else { return nil }
        self.init(name: text, dialect, magic, word: "private", port: 0)
    }

    /// Links of the network's real nodes are encrypted, and ours are not yet.
    public var isPlainForNow: Bool { dialect == .time && self != .reactor && defaultPort != 0 }
}
