// What the table says of itself: read-only values for operators, metrics and tests. Computed, never stored.

public import Timers

/// How full the tables are.
public struct Census: Hashable, Sendable, BitwiseCopyable {
    /// Established links with masternodes.
    public var establishedMasternodes = 0
    /// Regular peers and links that are nobody's.
    public var establishedRegular = 0
    /// Dials to masternodes in flight.
    public var dialingMasternodes = 0
    /// Dials to regular peers in flight.
    public var dialingRegular = 0
    /// Accepted sockets that have not said hello yet.
    public var pending = 0
    /// Links whose sending side is shut.
    public var draining = 0
    /// Rows of the book, tombstones not counted.
    public var knownPeers = 0
    /// Masternodes that the registry names.
    public var registered = 0
    /// Registered masternodes that this node wants a link to: not itself, and not beyond the table's end.
    public var wantedMasternodes = 0
    /// How many of them have an established link.
    public var linkedMasternodes = 0
    /// Masternodes that may be dialled and wait for the dial limit or the dial rate.
    public var queuedMasternodes = 0
    /// Regular peers that do, or that wait for a slot.
    public var queuedRegular = 0
    /// Whether a peer that was to dial this node, by the rule of direction, had to be dialled by it: others may not reach this node.
    public var expectsInbound = false
    /// Bans and trust in force.
    public var bans = 0
    /// Slots that regular peers never take.
    public var reservedSlots = 0
    /// Slots that regular peers may take.
    public var regularSlots = 0
    /// Established peers at most.
    public var maxPeers = 0

    /// Empty tables.
    public init() {}
}

/// Which end of a pair is to dial first: the direction rule's answer for one peer.
public enum DialTurn: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
    /// No preference: whoever can.
    case either
    /// We are the lower endpoint: this node dials.
    case ours
    /// They are: this node waits for them for `MeshSettings.passiveWait`, then dials all the same.
    case theirs
}

/// One peer of the book, as it stands.
public struct PeerReport: Hashable, Sendable, BitwiseCopyable {
    /// Its row.
    public var peer: PeerID
    /// Where it can be dialled: its key.
    public var endpoint: Endpoint
    /// Who wants it; empty for a tombstone.
    public var desire: Desire
    /// What the registry says of it, demotion delayed.
    public var role: Role
    /// How it stands, in one word.
    public var view: PeerView
    /// What happens if nothing else does.
    public var schedule: Schedule
    /// What stands between this peer and a dial now: the value that the core decides by.
    public var verdict: DialVerdict
    /// When its schedule takes its next step by itself; nil if no clock decides that.
    public var nextStep: Instant?
    /// Whose turn it is, by the same rule that holds a dial back.
    public var turn: DialTurn
    /// Failed dials and short sessions in a row.
    public var failures: UInt32
    /// Its established link.
    public var established: LinkID?
    /// A newcomer that waits while the established link is probed.
    public var held: LinkID?
    /// Our dial to it that is in flight.
    public var dial: LinkID?
    /// Since when it has been linked without a break.
    public var linkedSince: Instant?
    /// When a link to it was last established.
    public var lastSuccess: Instant?
    /// What its last link or dial ended of.
    public var lastReason: CloseReason?
    /// It spoke a dialect without our extension when it was last linked.
    public var isForeign: Bool
    /// It is this node itself, as far as is known: it is not dialled for that reason, or it has no link and its last dial met this node. A
    /// list that all nodes share names this one, too; nobody is missing there.
    public var seemsOurselves: Bool
}

extension Peer {
    var seemsOurselves: Bool { schedule == .off(.ourselves) || established < 0 && lastReason == .selfConnection }
}

/// One link, as it stands.
public struct LinkReport: Hashable, Sendable, BitwiseCopyable {
    /// Its id.
    public var link: LinkID
    /// How far it is.
    public var state: LinkState
    /// Who is at the other end.
    public var info: LinkInfo
    /// How sure we are of whose it is.
    public var identity: LinkIdentity
    /// When it was opened.
    public var since: Instant
    /// When it was established; zero if it is not.
    public var establishedAt: Instant
    /// When its last byte came.
    public var lastByte: Instant
    /// Zero if none was measured.
    public var roundTrip: Nanoseconds
    /// Pings without a sign of life, in a row.
    public var misses: UInt32
    /// When it is looked at next, if nothing happens before.
    public var deadline: Instant?
}

extension Mesh {
    /// How full the tables are. O(book).
    public func census() -> Census {
        var census = Census()
        census.establishedMasternodes = linkLists.count(LinkList.masternode)
        census.establishedRegular = establishedRegular
        census.dialingMasternodes = linkLists.count(LinkList.dialMasternode)
        census.dialingRegular = regularDials
        census.pending = linkLists.count(LinkList.pending)
        census.draining = linkLists.count(LinkList.draining)
        census.queuedMasternodes = peerLists.count(PeerList.readyUrgent) + peerLists.count(PeerList.readyMasternode)
        census.queuedRegular =
            peerLists.count(PeerList.readyNamed) + peerLists.count(PeerList.readyNamedSlow) + peerLists.count(PeerList.readyRegular)
        for row in 0..<rowLimit where !peers[row].desire.isEmpty {
            census.knownPeers += 1
            count(peers[row], in: &census)
        }
        census.registered = registeredCount
        census.bans = bans.count
        census.reservedSlots = Int(settings.effectiveReserve)
        census.regularSlots = Int(settings.regularSlots)
        census.maxPeers = Int(settings.maxPeers)
        return census
    }

    private func count(_ peer: Peer, in census: inout Census) {
        let isLinked = peer.established >= 0
        if peer.desire.contains(.registry), !peer.isBeyondTable, !peer.seemsOurselves {
            census.wantedMasternodes += 1
            if isLinked { census.linkedMasternodes += 1 }
        }
        guard isLinked, !census.expectsInbound, links[Int(peer.established)].direction == .outbound else { return }
        census.expectsInbound = turn(of: peer) == .theirs
    }

    /// Peers in the book, tombstones not counted. O(book).
    public var peerCount: Int {
        var count = 0
        for row in 0..<rowLimit where !peers[row].desire.isEmpty { count += 1 }
        return count
    }

    /// Every row of the book, tombstones too. O(book).
    public func forEachPeer(at now: Instant, _ body: (PeerReport) -> Void) {
        for row in 0..<rowLimit where peers[row].isUsed { body(report(row, at: now)) }
    }

    /// The peer with this endpoint, or nil. O(1).
    public func peer(at endpoint: Endpoint, now: Instant) -> PeerReport? {
        let row = row(of: endpoint)
        return row >= 0 ? report(row, at: now) : nil
    }

    private func report(_ row: Int, at now: Instant) -> PeerReport {
        let peer = peers[row]
        return PeerReport(
            peer: peerID(of: row), endpoint: peer.endpoint, desire: peer.desire, role: peer.role, view: view(of: row),
            schedule: peer.schedule, verdict: mayDial(row: row, at: now),
            nextStep: nextStep(of: row) == .never ? nil : nextStep(of: row), turn: turn(of: peer), failures: peer.failures,
            established: peer.established >= 0 ? id(of: Int(peer.established)) : nil,
            held: peer.held >= 0 ? id(of: Int(peer.held)) : nil, dial: peer.dial >= 0 ? id(of: Int(peer.dial)) : nil,
            linkedSince: peer.linkedSince == .never ? nil : peer.linkedSince, lastSuccess: peer.lastSuccess,
            lastReason: peer.lastReason, isForeign: peer.isForeign, seemsOurselves: peer.seemsOurselves
        )
    }

    /// Every link that is not closed. O(links).
    public func forEachLink(_ body: (LinkReport) -> Void) {
        for slot in 0..<links.count where links[slot].state != .closed { body(report(link: slot)) }
    }

    /// Class, direction and state of every link that is not closed: what a tally needs, for a tenth of a report's cost.
    public func forEachLinkState(_ body: (LinkID, Role, Direction, LinkState) -> Void) {
        for slot in 0..<links.count where links[slot].state != .closed {
            let row = Int(links[slot].row)
            body(id(of: slot), row >= 0 ? peers[row].role : .regular, links[slot].direction, links[slot].state)
        }
    }

    /// The link with this id, or nil if its generation is over. O(1).
    public func link(_ id: LinkID) -> LinkReport? {
        live(id).map { report(link: $0) }
    }

    /// Where the packets of a link come from; of one that is over, as long as its slot has no new one.
    package func remote(of link: LinkID) -> Endpoint { links[Int(link.slot)].remote }

    private func report(link slot: Int) -> LinkReport {
        let link = links[slot]
        return LinkReport(
            link: id(of: slot), state: link.state, info: info(of: slot), identity: link.identity, since: link.since,
            establishedAt: link.establishedAt, lastByte: link.lastByte, roundTrip: link.roundTrip,
            misses: link.keepalive.misses, deadline: wheel.deadline(of: slot)
        )
    }

    /// Whether this node may dial `endpoint` now, and if not, what stands in the way: the one gate for all dials.
    public func mayDial(_ endpoint: Endpoint, at now: Instant) -> DialVerdict {
        let row = row(of: endpoint)
        return row >= 0 ? mayDial(row: row, at: now) : .no(.unknownPeer)
    }

    private func turn(of peer: Peer) -> DialTurn {
        guard prefersOrder(with: peer), let own = ownEndpoint else { return .either }
        return own > peer.endpoint ? .theirs : .ours
    }

    /// Addresses with points of provable abuse, as they stand now. O(scores).
    public func forEachScore(at now: Instant, _ body: (IPAddress, UInt32) -> Void) {
        scores.forEach { address, _, _ in
            let points = scores.points(of: address, at: now)
            if points > 0 { body(address, points) }
        }
    }

    /// Bans and trust in force. O(bans).
    public func forEachBan(_ body: (BanRecord) -> Void) {
        for index in 0..<bans.count { body(bans[index]) }
    }
}
