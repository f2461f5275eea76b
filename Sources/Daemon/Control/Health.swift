// Whether a node does its work: facts of the socket table against thresholds, never counts of a registry.

import NIOHTTP1
import PeerMesh
import Reactor
import Timers

/// From where on a node is degraded.
struct Thresholds {
    /// Nil asks for one if anybody is wanted.
    var links: UInt64?
    /// Nil asks for four of five of those that the registry names.
    var masternodes: UInt64?
    var inbound: UInt64 = 0
    var outbound: UInt64 = 0
    var maximumLag = Nanoseconds.seconds(1)
    var descriptors: UInt64 = 32
    /// Nil asks for none: the longest gap is told, and not judged.
    var maximumGap: Nanoseconds?

    /// As the settings have them; without settings the defaults.
    init(_ settings: HealthThresholds? = nil) {
        guard let settings else { return }
        links = settings.links.map { UInt64($0) }
        masternodes = settings.masternodes.map { UInt64($0) }
        inbound = UInt64(settings.inbound)
        outbound = UInt64(settings.outbound)
        maximumLag = settings.lag
        descriptors = UInt64(settings.descriptors)
    }
}

/// Checks and what comes of them.
struct Health {
    enum Status: String, Comparable {
        case good, degraded, down

        private var rank: Int {
            switch self {
            case .good: 0
            case .degraded: 1
            case .down: 2
            }
        }

        static func < (a: Status, b: Status) -> Bool { a.rank < b.rank }
    }

    struct Check {
        var name: String
        var status: Status
        var value: JSON
        var threshold: JSON
        var message: String
    }

    var checks: [Check]

    init(checks: [Check]) {
        self.checks = checks
    }

    /// - Parameters:
    ///   - unresolved: masternodes that are wanted by a name without an address.
    ///   - gone: addresses of listeners that the machine has no longer.
    init(
        _ snapshot: NodeSnapshot, _ facts: NodeFacts, _ thresholds: Thresholds, lag: Nanoseconds, unresolved: Int = 0, gone: [ListenWatch.Gone] = []
    ) {
        let census = snapshot.census
        let (inbound, outbound) = Health.directions(snapshot)
        let anyWanted: UInt64 = unresolved > 0 || snapshot.peers.contains { $0.isWanted && !$0.seemsOurselves } ? 1 : 0
        let wanted = UInt64(census.wantedMasternodes + unresolved)
        checks = [
            Health.lag(lag, thresholds.maximumLag),
            Health.atLeast("links", census.establishedMasternodes + census.establishedRegular, thresholds.links ?? anyWanted),
            Health.masternodes(census, thresholds.masternodes ?? (wanted * 4 + 4) / 5, isOurs: thresholds.masternodes == nil, unresolved),
            Health.atLeast("inbound", inbound, thresholds.inbound), Health.atLeast("outbound", outbound, thresholds.outbound),
            Health.descriptors(thresholds.descriptors, needed: facts.descriptorsNeeded),
            Health.listeners(snapshot, gone), Health.registry(census),
        ]
        if snapshot.isStopped {
            checks.append(Check(name: "running", status: .down, value: .bool(false), threshold: .bool(true), message: "the node has ended"))
        }
    }

    /// The worst of the checks.
    var status: Status { checks.map(\.status).max() ?? .good }

    /// Established links by who dialled.
    static func directions(_ snapshot: NodeSnapshot) -> (inbound: Int, outbound: Int) {
        let up = snapshot.links.filter { $0.report.state == .established }
        let inbound = up.count { $0.report.info.direction == .inbound }
        return (inbound, up.count - inbound)
    }

    static func lag(_ lag: Nanoseconds, _ limit: Nanoseconds) -> Check {
        Check(
            name: "loop-lag", status: lag <= limit ? .good : .degraded, value: Moments.seconds(lag), threshold: Moments.seconds(limit),
            message: lag <= limit ? "" : "the loop is slow: it took \(Why.span(lag)) to answer"
        )
    }

    /// The loop does not answer at all.
    static let silent = Check(
        name: "loop-lag", status: .down, value: .null, threshold: .number(1), message: "the loop did not answer within a second"
    )

    private static func atLeast(_ name: String, _ value: Int, _ threshold: UInt64) -> Check {
        let isMet = value >= Int(clamping: threshold)
        return Check(
            name: name, status: isMet ? .good : .degraded, value: .count(value), threshold: .count(threshold),
            message: isMet ? "" : "\(value) \(name), and \(threshold) are asked for"
        )
    }

    /// Linked masternodes of those that are wanted: a node that has two of five does not do its work.
    private static func masternodes(_ census: Census, _ threshold: UInt64, isOurs: Bool, _ unresolved: Int) -> Check {
        var check = atLeast("masternodes", isOurs ? census.linkedMasternodes : census.establishedMasternodes, threshold)
        if isOurs, check.status != .good {
            let names = unresolved == 0 ? "" : ", \(unresolved) of them by names that have no address"
            check.message = "\(census.linkedMasternodes) of \(census.wantedMasternodes + unresolved) masternodes are linked\(names); `reactor-node masternodes` lists them"
        }
        return check
    }

    /// How long the masternode that is missing for longest has been so.
    static func gap(_ gap: Nanoseconds, _ limit: Nanoseconds?) -> Check {
        let isMet = limit.map { gap <= $0 } ?? true
        return Check(
            name: "masternode-gap", status: isMet ? .good : .degraded, value: Moments.seconds(gap),
            threshold: limit.map(Moments.seconds) ?? .null, message: isMet ? "" : "a masternode has not been linked for \(Why.span(gap))"
        )
    }

    /// How many peers wait to be dialled, against what the dial limit lets through in five minutes.
    static func queue(_ census: Census, _ mesh: MeshSettings) -> Check {
        let queued = census.queuedMasternodes + census.queuedRegular
        let span = Why.dialQueueSpan(queued, mesh)
        let isMet = span <= .seconds(300)
        return Check(
            name: "dial-queue", status: isMet ? .good : .degraded, value: .count(queued), threshold: .null,
            message: isMet ? "" : "\(queued) peers wait to be dialled, for up to \(Why.span(span)): raise --dial-limit, or lower --dial-timeout"
        )
    }

    /// What is left, and whether the table may still have what it needs: the limit is asked for each time, as others may lower it.
    private static func descriptors(_ threshold: UInt64, needed: UInt64) -> Check {
        guard let limit = Descriptors.limit, Descriptors.open != nil else {
            return Check(
                name: "descriptors", status: .degraded, value: .null, threshold: .count(threshold),
                message: "how many descriptors are open cannot be read: the process has none left, or /proc is missing"
            )
        }
        var check = atLeast("descriptors", Int(clamping: Descriptors.free), threshold)
        if limit < needed {
            check.status = .degraded
            check.message = "the limit of open descriptors is \(limit) now, and the table may need \(needed): raise it to that"
        }
        return check
    }

    /// Listeners that accept, at addresses that the machine has.
    static func listeners(_ snapshot: NodeSnapshot, _ gone: [ListenWatch.Gone]) -> Check {
        let accepting = max(snapshot.listeners.count - snapshot.restingListeners - gone.count, 0)
        var words = gone.map { "\($0.endpoint): \($0.why)" }
        if snapshot.restingListeners > 0 { words.append(resting(snapshot)) }
        return Check(
            name: "listeners", status: words.isEmpty ? .good : .degraded, value: .count(accepting),
            threshold: .count(snapshot.listeners.count), message: words.joined(separator: "; ")
        )
    }

    static func resting(_ snapshot: NodeSnapshot) -> String {
        "\(snapshot.restingListeners) of \(snapshot.listeners.count) listeners accept nobody: descriptors or memory are short"
    }

    /// A store that takes no writes: the node works on, and a restart would forget.
    static func store(_ status: StoreStatus) -> Check {
        Check(
            name: "store", status: status.trouble == nil ? .good : .degraded, value: .bool(status.trouble == nil), threshold: .bool(true),
            message: status.trouble ?? ""
        )
    }

    /// A registry file whose last reading is not believed, or that cannot be read: who is in force may no longer be who should be.
    static func registryFile(_ status: RegistryStatus, at now: Instant = Moments().now) -> Check {
        let trouble = status.trouble(at: now)
        return Check(
            name: "registry-file", status: trouble == nil ? .good : .degraded, value: .bool(trouble == nil), threshold: .bool(true),
            message: trouble.map { "\(status.file): \($0); \(status.masternodes) masternodes of an earlier reading are in force" } ?? ""
        )
    }

    private static func registry(_ census: Census) -> Check {
        let fits = census.registered <= census.maxPeers
        return Check(
            name: "registry", status: fits ? .good : .degraded, value: .count(census.registered), threshold: .count(census.maxPeers),
            message: fits ? "" : "more masternodes than slots: raise --max-peers"
        )
    }

    var json: JSON {
        .members(
            ("status", .string(status.rawValue)),
            ("checks", .array(checks.map { check in
                .members(
                    ("name", .string(check.name)), ("status", .string(check.status.rawValue)), ("value", check.value),
                    ("threshold", check.threshold), ("message", .string(check.message)))
            }))
        )
    }

    func answer(isReady: Bool) -> Answer {
        Answer(status: isReady ? .ok : .serviceUnavailable, body: json.page)
    }
}
