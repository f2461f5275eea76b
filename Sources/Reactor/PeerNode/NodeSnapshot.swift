// What a node says of itself, when asked: reports copied out of its tables, on the loop's thread, into storage that the
// asker keeps and reuses.

import CEpoll
public import PeerMesh
import Synchronization
public import Timers

/// What went over one link since it was opened.
public struct LinkTraffic: Hashable, Sendable, BitwiseCopyable {
    /// Bytes read.
    public var bytesIn: UInt64 = 0
    /// Bytes that the kernel took.
    public var bytesOut: UInt64 = 0
    /// Frames decoded, of all meanings.
    public var framesIn: UInt64 = 0
    /// Frames queued; one that a broadcast queued counts, too.
    public var framesOut: UInt64 = 0
    /// When the kernel last took bytes; zero if it never did.
    public var lastSent = Instant.zero

    /// Nothing yet.
    public init() {}
}

/// The state of a node at one instant. Not shared: whoever has it may read it.
public final class NodeSnapshot {
    /// One link: the mesh's view and the driver's.
    public struct LinkEntry: Hashable, Sendable, BitwiseCopyable {
        /// The mesh's view.
        public var report: LinkReport
        /// Bytes that wait to be sent.
        public var queued: Int
        /// Memory that an incomplete frame holds.
        public var inbound: Int
        /// What went over it.
        public var traffic: LinkTraffic
        /// Read no longer: the application's wish, or memory is short.
        public var isPaused: Bool
    }

    /// Points of provable abuse.
    public struct Score: Hashable, Sendable, BitwiseCopyable {
        /// Who has them.
        public var address: IPAddress
        /// How many there are now; at `MeshSettings.banScore` the address is banned.
        public var points: UInt32
    }

    /// How much of a node's state is asked for. Each holds what those before it hold.
    public enum Scope: UInt8, Comparable, Sendable {
        /// Counters and memory. O(1).
        case counters
        /// The census, and links by class, direction and state. O(book + links).
        case tally
        /// Every peer, link and ban. O(book + links), at ten times the cost.
        case everything

        public static func < (a: Scope, b: Scope) -> Bool { a.rawValue < b.rawValue }
    }

    /// Links that are not closed, by class, direction and state.
    public struct LinkTally: Sendable, BitwiseCopyable {
        private var counts = [32 of UInt32](repeating: 0)
        /// Bytes that wait to be sent, on all of them.
        public internal(set) var queued = 0

        init() {}

        private static func place(_ role: Role, _ direction: Direction, _ state: LinkState) -> Int {
            Int(role.rawValue) << 4 | Int(direction.rawValue) << 3 | Int(state.rawValue)
        }

        /// How many there are of a kind.
        public subscript(role: Role, direction: Direction, state: LinkState) -> UInt32 {
            get { counts[Self.place(role, direction, state)] }
            set { counts[Self.place(role, direction, state)] = newValue }
        }
    }

    /// How much of it was asked for last; the rest is as old as it is.
    public internal(set) var scope = Scope.counters
    /// Links, counted.
    public internal(set) var tally = LinkTally()
    /// When it was taken.
    public internal(set) var at = Instant.zero
    /// How full the tables are.
    public internal(set) var census = Census()
    /// Every row of the book.
    public internal(set) var peers: [PeerReport] = []
    /// Every link that is not closed.
    public internal(set) var links: [LinkEntry] = []
    /// Bans and trust in force.
    public internal(set) var bans: [BanRecord] = []
    /// Addresses with points of provable abuse.
    public internal(set) var scores: [Score] = []
    /// What the node counted.
    public internal(set) var counters = NodeCounters()
    /// What its loop counted, for all that is on it.
    public internal(set) var loop = LoopCounters()
    /// Where the node can be dialled, if it knows.
    public internal(set) var ownEndpoint: Endpoint?
    /// What others lately said that it looks like from where they are.
    public internal(set) var sightings: [Sighting] = []
    /// Where the node listens.
    public internal(set) var listeners: [Endpoint] = []
    /// How many of its listeners do not accept now: descriptors or memory are short.
    public internal(set) var restingListeners = 0
    /// Bytes that the buffers of all links hold.
    public internal(set) var memoryInUse = 0
    /// The most that they ever held.
    public internal(set) var memoryPeak = 0
    /// Their bound.
    public internal(set) var memoryLimit = 0
    /// Bytes that the buffers of strangers hold: of all links but those of masternodes and of the operator's peers.
    public internal(set) var strangersInUse = 0
    /// Their bound.
    public internal(set) var strangersLimit = 0
    /// Whether the node is over.
    public internal(set) var isStopped = false

    /// An empty one, to be filled.
    public init() {}
}

/// A snapshot on its way to the loop and back. One request at a time; the object and its storage are reused.
public final class SnapshotRequest: @unchecked Sendable {
    /// The answer, after `wait` returned true; until the next request it is the asker's alone.
    public let snapshot = NodeSnapshot()
    /// How much is asked for. Set between requests only.
    public var scope = NodeSnapshot.Scope.everything
    private let descriptor: CInt

    /// Takes one descriptor, to be woken by. Throws if there is none left.
    public init() throws(SystemError) {
        descriptor = try SystemError.check(cepoll_eventfd(), .eventfd)
    }

    deinit {
        _ = cepoll_close(descriptor)
    }

    /// Waits for the answer; false at the timeout: then the request is still on its way, and must be waited for again
    /// before it is used anew. Never on the loop's thread.
    public func wait(milliseconds: Int32) -> Bool {
        guard cepoll_poll_readable(descriptor, milliseconds) == 1 else { return false }
        return cepoll_eventfd_take(descriptor) == 0
    }

    func complete() {
        _ = cepoll_eventfd_add(descriptor)
    }
}

extension PeerNode {
    /// Writes the node's state into `snapshot`, as much as `scope` asks for. Allocates only while the snapshot's storage
    /// grows.
    public func fill(_ snapshot: NodeSnapshot, _ scope: NodeSnapshot.Scope = .everything) {
        snapshot.at = now
        snapshot.scope = scope
        snapshot.counters = counters
        snapshot.loop = loop.counters
        snapshot.ownEndpoint = ownEndpoint
        snapshot.memoryInUse = memory.pool.inUse
        snapshot.memoryPeak = memory.pool.peak
        snapshot.memoryLimit = memory.pool.limit
        snapshot.strangersInUse = memory.strangers.inUse
        snapshot.strangersLimit = memory.strangers.limit
        snapshot.isStopped = isStopped
        snapshot.restingListeners = listeners.count { $0.isResting }
        guard scope >= .tally else { return }
        snapshot.census = mesh.census()
        var tally = NodeSnapshot.LinkTally()
        mesh.forEachLinkState { id, role, direction, state in
            tally[role, direction, state] += 1
            if let link = links[Int(id.slot)] { tally.queued += link.queuedCount }
        }
        snapshot.tally = tally
        guard scope >= .everything else { return }
        snapshot.peers.removeAll(keepingCapacity: true)
        snapshot.links.removeAll(keepingCapacity: true)
        snapshot.bans.removeAll(keepingCapacity: true)
        snapshot.sightings.removeAll(keepingCapacity: true)
        sightings.forEach { snapshot.sightings.append($0) }
        snapshot.listeners.removeAll(keepingCapacity: true)
        for listener in listeners { snapshot.listeners.append(listener.endpoint) }
        mesh.forEachPeer(at: now) { snapshot.peers.append($0) }
        snapshot.scores.removeAll(keepingCapacity: true)
        mesh.forEachScore(at: now) { snapshot.scores.append(NodeSnapshot.Score(address: $0, points: $1)) }
        mesh.forEachBan { snapshot.bans.append($0) }
        mesh.forEachLink { report in
            let link = links[Int(report.link.slot)]
            snapshot.links.append(
                NodeSnapshot.LinkEntry(
                    report: report, queued: link?.queuedCount ?? 0,
                    inbound: link?.inboundMemory ?? 0, traffic: link?.traffic ?? LinkTraffic(),
                    isPaused: link.map { !$0.rest.isDisjoint(with: .ours) } ?? false
                )
            )
        }
    }

    /// How full the tables are. O(book).
    public var census: Census { mesh.census() }

    /// What the node counted so far.
    public var counters: NodeCounters {
        var counters = counts
        counters.contradictions &+= mesh.contradictions
        return counters
    }

    /// Every peer of the book, as it stands. `body` must not change the node. O(book).
    public func forEachPeer(_ body: (PeerReport) -> Void) {
        isReporting = true
        mesh.forEachPeer(at: now, body)
        isReporting = false
    }

    /// Every link that is not closed. `body` must not change the node. O(links).
    public func forEachLink(_ body: (LinkReport) -> Void) {
        isReporting = true
        mesh.forEachLink(body)
        isReporting = false
    }

    /// Bans and trust in force. `body` must not change the node. O(bans).
    public func forEachBan(_ body: (BanRecord) -> Void) {
        isReporting = true
        mesh.forEachBan(body)
        isReporting = false
    }

    /// The peer with this endpoint, or nil. O(1).
    public func peer(at endpoint: Endpoint) -> PeerReport? { mesh.peer(at: endpoint, now: now) }

    /// The link with this id, or nil if it is over. O(1).
    public func link(_ id: LinkID) -> LinkReport? { mesh.link(id) }

    /// Bytes that wait to be sent on a link; nil if it is over.
    public func queuedBytes(of id: LinkID) -> Int? {
        current(id)?.queuedCount
    }

    /// Where the node listens.
    public var endpoints: [Endpoint] { listeners.map(\.endpoint) }
}
