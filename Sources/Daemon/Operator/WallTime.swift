// Time as calendars have it: what outlives a process. Monotonic instants start anew with each boot and mean nothing on a disk.

import CEpoll
public import Timers

/// Milliseconds since 1970-01-01 00:00 UTC.
public struct WallTime: Hashable, Comparable, Sendable, BitwiseCopyable {
    public let milliseconds: Int64

    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// The system's clock, now.
    public static var now: WallTime {
        WallTime(milliseconds: Int64(cepoll_realtime() / 1_000_000))
    }

    public static func < (a: WallTime, b: WallTime) -> Bool { a.milliseconds < b.milliseconds }

    /// `span` later; saturates.
    public static func + (time: WallTime, span: Nanoseconds) -> WallTime {
        let (sum, overflow) = time.milliseconds.addingReportingOverflow(Int64(span.count / 1_000_000))
        return WallTime(milliseconds: overflow ? .max : sum)
    }

    /// Whether this is at most `span` milliseconds before `now`, or so little after it that clocks may differ: a day. What lies further
    /// ahead was dated by a clock that was wrong, and proves nothing.
    func isWithin(_ span: Int64, before now: WallTime) -> Bool {
        let (age, overflow) = now.milliseconds.subtractingReportingOverflow(milliseconds)
        return !overflow && age <= span && age >= -86_400_000
    }

    /// Moved by `shift` milliseconds; saturates.
    func shifted(by shift: Int64) -> WallTime {
        let (sum, overflow) = milliseconds.addingReportingOverflow(shift)
        return WallTime(milliseconds: overflow ? (shift > 0 ? .max : .min) : sum)
    }

    /// How long after `earlier` this is; zero if it is not.
    public func since(_ earlier: WallTime) -> Nanoseconds {
        guard self > earlier else { return .zero }
        let (span, overflow) = milliseconds.subtractingReportingOverflow(earlier.milliseconds)
        return .milliseconds(UInt64(overflow ? .max : span))
    }

    /// The loop's instant for this time, if it is `now` there when it is `wall` here. A time that is over is `now`.
    public func instant(now: Instant, wall: WallTime) -> Instant {
        now + since(wall)
    }
}
