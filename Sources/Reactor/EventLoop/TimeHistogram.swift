// How long something takes, counted in buckets: fixed storage, no allocation, a dozen instructions a sample, so that the
// loop can afford one an iteration for ever.

public import Timers

/// Spans of time, counted by size. One plain value of 64 buckets: copy it to publish it, subtract an older copy to see a
/// window of time.
///
/// The buckets are log-linear, two to each power of two: the first takes what is shorter than 256 ns, the last what is
/// longer than six minutes, and what a bucket takes differs by a half at most (`quantile` is never more than 50 % above the truth).
public struct TimeHistogram: Hashable, Sendable, BitwiseCopyable {
    /// How many buckets there are.
    public static var bucketCount: Int { 64 }
    /// The first bucket ends at 2^8 nanoseconds.
    private static var firstBits: Int { 8 }

    private var buckets = [64 of UInt64](repeating: 0)
    /// How many samples there are.
    public private(set) var count: UInt64 = 0
    /// Their sum, in nanoseconds.
    public private(set) var sum: UInt64 = 0
    /// The longest one.
    public private(set) var longest = Nanoseconds.zero

    /// An empty one.
    public init() {}

    /// Counts one sample. O(1).
    public mutating func add(_ span: Nanoseconds) {
        buckets[Self.bucket(of: span)] &+= 1
        count &+= 1
        sum &+= span.count
        if span > longest { longest = span }
    }

    /// Samples in bucket `index` alone.
    public subscript(_ index: Int) -> UInt64 { buckets[index] }

    /// Where a span is counted: below `bound(of:)` of this bucket, and not below that of the one before. O(1).
    public static func bucket(of span: Nanoseconds) -> Int {
        let bits = UInt64.bitWidth - span.count.leadingZeroBitCount
        guard bits > firstBits else { return 0 }
        // The bit below the highest tells the two halves of a power of two apart.
        let half = Int(truncatingIfNeeded: span.count >> UInt64(bits - 2) & 1)
        return min(1 + (bits - firstBits - 1) * 2 + half, bucketCount - 1)
    }

    /// What bucket `index` takes is shorter than this; nil for the last one, which takes any.
    public static func bound(of index: Int) -> Nanoseconds? {
        precondition(index >= 0 && index < bucketCount, "no such bucket")
        guard index < bucketCount - 1 else { return nil }
        let power = UInt64(1) << UInt64(firstBits + index / 2)
        return Nanoseconds(index % 2 == 0 ? power : power + power / 2)
    }

    /// A span that the share `share` (0 … 1) of the samples does not exceed: the end of the bucket in which the last of them lies,
    /// or the longest sample, if that is shorter. Zero if there are no samples. O(buckets).
    public func quantile(_ share: Double) -> Nanoseconds {
        precondition(share >= 0 && share <= 1, "a share is between 0 and 1")
        guard count > 0 else { return .zero }
        let rank = max(1, UInt64((share * Double(count)).rounded(.up)))
        var seen: UInt64 = 0
        for index in 0..<Self.bucketCount {
            seen &+= buckets[index]
            if seen >= rank { return min(Self.bound(of: index) ?? longest, longest) }
        }
        return longest
    }

    /// The samples since `older`, an earlier copy of the same histogram. `longest` stays that of the whole life.
    public static func - (newer: TimeHistogram, older: TimeHistogram) -> TimeHistogram {
        var window = newer
        for index in 0..<bucketCount { window.buckets[index] &-= older.buckets[index] }
        window.count &-= older.count
        window.sum &-= older.sum
        return window
    }

    public static func == (a: TimeHistogram, b: TimeHistogram) -> Bool {
        for index in 0..<bucketCount where a.buckets[index] != b.buckets[index] { return false }
        return a.sum == b.sum && a.longest == b.longest
    }

    public func hash(into hasher: inout Hasher) {
        for index in 0..<Self.bucketCount { hasher.combine(buckets[index]) }
        hasher.combine(sum)
        hasher.combine(longest)
    }
}
