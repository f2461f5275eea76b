// One remote node as the core knows it: desire, schedule, failures and at most three links. What operators read is
// computed from this, never stored beside it.

public import Timers

/// Who wants a peer.
public struct Desire: OptionSet, Hashable, Sendable, BitwiseCopyable {
    /// The bits.
    public let rawValue: UInt8

    /// From the bits.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The masternode registry names it.
    public static let registry = Desire(rawValue: 1)
    /// The operator named it.
    public static let `operator` = Desire(rawValue: 2)
    /// Learnt from other peers or from its own hello. Only such a peer ever leaves the book.
    public static let learnt = Desire(rawValue: 4)
}

/// What happens to a peer if nothing else does.
public enum Schedule: Hashable, Sendable, BitwiseCopyable {
    /// A live link or a dial exists, if and only if.
    case none
    /// The clock decides: not dialled before this instant, for this reason.
    case wait(until: Instant, WaitReason)
    /// May dial; queued, masternodes ahead.
    case ready
    /// Nothing, until what it is off for is over.
    case off(OffReason)
}

/// What a peer waits for by the clock.
public enum WaitReason: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// The wait after a failure.
    case backoff
    /// The other side is the one to dial first.
    case theirTurn
    /// The slow cadence of a peer that failed too often.
    case dormant
    /// It had no slot for us.
    case full
    /// It bans us.
    case bannedThere
    /// A link of weak identity stands; the peer itself is still to be dialled.
    case weakLink
    /// Regular peers at its address, or in its subnet, have as many links as they may.
    case crowded
    /// It was only told of, and others at its address or in its net were dialled shortly before.
    case spaced
}

/// Why nothing is scheduled for a peer.
public enum OffReason: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// The node has not started.
    case notStarted
    /// The node is stopping.
    case stopping
    /// Nobody wants it.
    case notWanted
    /// Known, but there is no slot for so many; discovery may choose it.
    case notChosen
    /// The registry names more masternodes than the table holds.
    case tooMany
    /// Its address is banned here.
    case banned
    /// Its endpoint turned out to be this very node.
    case ourselves
    /// Left the book; its tombstone keeps it from coming back too soon.
    case forgotten
}

/// 152 bytes. What a ping and a schedule's change touch stands in the first 64.
struct Peer: BitwiseCopyable {
    var generation: UInt32 = 0
    var failures: UInt32 = 0
    var bonds = PeerBonds()
    var isUsed = false
    var desire: Desire = []
    var role: Role = .regular
    /// Its hello lacked our extension: no passive wait, no duplicate is closed.
    var isForeign = false
    /// Since when a link has stood without a gap; `.never` while none does.
    var linkedSince: Instant = .never
    var schedule: Schedule = .off(.notStarted)
    /// It was demoted while linked: it keeps the slot that it had, until the link ends.
    var keepsSlot = false
    /// The registry names more than fit, and this one is beyond the table's end.
    var isBeyondTable = false
    /// Discovery chose this learnt peer to be dialled.
    var isChosen = false
    /// The kind of wait that `notBefore` ends.
    var waitReason: WaitReason = .backoff
    private var hasProof = false
    /// When a demoted masternode becomes regular; `.never` if it is not demoted.
    var demoteAt: Instant = .never
    /// The backoff's end; and, beside it, the end of the passive wait.
    var notBefore: Instant = .zero
    var turnAt: Instant = .zero

    /// Until when this endpoint is known to be ourselves.
    var selfUntil: Instant = .zero
    /// Until when it stays forgotten; `.zero` if it is not.
    var tombstoneUntil: Instant = .zero
    private var succeeded: Instant = .never
    private var verified: Instant = .never
    private var proof: UInt64 = 0
    /// Counter keys of the address block that told of it, and of that one's group.
    var source: UInt32 = 0
    var sourceGroup: UInt32 = 0
    let endpoint: Endpoint
    var lastReason: CloseReason?
    /// In which part of the book it is.
    var part: BookPart = .none
    /// A dial of ours was answered here with a valid hello.
    var isVerified = false
    /// The dial for which it was chosen is booked: it does not wait for its turn again.
    var isBooked = false
    /// It is counted among those that are known, and among those that are chosen and not linked. `recount` keeps both.
    var isCountedKnown = false
    var isCountedAwaited = false

    init(endpoint: Endpoint) {
        self.endpoint = endpoint
    }

    var established: Int32 { bonds.established }
    var held: Int32 { bonds.held }
    var dial: Int32 { bonds.dial }

    var hasLinks: Bool { established >= 0 || held >= 0 || dial >= 0 }

    var lastSuccess: Instant? {
        get { succeeded == .never ? nil : succeeded }
        set { succeeded = newValue ?? .never }
    }

    /// When a dial last verified who answers there.
    var lastVerify: Instant? {
        get { verified == .never ? nil : verified }
        set { verified = newValue ?? .never }
    }

    /// The process that a link dialled to this endpoint has shown.
    var provenNonce: UInt64? {
        get { hasProof ? proof : nil }
        set {
            hasProof = newValue != nil
            proof = newValue ?? 0
        }
    }
}
