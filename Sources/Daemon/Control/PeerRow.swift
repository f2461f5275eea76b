// Peers and links as the API shows them: rows made from one snapshot, in an order that stays.

import PeerMesh
import Reactor
import Timers

/// Makes the rows of one answer.
struct PeerRow {
    let snapshot: NodeSnapshot
    let chronicle: Chronicle
    let moments: Moments
    private let entries: [LinkID: NodeSnapshot.LinkEntry]
    private let scores: [IPAddress: UInt32]
    private let reports: [NameReport]
    private let names: [Endpoint: [String]]
    private let added: Set<Endpoint>

    /// - Parameter added: the masternodes that only the operator names.
    init(_ snapshot: NodeSnapshot, _ chronicle: Chronicle, _ moments: Moments, _ reports: [NameReport], added: Set<Endpoint>) {
        self.reports = reports
        self.added = added
        names = Dictionary(grouping: reports.filter { $0.current != nil }) { $0.current! }.mapValues { Set($0.map(\.peer.name.description)).sorted() }
        self.snapshot = snapshot
        self.chronicle = chronicle
        self.moments = moments
        entries = Dictionary(snapshot.links.map { ($0.report.link, $0) }) { first, _ in first }
        scores = Dictionary(snapshot.scores.map { ($0.address, $0.points) }) { first, _ in first }
    }

    /// The state of a name that has no address yet.
    static let unresolved = "unresolved"

    /// The state of this node's own address, which a shared list names.
    static let ourselves = "self"

    static func state(of peer: PeerReport) -> String {
        if case .no(.off(.ourselves)) = peer.verdict { return ourselves }
        return peer.view.name
    }

    /// Who wants it. Masternodes are the registry's to the node's table, whoever named them.
    func wantedBy(_ peer: PeerReport) -> [String] {
        let names = peer.desire.names
        guard added.contains(peer.endpoint) else { return names }
        return ["operator"] + names.filter { $0 != "registry" && $0 != "operator" }
    }

    static let stateNames = PeerView.allCases.map(\.name) + [ourselves, unresolved] + LinkState.allCases.filter { $0 != .closed }.map(\.name).filter { name in
        !PeerView.allCases.contains { $0.name == name }
    }

    func link(_ id: LinkID?) -> NodeSnapshot.LinkEntry? { id.flatMap { entries[$0] } }

    /// The link that a peer's row shows: the one that serves it, or the one that is on its way.
    func shown(_ peer: PeerReport) -> NodeSnapshot.LinkEntry? { link(peer.established) ?? link(peer.held) ?? link(peer.dial) }

    /// One row for each peer by address, then one for each name without an address, then one for each link that is nobody's.
    func all(where isShown: (Row) -> Bool) -> JSON {
        let peers = snapshot.peers.sorted { $0.endpoint < $1.endpoint }
        let since = chronicle.viewsSince(peers.map(\.endpoint))
        var rows: [JSON] = []
        for (peer, since) in zip(peers, since) {
            let row = Row.peer(peer, shown(peer))
            if isShown(row) { rows.append(json(peer, since: since)) }
        }
        for report in reports where report.current == nil && isShown(.name(report)) { rows.append(json(report)) }
        for entry in snapshot.links where entry.report.info.peer == nil && isShown(.link(entry)) { rows.append(json(stray: entry)) }
        return .array(rows)
    }

    /// What a filter looks at.
    enum Row {
        case peer(PeerReport, NodeSnapshot.LinkEntry?)
        /// A wanted name that has no address yet.
        case name(NameReport)
        case link(NodeSnapshot.LinkEntry)

        var state: String {
            switch self {
            case .peer(let peer, _): PeerRow.state(of: peer)
            case .name: PeerRow.unresolved
            case .link(let entry): entry.report.state.name
            }
        }

        var role: Role {
            switch self {
            case .peer(let peer, _): peer.role
            case .name(let report): report.role
            case .link(let entry): entry.report.info.role
            }
        }

        var direction: Direction? {
            switch self {
            case .peer(_, let entry): entry?.report.info.direction
            case .name: nil
            case .link(let entry): entry.report.info.direction
            }
        }

        var isWanted: Bool {
            switch self {
            case .peer(let peer, _): peer.isWanted
            case .name: true
            case .link: false
            }
        }
    }

    func json(_ peer: PeerReport, since: Instant?) -> JSON {
        .members(
            ("id", .string(peer.endpoint.description)), ("names", names(of: peer.endpoint)), ("state", .string(PeerRow.state(of: peer))), ("class", .string(peer.role.name)),
            ("wantedBy", .array(wantedBy(peer).map(JSON.string))), ("since", moments.json(since)),
            ("failures", .count(peer.failures)), ("next", moments.json(peer.nextStep)),
            ("nextSeconds", peer.nextStep.map(moments.seconds(until:)) ?? .null),
            ("lastCloseReason", peer.lastReason.map { .string($0.name) } ?? .null), ("lastSuccess", moments.json(peer.lastSuccess)),
            ("score", .count(scores[peer.endpoint.address] ?? 0)), ("foreign", .bool(peer.isForeign)),
            ("link", shown(peer).map(json(link:)) ?? .null)
        )
    }

    func names(of endpoint: Endpoint) -> JSON { .array((names[endpoint] ?? []).map(JSON.string)) }

    /// A wanted name that has no address yet: a row with the name for its id.
    func json(_ report: NameReport) -> JSON {
        .members(
            ("id", .string(report.peer.name.description)), ("names", .array([.string(report.peer.name.description)])),
            ("state", .string(PeerRow.unresolved)), ("class", .string(report.role.name)), ("wantedBy", .array(report.wantedBy.map(JSON.string))),
            ("since", .null), ("failures", .integer(0)), ("next", moments.json(report.next)),
            ("nextSeconds", report.next.map(moments.seconds(until:)) ?? .null), ("lastCloseReason", .null), ("lastSuccess", .null),
            ("score", .integer(0)), ("foreign", .bool(false)), ("link", .null)
        )
    }

    private func json(stray entry: NodeSnapshot.LinkEntry) -> JSON {
        .members(
            ("id", .string("link-\(entry.report.link.slot).\(entry.report.link.generation)")), ("names", .array([])),
            ("state", .string(entry.report.state.name)), ("class", .string(entry.report.info.role.name)), ("wantedBy", .array([])),
            ("since", moments.json(entry.report.since)), ("failures", .integer(0)), ("next", moments.json(entry.report.deadline)),
            ("nextSeconds", entry.report.deadline.map(moments.seconds(until:)) ?? .null), ("lastCloseReason", .null),
            ("lastSuccess", .null), ("score", .count(scores[entry.report.info.remote.address] ?? 0)),
            ("foreign", .bool(!entry.report.info.isNative)), ("link", json(link: entry))
        )
    }

    func json(link entry: NodeSnapshot.LinkEntry) -> JSON {
        let report = entry.report
        let isUp = report.state == .established
        return .members(
            ("state", .string(report.state.name)), ("direction", .string(report.info.direction.name)),
            ("remote", .string(report.info.remote.description)), ("identity", .string(report.identity.name)),
            ("slot", .count(report.link.slot)), ("generation", .count(report.link.generation)),
            ("since", moments.json(isUp ? report.establishedAt : report.since)),
            ("lastReceived", report.lastByte == .zero ? .null : moments.json(report.lastByte)),
            ("lastSent", entry.traffic.lastSent == .zero ? .null : moments.json(entry.traffic.lastSent)),
            ("rttSeconds", report.roundTrip == .zero ? .null : Moments.seconds(report.roundTrip)), ("misses", .count(report.misses)),
            ("queueBytes", .count(entry.queued)), ("bytesIn", .count(entry.traffic.bytesIn)),
            ("bytesOut", .count(entry.traffic.bytesOut)), ("framesIn", .count(entry.traffic.framesIn)),
            ("framesOut", .count(entry.traffic.framesOut)), ("paused", .bool(entry.isPaused))
        )
    }
}

extension PeerReport {
    /// Somebody wants a link to it, or discovery chose it.
    var isWanted: Bool {
        switch verdict {
        case .no(.off(.notWanted)), .no(.off(.notChosen)), .no(.off(.forgotten)), .no(.off(.ourselves)): false
        case .no, .yes, .wait, .queue: !desire.isEmpty
        }
    }
}

extension NameReport {
    var role: Role { peer.kind == .masternode ? .masternode : .regular }

    /// Who wants it, in the words of the node's table.
    var wantedBy: [String] { [peer.kind == .masternode && sources != .operator ? "registry" : "operator"] }
}

extension Desire {
    /// Who wants it, in words.
    var names: [String] {
        var names: [String] = []
        if contains(.registry) { names.append("registry") }
        if contains(.operator) { names.append("operator") }
        if contains(.learnt) { names.append("learnt") }
        return names
    }
}

extension Role {
    var name: String {
        switch self {
        case .masternode: "masternode"
        case .regular: "regular"
        }
    }
}

extension Direction {
    var name: String {
        switch self {
        case .inbound: "inbound"
        case .outbound: "outbound"
        }
    }
}

extension LinkIdentity {
    var name: String {
        switch self {
        case .pending: "pending"
        case .dialled: "dialled"
        case .proven: "proven"
        case .claimed: "claimed"
        case .weak: "weak"
        case .anonymous: "anonymous"
        }
    }
}

extension DialTurn {
    var name: String {
        switch self {
        case .either: "either"
        case .ours: "ours"
        case .theirs: "theirs"
        }
    }
}
