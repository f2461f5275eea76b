// The answer to "why?" as the API gives it: the sentence first, then every fact that it rests on.

import PeerMesh
import Reactor
import Timers

extension Why {
    /// All of it, for a peer of the book.
    func json(_ peer: PeerReport, history: PeerHistory?, row: PeerRow) -> JSON {
        let standing = standing(of: peer)
        let next = nextStep(of: peer)
        return .members(
            ("id", .string(peer.endpoint.description)), ("names", row.names(of: peer.endpoint)), ("state", .string(PeerRow.state(of: peer))),
            ("standing", .string(standing.rawValue)), ("sentence", .string(sentence(for: peer))),
            ("advice", .string(standing.advice)),
            ("next", .members(("step", .string(standing.nextStep)), ("at", moments.json(next)), ("seconds", next.map(moments.seconds(until:)) ?? .null))),
            ("wanted", .members(("is", .bool(peer.isWanted)), ("by", .array(row.wantedBy(peer).map(JSON.string))))),
            ("class", .string(peer.role.name)), ("turn", turn(of: peer)), ("verdict", verdict(peer.verdict)),
            ("ban", ban(on: peer).map { ban in Why.json(ban, moments, notes?.note(on: ban)) } ?? .null), ("slots", slots(for: peer)),
            ("attempts", attempts(of: peer, history)), ("since", moments.json(history?.viewSince)),
            ("lastCloseReason", peer.lastReason.map { .string($0.name) } ?? .null), ("lastSuccess", moments.json(peer.lastSuccess)),
            ("link", row.shown(peer).map(row.json(link:)) ?? .null),
            ("history", .array((history?.entries ?? []).map { Why.json($0, moments) }))
        )
    }

    /// For an endpoint that is in no book: there is nothing to tell but that, and a ban that would hold.
    func json(unknown endpoint: Endpoint, history: PeerHistory?) -> JSON {
        let ban = ban(on: endpoint.address)
        return .members(
            ("id", .string(endpoint.description)), ("names", .array([])), ("state", .string("unknown")), ("standing", .string(Standing.unknown.rawValue)),
            ("sentence", .string(Standing.unknown.sentence + (ban.map { ", and its address is " + words(of: $0) } ?? ""))),
            ("advice", .string((ban == nil ? Standing.unknown : .banned).advice)),
            ("next", .members(("step", .string(Standing.unknown.nextStep)), ("at", .null), ("seconds", .null))),
            ("wanted", .members(("is", .bool(false)), ("by", .array([])))), ("verdict", verdict(.no(.unknownPeer))),
            ("ban", ban.map { Why.json($0, moments, notes?.note(on: $0)) } ?? .null), ("link", .null),
            ("history", .array((history?.entries ?? []).map { Why.json($0, moments) }))
        )
    }

    /// For a wanted name that has no address yet.
    func json(_ report: NameReport) -> JSON {
        let standing = Standing.unresolved
        let name = report.peer.name.description
        return .members(
            ("id", .string(name)), ("names", .array([.string(name)])), ("state", .string(PeerRow.unresolved)),
            ("standing", .string(standing.rawValue)), ("sentence", .string(Why.sentence(for: report))),
            ("advice", .string(standing.advice.replacing("NAME", with: report.peer.name.host))),
            ("next", .members(
                ("step", .string(standing.nextStep)), ("at", moments.json(report.next)),
                ("seconds", report.next.map(moments.seconds(until:)) ?? .null))),
            ("wanted", .members(("is", .bool(true)), ("by", .array(report.wantedBy.map(JSON.string))))), ("class", .string(report.role.name)),
            ("verdict", verdict(.no(.unknownPeer))), ("ban", .null), ("link", .null), ("history", .array([]))
        )
    }

    private func turn(of peer: PeerReport) -> JSON {
        let text =
            switch peer.turn {
            case .either: "whoever can: the rule holds between masternodes of this dialect that know their own address"
            case .ours: "ours: this node's address is the lower one"
            case .theirs: "theirs: the peer's address is the lower one; we dial if it has not in time"
            }
        return .members(("to", .string(peer.turn.name)), ("text", .string(text)))
    }

    private func slots(for peer: PeerReport) -> JSON {
        let census = snapshot.census
        let needed = peer.role == .regular && peer.established == nil
        return .members(
            ("needed", .bool(needed)), ("regularTaken", .count(census.establishedRegular + census.dialingRegular)),
            ("regularSlots", .count(census.regularSlots)),
            ("taken", .count(census.establishedRegular + census.establishedMasternodes)), ("slots", .count(census.maxPeers))
        )
    }

    private func attempts(of peer: PeerReport, _ history: PeerHistory?) -> JSON {
        .members(
            ("failuresInARow", .count(peer.failures)), ("dials", .count(history?.dials ?? 0)),
            ("established", .count(history?.established ?? 0))
        )
    }

    /// The verdict as it is, for programs: the value by which the core decided.
    func verdict(_ verdict: DialVerdict) -> JSON {
        func json(_ kind: String, _ reason: String?, until: Instant? = nil) -> JSON {
            .members(
                ("kind", .string(kind)), ("reason", reason.map(JSON.string) ?? .null), ("until", moments.json(until)),
                ("seconds", until.map(moments.seconds(until:)) ?? .null)
            )
        }
        switch verdict {
        case .yes: return json("yes", nil)
        case .no(.alreadyLinked): return json("no", "already-linked")
        case .no(.dialInFlight): return json("no", "dial-in-flight")
        case .no(.unknownPeer): return json("no", "unknown-peer")
        case .no(.banned(let until)): return json("no", "banned", until: until)
        case .no(.off), .wait, .queue:
            let reason = Standing(verdict, isHeld: false, dial: nil).rawValue
            if case .wait(let until, _) = verdict { return json("wait", reason, until: until) }
            if case .queue = verdict { return json("queue", reason) }
            return json("no", reason)
        }
    }

    static func json(_ ban: BanRecord, _ moments: Moments, _ note: BanNote? = nil) -> JSON {
        let by: String =
            switch ban.kind {
            case .ban(.operator): "operator"
            case .ban(.automatic): "automatic"
            case .trust: "operator"
            }
        return .members(
            ("subject", .string(ban.subject.text)), ("kind", .string(ban.kind == .trust ? "trust" : "ban")), ("by", .string(by)),
            ("until", moments.json(ban.until)), ("seconds", moments.seconds(until: ban.until)),
            ("closeReason", ban.reason.map { .string($0.name) } ?? .null),
            ("reason", note.flatMap { $0.reason.isEmpty ? nil : .string($0.reason) } ?? .null),
            ("setBy", note.map { .string($0.by) } ?? .null),
            ("setAt", Moments.json(note?.at)), ("lengthSeconds", note?.length.map(Moments.seconds) ?? .null)
        )
    }

    /// One transition: of `/events` and of a history.
    static func json(_ entry: ChronicleEntry, _ moments: Moments) -> JSON {
        let transition = entry.transition
        var members: [(String, JSON?)] = [("number", .count(entry.number)), ("at", moments.json(transition.at))]
        switch transition.subject {
        case .link(let link, let from, let to, let direction):
            members += [
                ("of", .string("link")), ("peer", .string(transition.endpoint.description)), ("known", .bool(transition.isPeer)),
                ("from", .string(from.name)), ("to", .string(to.name)), ("direction", .string(direction.name)),
                ("slot", .count(link.slot)), ("generation", .count(link.generation)),
            ]
        case .peer(let from, let to):
            members += [
                ("of", .string("peer")), ("peer", .string(transition.endpoint.description)), ("from", .string(from.name)),
                ("to", .string(to.name)),
            ]
        }
        members += [
            ("class", .string(transition.role.name)), ("reason", transition.reason.map { .string($0.name) } ?? .null),
            ("failures", .count(transition.failures)), ("next", moments.json(transition.next)),
        ]
        return .object(members.compactMap { key, value in value.map { JSON.Member(key: key, value: $0) } })
    }
}
