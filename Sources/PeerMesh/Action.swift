// What a mesh wants done: every output of the core is one of these, performed by the driver in order.

/// An output of `Mesh`, taken with `nextAction()`.
public enum Action: Hashable, Sendable, BitwiseCopyable {
    /// The accepted socket with this ticket is link `link` now.
    case adopt(ticket: UInt32, LinkID)
    /// Close the accepted socket with this ticket; it never was a link.
    case refuse(ticket: UInt32, CloseReason)
    /// Open a TCP connection. Answer with `.connected` or `.dialFailed`.
    case dial(LinkID, Endpoint)
    /// Send the dialler's hello.
    case greet(LinkID)
    /// Send the acceptor's hello with this verdict. `isNative` is false for a peer of a foreign dialect.
    case answer(LinkID, Verdict, isNative: Bool)
    /// Send a ping, before anything else that is queued, at the next frame boundary.
    case ping(LinkID, nonce: UInt64)
    /// Send the pong to this nonce, likewise.
    case pong(LinkID, nonce: UInt64)
    /// Ask the peer for peers.
    case ask(LinkID)
    /// Answer the peer's question: take the entries with `Mesh.sharePeers(with:_:)` and send them.
    case share(LinkID)
    /// The link is established: the application may use it.
    case up(LinkID, LinkInfo)
    /// The link is established no longer: the application must not use it.
    case down(LinkID, LinkInfo, CloseReason)
    /// Flush what is queued, shut the sending side, read and drop until the end; then report `.ended`.
    case drain(LinkID, CloseReason)
    /// Close the descriptor now. The link's id is over.
    case close(LinkID, CloseReason)
    /// Say that this peer, wanted by the registry or the operator, found no place in the book, which is full of others that are wanted
    /// or linked. The wish is not kept: tell it again when there is room.
    case bookFull(Endpoint, Desire)
    /// Say that this ban or trust is not in force: the table of bans is full. Either it found no place, or it was an automatic ban and gave its
    /// place to a record of the operator's.
    case banFull(BanRecord)
}

/// Who is at the other end of a link.
public struct LinkInfo: Hashable, Sendable, BitwiseCopyable {
    /// The peer that the link belongs to; nil if its sender could not be told.
    public var peer: Endpoint?
    /// The address and port that the packets come from.
    public var remote: Endpoint
    /// Who opened it.
    public var direction: Direction
    /// What the peer is, by our registry.
    public var role: Role
    /// The peer speaks our dialect's extension.
    public var isNative: Bool

    /// What is known of one link's other end.
    public init(peer: Endpoint?, remote: Endpoint, direction: Direction, role: Role, isNative: Bool) {
        self.peer = peer
        self.remote = remote
        self.direction = direction
        self.role = role
        self.isNative = isNative
    }
}
