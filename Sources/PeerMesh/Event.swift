// What happens to a mesh: every input of the core is one of these. Events carry no application bytes; the driver cuts
// frames and decodes hello, ping, pong, ask and peers.

public import Timers

/// An input of `Mesh.handle(_:at:)`. Those that name a link are ignored when its generation is over.
public enum Event: Hashable, Sendable, BitwiseCopyable {
    // What a socket did.

    /// A listener accepted a socket from `from`. Answered at once by `.adopt` or `.refuse` with the same ticket.
    case accepted(ticket: UInt32, from: Endpoint)
    /// A dialled link's TCP connection stands.
    case connected(LinkID)
    /// A dial failed before its connection stood: `.refused` or `.io`.
    case dialFailed(LinkID, CloseReason)
    /// Bytes came: `frames` complete ones, and `partial` bytes of one that is not complete yet.
    case received(LinkID, frames: UInt32, partial: UInt32)
    /// The kernel took `bytes` of our queue; `controlEmpty` if no ping or pong waits any more.
    case sent(LinkID, bytes: UInt32, controlEmpty: Bool)
    /// The driver stops reading the link for a reason of its own (false), or reads it again (true): until then the peer's
    /// silence is not its own.
    case reading(LinkID, Bool)
    /// The peer did something forbidden that does not end the link, at this price in points; see `MeshSettings.banScore`.
    case offended(LinkID, points: UInt32)
    /// The transport ended or failed, or the dialect refused what it read. The driver closes nothing by itself: it
    /// waits for `.close`.
    case ended(LinkID, CloseReason)

    // What a peer said.

    /// The peer's hello is complete (in a dialect with several hello messages: the last of them).
    case hello(LinkID, Hello)
    /// The peer asks whether we live; answered with `nonce` at once.
    case ping(LinkID, nonce: UInt64)
    /// The peer's answer to the ping with this nonce.
    case pong(LinkID, nonce: UInt64)
    /// The peer asks for peers.
    case asked(LinkID)
    /// The peer names another; one event an entry, at most 1,000 a message.
    case learnt(LinkID, Endpoint)

    // What the operator and the registry want.

    /// The registry names this masternode.
    case registered(Endpoint)
    /// The registry names it no longer.
    case unregistered(Endpoint)
    /// The operator wants a link to this peer for ever.
    case connect(Endpoint)
    /// The operator wants it no longer, and its links closed. A registered masternode is dialled again all the same.
    case disconnect(Endpoint)
    /// The name behind a peer that the operator or the registry wants now means another address: its row moves, failures and all.
    case moved(from: Endpoint, to: Endpoint)
    /// Dial now: clears the failures and the wait.
    case redial(Endpoint)
    /// Ban an address or a range; `until` may be `.never`. Closes what it covers.
    case ban(Subnet, until: Instant, by: BanSource)
    /// Takes back the ban of exactly this range.
    case unban(Subnet)
    /// Trust an address or a range: automatic bans do not hold there.
    case trust(Subnet)
    /// Takes back the trust in exactly this range.
    case untrust(Subnet)
    /// A peer that this node knew in an earlier life. Before `start`, those that were linked then are dialled first.
    /// `from` is who told of it, if that is remembered: its new row is counted for that source again.
    case recalled(Endpoint, Recollection, from: IPAddress? = nil)
    /// Our own advertised endpoint became known or changed.
    case ownEndpoint(Endpoint?)
    /// Begin: phase 1 and 2.
    case start
    /// Drain every link, dial nobody any more.
    case shutdown
}

/// What was kept of a peer.
public enum Recollection: Hashable, Sendable, BitwiseCopyable {
    /// It was told of, and no link to it ever stood.
    case known
    /// A link to it stood once.
    case tried
    /// A link to it stood at the end.
    case linked
    /// It failed too often, and is not to be learnt again yet.
    case forgotten(until: Instant)
}

/// A range of addresses: one address and how many of its leading bits count.
public struct Subnet: Hashable, Sendable, BitwiseCopyable {
    /// An address of the range; only its first `prefix` bits count.
    public let address: IPAddress
    /// 0 ... 32 for IPv4, 0 ... 128 for IPv6.
    public let prefix: UInt8

    /// The range of all addresses that share the first `prefix` bits; a longer prefix than the family has is its longest.
    public init(_ address: IPAddress, prefix: UInt8) {
        self.address = address
        self.prefix = min(prefix, address.family == .v4 ? 32 : 128)
    }

    /// The range of that one address.
    public init(_ address: IPAddress) {
        self.init(address, prefix: address.family == .v4 ? 32 : 128)
    }

    /// Whether `other` lies in the range; false across families.
    public func contains(_ other: IPAddress) -> Bool {
        address.shares(prefix: Int(prefix), with: other)
    }
}

/// Who set a ban. An operator's ban stands above trust, trust above an automatic one.
public enum BanSource: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// The node itself, for provable abuse.
    case automatic
    /// The operator.
    case `operator`
}
