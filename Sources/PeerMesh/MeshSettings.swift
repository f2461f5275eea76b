// Every number of the policies, with its unit and default, in one value. The daemon prints it; the model checker shrinks it.

public import Timers

/// The configuration of a `Mesh`. All spans are at least one millisecond in effect: the wheel's tick.
public struct MeshSettings: Hashable, Sendable, BitwiseCopyable {
    // Keepalive. First, as every ping looks at it.

    /// Time between two pings of a link, shortened by the jitter, and by a 64th at most, so that those of many links go together.
    public var pingInterval: Nanoseconds = .seconds(30)
    /// A ping without its pong for this long is a miss, unless something excuses it.
    public var pongTimeout: Nanoseconds = .seconds(10)
    /// Misses in a row at which a regular peer's link is closed.
    public var regularMisses: UInt32 = 3
    /// The same for a masternode's.
    public var masternodeMisses: UInt32 = 6
    /// While the peer takes at least this many bytes in one `pongTimeout`, no miss counts…
    public var progressBytes: UInt32 = 4_096
    /// …for this long at most.
    public var progressGrace: Nanoseconds = .seconds(300)
    /// Intervals and waits are spread by this many percent, waits both ways: 0 ... 50.
    public var jitterPercent: UInt32 = 20

    // Who we are.

    /// Our own role; the direction rule applies only between masternodes.
    public var role: Role = .regular
    /// The node's nonce, 64 bits of the system's entropy, drawn once a process by the driver.
    public var nonce: UInt64
    /// Seeds the core's own generator (jitter, selection).
    public var seed: UInt64
    /// The dialect has verdicts and process nonces; false for dialects where all peers count as foreign.
    public var isNativeDialect = true

    // Slots.

    /// Peers with an established link, at most.
    public var maxPeers: UInt32 = 100
    /// Slots that regular peers never take. Nil: 40 % of `maxPeers`, at least 20, at most 30.
    public var reservedSlots: UInt32?
    /// Of the others, kept for learnt peers that this node dials: nobody who calls in takes them. Nil: a quarter of the regular slots.
    public var outboundSlots: UInt32?
    /// Established links of regular peers from one address (IPv6: one /64), at most. The operator's peers are not counted.
    public var regularPerAddress: UInt32 = 8
    /// Of them, from one /24 (IPv4) or /48 (IPv6) at most. Nil: half of the regular slots, at least 8, at most 64.
    public var regularPerSubnet: UInt32?
    /// Sockets that have not said hello yet, at most.
    public var pendingLimit: UInt32 = 64
    /// Of them, from one address at most.
    public var pendingPerAddress: UInt32 = 4
    /// Of them, from one /24 (IPv4) or /48 (IPv6) at most.
    public var pendingPerSubnet: UInt32 = 16
    /// Links that are being drained, at most; the oldest is cut.
    public var drainingLimit: UInt32 = 64
    /// Rows of the peer table, at most.
    public var bookCapacity: UInt32 = 4_096
    /// Bans and trust records, at most.
    public var banCapacity: UInt32 = 1_024

    // Dials.

    /// Dials in flight, at most.
    public var dialLimit: UInt32 = 64
    /// Dials a second on average, at least 1.
    public var dialRate: UInt32 = 64
    /// Dials that may start at once, at least 1.
    public var dialBurst: UInt32 = 16
    /// A TCP connection that does not stand by then is given up.
    public var dialTimeout: Nanoseconds = .seconds(10)
    /// For securing and greeting together; at least twice `probeTimeout`.
    public var greetingTimeout: Nanoseconds = .seconds(15)
    /// An established link that is probed because of a newcomer shows life in this time, or yields.
    public var probeTimeout: Nanoseconds = .seconds(5)
    /// A link that is being closed in order is cut by then.
    public var drainTimeout: Nanoseconds = .seconds(5)
    /// A started frame may take this long; longer while it keeps up `frameMinimumRate`.
    public var frameTimeout: Nanoseconds = .seconds(60)
    /// Bytes a second, on average since the frame began.
    public var frameMinimumRate: UInt32 = 1_024
    /// A started frame ends within this, however fast it comes; `frameTimeout` if that is longer.
    public var frameLimit: Nanoseconds = .seconds(600)

    // Schedule.

    /// The first wait after a failure, and what each further one adds.
    public var backoffInitial: Nanoseconds = .seconds(5)
    /// The longest wait, and the slow cadence.
    public var backoffMax: Nanoseconds = .seconds(300)
    /// A continuous link of this length clears the failures.
    public var stableAfter: Nanoseconds = .seconds(60)
    /// After the end of a link, the higher side of two masternodes does not dial before this.
    public var passiveWait: Nanoseconds = .seconds(30)
    /// The same after its own start, or when it begins to want the other one: two seconds, or `passiveWait` if that is shorter.
    public var firstPassiveWait: Nanoseconds { min(passiveWait, .seconds(2)) }
    /// Failures after which a masternode is dormant.
    public var masternodeFailures: UInt32 = 20
    /// Failures after which an operator's peer is dormant, and a learnt one leaves the book.
    public var regularFailures: UInt32 = 10
    /// Our own network shows life for this long after the last sign of it.
    public var lifeWindow: Nanoseconds = .seconds(120)
    /// A peer that was forgotten is not learnt again for this long.
    public var tombstoneTime: Nanoseconds = .seconds(3_600)
    /// Learnt peers are not forgotten when so few are known.
    public var bookFloor: UInt32 = 20
    /// A role outlives its registration by this.
    public var demotionDelay: Nanoseconds = .seconds(600)
    /// An endpoint that turned out to be ourselves is not dialled for this long.
    public var selfMemory: Nanoseconds = .seconds(3_600)
    /// One verifying dial a peer in this time.
    public var verifyInterval: Nanoseconds = .seconds(60)

    // Abuse.

    /// Points of provable abuse at which an address is banned.
    public var banScore: UInt32 = 100
    /// How long an automatic ban lasts.
    public var banTime: Nanoseconds = .seconds(3_600)

    // Discovery.

    /// Time between two rounds that redial what is missing and fill free slots.
    public var discoveryInterval: Nanoseconds = .seconds(120)
    /// One peer that was only told of, or that only claims its endpoint, is tried in this time, beside the dials into free slots.
    public var feelerInterval: Nanoseconds = .seconds(30)
    /// Dials at one address (IPv6: a /64) that was only told of: four at once, then one in this time. At one /24 or /48 eight at once, then
    /// eight in this time; at all of them 16 at once, then 60.
    public var targetPeriod: Nanoseconds = .seconds(60)
    /// Entries of one answer, at most.
    public var shareLimit: UInt32 = 1_000
    /// Entries taken from one link at once.
    public var intakeBurst: UInt32 = 1_000
    /// Time after which one more entry is taken from a link that has used up its burst.
    public var intakePeriod: Nanoseconds = .seconds(10)

    #if MESH_CANARIES
        /// The wrong version of a policy that this mesh runs with.
        public var canary: Canary?
    #endif

    /// The defaults. `nonce` must be 64 bits of the system's entropy; `seed` too, but in tests.
    public init(nonce: UInt64, seed: UInt64) {
        self.nonce = nonce
        self.seed = seed
    }

    /// Slots kept for masternodes: `clamp(maxPeers × 40 / 100, 20, 30)`, or as set, never more than the table.
    public var effectiveReserve: UInt32 {
        min(maxPeers, reservedSlots ?? min(max(maxPeers * 40 / 100, 20), 30))
    }

    /// Slots that regular peers may take.
    public var regularSlots: UInt32 { maxPeers - effectiveReserve }

    /// Fewer regular slots than these are not fought over: they are filled, and nobody is evicted for a stranger.
    static let contestedSlots: UInt32 = 16

    /// Regular slots that nobody who calls in takes.
    public var effectiveOutboundSlots: UInt32 { min(regularSlots, outboundSlots ?? regularSlots / 4) }

    /// Regular slots that discovery fills; the others are for those who call in, so that newcomers find room.
    public var filledSlots: UInt32 { regularSlots < Self.contestedSlots ? regularSlots : regularSlots - regularSlots / 4 }

    /// Established links of regular peers from one subnet, at most.
    public var effectivePerSubnet: UInt32 { regularPerSubnet ?? min(max(regularSlots / 2, 8), 64) }

    /// Links that may exist at once, in every state: what the driver sizes its tables and descriptors by.
    public var linkCapacity: UInt32 { maxPeers + dialLimit + pendingLimit + drainingLimit }
}
