// The wheel with a million timers at once, and with a clock that leaps: nothing is lost, nothing comes early, and the order
// is that of the deadlines.

import Testing
import Timers

#if DEBUG
private let population = 200_000
#else
private let population = 1 << 20
#endif

private let ms: UInt64 = 1_000_000

private struct Noise {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 11 ^ state << 32
    }
}

/// The instant `tick` ticks after zero.
private func at(_ tick: UInt64) -> Instant { Instant(nanoseconds: tick * ms) }

@Suite("Timer wheel: a million timers, and a clock that leaps")
struct TimerWheelScaleTests {
    /// Arms all timers for random ticks within `span` after `epoch`, some of them on the way to another deadline.
    private func fill(_ wheel: inout TimerWheel, _ epoch: UInt64, span: UInt64, _ noise: inout Noise) -> [UInt64] {
        var ticks = [UInt64](repeating: 0, count: wheel.capacity)
        for index in ticks.indices {
            ticks[index] = epoch + 1 + noise.next() % span
            if index % 8 == 0 { wheel.arm(index, at: at(ticks[index] + 5_000)) }
            if index % 8 == 1 { wheel.arm(index, at: at(max(epoch + 1, ticks[index] / 2))) }
            wheel.arm(index, at: at(ticks[index]))
        }
        return ticks
    }

    @Test("a million live timers, followed by nextWake: each fires once, exactly on its tick, in order", arguments: [0, 1 << 43])
    func followed(epoch: UInt64) {
        var noise = Noise(state: epoch ^ 99)
        var wheel = TimerWheel(capacity: population, now: at(epoch))
        // Four hours, as a node's longest schedules.
        let ticks = fill(&wheel, epoch, span: 14_400_000, &noise)
        #expect(wheel.armedCount == population)
        var fired = [Bool](repeating: false, count: population)
        var (count, wrong) = (0, 0)
        while let wake = wheel.nextWake {
            wheel.advance(to: wake)
            while let index = wheel.popFired() {
                if fired[index] || at(ticks[index]) != wake { wrong += 1 }
                fired[index] = true
                count += 1
            }
        }
        #expect(count == population && wrong == 0 && wheel.armedCount == 0)
    }

    @Test("a million live timers and a clock that leaps: what a leap passes fires in the order of its ticks, nothing else does")
    func leaping() {
        var noise = Noise(state: 5)
        var wheel = TimerWheel(capacity: population, now: .zero)
        let ticks = fill(&wheel, 0, span: 1 << 36, &noise)
        var now: UInt64 = 0
        var (count, wrong) = (0, 0)
        for leap in 0..<200 as Range<UInt64> {
            // 2^k − 1, 2^k, 2^k + 1 ticks ahead, for each k; the last goes beyond all.
            let unit = UInt64(1) << (leap / 3 % 36)
            let target = leap == 199 ? 1 << 37 : now + unit + leap % 3 - 1
            let due = wheel.advance(to: at(target))
            var last = due.map { $0.nanoseconds / ms } ?? 0
            if due != nil, last <= now || last > target { wrong += 1 }
            while let index = wheel.popFired() {
                if ticks[index] <= now || ticks[index] > target || ticks[index] < last { wrong += 1 }
                last = ticks[index]
                count += 1
            }
            now = target
        }
        #expect(count == population && wrong == 0)
    }

    @Test("a million timers that were cancelled leave nothing behind: the wheel sleeps for ever")
    func cancelled() {
        var noise = Noise(state: 12)
        var wheel = TimerWheel(capacity: population, now: at(77))
        _ = fill(&wheel, 77, span: 1 << 40, &noise)
        for index in (0..<population).reversed() { wheel.cancel(index) }
        #expect(wheel.armedCount == 0 && wheel.nextWake == nil)
        wheel.advance(to: .never)
        #expect(wheel.popFired() == nil)
    }

    @Test("across the edge of every slot of every level, a leap that ends before it, on it and after it fires what is due and no more")
    func levelEdges() {
        for level in 0..<8 {
            let unit = UInt64(1) << UInt64(6 * level)
            for slot in [1, 2, 31, 63, 64, 65] as [UInt64] {
                let edge = unit.multipliedReportingOverflow(by: slot)
                guard !edge.overflow, edge.partialValue < UInt64.max / ms - 2 else { continue }
                for start in [UInt64(0), unit / 2, unit - 1] where start < edge.partialValue {
                    let ticks = [edge.partialValue - 1, edge.partialValue, edge.partialValue + 1].filter { $0 > start }
                    for leap in ticks {
                        var wheel = TimerWheel(capacity: 3, now: at(start))
                        for (index, tick) in ticks.enumerated() { wheel.arm(index, at: at(tick)) }
                        wheel.advance(to: at(leap))
                        var fired: [UInt64] = []
                        while let index = wheel.popFired() { fired.append(ticks[index]) }
                        #expect(fired == ticks.filter { $0 <= leap }, "level \(level), slot \(slot), from \(start) to \(leap)")
                    }
                }
            }
        }
    }

    @Test("advance says when the first of what it found was due; what was armed for the past is not late")
    func lateness() {
        var wheel = TimerWheel(capacity: 4, now: at(10))
        wheel.arm(0, at: .zero)
        #expect(wheel.advance(to: at(20)) == nil)
        wheel.arm(1, at: Instant(nanoseconds: 30 * ms + 1))
        wheel.arm(2, at: at(40))
        wheel.arm(3, at: at(5))
        #expect(wheel.advance(to: at(100)) == at(31))
        #expect(wheel.advance(to: at(200)) == nil)
        wheel.arm(0, at: at(9_000))
        #expect(wheel.advance(to: at(8_999)) == nil)
        #expect(wheel.advance(to: at(50_000)) == at(9_000))
    }
}
