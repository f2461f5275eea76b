// How fast endpoints that were only told of are dialled: one clock for each address block, one for each net, one for all of them, by the
// generic cell rate algorithm (ITU-T I.371). Two addresses may share a clock, which only makes them slower.

import Timers

/// A fixed table of clocks. O(1), no entry to make room for: a clock in the past is a full bucket.
struct DialPaces: ~Copyable {
    /// Dials at once, and how many of them the period of one address allows.
    struct Pace: BitwiseCopyable {
        let burst: UInt64
        let perPeriod: UInt64
    }

    static var address: Pace { Pace(burst: 4, perPeriod: 1) }
    static var net: Pace { Pace(burst: 8, perPeriod: 8) }
    static var all: Pace { Pace(burst: 16, perPeriod: 60) }

    /// The clocks of addresses, then those of nets, then the one of all.
    private var clocks: Slab<Instant>
    private let mask: Int

    init(capacity: Int) {
        var size = 64
        while size < min(capacity, 4_096) { size *= 2 }
        mask = size - 1
        clocks = Slab(count: 2 * size + 1, repeating: .zero)
    }

    private init(clocks: consuming Slab<Instant>, mask: Int) {
        self.clocks = clocks
        self.mask = mask
    }

    borrowing func clone() -> DialPaces { DialPaces(clocks: clocks.clone(), mask: mask) }

    /// When the next dial at that address and net may begin; not after `now` if it may begin now.
    func earliest(address: UInt32, net: UInt32, period: Nanoseconds) -> Instant {
        let own = earliest(Int(address) & mask, Self.address, period)
        let near = earliest(mask + 1 + Int(net) & mask, Self.net, period)
        return max(own, near, earliest(2 * (mask + 1), Self.all, period))
    }

    private func earliest(_ index: Int, _ pace: Pace, _ period: Nanoseconds) -> Instant {
        let ahead = period / pace.perPeriod * (pace.burst - 1)
        return clocks[index].nanoseconds > ahead.count ? Instant(nanoseconds: clocks[index].nanoseconds - ahead.count) : .zero
    }

    mutating func book(address: UInt32, net: UInt32, period: Nanoseconds, at now: Instant) {
        advance(Int(address) & mask, period / Self.address.perPeriod, now)
        advance(mask + 1 + Int(net) & mask, period / Self.net.perPeriod, now)
        advance(2 * (mask + 1), period / Self.all.perPeriod, now)
    }

    private mutating func advance(_ index: Int, _ step: Nanoseconds, _ now: Instant) { clocks[index] = max(clocks[index], now) + step }

    /// Every bucket is full: the period has changed.
    mutating func reset() {
        for index in 0..<clocks.count { clocks[index] = .zero }
    }

    // As state: the clocks that were ever used.

    borrowing func encode(_ writer: inout StateWriter) {
        var used = 0
        for index in 0..<clocks.count where clocks[index] != .zero { used += 1 }
        writer.put(UInt64(used))
        for index in 0..<clocks.count where clocks[index] != .zero {
            writer.put(UInt64(index))
            writer.put(clocks[index])
        }
    }

    mutating func decode(_ reader: inout StateReader) {
        let used = reader.number(below: clocks.count + 1)
        for _ in 0..<used where !reader.isBad { clocks[reader.number(below: clocks.count)] = reader.instant() }
    }
}
