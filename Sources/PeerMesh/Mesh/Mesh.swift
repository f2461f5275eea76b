// The sans-I/O core: one table of peers, one of links, and every rule between them. Events go in, actions come out.
// No I/O, no clock, no hidden randomness, and after `init` no allocation: the daemon, the simulator and the model checker
// drive this same value.

public import Timers

/// The state of one node's connections, as a plain value that is moved, never shared.
///
/// After every `handle` or `advance`, take the actions out with `nextAction()` until it is nil, and perform them in order.
/// Not thread-safe: it belongs to whoever holds it.
public struct Mesh: ~Copyable {
    // In the order in which they are touched: a byte, a ping, a pong and their timers stay within the first lines.
    var wheel: TimerWheel
    var links: Slab<Link>
    var extras: SparseSlab<LinkExtra>
    var actions: FixedQueue<Action>
    var transitions: FixedQueue<Transition>
    var random: Random
    var isStarted = false
    var isStopping = false
    /// The last sign that our own network works: a byte, a connection, or a refusal, from anybody.
    var lastLife: Instant?
    /// What the last pong measured, until it is taken. Of no consequence to any rule, and so no part of the state that is
    /// compared.
    var roundTrip: Nanoseconds?
    var peerLists: IndexLists
    /// The policies in force.
    public internal(set) var settings: MeshSettings
    var linkLists: IndexLists
    var peers: Slab<Peer>

    /// Rows by endpoint.
    var endpoints: HashIndex
    /// Links by the process nonce that they showed; rows (offset by the link capacity) by the one that is proven.
    var nonces: HashIndex
    var bans: BanTable
    var scores: ScoreTable
    /// What the registry names, in order and by address.
    var registered: RegisteredRows
    /// Rows that the operator names, by address block.
    var named: AddressChains
    /// Established links of strangers, by subnet: what the bounds are counted by.
    var neighbours: AddressChains
    /// The book's two parts, and what each source and place has of them.
    var parts: BookParts
    /// When those that were only told of may be dialled.
    var paces: DialPaces
    /// The dial that ends with its hello, or -1.
    var feeler = -1
    /// Rows that somebody wants or told of: all but free ones and tombstones.
    var knownCount = 0
    /// Chosen peers without an established link.
    var awaitedCount = 0
    /// Keys the book's counters. Derived from the seed, which is secret.
    let bookSecret: UInt64
    /// Those among whom a link is chosen that makes room. No part of the state.
    var candidates: EvictionCandidates
    /// Transitions that found the queue full: the driver did not take them.
    public internal(set) var lostTransitions: UInt64 = 0

    /// Rows beyond this were never used: what walks the book stops here.
    var rowLimit = 0

    /// Where we can be dialled, if we know.
    public internal(set) var ownEndpoint: Endpoint?
    /// When the next dial fits the rate, by the generic cell rate algorithm (ITU-T I.371).
    var dialSlotAt: Instant = .zero
    /// How often the table contradicted itself where it says that it never does: a fault of this code. Stays 0.
    public internal(set) var contradictions: UInt64 = 0
    /// A masternode was linked at some time: from then on dials are kept free for those that were.
    var hasLinkedMasternode = false
    /// How often phase 3 found a wanted masternode without a step. Stays 0.
    public internal(set) var rescues: UInt64 = 0

    /// The lists that links are on.
    enum LinkList {
        static let free = 0
        static let pending = 1
        /// Dials to learnt peers.
        static let dialRegular = 2
        static let dialMasternode = 3
        /// Established with regular peers that the operator does not name: those that called, and those that were dialled.
        static let inbound = 4
        static let outbound = 5
        /// Established with regular peers that the operator names.
        static let named = 6
        static let masternode = 7
        static let draining = 8
        /// Dials to regular peers that the operator names: those that are likely to answer, and those that failed.
        static let dialNamed = 9
        static let dialNamedSlow = 10
        /// A dial that takes no slot: its hello shows whether the peer is there.
        static let feeler = 11
        static let count = 12
    }

    /// The lists that rows are on.
    enum PeerList {
        static let readyMasternode = 0
        static let readyRegular = 1
        static let idle = 2
        static let free = 3
        /// Masternodes that were linked and are not dormant: dialled ahead of those that do not answer.
        static let readyUrgent = 4
        /// Regular peers that the operator names: those that are likely to answer, and those that failed.
        static let readyNamed = 5
        static let readyNamedSlow = 6
        static let count = 7
    }

    /// A mesh with empty tables. All memory that it will ever use is taken here.
    public init(_ settings: MeshSettings, now: Instant) {
        precondition(settings.greetingTimeout >= settings.probeTimeout * 2, "greeting must outlast two probes")
        precondition(settings.maxPeers > 0 && settings.bookCapacity > 0 && settings.dialLimit > 0)
        precondition(settings.drainingLimit > 0, "a link that ends gracefully needs a place to drain")
        precondition(settings.dialRate > 0 && settings.dialBurst > 0 && settings.jitterPercent <= 50)
        self.settings = settings
        let linkCount = Int(settings.linkCapacity)
        let peerCount = Int(settings.bookCapacity)
        let nowhere = Endpoint(IPAddress(v4: 0), port: 0)
        links = Slab(count: linkCount, repeating: Link(remote: nowhere))
        extras = SparseSlab(count: linkCount)
        peers = Slab(count: peerCount, repeating: Peer(endpoint: nowhere))
        linkLists = IndexLists(lists: LinkList.count, capacity: linkCount)
        peerLists = IndexLists(lists: PeerList.count, capacity: peerCount)
        endpoints = HashIndex(capacity: peerCount)
        nonces = HashIndex(capacity: linkCount + peerCount)
        bans = BanTable(capacity: Int(settings.banCapacity))
        scores = ScoreTable(capacity: Int(min(256, max(1, settings.banCapacity))))
        registered = RegisteredRows(capacity: peerCount)
        named = AddressChains(capacity: peerCount)
        neighbours = AddressChains(capacity: linkCount)
        parts = BookParts(capacity: peerCount)
        bookSecret = Mesh.bookSecret(of: settings)
        candidates = EvictionCandidates(key: bookSecret)
        paces = DialPaces(capacity: peerCount)
        wheel = TimerWheel(capacity: linkCount + peerCount + GlobalTimer.count, now: now)
        random = Random(state: settings.seed)
        actions = FixedQueue(capacity: linkCount * 6 + peerCount + 16)
        transitions = FixedQueue(capacity: linkCount * 4 + peerCount + 16)
        for slot in 0..<linkCount { linkLists.move(slot, to: LinkList.free) }
    }

    /// Another sequence than that of the generator, from the same seed.
    static func bookSecret(of settings: MeshSettings) -> UInt64 { mix(~mix(settings.seed)) }

    // What a driver asks after every event is `mutating`, though it changes nothing: to borrow a value of this size for a call is to
    // copy it, which costs 124 instructions.

    /// Whether `nextAction` or `nextTransition` has something to give.
    public var hasOutput: Bool {
        mutating get { !actions.isEmpty || !transitions.isEmpty }
    }

    /// The next thing to do, in order, or nil.
    public mutating func nextAction() -> Action? {
        actions.popFirst()
    }

    /// The next record of the diary, or nil.
    public mutating func nextTransition() -> Transition? {
        transitions.popFirst()
    }

    /// When `advance` has something to do; nil if nothing waits. May be early, never late.
    public var nextDeadline: Instant? {
        mutating get { wheel.nextWake }
    }

    /// The round trip that a pong has measured since this was asked last: what a driver's histogram is fed from.
    public mutating func takeRoundTrip() -> Nanoseconds? {
        roundTrip.take()
    }

    /// Takes one event. O(1) but for rare ones: bans, registry changes over the limit, discovery.
    public mutating func handle(_ event: Event, at now: Instant) {
        switch event {
        case .accepted(let ticket, let remote): accept(ticket: ticket, from: remote, at: now)
        case .connected(let id): with(id) { mesh, slot in mesh.connected(slot, at: now) }
        case .dialFailed(let id, let reason): with(id) { mesh, slot in mesh.dialFailed(slot, reason, at: now) }
        case .received(let id, let frames, let partial):
            if let slot = live(id) { received(slot, frames: frames, partial: partial, at: now) }
        case .sent(let id, let bytes, let controlEmpty):
            if let slot = live(id) { sent(slot, bytes: bytes, controlEmpty: controlEmpty, at: now) }
        case .reading(let id, let isRead): with(id) { mesh, slot in mesh.reading(slot, isRead, at: now) }
        case .offended(let id, let points): with(id) { mesh, slot in mesh.offended(slot, points, at: now) }
        case .ended(let id, let reason): with(id) { mesh, slot in mesh.ended(slot, reason, at: now) }
        case .hello(let id, let hello): with(id) { mesh, slot in mesh.greeted(slot, hello, at: now) }
        case .ping(let id, let nonce): with(id) { mesh, slot in mesh.pinged(slot, nonce: nonce) }
        case .pong(let id, let nonce): with(id) { mesh, slot in mesh.ponged(slot, nonce: nonce, at: now) }
        case .asked(let id): with(id) { mesh, slot in mesh.asked(slot, at: now) }
        case .learnt(let id, let endpoint): with(id) { mesh, slot in mesh.learnt(endpoint, from: slot, at: now) }
        case .registered(let endpoint): register(endpoint, at: now)
        case .unregistered(let endpoint): unregister(endpoint, at: now)
        case .connect(let endpoint): operatorConnect(endpoint, at: now)
        case .disconnect(let endpoint): operatorDisconnect(endpoint, at: now)
        case .moved(let from, let to): operatorMoved(from: from, to: to, at: now)
        case .redial(let endpoint): operatorRedial(endpoint, at: now)
        case .ban(let subnet, let until, let source): ban(subnet, until: until, by: source, reason: nil, at: now)
        case .unban(let subnet): unban(subnet, at: now)
        case .trust(let subnet): trust(subnet, at: now)
        case .untrust(let subnet): untrust(subnet, at: now)
        case .recalled(let endpoint, let memory, let source): recall(endpoint, memory, from: source, at: now)
        case .ownEndpoint(let endpoint): setOwnEndpoint(endpoint, at: now)
        case .start: start(at: now)
        case .shutdown: shutdown(at: now)
        }
        pump(at: now)
    }

    /// Runs what is due. Never replays missed ticks: each deadline fires once, however late.
    public mutating func advance(to now: Instant) {
        wheel.advance(to: now)
        while let timer = wheel.popFired() {
            prefetchNextFired()
            fire(timer, at: now)
        }
        pump(at: now)
    }

    /// The slot of `id` if its generation still stands, else nil: an old generation changes nothing.
    func live(_ id: LinkID) -> Int? {
        let slot = Int(id.slot)
        #if MESH_CANARIES
            if has(.lateCloseKillsNewer), slot < links.count, links[slot].state != .closed { return slot }
        #endif
        guard slot < links.count, links[slot].generation == id.generation, links[slot].state != .closed else { return nil }
        return slot
    }

    private mutating func with(_ id: LinkID, _ body: (inout Mesh, Int) -> Void) {
        if let slot = live(id) { body(&self, slot) }
    }

    func id(of slot: Int) -> LinkID {
        LinkID(slot: UInt32(slot), generation: links[slot].generation)
    }

    func peerID(of row: Int) -> PeerID {
        PeerID(row: UInt32(row), generation: peers[row].generation)
    }

    /// The row of `endpoint`, or -1. Expected O(1).
    func row(of endpoint: Endpoint) -> Int {
        var cursor = 0
        while true {
            let row = endpoints.next(hash: endpoint.stableHash, cursor: &cursor)
            if row < 0 || peers[row].endpoint == endpoint { return row }
        }
    }
}
