// The diary of the table: one plain record for each transition of a link or of a peer's schedule. The driver passes
// them on in a ring; whoever formats them does so on another thread.

public import Timers

/// The states of a link's life.
public enum LinkState: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
    /// The slot is free.
    case closed
    /// A dial is in flight.
    case connecting
    /// The transport is being secured.
    case securing
    /// Waiting for the peer's hello, or for its verdict.
    case greeting
    /// A newcomer waits while the incumbent is probed.
    case held
    case established
    /// Our side is shut; reading until the end.
    case draining
}

/// How a peer stands, as operators read it: computed from its links and its schedule, never stored.
public enum PeerView: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
    case idle
    case awaitingInbound
    case dialing
    case greeting
    case established
    case backoff
    case dormant
    case banned

    public var name: String {
        switch self {
        case .idle: "idle"
        case .awaitingInbound: "awaiting-inbound"
        case .dialing: "dialing"
        case .greeting: "greeting"
        case .established: "established"
        case .backoff: "backoff"
        case .dormant: "dormant"
        case .banned: "banned"
        }
    }
}

/// One transition, of a link (`link` set, `from` and `to` link states) or of a peer's schedule (`link` nil, views).
public struct Transition: Hashable, Sendable, BitwiseCopyable {
    public enum Subject: Hashable, Sendable, BitwiseCopyable {
        case link(LinkID, from: LinkState, to: LinkState, direction: Direction)
        case peer(from: PeerView, to: PeerView)
    }

    public var at: Instant
    public var subject: Subject
    /// The peer, or, for a link that is nobody's, the address that its packets come from.
    public var endpoint: Endpoint
    /// Whether `endpoint` is a peer's.
    public var isPeer: Bool
    public var role: Role
    /// Why, where something ended or waits because of it.
    public var reason: CloseReason?
    /// Consecutive failures that the schedule counts.
    public var failures: UInt32
    /// When the peer's next step is due; `.never` if none is.
    public var next: Instant

    public init(
        at: Instant, subject: Subject, endpoint: Endpoint, isPeer: Bool, role: Role, reason: CloseReason?,
        failures: UInt32, next: Instant
    ) {
        self.at = at
        self.subject = subject
        self.endpoint = endpoint
        self.isPeer = isPeer
        self.role = role
        self.reason = reason
        self.failures = failures
        self.next = next
    }
}
