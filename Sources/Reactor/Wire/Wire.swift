// What a dialect is to the node: how frames are cut, and which of them mean hello, ping, pong, ask-for-peers and peers.
// All else is the application's. One call a frame; total over any bytes; no allocation for anything but errors' texts.

public import PeerMesh

/// A peer-to-peer dialect. One instance serves every link of a node, on the loop's thread.
public protocol Wire: AnyObject {
    /// A short name for logs: `time`, `bitcoin`.
    var name: String { get }
    /// Peers of this dialect may show our extension (verdict, process nonce). False: all count as foreign.
    var isNative: Bool { get }
    /// The largest body that `encode` accepts, in bytes.
    var maximumBody: Int { get }
    /// The largest frame, header and all, that a peer may send before its link is established, in bytes: no more is buffered of it until
    /// then. 8,192 unless the dialect says otherwise.
    var maximumHello: Int { get }
    /// The port that an address without one means, in peers' answers.
    var defaultPort: UInt16 { get }

    /// Reads the first frame of `bytes`, which starts at a frame boundary and may be empty.
    ///
    /// `state` is the link's own; `peers` is emptied and receives the entries of a `.peers` frame; to `reply` is
    /// appended what the dialect itself must answer (bitcoin's verack), to be queued as it is. Calling it again with
    /// more bytes of an unfinished frame costs no more than reading the header.
    func decode(
        _ bytes: RawSpan, state: inout WireState, peers: PeerList, reply: FrameBuffer
    ) -> Decoded

    /// Appends our hello: a dialler's first words, or what an acceptor says when `decode` gave `.greet`.
    func encodeHello(into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity)
    /// Appends the acceptor's hello with its verdict; to a foreign peer, what its dialect expects instead.
    func encodeAnswer(
        _ verdict: Verdict, isNative: Bool, into frame: FrameBuffer, state: inout WireState,
        identity: OwnIdentity
    )
    /// `unixTime` is now, in seconds since 1970, here and below: for dialects whose frames carry a time.
    func encodePing(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState)
    /// Appends the answer to the peer's ping with this nonce.
    func encodePong(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState)
    /// Appends the question for peers.
    func encodeAsk(into frame: FrameBuffer, state: inout WireState)
    /// Appends the answer to it: as many of `peers` as the dialect can state, in one message.
    func encodePeers(
        _ peers: PeerList, isNative: Bool, unixTime: Int64, into frame: FrameBuffer, state: inout WireState
    )
    /// Appends an application frame. The caller has checked `maximumBody`.
    func encode(_ body: RawSpan, type: MessageType, into frame: FrameBuffer)
    /// Appends the text that tells a human at the other end why it is refused, where the dialect has one. At most one
    /// text a link: `encodeAnswer` gives it too when it refuses a foreign peer.
    func encodeReject(_ text: StaticString, into frame: FrameBuffer, state: inout WireState)
}

extension Wire {
    /// Enough for a hello with a few hundred bytes of text.
    public var maximumHello: Int { 8_192 }
}

/// What the first bytes of a stream are.
public enum Decoded {
    /// No complete frame yet; at least `atLeast` bytes in all are needed to say more (a hint for buffers).
    case more(atLeast: Int)
    /// One frame of `length` bytes; its meaning.
    case frame(length: Int, Meaning)
    /// The stream is broken; the link is to be closed.
    case broken(WireError)
}

/// What a frame means to the node.
public enum Meaning {
    /// The peer's hello is complete.
    case hello(Hello)
    /// The peer has begun its hello and waits for ours: send `encodeHello` now (bitcoin's acceptor; never a dialler).
    case greet
    /// The peer asks whether we live; the node answers with the same nonce.
    case ping(nonce: UInt64)
    /// The peer's answer to our ping.
    case pong(nonce: UInt64)
    /// The peer asks for peers.
    case ask
    /// The entries are in the `PeerList`.
    case peers
    /// Part of the dialect's own conversation; nobody else's business.
    case housekeeping
    /// Dropped for an offence that does not end the link (bitcoin's wrong checksum), at this price in points: see
    /// `MeshSettings.banScore`.
    case spoilt(points: UInt32)
    /// The application's: its body is `bytes[body]` of the decoded frame.
    case application(MessageType, body: Range<Int>)
}

/// What was wrong with bytes from a peer: a reason, where, and the limit or value that explains it.
public struct WireError: Error, Hashable, Sendable {
    /// What the link ends of.
    public var reason: CloseReason
    /// What was being read, in the dialect's own words.
    public var context: StaticText
    /// Where in the frame, in bytes from its first.
    public var offset: Int
    /// The offending value; 0 if there is none.
    public var value: UInt64
    /// The limit that it broke, or what should have been there; 0 if there is none.
    public var limit: UInt64

    /// An error of `reason` while `context` was read.
    public init(_ reason: CloseReason, _ context: StaticString, offset: Int = 0, value: UInt64 = 0, limit: UInt64 = 0) {
        self.reason = reason
        self.context = StaticText(context)
        self.offset = offset
        self.value = value
        self.limit = limit
    }
}

/// A `StaticString` that can be compared and kept in a record.
public struct StaticText: Hashable, Sendable, CustomStringConvertible {
    /// The text itself.
    public let text: StaticString

    /// A comparable `text`.
    public init(_ text: StaticString) { self.text = text }

    public var description: String { text.description }

    /// Whether the texts are the same, byte for byte.
    public static func == (a: StaticText, b: StaticText) -> Bool { a.description == b.description }

    public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// What a dialect remembers of one link. Plain values, so that a link can be moved and written out.
public struct WireState: Hashable, Sendable, BitwiseCopyable {
    /// Who opened the link; hellos differ by it.
    public var direction: Direction
    /// The dialect's own flags.
    public var flags: UInt32
    /// The version that the peer stated; 0 before.
    public var peerVersion: UInt32
    /// What the hello said, for dialects that complete it with a later message. Once it is complete, a node keeps its
    /// `isNative` alone.
    public var hello: Hello

    /// The state of a link on which nothing was said yet.
    public init(direction: Direction) {
        self.direction = direction
        flags = 0
        peerVersion = 0
        hello = Hello(isNative: false)
    }
}

/// What our own hello says.
public struct OwnIdentity: Hashable, Sendable, BitwiseCopyable {
    /// Where we can be dialled, if we know.
    public var endpoint: Endpoint?
    /// Drawn once a process from the system's entropy.
    public var nonce: UInt64
    /// What we run as.
    public var role: Role
    /// Seconds since 1970, for dialects that state a time.
    public var unixTime: Int64
    /// The other end's address, for dialects that state it back.
    public var remote: Endpoint

    /// What we are to one peer.
    public init(endpoint: Endpoint?, nonce: UInt64, role: Role, unixTime: Int64, remote: Endpoint) {
        self.endpoint = endpoint
        self.nonce = nonce
        self.role = role
        self.unixTime = unixTime
        self.remote = remote
    }
}
