// The networks of the native dialect, and its message numbers. Numbers are written out and only ever appended to: the seed
// network renumbered its messages once, and old ones decoded as something else (incidents P39).

/// A network of the native dialect: what its hellos must say.
public struct TimeNetwork: Hashable, Sendable {
    /// The four magic bytes, big-endian: `0xC01D7E4D` is C0 1D 7E 4D on the wire.
    public let magic: UInt32
    /// The name that hellos state.
    public let name: String
    /// The port that an address without one means.
    public let defaultPort: UInt16

    /// A network of one's own. `name` has at most 255 bytes.
    public init(magic: UInt32, name: String, defaultPort: UInt16) {
        precondition(1...255 ~= name.utf8.count, "a network's name has 1 ... 255 bytes")
        self.magic = magic
        self.name = name
        self.defaultPort = defaultPort
    }

    /// The seed's network.
    public static let mainnet = TimeNetwork(magic: 0xc01d_7e4d, name: "mainnet", defaultPort: 24_000)
    /// The seed's test network; its magic spells TIME.
    public static let testnet = TimeNetwork(magic: 0x5449_4d45, name: "testnet", defaultPort: 24_100)
    /// The private network that a node runs when nothing else is asked for; its magic spells RCTR.
    public static let reactor = TimeNetwork(magic: 0x5243_5452, name: "reactor", defaultPort: 24_200)
}

/// The numbers of the messages that the dialect itself speaks; all others are the application's.
enum TimeMessage {
    static let handshake: UInt32 = 10
    static let ack: UInt32 = 11
    static let ping: UInt32 = 36
    static let pong: UInt32 = 37
    static let getPeers: UInt32 = 42
    static let peersResponse: UInt32 = 43
    static let peerExchange: UInt32 = 44
    static let forkAlert: UInt32 = 51
    /// What the seed takes an empty frame for.
    static let unknown: UInt32 = 100
}
