// The handles by which the driver and the core speak of links and peers, and what a hello says of its sender.

public import Timers

/// One TCP connection: a slot of the link table and the generation of its use. An event that carries an older
/// generation changes nothing (incidents P8: a late close must not touch the newer link).
public struct LinkID: Hashable, Sendable, BitwiseCopyable {
    /// 0 ..< `MeshSettings.linkCapacity`; the driver may index its own tables by it.
    public let slot: UInt32
    /// Counts the uses of the slot.
    public let generation: UInt32

    /// For drivers and tests: the library makes these itself.
    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

/// One remote node of the book: a row and the generation of its use.
public struct PeerID: Hashable, Sendable, BitwiseCopyable {
    /// 0 ..< `MeshSettings.bookCapacity`.
    public let row: UInt32
    /// Counts the uses of the row.
    public let generation: UInt32

    /// For drivers and tests: the library makes these itself.
    public init(row: UInt32, generation: UInt32) {
        self.row = row
        self.generation = generation
    }
}

/// Who opened a link.
public enum Direction: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// The peer did.
    case inbound
    /// We did.
    case outbound
}

/// What a node is, by the registry.
public enum Role: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// A node like any other.
    case regular
    /// A registered one: dialled for ever, with slots of its own.
    case masternode
}

/// What the acceptor decided, told to the dialler in the acceptor's own hello.
public enum Verdict: Hashable, Sendable, BitwiseCopyable {
    /// The link is established.
    case accepted
    /// The link we have already answered its probe: yours is one too many.
    case duplicate
    /// No slot for a peer like you.
    case full
    /// Your address is banned for this long from now; `.max` when without end.
    case banned(for: Nanoseconds)
}

/// What a peer's hello says, decoded. Nothing in it is believed further than the rules of identity go.
public struct Hello: Hashable, Sendable, BitwiseCopyable {
    // In the order that leaves the fewest gaps: 56 bytes, and each event has room for one.

    /// The sender's nonce: of its process if native, else of this connection (good for self-detection only).
    public var nonce: UInt64?
    /// The sender speaks our dialect's extension: it knows verdicts, and its nonce names its process.
    public var isNative: Bool
    /// The protocol version that the sender stated; 0 if none.
    public var version: UInt32
    /// Capability bits as sent; unknown ones are kept.
    public var capabilities: UInt64
    /// In an acceptor's hello of our dialect: what it decided.
    public var verdict: Verdict?
    /// Where the sender says that it can be dialled, if it says so.
    public var endpoint: Endpoint?

    /// What a hello says; what it does not say is left out.
    public init(
        isNative: Bool, endpoint: Endpoint? = nil, nonce: UInt64? = nil, capabilities: UInt64 = 0,
        verdict: Verdict? = nil, version: UInt32 = 0
    ) {
        self.isNative = isNative
        self.endpoint = endpoint
        self.nonce = nonce
        self.capabilities = capabilities
        self.verdict = verdict
        self.version = version
    }
}
