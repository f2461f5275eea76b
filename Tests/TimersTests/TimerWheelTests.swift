// The wheel's promises one by one; `TimerWheelModelTests` holds it against a plain model.

import Testing
import Timers

private let ms: UInt64 = 1_000_000

private func at(_ milliseconds: UInt64) -> Instant {
    Instant(nanoseconds: milliseconds * ms)
}

/// Advances and hands out everything that fired.
private func fire(_ wheel: inout TimerWheel, at now: Instant) -> [Int] {
    wheel.advance(to: now)
    var fired: [Int] = []
    while let index = wheel.popFired() { fired.append(index) }
    return fired
}

@Suite("Timer wheel")
struct TimerWheelTests {
    @Test("a wheel without timers sleeps for ever")
    func empty() {
        var wheel = TimerWheel(capacity: 0, now: .zero)
        #expect(wheel.nextWake == nil)
        #expect(fire(&wheel, at: .never).isEmpty)
    }

    @Test("a timer fires at its deadline, once, and not a nanosecond early")
    func firesOnce() {
        var wheel = TimerWheel(capacity: 4, now: at(1_000))
        wheel.arm(2, at: at(1_500))
        #expect(wheel.isArmed(2) && !wheel.isArmed(1))
        #expect(wheel.deadline(of: 2) == at(1_500))
        #expect(fire(&wheel, at: Instant(nanoseconds: 1_500 * ms - 1)).isEmpty)
        #expect(fire(&wheel, at: at(1_500)) == [2])
        #expect(!wheel.isArmed(2) && wheel.deadline(of: 2) == nil && wheel.armedCount == 0)
        #expect(fire(&wheel, at: .never).isEmpty)
    }

    @Test("a deadline inside a tick waits for the tick's end, and nextWake says so")
    func roundsUp() {
        var wheel = TimerWheel(capacity: 1, now: at(10))
        wheel.arm(0, at: Instant(nanoseconds: 12 * ms + 1))
        #expect(wheel.deadline(of: 0) == Instant(nanoseconds: 12 * ms + 1))
        #expect(fire(&wheel, at: Instant(nanoseconds: 12 * ms + 2)).isEmpty)
        #expect(wheel.nextWake == at(13))
        #expect(fire(&wheel, at: at(13)) == [0])
    }

    @Test("timers of different ticks fire by deadline, of one tick in the order of arming")
    func order() {
        var wheel = TimerWheel(capacity: 8, now: .zero)
        for (index, deadline) in [(0, 700), (1, 65), (2, 3), (3, 65), (4, 4_100), (5, 65), (6, 3)] {
            wheel.arm(index, at: at(UInt64(deadline)))
        }
        #expect(fire(&wheel, at: at(5_000)) == [2, 6, 1, 3, 5, 0, 4])
    }

    @Test("around every power of two and every level's edge, from every phase, a timer fires exactly on its tick (trap 17)")
    func edges() {
        for power in 0...43 {
            for start in [UInt64(0), 1, 63, 64, 65, 4_095, 4_096, 4_097, 262_143, 262_144] {
                let unit = UInt64(1) << UInt64(power)
                for delay in [unit - 1, unit, unit + 1] {
                    var wheel = TimerWheel(capacity: 1, now: at(start))
                    let due = start + delay
                    wheel.arm(0, at: at(due))
                    if delay > 0 { #expect(fire(&wheel, at: at(due - 1)).isEmpty, "\(start) + \(delay)") }
                    #expect(fire(&wheel, at: at(due)) == [0], "\(start) + \(delay)")
                }
            }
        }
    }

    @Test("following nextWake reaches any deadline in at most one wake a level")
    func fewWakes() {
        for power in 0...43 {
            var wheel = TimerWheel(capacity: 1, now: at(12_345))
            let due = at(12_345 + (1 << UInt64(power)) + 77)
            wheel.arm(0, at: due)
            var wakes = 0
            while let wake = wheel.nextWake {
                #expect(wake <= due)
                wakes += 1
                if fire(&wheel, at: wake) == [0] { #expect(wake == due) }
            }
            #expect(wakes <= 8, "\(power)")
        }
    }

    @Test("a deadline in the past fires at the next advance, at the same instant too")
    func past() {
        var wheel = TimerWheel(capacity: 3, now: Instant(nanoseconds: 5 * ms + 700))
        wheel.arm(0, at: Instant(nanoseconds: 5 * ms + 300))
        wheel.arm(1, at: .zero)
        #expect(wheel.nextWake == Instant(nanoseconds: 5 * ms + 700))
        #expect(fire(&wheel, at: Instant(nanoseconds: 5 * ms + 700)) == [0, 1])
        // One that waits in a slot and is pulled into the past.
        wheel.arm(2, at: Instant(nanoseconds: 5 * ms + 900))
        wheel.arm(2, at: Instant(nanoseconds: 5 * ms + 600))
        #expect(fire(&wheel, at: Instant(nanoseconds: 5 * ms + 700)) == [2])
    }

    @Test("a timer re-armed at zero while firing runs in the next round, not in this one (trap 16)")
    func rearmedAtZero() {
        var wheel = TimerWheel(capacity: 2, now: .zero)
        wheel.arm(0, at: at(1))
        wheel.arm(1, at: at(1))
        wheel.advance(to: at(1))
        var rounds = 0
        while let index = wheel.popFired() {
            rounds += 1
            wheel.arm(index, at: at(1))
            #expect(rounds <= 2)
        }
        #expect(rounds == 2 && !wheel.hasFired)
        #expect(wheel.nextWake == at(1), "the next round is due at once")
        #expect(fire(&wheel, at: at(1)) == [0, 1])
        #expect(wheel.nextWake == nil)
    }

    @Test("cancelling or re-arming what has fired but was not handed out takes it back")
    func cancelDuringFiring() {
        var wheel = TimerWheel(capacity: 4, now: .zero)
        for index in 0..<4 { wheel.arm(index, at: at(10)) }
        wheel.advance(to: at(10))
        #expect(wheel.popFired() == 0)
        wheel.cancel(2)
        wheel.arm(3, at: at(20))
        #expect(wheel.isArmed(1) && !wheel.isArmed(2))
        #expect(wheel.popFired() == 1)
        #expect(wheel.popFired() == nil)
        #expect(wheel.armedCount == 1)
        #expect(fire(&wheel, at: at(20)) == [3])
        wheel.cancel(3)
        #expect(wheel.armedCount == 0)
    }

    @Test("an extended timer stays silent at its old deadline and fires at the new one")
    func extended() {
        var wheel = TimerWheel(capacity: 1, now: .zero)
        wheel.arm(0, at: at(30))
        for step in 1...1_000 as ClosedRange<UInt64> {
            #expect(fire(&wheel, at: at(step)).isEmpty)
            wheel.arm(0, at: at(step + 30))
        }
        #expect(fire(&wheel, at: at(1_029)).isEmpty)
        #expect(fire(&wheel, at: at(1_030)) == [0])
    }

    @Test("an extended timer that is then shortened fires at the last deadline it was given")
    func shortened() {
        for last in [21, 64, 99, 100, 101, 4_999] as [UInt64] {
            var wheel = TimerWheel(capacity: 1, now: at(20))
            wheel.arm(0, at: at(100))
            wheel.arm(0, at: at(5_000))
            wheel.arm(0, at: at(last))
            #expect(fire(&wheel, at: at(last - 1)).isEmpty)
            #expect(fire(&wheel, at: at(last)) == [0])
        }
    }

    @Test("at the end of time nothing overflows: the last deadlines fire at the last instant (trap 18)")
    func endOfTime() {
        var wheel = TimerWheel(capacity: 4, now: Instant(nanoseconds: .max - 3_000_000))
        wheel.arm(0, at: .never)
        wheel.arm(1, at: Instant(nanoseconds: .max - 2_000_000))
        wheel.arm(2, at: Instant(nanoseconds: .max - 1))
        #expect(fire(&wheel, at: Instant(nanoseconds: .max - 1_000_000)) == [1])
        #expect(wheel.nextWake == .never)
        #expect(fire(&wheel, at: Instant(nanoseconds: .max - 1)).isEmpty)
        #expect(fire(&wheel, at: .never) == [0, 2])
        wheel.arm(3, at: .never)
        #expect(fire(&wheel, at: .never) == [3])
    }

    @Test("a periodic timer stays on its grid however long its work takes, and skips what it missed (trap 21)")
    func grid() {
        let start = Instant(nanoseconds: 1_000_000_007)
        let period = Nanoseconds.milliseconds(10)
        var due = start
        // Work of 0 to 25 ms after each tick, a little more each time.
        for round in UInt64(0)..<1_000 {
            let now = due + Nanoseconds(round * 25_000)
            let next = due.next(every: period, after: now)
            #expect((next - start).count % period.count == 0)
            #expect(next > now && next - now <= period)
            due = next
        }
        #expect(start.next(every: period, after: start) == start + period)
        #expect(start.next(every: period, after: .zero) == start + period)
        #expect(start.next(every: .seconds(1), after: start + .seconds(86_400 * 30)) == start + .seconds(86_400 * 30 + 1))
        #expect(start.next(every: period, after: .never) >= Instant(nanoseconds: .max - period.count))
    }

    @Test("a clock that steps back counts as one that stands")
    func backwards() {
        var wheel = TimerWheel(capacity: 1, now: at(100))
        wheel.advance(to: at(50))
        wheel.arm(0, at: at(75))
        #expect(fire(&wheel, at: at(60)) == [0])
    }

    @Test("a clone goes its own way")
    func clone() {
        var wheel = TimerWheel(capacity: 3, now: .zero)
        wheel.arm(0, at: at(10))
        wheel.arm(1, at: at(5_000))
        wheel.advance(to: at(10))
        var other = wheel.clone()
        #expect(other.popFired() == 0)
        other.cancel(1)
        #expect(other.nextWake == nil)
        #expect(fire(&wheel, at: at(5_000)) == [0, 1])
    }

    @Test("a use of an index ends with its timer cancelled, and is not taken for the next one")
    func uses() {
        var wheel = TimerWheel(capacity: 2, now: .zero)
        let isBegun = wheel.isInUse(0, 1)
        #expect(!isBegun, "before its first use an index has a generation that no use has")
        let first = wheel.beginUse(of: 0)
        #expect(first != 0 && wheel.isInUse(0, first))
        wheel.arm(0, at: at(10))
        wheel.endUse(of: 0)
        #expect(!wheel.isArmed(0) && !wheel.isInUse(0, first))
        let second = wheel.beginUse(of: 0)
        #expect(second != first && wheel.isInUse(0, second) && !wheel.isInUse(0, first))
        #expect(!wheel.isInUse(2, second) && !wheel.isInUse(-1, second) && !wheel.isInUse(.max, second))
    }

    @Test("within a tick nothing comes up, and what is armed meanwhile for the tick's end does when it ends")
    func withinATick() {
        var wheel = TimerWheel(capacity: 2, now: at(1))
        let half = Instant(nanoseconds: ms + ms / 2)
        let none = wheel.advance(to: half)
        #expect(none == nil)
        wheel.arm(0, at: at(2))
        wheel.arm(1, at: half)
        #expect(wheel.nextWake == half)
        #expect(fire(&wheel, at: half) == [1])
        #expect(fire(&wheel, at: Instant(nanoseconds: 2 * ms - 1)).isEmpty)
        #expect(wheel.nextWake == at(2))
        let due = wheel.advance(to: at(2))
        #expect(due == at(2) && wheel.hasFired)
    }

    #if compiler(>=6.2)
    @Test("an index that does not exist is the caller's error and stops the process")
    func outOfRange() async {
        await #expect(processExitsWith: .failure) {
            var wheel = TimerWheel(capacity: 2, now: .zero)
            wheel.arm(2, at: .zero)
        }
    }
    #endif
}
