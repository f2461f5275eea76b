// One table from a reason to what it does: to the schedule, to the sender's score, to the log. No other place asks.

/// What a close reason does.
public struct CloseEffect: Hashable, Sendable {
    /// What the peer's schedule makes of it.
    public enum OnSchedule: Hashable, Sendable {
        /// A failed dial or a short session counts; a long one clears the count.
        case counts
        /// The count stays; the current delay is waited.
        case neutral
        /// The slow cadence.
        case slow
        /// Our own fault: the count stays. A peer that is wanted waits the current delay; a learnt one gives up its place and waits
        /// the slow cadence.
        case ours
        /// Nothing is scheduled because of it.
        case nothing
    }

    /// How loudly a log says it, in rising order.
    public enum Level: UInt8, Hashable, Comparable, Sendable {
        /// For those who look for something.
        case debug
        /// The ordinary course.
        case info
        /// Something to look at when there is time.
        case warning
        /// Something to look at now.
        case error

        /// `debug` is the least.
        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    /// What the peer's schedule makes of it.
    public var schedule: OnSchedule
    /// Points of provable abuse; at `MeshSettings.banScore` the address is banned.
    public var score: UInt32
    /// How loudly a log says it.
    public var level: Level
    /// Flush, shut, read until the end; else the descriptor is closed at once.
    public var drains: Bool
}

extension CloseReason {
    /// The one table of effects. Load, liveness and discovery never score (incidents P42); a bad length is first taken
    /// for desync (P38).
    public var effect: CloseEffect {
        switch self {
        case .remoteClosed: CloseEffect(schedule: .counts, score: 0, level: .info, drains: false)
        case .refused: CloseEffect(schedule: .counts, score: 0, level: .info, drains: false)
        case .dialTimeout: CloseEffect(schedule: .counts, score: 0, level: .info, drains: false)
        case .greetingTimeout: CloseEffect(schedule: .counts, score: 0, level: .warning, drains: false)
        case .frameTimeout: CloseEffect(schedule: .counts, score: 0, level: .warning, drains: false)
        case .keepaliveTimeout: CloseEffect(schedule: .counts, score: 0, level: .warning, drains: false)
        case .protocolViolation: CloseEffect(schedule: .counts, score: 20, level: .warning, drains: true)
        case .desync: CloseEffect(schedule: .counts, score: 0, level: .warning, drains: false)
        case .frameTooLarge: CloseEffect(schedule: .counts, score: 20, level: .warning, drains: false)
        case .slowConsumer: CloseEffect(schedule: .counts, score: 0, level: .warning, drains: false)
        case .superseded: CloseEffect(schedule: .neutral, score: 0, level: .info, drains: true)
        case .duplicate: CloseEffect(schedule: .neutral, score: 0, level: .info, drains: true)
        case .full: CloseEffect(schedule: .slow, score: 0, level: .info, drains: true)
        case .crowded: CloseEffect(schedule: .slow, score: 0, level: .info, drains: true)
        case .evicted: CloseEffect(schedule: .slow, score: 0, level: .info, drains: true)
        case .banned: CloseEffect(schedule: .nothing, score: 0, level: .info, drains: true)
        case .operator: CloseEffect(schedule: .neutral, score: 0, level: .info, drains: true)
        case .shutdown: CloseEffect(schedule: .nothing, score: 0, level: .info, drains: true)
        case .selfConnection: CloseEffect(schedule: .counts, score: 0, level: .info, drains: true)
        case .wrongNetwork: CloseEffect(schedule: .counts, score: 0, level: .warning, drains: true)
        case .internalError: CloseEffect(schedule: .neutral, score: 0, level: .error, drains: false)
        case .io: CloseEffect(schedule: .counts, score: 0, level: .info, drains: false)
        case .local: CloseEffect(schedule: .ours, score: 0, level: .warning, drains: false)
        }
    }
}
