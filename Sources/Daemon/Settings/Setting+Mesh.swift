// The table of every number that the mesh takes: names, ranges, defaults and words. Live are those that a running mesh
// changes without harm; what sizes its tables, and what its invariants are counted by, waits for a restart.

import PeerMesh
import Timers

extension Setting {
    private static func span(
        _ name: String, _ path: SpanPath, _ range: ClosedRange<Nanoseconds>, _ summary: String, _ change: Change = .live
    ) -> Row {
        Row(name: name, field: .span(path, range), change: change, summary: summary)
    }

    private static func count(
        _ name: String, _ path: CountPath, _ range: ClosedRange<UInt32>, _ summary: String, _ change: Change = .live
    ) -> Row {
        Row(name: name, field: .count(path, range), change: change, summary: summary)
    }

    static func optionalCount(
        _ name: String, _ path: OptionalCountPath, _ range: ClosedRange<UInt32>, _ fallback: String, _ summary: String,
        _ change: Change = .live
    ) -> Row {
        Row(name: name, field: .optionalCount(path, range), change: change, summary: summary, fallback: fallback)
    }

    private static let tick = Nanoseconds.milliseconds(1)
    private static let hour = Nanoseconds.seconds(3_600)
    private static let week = Nanoseconds.seconds(7 * 24 * 3_600)

    /// An entry without its chapter.
    struct Row {
        let name: String
        let field: Field
        let change: Change
        let summary: String
        var fallback: String?

        func setting(in section: Section) -> Setting {
            Setting(name: name, section: section, field: field, change: change, fallback: fallback, summary: summary)
        }
    }

    static let meshTable: [(Section, [Row])] = [
        (.slots, slots),
        (.dials, dials),
        (.keepalive, keepalive),
        (.schedule, schedule),
        (.abuse, abuse),
        (.discovery, discovery),
    ]

    private static let slots: [Row] = [
        count("max-peers", \.mesh.maxPeers, 1...100_000, "Peers with an established link, at most", .restart),
        optionalCount("reserve", \.mesh.reservedSlots, 0...100_000, "auto: 40 % of max-peers, 20 … 30", "Slots that only masternodes take", .restart),
        optionalCount("outbound-slots", \.mesh.outboundSlots, 0...100_000, "auto: a quarter of the regular slots", "Regular slots that no stranger who calls in takes: kept for learnt peers that this node dials"),
        count("regular-per-address", \.mesh.regularPerAddress, 1...100_000, "Links of regular peers from one address (IPv6: one /64), at most"),
        optionalCount("regular-per-subnet", \.mesh.regularPerSubnet, 1...100_000, "auto: half of the regular slots, 8 … 64", "Links of regular peers from one /24 or /48, at most"),
        count("pending-limit", \.mesh.pendingLimit, 1...65_536, "Accepted sockets that have not said hello yet, at most", .restart),
        count("pending-per-address", \.mesh.pendingPerAddress, 1...65_536, "… of them from one address"),
        count("pending-per-subnet", \.mesh.pendingPerSubnet, 1...65_536, "… of them from one /24 or /48"),
        count("draining-limit", \.mesh.drainingLimit, 1...65_536, "Links that are being drained, at most", .restart),
        count("book-capacity", \.mesh.bookCapacity, 16...1_048_576, "Peers that the book remembers, at most", .restart),
        count("ban-capacity", \.mesh.banCapacity, 1...1_048_576, "Bans that are remembered, at most", .restart),
    ]

    private static let dials: [Row] = [
        count("dial-limit", \.mesh.dialLimit, 1...65_536, "Dials in flight, at most", .restart),
        count("dial-rate", \.mesh.dialRate, 1...100_000, "Dials a second, on average"),
        count("dial-burst", \.mesh.dialBurst, 1...65_536, "Dials that may start at once"),
        span("dial-timeout", \.mesh.dialTimeout, tick...hour, "How long a TCP connection may take to stand"),
        span("greeting-timeout", \.mesh.greetingTimeout, tick...hour, "How long the greeting may take; at least twice the probe"),
        span("probe-timeout", \.mesh.probeTimeout, tick...hour, "How long the older of two links has to show life"),
        span("drain-timeout", \.mesh.drainTimeout, tick...hour, "How long a closed link may still be read"),
        span("frame-timeout", \.mesh.frameTimeout, tick...hour, "How long a started frame may take to end"),
        count("frame-minimum-rate", \.mesh.frameMinimumRate, 1...1_073_741_824, "Bytes a second that keep a started frame going beyond frame-timeout"),
        span("frame-limit", \.mesh.frameLimit, tick...hour, "How long a started frame may take at most, whatever its rate"),
    ]

    private static let keepalive: [Row] = [
        span("ping-interval", \.mesh.pingInterval, tick...hour, "Time between pings"),
        span("pong-timeout", \.mesh.pongTimeout, tick...hour, "How long a ping waits for its pong"),
        count("regular-misses", \.mesh.regularMisses, 1...1_000, "Missed pings that close a regular peer's link"),
        count("masternode-misses", \.mesh.masternodeMisses, 1...1_000, "Missed pings that close a masternode's link"),
        count("progress-bytes", \.mesh.progressBytes, 1...1_073_741_824, "A peer that takes so much a pong-timeout misses nothing"),
        span("progress-grace", \.mesh.progressGrace, tick...hour, "… for so long at most"),
    ]

    private static let schedule: [Row] = [
        span("backoff-initial", \.mesh.backoffInitial, tick...hour, "Wait before the first redial; it doubles with each failure"),
        span("backoff-max", \.mesh.backoffMax, tick...week, "Longest wait before a redial"),
        count("jitter-percent", \.mesh.jitterPercent, 0...50, "Waits are spread by so many percent both ways"),
        span("stable-after", \.mesh.stableAfter, tick...week, "A link that stood for so long clears its peer's failures"),
        span("passive-wait", \.mesh.passiveWait, tick...hour, "The higher of two masternodes lets the lower dial for so long"),
        count("masternode-failures", \.mesh.masternodeFailures, 1...1_000_000, "Failures after which a masternode is dialled slowly"),
        count("regular-failures", \.mesh.regularFailures, 1...1_000_000, "Failures after which a peer is dialled slowly or forgotten"),
        span("life-window", \.mesh.lifeWindow, tick...week, "Our own network counts as alive for so long after a sign of it"),
        span("tombstone-time", \.mesh.tombstoneTime, tick...week, "A forgotten peer is not learnt again for so long"),
        count("book-floor", \.mesh.bookFloor, 0...1_048_576, "The last so many known peers are never forgotten"),
        span("demotion-delay", \.mesh.demotionDelay, tick...week, "A role outlives its registration by so long"),
        span("self-memory", \.mesh.selfMemory, tick...week, "An endpoint that proved to be this node rests for so long"),
        span("verify-interval", \.mesh.verifyInterval, tick...week, "One verifying dial a peer in this time"),
    ]

    private static let abuse: [Row] = [
        count("ban-score", \.mesh.banScore, 1...1_000_000, "Points of provable abuse at which an address is banned"),
        span("ban-time", \.mesh.banTime, tick...week, "… and for how long"),
    ]

    private static let discovery: [Row] = [
        span("discovery-interval", \.mesh.discoveryInterval, tick...week, "Time between rounds that look for missing peers"),
        span("feeler-interval", \.mesh.feelerInterval, tick...week, "Time between two dials at peers that were only told of, beside those into free slots"),
        span("target-period", \.mesh.targetPeriod, tick...hour, "One more dial in this time at an address that was only told of, after four at once"),
        count("share-limit", \.mesh.shareLimit, 0...1_000, "Peers named in one answer, at most"),
        count("intake-burst", \.mesh.intakeBurst, 0...1_000_000, "Peers taken from one link at once"),
        span("intake-period", \.mesh.intakePeriod, tick...week, "… and how long each further one takes"),
    ]
}
