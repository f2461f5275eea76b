// What happened, for those who ask later: the last transitions of every peer, how often links closed of what, and the stream
// that followers read. The loop's thread writes plain records into a ring; a thread of the chronicle's own reads them. Whoever
// asks takes a lock that the loop's thread never touches.

import PeerMesh
import Reactor
import Synchronization
import Timers

/// One transition and its place in the order of all.
struct ChronicleEntry: Sendable {
    /// 1, 2, 3 …: the id of an event.
    var number: UInt64
    var transition: Transition
}

/// What the chronicle knows of one peer.
struct PeerHistory: Sendable {
    /// The last transitions, oldest first.
    var entries: [ChronicleEntry] = []
    /// Dials begun, links established.
    var dials: UInt64 = 0
    var established: UInt64 = 0
    /// When its state was last another one; nil if it never was.
    var viewSince: Instant?
    /// Since when a masternode has had no established link; nil while it has one, and for a peer that is none or not wanted.
    var missingSince: Instant?

    static let length = 20
}

/// How often dials and links ended, and of what. The keys are few: classes, directions and reasons.
struct ChronicleCounts: Sendable {
    struct Key: Hashable, Sendable {
        var role: Role
        var direction: Direction
        /// The reason's name without its errno, or `established`.
        var reason: String
    }

    /// Dials, by outcome: `established` or the reason that they failed of.
    var dials: [Key: UInt64] = [:]
    /// Links that were established and ended.
    var closes: [Key: UInt64] = [:]
    /// Accepted sockets that ended before they were established.
    var refusals: [Key: UInt64] = [:]
    /// Links that were established.
    var established: [Key: UInt64] = [:]
    var transitions: UInt64 = 0
    /// Transitions that the ring had no room for: the chronicle's reader was too slow.
    var lost: UInt64 = 0
}

/// The diary of one node. Any thread but the loop's may ask; `note` is the loop's.
final class Chronicle: Sendable {
    private let ring = RecordRing<Transition>(capacity: 8_192)
    private let bell: Doorbell
    private let isStopping = Atomic<Bool>(false)
    /// Whether anybody follows: without followers nothing is handed on.
    private let isFollowed = Atomic<Bool>(false)

    private struct State {
        var histories: [Endpoint: PeerHistory] = [:]
        var counts = ChronicleCounts()
        /// The last entries of all, for a follower that comes back.
        var recent: [ChronicleEntry] = []
        var deliver: (@Sendable ([ChronicleEntry]) -> Void)?
    }

    private let state = Mutex(State())
    private let capacity: Int
    /// What a follower that comes back may have missed.
    private static let memory = 1_024

    /// Remembers the history of so many peers, the ones that changed last.
    init(capacity: Int) throws(DaemonError) {
        self.capacity = max(capacity, 64)
        bell = try Doorbell()
    }

    /// Starts the thread.
    func start() throws(DaemonError) -> DaemonThread {
        try DaemonThread.start("chronicle") { self.run() }
    }

    /// Asks the thread to end. Any thread.
    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        bell.ring()
    }

    /// Takes a record. The loop's thread; never blocks; a system call only if the reader sleeps.
    func note(_ transition: Transition) {
        ring.push(transition)
        bell.ring()
    }

    // MARK: Questions

    func history(of peer: Endpoint) -> PeerHistory? {
        state.withLock { $0.histories[peer] }
    }

    /// How long the masternode that has been without a link for longest has been so; zero if none is missing.
    func longestGap(at now: Instant) -> Nanoseconds {
        let oldest = state.withLock { $0.histories.values.lazy.compactMap(\.missingSince).min() }
        return oldest.map { now > $0 ? now - $0 : .zero } ?? .zero
    }

    /// When each of these peers came into its present state.
    func viewsSince(_ peers: [Endpoint]) -> [Instant?] {
        state.withLock { state in peers.map { state.histories[$0]?.viewSince } }
    }

    var counts: ChronicleCounts {
        state.withLock { state in
            state.counts.lost = ring.dropped
            return state.counts
        }
    }

    /// From now on every batch of entries is handed to `deliver`, on the chronicle's thread; nil ends that.
    func follow(_ deliver: (@Sendable ([ChronicleEntry]) -> Void)?) {
        state.withLock { $0.deliver = deliver }
        isFollowed.store(deliver != nil, ordering: .releasing)
    }

    /// The entries after `number` that are still known.
    func entries(after number: UInt64) -> [ChronicleEntry] {
        state.withLock { state in state.recent.filter { $0.number > number } }
    }

    // MARK: The thread

    private func run() {
        while !isStopping.load(ordering: .sequentiallyConsistent) {
            drain()
            bell.willSleep()
            if ring.isEmpty, !isStopping.load(ordering: .sequentiallyConsistent) {
                Descriptors.waitReadable(bell.descriptor, -1, milliseconds: -1)
            }
            bell.didWake()
        }
        drain()
    }

    private func drain() {
        var batch: [ChronicleEntry] = []
        var deliver: (@Sendable ([ChronicleEntry]) -> Void)?
        while true {
            state.withLock { state in
                batch.removeAll(keepingCapacity: true)
                while batch.count < 256, let transition = ring.pop() {
                    state.counts.transitions += 1
                    let entry = ChronicleEntry(number: state.counts.transitions, transition: transition)
                    batch.append(entry)
                    count(transition, in: &state.counts)
                    remember(entry, in: &state)
                }
                deliver = state.deliver
            }
            guard !batch.isEmpty else { return }
            if isFollowed.load(ordering: .acquiring) { deliver?(batch) }
        }
    }

    private func remember(_ entry: ChronicleEntry, in state: inout State) {
        if state.recent.count >= Chronicle.memory * 2 { state.recent.removeFirst(Chronicle.memory) }
        state.recent.append(entry)
        let transition = entry.transition
        guard transition.isPeer else { return }
        var history = state.histories[transition.endpoint] ?? PeerHistory()
        if history.entries.count == PeerHistory.length { history.entries.removeFirst() }
        history.entries.append(entry)
        switch transition.subject {
        case .peer(_, let view):
            history.viewSince = transition.at
            if transition.role == .regular || view == .idle || view == .established {
                history.missingSince = nil
            } else if history.missingSince == nil {
                history.missingSince = transition.at
            }
        case .link(_, _, let to, let direction):
            if to == .connecting, direction == .outbound { history.dials += 1 }
            if to == .established { history.established += 1 }
        }
        state.histories[transition.endpoint] = history
        if state.histories.count > capacity { forgetOldest(in: &state) }
    }

    /// Drops the eighth that changed longest ago: rare, so a walk is good enough.
    private func forgetOldest(in state: inout State) {
        let oldest = state.histories.sorted { ($0.value.entries.last?.number ?? 0) < ($1.value.entries.last?.number ?? 0) }
        for (endpoint, _) in oldest.prefix(max(capacity / 8, 1)) { state.histories[endpoint] = nil }
    }

    private func count(_ transition: Transition, in counts: inout ChronicleCounts) {
        guard case .link(_, let from, let to, let direction) = transition.subject else { return }
        var key = ChronicleCounts.Key(role: transition.role, direction: direction, reason: "established")
        if to == .established {
            counts.established[key, default: 0] += 1
            if direction == .outbound { counts.dials[key, default: 0] += 1 }
            return
        }
        guard to == .draining || to == .closed, from != .draining, let reason = transition.reason else { return }
        key.reason = reason.family
        switch from {
        case .established: counts.closes[key, default: 0] += 1
        case .connecting, .securing, .greeting, .held:
            if direction == .outbound { counts.dials[key, default: 0] += 1 } else { counts.refusals[key, default: 0] += 1 }
        case .closed, .draining: break
        }
    }
}

extension CloseReason {
    /// The reason's name without its errno: what a metric's label may hold.
    var family: String {
        switch self {
        case .io: "io"
        case .local: "local"
        default: name
        }
    }
}
