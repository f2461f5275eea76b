// How long something takes, counted in buckets: what a metric's quantiles are made of. Fixed storage and a few instructions
// a sample, so that the loop can afford one for each pong.

public import Timers

/// Samples of spans, counted by size. Bucket `index` takes spans up to `bound(of: index)`; the bounds double.
public struct SpanHistogram: Hashable, Sendable, BitwiseCopyable {
    /// 65.536 µs, 131.072 µs … 17.18 s, and one bucket for what is longer.
    public static let bucketCount = 20
    private static let firstBits = 16

    private var counts = [20 of UInt64](repeating: 0)
    /// The samples' sum, in nanoseconds.
    public private(set) var sum: UInt64 = 0

    /// An empty one.
    public init() {}

    /// Counts one sample. O(1).
    public mutating func add(_ span: Nanoseconds) {
        let bits = span.count == 0 ? 0 : UInt64.bitWidth - (span.count - 1).leadingZeroBitCount
        counts[min(max(bits - Self.firstBits, 0), Self.bucketCount - 1)] &+= 1
        sum &+= span.count
    }

    /// Samples in bucket `index` alone.
    public subscript(_ index: Int) -> UInt64 { counts[index] }

    /// The largest span that bucket `index` takes; nil for the last one, which takes any.
    public static func bound(of index: Int) -> Nanoseconds? {
        index < bucketCount - 1 ? Nanoseconds(1 << UInt64(firstBits + index)) : nil
    }

    /// All samples.
    public var count: UInt64 {
        var count: UInt64 = 0
        for index in 0..<Self.bucketCount { count &+= counts[index] }
        return count
    }

    public static func == (a: SpanHistogram, b: SpanHistogram) -> Bool {
        for index in 0..<bucketCount where a.counts[index] != b.counts[index] { return false }
        return a.sum == b.sum
    }

    public func hash(into hasher: inout Hasher) {
        for index in 0..<Self.bucketCount { hasher.combine(counts[index]) }
        hasher.combine(sum)
    }
}
