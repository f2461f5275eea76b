// One TCP connection as the core knows it: plain values in a slab. Keepalive and probe belong to the link (incidents P16).

import Timers

/// How far the sender of a link is known.
public enum LinkIdentity: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// An accepted socket that has not said hello: nobody's.
    case pending
    /// We dialled that endpoint.
    case dialled
    /// Its nonce was shown by a link that we dialled to that peer.
    case proven
    /// It states an endpoint at the address that its packets come from.
    case claimed
    /// A foreign link from the address of exactly one registered masternode.
    case weak
    /// Nobody's, after its hello: never dialled.
    case anonymous
}

/// 128 bytes, two cache lines. What a byte, a ping and a pong touch stands in the first. Facts that exclude each other share
/// their place, and what few links have at a time is a `LinkExtra`.
struct Link: BitwiseCopyable {
    var generation: UInt32 = 0
    var bonds = LinkBonds()
    var state: LinkState = .closed
    var direction: Direction = .inbound
    var identity: LinkIdentity = .pending
    private var traits: LinkTraits = []
    var lastByte: Instant = .zero
    var keepalive = Keepalive()

    /// The last round trip; zero if none was measured.
    var roundTrip: Nanoseconds = .zero
    /// When the present state began.
    var since: Instant = .zero
    private var processNonce: UInt64 = 0
    private var answered: Instant = .never
    /// When its bucket of peers' entries is full again: what it told us beyond that is as far in the future.
    var intakeFullAt: Instant = .zero
    let remote: Endpoint
    /// Where the sender says that it listens, at the address of `remote`; 0 if it says nothing or something else.
    var statedPort: UInt16 = 0
    private var drainCode: UInt8 = 0
    /// The driver does not read it, for a reason of its own: its silence is not judged.
    var isUnread = false

    init(remote: Endpoint) {
        self.remote = remote
    }

    /// The peer's row, or -1.
    var row: Int32 { bonds.row }

    /// The other link of a probe, or -1.
    var rival: Int32 { bonds.rival }

    var isLive: Bool { state == .established || state == .held }

    /// When it was established; `.zero` unless it is.
    var establishedAt: Instant { state == .established ? since : .zero }

    /// The sender's process, if it told.
    var nonce: UInt64? {
        get { traits.contains(.hasNonce) ? processNonce : nil }
        set {
            self[.hasNonce] = newValue != nil
            processNonce = newValue ?? 0
        }
    }

    /// When we last answered its question for peers.
    var answeredAt: Instant? {
        get { answered == .never ? nil : answered }
        set { answered = newValue ?? .never }
    }

    /// Why it is being drained. Reasons with an errno close at once.
    var reason: CloseReason {
        get { CloseReason(code: UInt64(drainCode), errno: 0) ?? .remoteClosed }
        set { drainCode = newValue.code }
    }

    subscript(trait: LinkTraits) -> Bool {
        get { traits.contains(trait) }
        set {
            if newValue { traits.insert(trait) } else { traits.remove(trait) }
        }
    }

    /// Whether no field of its `LinkExtra` is its own.
    var hasNoExtra: Bool { traits.isDisjoint(with: .extra) }

    /// Its sender speaks our dialect's extension.
    var isNative: Bool {
        get { self[.isNative] }
        set { self[.isNative] = newValue }
    }

    /// A ping is outstanding.
    var isPinged: Bool {
        get { self[.isPinged] }
        set { self[.isPinged] = newValue }
    }
}

struct LinkTraits: OptionSet, BitwiseCopyable {
    let rawValue: UInt8

    static let isNative = LinkTraits(rawValue: 1)
    /// We have asked this link for peers.
    static let hasAsked = LinkTraits(rawValue: 2)
    static let isPinged = LinkTraits(rawValue: 4)
    static let hasNonce = LinkTraits(rawValue: 8)
    // Those that say which fields of its `LinkExtra` are its own.

    /// A frame has begun and is not complete.
    static let hasFrame = LinkTraits(rawValue: 16)
    /// It must show life for a newcomer's sake.
    static let isProbed = LinkTraits(rawValue: 32)
    /// Progress of our queue excuses silence.
    static let hasGrace = LinkTraits(rawValue: 64)
    /// It states an endpoint at another address than its own.
    static let statesElsewhere = LinkTraits(rawValue: 128)
    static let extra: LinkTraits = [.hasFrame, .isProbed, .hasGrace, .statesElsewhere]
}

/// What few links have at a time, each field only while its trait says so. In a table whose memory is not touched before.
struct LinkExtra: BitwiseCopyable {
    /// When the incomplete frame began, and how much of it is here.
    var frameStarted: Instant = .never
    var framePartial: UInt32 = 0
    var stated = Endpoint(IPAddress(v4: 0), port: 0)
    /// Until when the link must show life.
    var probeUntil: Instant = .never
    /// Until when progress excuses silence.
    var graceUntil: Instant = .never
}

/// The ping of one link: at most one is outstanding. A byte costs a store or two and no timer.
struct Keepalive: BitwiseCopyable {
    var nonce: UInt64 = 0
    /// While no ping is outstanding: when the next one is due. Else: from when the present pong timeout counts.
    var due: Instant = .never
    /// When the outstanding ping was queued, and when the kernel had taken its last byte.
    var queuedAt: Instant = .zero
    private var taken: Instant = .never
    private var missWord: UInt16 = 0
    private var progress: UInt16 = 0
    /// What the peer has taken of our queue in the present pong timeout.
    var drained: UInt32 = 0

    /// Pings of this wait that were not answered in time, at most 32,767.
    var misses: UInt32 {
        get { UInt32(missWord & 0x7fff) }
        set { missWord = missWord & 0x8000 | UInt16(min(newValue, 0x7fff)) }
    }

    /// Bytes that are no pong have extended this wait: they do so once.
    var isExtended: Bool {
        get { missWord & 0x8000 != 0 }
        set { missWord = newValue ? missWord | 0x8000 : missWord & 0x7fff }
    }

    /// Bytes of started frames that came in the present pong timeout, in whole units, up to a mebibyte.
    var progressed: UInt32 { UInt32(progress) * Self.unit }

    /// The most that `progressed` tells.
    static let mostProgress = UInt32(UInt16.max) * unit
    private static let unit: UInt32 = 16

    mutating func noteProgress(_ bytes: UInt32) {
        progress = UInt16(min(UInt32(progress) + bytes / Self.unit, UInt32(UInt16.max)))
    }

    /// A pong timeout begins.
    mutating func restart(at now: Instant) {
        due = now
        drained = 0
        progress = 0
    }

    var takenAt: Instant? {
        get { taken == .never ? nil : taken }
        set { taken = newValue ?? .never }
    }
}
