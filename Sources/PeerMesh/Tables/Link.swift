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

struct Link: BitwiseCopyable {
    // What a ping, a pong and a byte touch stands together: two cache lines of four.
    var generation: UInt32 = 0
    var state: LinkState = .closed
    var direction: Direction = .inbound
    var identity: LinkIdentity = .pending
    /// Its sender speaks our dialect's extension.
    var isNative = false
    /// The peer's row, or -1.
    var row: Int32 = -1
    /// The other link of a probe: the incumbent's newcomer, the newcomer's incumbent; or -1.
    var rival: Int32 = -1
    var lastByte: Instant = .zero
    /// When the incomplete frame began, `.never` if there is none; and how much of it is here.
    var frameStarted: Instant = .never
    /// Until when the link must show life for a newcomer's sake; `.never` if nobody asks.
    var probeUntil: Instant = .never
    var framePartial: UInt32 = 0
    /// Whether we have asked this link for peers, and when we last answered such a question.
    var hasAsked = false
    var keepalive = Keepalive()

    var answeredAt: Instant?
    /// When the present state began.
    var since: Instant = .zero
    var establishedAt: Instant = .zero
    var remote: Endpoint
    /// Where the sender says that it listens.
    var stated: Endpoint?
    /// The sender's process, if it told.
    var nonce: UInt64?
    /// Why it is being drained.
    var reason: CloseReason = .remoteClosed
    var intakeTokens: UInt32 = 0
    var intakeAt: Instant = .zero

    init(remote: Endpoint) {
        self.remote = remote
    }

    var isLive: Bool { state == .established || state == .held }
}

/// The ping of one link: at most one is outstanding. Life is any byte, so a touch costs one store and no timer.
struct Keepalive: BitwiseCopyable {
    var nonce: UInt64 = 0
    var isOutstanding = false
    /// When the next ping is due, if none is outstanding.
    var nextPing: Instant = .never
    /// When the outstanding ping was queued, and when the kernel had taken its last byte.
    var queuedAt: Instant = .zero
    var takenAt: Instant?
    /// From when the present pong timeout counts.
    var countsFrom: Instant = .zero
    var misses: UInt32 = 0
    /// What the peer has taken of our queue in the present pong timeout.
    var drained: UInt32 = 0
    /// Until when such progress excuses silence; `.never` if it has not begun to.
    var graceUntil: Instant = .never
    /// The last round trip; zero if none was measured.
    var roundTrip: Nanoseconds = .zero
}
