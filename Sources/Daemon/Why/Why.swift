// The answer to "why?": a peer's standing, its sentence with the peer's own facts filled in, and the facts beside it. Made from
// one snapshot of the loop's tables and the chronicle's memory; nothing is guessed.

import PeerMesh
import Reactor
import Timers

/// Explains peers of one snapshot.
struct Why {
    let snapshot: NodeSnapshot
    let settings: MeshSettings
    let moments: Moments
    /// What operators said beside their bans.
    var notes: (any BanNotes)?

    /// The standing of a peer of the book.
    func standing(of peer: PeerReport) -> Standing {
        Standing(peer, dial: link(peer.dial)?.report.state)
    }

    func link(_ id: LinkID?) -> NodeSnapshot.LinkEntry? {
        guard let id else { return nil }
        return snapshot.links.first { $0.report.link == id }
    }

    /// The sentence, with every place filled.
    func sentence(for peer: PeerReport) -> String {
        let standing = standing(of: peer)
        return fill(standing.sentence, standing, peer)
    }

    /// When the next step is due by itself; nil if no clock decides it.
    func nextStep(of peer: PeerReport) -> Instant? {
        switch peer.verdict {
        case .wait(let until, _): until
        case .no(.banned(let until)): until == .never ? nil : until
        case .no(.dialInFlight): link(peer.dial)?.report.deadline
        case .no(.alreadyLinked): link(peer.held)?.report.deadline ?? link(peer.established)?.report.deadline
        case .no(.off), .no(.unknownPeer), .queue, .yes: peer.nextStep
        }
    }

    /// The ban that holds for the peer, as the core looks it up.
    func ban(on peer: PeerReport) -> BanRecord? {
        let covering = snapshot.bans.filter { $0.until > moments.now && $0.subject.contains(peer.endpoint.address) }
        return covering.first { $0.kind == .ban(.operator) } ?? covering.first { $0.kind == .ban(.automatic) }
    }

    /// The ban that holds for an address of which the core has no row.
    func ban(on address: IPAddress) -> BanRecord? {
        let covering = snapshot.bans.filter { $0.until > moments.now && $0.subject.contains(address) }
        if let ban = covering.first(where: { $0.kind == .ban(.operator) }) { return ban }
        return covering.contains { $0.kind == .trust } ? nil : covering.first { $0.kind == .ban(.automatic) }
    }

    func words(of ban: BanRecord) -> String {
        let end = ban.until == .never ? "for ever" : "for \(Why.span(ban.until - moments.now)) more"
        return "banned \(end) by \(ban.kind == .ban(.automatic) ? "this node" : "the operator"), as \(ban.subject.text)"
    }

    static func sentence(for report: NameReport) -> String {
        Standing.unresolved.sentence.replacing("{trouble}", with: report.trouble ?? "its lookup is in flight")
    }

    private func fill(_ template: String, _ standing: Standing, _ peer: PeerReport) -> String {
        var result = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            result += rest[..<open]
            result += value(String(rest[rest.index(after: open)..<close]), standing, peer)
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }

    private func value(_ place: String, _ standing: Standing, _ peer: PeerReport) -> String {
        switch place {
        case "linked": since(link(peer.established)?.report.establishedAt)
        case "age": since(link(peer.dial)?.report.since)
        case "direction": link(peer.established)?.report.info.direction == .inbound ? "as it dialled us" : "as we dialled it"
        case "in": nextStep(of: peer).map { Why.span($0 > moments.now ? $0 - moments.now : .zero) } ?? "no time"
        case "until": banEnd(peer)
        case "by": ban(on: peer)?.kind == .ban(.automatic) ? "this node (\(ban(on: peer)?.reason?.name ?? "abuse"))" : "the operator"
        case "subject": ban(on: peer).map { $0.subject.text } ?? peer.endpoint.address.description
        case "failures": peer.failures == 1 ? "1 failure" : "\(peer.failures) failures"
        // The count is not kept beyond a restart, the tombstone is.
        case "failed": peer.failures == 0 ? "failures before this start" : peer.failures == 1 ? "1 failure" : "\(peer.failures) failures in a row"
        case "reason": peer.lastReason?.words ?? "none yet"
        case "regular-slots": String(settings.regularSlots)
        case "per-address": "\(settings.regularPerAddress) an address"
        case "per-subnet": "\(settings.effectivePerSubnet) a subnet"
        case "dial-limit": String(settings.dialLimit)
        case "dial-rate": String(settings.dialRate)
        case "queued": String(ahead(of: peer))
        case "estimate": Why.span(Why.dialQueueSpan(ahead(of: peer), settings))
        case "max-peers": String(settings.maxPeers)
        case "registered": String(snapshot.census.registered)
        default: preconditionFailure("a sentence has no place '\(place)'")
        }
    }

    /// Peers that may be dialled before this one at most: masternodes go first.
    private func ahead(of peer: PeerReport) -> Int {
        let census = snapshot.census
        return census.queuedMasternodes + (peer.role == .masternode ? 0 : census.queuedRegular)
    }

    /// How long so many dials take at most: every one of those in flight may last until its timeout.
    static func dialQueueSpan(_ count: Int, _ mesh: MeshSettings) -> Nanoseconds {
        let byTimeout = UInt64(count) / UInt64(max(mesh.dialLimit, 1)) * mesh.dialTimeout.count
        let byRate = UInt64(count) * 1_000_000_000 / UInt64(max(mesh.dialRate, 1))
        return Nanoseconds(max(byTimeout, byRate))
    }

    private func banEnd(_ peer: PeerReport) -> String {
        guard let until = ban(on: peer)?.until, until != .never else { return "for ever" }
        return "for \(Why.span(until - moments.now)) more"
    }

    private func since(_ instant: Instant?) -> String {
        Why.span(instant.map { moments.now > $0 ? moments.now - $0 : .zero } ?? .zero)
    }

    /// A span as people say it: `4.2 s`, `3 min 20 s`, `2 h 5 min`, `9 d 3 h`.
    static func span(_ span: Nanoseconds) -> String {
        let seconds = span.count / 1_000_000_000
        switch seconds {
        case 0..<10: return "\(seconds).\(span.count / 100_000_000 % 10) s"
        case 10..<60: return "\(seconds) s"
        case 60..<3_600: return "\(seconds / 60) min \(seconds % 60) s"
        case 3_600..<86_400: return "\(seconds / 3_600) h \(seconds / 60 % 60) min"
        default: return "\(seconds / 86_400) d \(seconds / 3_600 % 24) h"
        }
    }
}

extension CloseReason {
    /// The reason as a person reads it: its name, or the system's words for an error number.
    var words: String {
        if case .io(let code) = self { return "\"\(SystemError.text(of: code))\"" }
        return name
    }
}

extension Subnet {
    /// An address, or a range in CIDR form.
    var text: String {
        self == Subnet(address) ? address.description : "\(address)/\(prefix)"
    }
}
