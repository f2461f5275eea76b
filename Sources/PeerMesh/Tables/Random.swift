// The core's own generator (SplitMix64, Steele, Lea, Flood 2014): seeded, plain, the same on every machine.

import Timers

struct Random: Hashable, BitwiseCopyable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return mix(state)
    }

    /// A number below `bound`, without modulo bias (Lemire's multiplication).
    mutating func next(below bound: UInt64) -> UInt64 {
        precondition(bound > 0)
        return next().multipliedFullWidth(by: bound).high
    }

    /// `span` spread evenly by `percent` both ways.
    mutating func jitter(_ span: Nanoseconds, percent: UInt32) -> Nanoseconds {
        guard percent > 0, span.count > 0 else { return span }
        let reach = span / 100 * UInt64(percent)
        guard reach.count > 0, reach.count < .max / 2 else { return span }
        return Nanoseconds(span.count - reach.count) + Nanoseconds(next(below: 2 * reach.count + 1))
    }

    /// `span` shortened by up to `percent`: for intervals that bound something and must not grow.
    mutating func shorten(_ span: Nanoseconds, percent: UInt32) -> Nanoseconds {
        guard percent > 0, span.count > 0 else { return span }
        let reach = span / 100 * UInt64(percent)
        return Nanoseconds(span.count - next(below: reach.count + 1))
    }
}
