// The networks of the Bitcoin family: what their message headers begin with, their ports, and in what their hellos differ.
// Values from the projects' own chainparams; bitcoin's and litecoin's regtest share a magic and cannot be told apart by it.

/// A network that speaks Bitcoin's v1 messages.
public struct BitcoinNetwork: Hashable, Sendable {
    /// The projects whose hellos differ.
    public enum Family: UInt8, Hashable, Sendable {
        /// Bitcoin.
        case bitcoin
        /// Litecoin.
        case litecoin
        /// Dash.
        case dash
    }

    /// Whose rules the hello follows.
    public let family: Family
    /// The four magic bytes, big-endian: `0xF9BEB4D9` is F9 BE B4 D9 on the wire.
    public let magic: UInt32
    /// The port that nodes listen on by default.
    public let defaultPort: UInt16

    /// What the user agent says in parentheses; empty for nothing. Dash's devnets turn away who does not name them there.
    public let comment: String

    /// A network of one's own. `comment` has at most 200 bytes.
    public init(magic: UInt32, defaultPort: UInt16, family: Family = .bitcoin, comment: String = "") {
        precondition(comment.utf8.count <= 200, "a network's comment has at most 200 bytes")
        self.family = family
        self.magic = magic
        self.defaultPort = defaultPort
        self.comment = comment
    }

    /// Bitcoin itself.
    public static let bitcoinMainnet = BitcoinNetwork(magic: 0xf9be_b4d9, defaultPort: 8_333)
    /// Bitcoin's older test network.
    public static let bitcoinTestnet3 = BitcoinNetwork(magic: 0x0b11_0907, defaultPort: 18_333)
    /// Bitcoin's test network.
    public static let bitcoinTestnet4 = BitcoinNetwork(magic: 0x1c16_3f28, defaultPort: 48_333)
    /// Bitcoin's default signet.
    public static let bitcoinSignet = BitcoinNetwork(magic: 0x0a03_cf40, defaultPort: 38_333)
    /// A private Bitcoin network on one machine.
    public static let bitcoinRegtest = BitcoinNetwork(magic: 0xfabf_b5da, defaultPort: 18_444)
    /// Litecoin itself.
    public static let litecoinMainnet = BitcoinNetwork(magic: 0xfbc0_b6db, defaultPort: 9_333, family: .litecoin)
    /// Litecoin's test network.
    public static let litecoinTestnet = BitcoinNetwork(magic: 0xfdd2_c8f1, defaultPort: 19_335, family: .litecoin)
    /// A private Litecoin network on one machine.
    public static let litecoinRegtest = BitcoinNetwork(magic: 0xfabf_b5da, defaultPort: 19_444, family: .litecoin)
    /// Dash itself.
    public static let dashMainnet = BitcoinNetwork(magic: 0xbf0c_6bbd, defaultPort: 9_999, family: .dash)
    /// Dash's test network.
    public static let dashTestnet = BitcoinNetwork(magic: 0xcee2_caff, defaultPort: 19_999, family: .dash)
    /// The development network of Dash that has no name.
    public static let dashDevnet = BitcoinNetwork(
        magic: 0xe2ca_ffce, defaultPort: 19_799, family: .dash, comment: "devnet.devnet"
    )
    /// A private Dash network on one machine.
    public static let dashRegtest = BitcoinNetwork(magic: 0xfcc1_b7dc, defaultPort: 19_899, family: .dash)

    /// A development network of Dash, by its name.
    public static func dashDevnet(named name: String) -> BitcoinNetwork {
        BitcoinNetwork(magic: 0xe2ca_ffce, defaultPort: 19_799, family: .dash, comment: "devnet.devnet-\(name)")
    }

    /// The protocol version that our hello states. 70016 in Bitcoin and Litecoin: 70017 means different things in the two.
    /// Dash refuses peers below 70221, and from 70240 on asks nothing of us that we do not have.
    public var advertisedVersion: Int32 {
        switch family {
        case .bitcoin, .litecoin: 70_016
        case .dash: 70_240
        }
    }

    /// Whether peers may be told `wtxidrelay`: Dash has no witnesses.
    var hasWitnessRelay: Bool {
        switch family {
        case .bitcoin, .litecoin: true
        case .dash: false
        }
    }
}
