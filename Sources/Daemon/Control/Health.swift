// Whether a node does its work: facts of the socket table against thresholds, never counts of a registry.

import NIOHTTP1
import PeerMesh
import Reactor
import Timers

/// From where on a node is degraded.
struct Thresholds {
    /// Nil asks for one if anybody is wanted.
    var links: UInt64?
    /// Nil asks for one if the registry names any.
    var masternodes: UInt64?
    var inbound: UInt64 = 0
    var outbound: UInt64 = 0
    var maximumLag = Nanoseconds.seconds(1)
    var descriptors: UInt64 = 32

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

    init(_ snapshot: NodeSnapshot, _ facts: NodeFacts, _ thresholds: Thresholds, lag: Nanoseconds) {
        let census = snapshot.census
        let (inbound, outbound) = Health.directions(snapshot)
        let free = facts.descriptors > Descriptors.open ? facts.descriptors - Descriptors.open : 0
        let anyWanted: UInt64 = snapshot.peers.contains { $0.isWanted } ? 1 : 0
        let anyRegistered: UInt64 = census.registered > 0 ? 1 : 0
        checks = [
            Health.lag(lag, thresholds.maximumLag),
            Health.atLeast("links", census.establishedMasternodes + census.establishedRegular, thresholds.links ?? anyWanted),
            Health.atLeast("masternodes", census.establishedMasternodes, thresholds.masternodes ?? anyRegistered),
            Health.atLeast("inbound", inbound, thresholds.inbound), Health.atLeast("outbound", outbound, thresholds.outbound),
            Health.atLeast("descriptors", Int(clamping: free), thresholds.descriptors),
            Health.registry(census),
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

    /// A store that takes no writes: the node works on, and a restart would forget.
    static func store(_ status: StoreStatus) -> Check {
        Check(
            name: "store", status: status.trouble == nil ? .good : .degraded, value: .bool(status.trouble == nil), threshold: .bool(true),
            message: status.trouble ?? ""
        )
    }

    /// A registry file whose last reading is not believed: who is in force may no longer be who should be.
    static func registryFile(_ status: RegistryStatus) -> Check {
        Check(
            name: "registry-file", status: status.complaint == nil ? .good : .degraded, value: .bool(status.complaint == nil), threshold: .bool(true),
            message: status.complaint.map { "\(status.file): \($0); \(status.masternodes) masternodes of an earlier reading are in force" } ?? ""
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
