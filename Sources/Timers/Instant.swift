// Points in time and spans of it, in whole nanoseconds. Nothing here reads a clock: whoever owns the thread reads it
// once and hands it down. All arithmetic saturates, so that a far deadline is "never", not a crash (trap 18).

/// A point on a monotonic clock, in nanoseconds since that clock's own start.
public struct Instant: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// Nanoseconds since the clock's start.
    public var nanoseconds: UInt64

    /// The point `nanoseconds` after the clock's start.
    @inlinable
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// The clock's start.
    @inlinable
    public static var zero: Instant { Instant(nanoseconds: 0) }

    /// A point that is never reached: the deadline of what has none.
    @inlinable
    public static var never: Instant { Instant(nanoseconds: .max) }

    /// Whether `a` is earlier than `b`.
    @inlinable
    public static func < (a: Instant, b: Instant) -> Bool {
        a.nanoseconds < b.nanoseconds
    }

    /// The point `span` after this one, or `.never` if that is out of range.
    @inlinable
    public static func + (point: Instant, span: Nanoseconds) -> Instant {
        let (sum, overflow) = point.nanoseconds.addingReportingOverflow(span.count)
        return Instant(nanoseconds: overflow ? .max : sum)
    }

    /// The next tick of something periodic that was last due at this point: the first one after `now` that is a whole number
    /// of periods away from it. The work of one tick does not shift the next, and ticks that were missed are skipped, not
    /// replayed (trap 21). `period` must not be zero. O(1).
    @inlinable
    public func next(every period: Nanoseconds, after now: Instant) -> Instant {
        precondition(period.count > 0, "a period takes time")
        return self + period * ((now - self).count / period.count + 1)
    }

    /// The time from `earlier` to `later`; zero if `earlier` is not earlier.
    @inlinable
    public static func - (later: Instant, earlier: Instant) -> Nanoseconds {
        Nanoseconds(later.nanoseconds > earlier.nanoseconds ? later.nanoseconds - earlier.nanoseconds : 0)
    }
}

/// A span of time, never negative, in nanoseconds. `Duration` is its face at the library's border.
public struct Nanoseconds: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// Nanoseconds.
    public var count: UInt64

    /// A span of `count` nanoseconds.
    @inlinable
    public init(_ count: UInt64) {
        self.count = count
    }

    /// The same span as a `Duration`; a negative one counts as zero, one beyond 584 years as the longest.
    public init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else {
            self.count = 0
            return
        }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        self.count = overflow || carry ? .max : sum
    }

    /// No time at all.
    @inlinable
    public static var zero: Nanoseconds { Nanoseconds(0) }

    /// A span of `n` seconds; the longest one, 584 years, if that is out of range.
    @inlinable
    public static func seconds(_ n: UInt64) -> Nanoseconds {
        let (product, overflow) = n.multipliedReportingOverflow(by: 1_000_000_000)
        return Nanoseconds(overflow ? .max : product)
    }

    /// A span of `n` milliseconds, saturating likewise.
    @inlinable
    public static func milliseconds(_ n: UInt64) -> Nanoseconds {
        let (product, overflow) = n.multipliedReportingOverflow(by: 1_000_000)
        return Nanoseconds(overflow ? .max : product)
    }

    /// Whether `a` is shorter than `b`.
    @inlinable
    public static func < (a: Nanoseconds, b: Nanoseconds) -> Bool {
        a.count < b.count
    }

    /// Both spans together, saturating.
    @inlinable
    public static func + (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds {
        let (sum, overflow) = a.count.addingReportingOverflow(b.count)
        return Nanoseconds(overflow ? .max : sum)
    }

    /// `span` times `factor`, saturating.
    @inlinable
    public static func * (span: Nanoseconds, factor: UInt64) -> Nanoseconds {
        let (product, overflow) = span.count.multipliedReportingOverflow(by: factor)
        return Nanoseconds(overflow ? .max : product)
    }

    /// A `divisor`-th of `span`, rounded down. `divisor` must not be zero.
    @inlinable
    public static func / (span: Nanoseconds, divisor: UInt64) -> Nanoseconds {
        Nanoseconds(span.count / divisor)
    }

    /// Seconds as a floating-point number, for people.
    public var inSeconds: Double { Double(count) / 1e9 }

    /// The same span as a `Duration`.
    public var duration: Duration {
        .seconds(Int64(count / 1_000_000_000)) + .nanoseconds(Int64(count % 1_000_000_000))
    }
}
