// Every timing and limit of the mesh as an option: one table of names, units, ranges and words. The command line, the
// start lines and the manual are made from it, so that they cannot disagree.

public import PeerMesh
public import Timers

/// One number of `MeshSettings` that operators may set.
public struct Setting: Sendable {
    public typealias SpanPath = any WritableKeyPath<MeshSettings, Nanoseconds> & Sendable
    public typealias CountPath = any WritableKeyPath<MeshSettings, UInt32> & Sendable

    /// Where the number lives, and what it may be.
    public enum Field: Sendable {
        case span(SpanPath, ClosedRange<Nanoseconds>)
        case count(CountPath, ClosedRange<UInt32>)
    }

    /// The option's name without its dashes.
    public let name: String
    public let field: Field
    /// What it does, in a line.
    public let summary: String

    /// What the option takes, as the rest of a sentence.
    public var acceptedForm: String {
        switch field {
        case .span(_, let range): "a span from \(range.lowerBound.span) to \(range.upperBound.span), such as 500ms, 5s or 2m"
        case .count(_, let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        }
    }

    /// Whether the option takes a span of time.
    public var isSpan: Bool {
        if case .span = field { true } else { false }
    }

    /// The value in `settings`, in the form that the option takes.
    public func text(in settings: MeshSettings) -> String {
        switch field {
        case .span(let path, _): settings[keyPath: path].span
        case .count(let path, _): String(settings[keyPath: path])
        }
    }

    /// Reads `text` for this setting.
    public func read(_ text: String) throws(OptionError) -> Choice {
        switch field {
        case .span(_, let range):
            if let span = Nanoseconds(span: text), range.contains(span) { return Choice(setting: self, value: span.count) }
        case .count(_, let range):
            if let count = UInt32(text), range.contains(count) { return Choice(setting: self, value: UInt64(count)) }
        }
        throw OptionError(value: text, accepted: acceptedForm)
    }

    /// A setting with the value that the operator chose for it.
    public struct Choice: Sendable {
        public let setting: Setting
        let value: UInt64

        /// Puts the value where it belongs.
        public func apply(to settings: inout MeshSettings) {
            switch setting.field {
            case .span(let path, _): settings[keyPath: path] = Nanoseconds(value)
            case .count(let path, _): settings[keyPath: path] = UInt32(value)
            }
        }
    }
}

extension Setting {
    /// The setting with this name; the name is the programmer's, so it must exist.
    public static func named(_ name: String) -> Setting {
        guard let found = all.first(where: { $0.name == name }) else { preconditionFailure("no setting is named \(name)") }
        return found
    }

    private static func span(
        _ name: String, _ path: SpanPath, _ from: Nanoseconds, _ to: Nanoseconds,
        _ summary: String
    ) -> Setting {
        Setting(name: name, field: .span(path, from...to), summary: summary)
    }

    private static func count(
        _ name: String, _ path: CountPath, _ range: ClosedRange<UInt32>, _ summary: String
    ) -> Setting {
        Setting(name: name, field: .count(path, range), summary: summary)
    }

    private static let tick = Nanoseconds.milliseconds(1)
    private static let hour = Nanoseconds.seconds(3_600)
    private static let week = Nanoseconds.seconds(7 * 24 * 3_600)

    /// Every setting, in the order in which they are printed.
    public static let all: [Setting] = [
        // Slots.
        count("max-peers", \.maxPeers, 1...100_000, "Peers with an established link, at most"),
        count("pending-limit", \.pendingLimit, 1...65_536, "Accepted sockets that have not said hello yet, at most"),
        count("pending-per-address", \.pendingPerAddress, 1...65_536, "… of them from one address"),
        count("pending-per-subnet", \.pendingPerSubnet, 1...65_536, "… of them from one /24 or /48"),
        count("draining-limit", \.drainingLimit, 1...65_536, "Links that are being drained, at most"),
        count("book-capacity", \.bookCapacity, 16...1_048_576, "Peers that the book remembers, at most"),
        count("ban-capacity", \.banCapacity, 1...1_048_576, "Bans that are remembered, at most"),
        // Dials.
        count("dial-limit", \.dialLimit, 1...65_536, "Dials in flight, at most"),
        count("dial-rate", \.dialRate, 1...100_000, "Dials a second, on average"),
        count("dial-burst", \.dialBurst, 1...65_536, "Dials that may start at once"),
        span("dial-timeout", \.dialTimeout, tick, hour, "How long a TCP connection may take to stand"),
        span("greeting-timeout", \.greetingTimeout, tick, hour, "How long the greeting may take; at least twice the probe"),
        span("probe-timeout", \.probeTimeout, tick, hour, "How long the older of two links has to show life"),
        span("drain-timeout", \.drainTimeout, tick, hour, "How long a closed link may still be read"),
        span("frame-timeout", \.frameTimeout, tick, hour, "How long a started frame may take to end"),
        count("frame-minimum-rate", \.frameMinimumRate, 1...1_073_741_824, "… or how many bytes a second keep it going"),
        // Keepalive.
        span("ping-interval", \.pingInterval, tick, hour, "Time between pings"),
        span("pong-timeout", \.pongTimeout, tick, hour, "How long a ping waits for any sign of life"),
        count("regular-misses", \.regularMisses, 1...1_000, "Missed pings that close a regular peer's link"),
        count("masternode-misses", \.masternodeMisses, 1...1_000, "Missed pings that close a masternode's link"),
        count("progress-bytes", \.progressBytes, 1...1_073_741_824, "A peer that takes so much a pong-timeout misses nothing"),
        span("progress-grace", \.progressGrace, tick, hour, "… for so long at most"),
        // Schedule.
        span("backoff-initial", \.backoffInitial, tick, hour, "Wait before the first redial; it doubles with each failure"),
        span("backoff-max", \.backoffMax, tick, week, "Longest wait before a redial"),
        count("jitter-percent", \.jitterPercent, 0...50, "Waits are spread by so many percent both ways"),
        span("stable-after", \.stableAfter, tick, week, "A link that stood for so long clears its peer's failures"),
        span("passive-wait", \.passiveWait, tick, hour, "The higher of two masternodes lets the lower dial for so long"),
        count("masternode-failures", \.masternodeFailures, 1...1_000_000, "Failures after which a masternode is dialled slowly"),
        count("regular-failures", \.regularFailures, 1...1_000_000, "Failures after which a peer is dialled slowly or forgotten"),
        span("life-window", \.lifeWindow, tick, week, "Our own network counts as alive for so long after a sign of it"),
        span("tombstone-time", \.tombstoneTime, tick, week, "A forgotten peer is not learnt again for so long"),
        count("book-floor", \.bookFloor, 0...1_048_576, "The last so many known peers are never forgotten"),
        span("demotion-delay", \.demotionDelay, tick, week, "A role outlives its registration by so long"),
        span("self-memory", \.selfMemory, tick, week, "An endpoint that proved to be this node rests for so long"),
        span("verify-interval", \.verifyInterval, tick, week, "One verifying dial a peer in this time"),
        // Abuse.
        count("ban-score", \.banScore, 1...1_000_000, "Points of provable abuse at which an address is banned"),
        span("ban-time", \.banTime, tick, week, "… and for how long"),
        // Discovery.
        span("discovery-interval", \.discoveryInterval, tick, week, "Time between rounds that look for missing peers"),
        count("share-limit", \.shareLimit, 0...1_000, "Peers named in one answer, at most"),
        count("intake-burst", \.intakeBurst, 0...1_000_000, "Peers taken from one link at once"),
        span("intake-period", \.intakePeriod, tick, week, "… and how long each further one takes"),
    ]
}
