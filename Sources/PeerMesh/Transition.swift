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
    /// The application may use it.
    case established
    /// Our side is shut; reading until the end.
    case draining
}

/// How a peer stands, as operators read it: computed from its links and its schedule, never stored.
public enum PeerView: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
    /// Nothing is scheduled, and no link is there.
    case idle
    /// It is the other side's turn to dial.
    case awaitingInbound
    /// A dial is in flight.
    case dialing
    /// Connected; hellos are being exchanged.
    case greeting
    /// A link to it stands.
    case established
    /// Waits after failures.
    case backoff
    /// Failed so often that only the slow cadence dials it.
    case dormant
    /// Its address is banned.
    case banned

    /// The stable name that logs and the control API use.
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
    /// Of what, from where to where.
    public enum Subject: Hashable, Sendable, BitwiseCopyable {
        /// A link's state.
        case link(LinkID, from: LinkState, to: LinkState, direction: Direction)
        /// A peer's standing.
        case peer(from: PeerView, to: PeerView)
    }

    /// When.
    public var at: Instant
    /// Of what, from where to where.
    public var subject: Subject
    /// The peer, or, for a link that is nobody's, the address that its packets come from.
    public var endpoint: Endpoint
    /// Whether `endpoint` is a peer's.
    public var isPeer: Bool
    /// The peer's role, or `regular` for a link that is nobody's.
    public var role: Role
    /// Why, where something ended or waits because of it.
    public var reason: CloseReason?
    /// Consecutive failures that the schedule counts.
    public var failures: UInt32
    /// When the peer's next step is due; `.never` if none is.
    public var next: Instant

    /// A record of one transition.
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
