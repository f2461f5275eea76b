// Traps of clocks and timers. Each number is a row of docs/Traps.md; the wheel's own are in TimersTests.

import CEpoll
import Testing
import Timers

@testable import Reactor

@Suite("Traps: time", .ownThread)
struct TrapTimeTests {
    @Test("trap 16: a timer that re-arms itself at zero fires once an iteration")
    func trap16() throws {
        try trap(16, leftOut: { Faults.leaveOut(16) }) {
            let loop = try EventLoop()
            let (diary, other) = (Diary(), Diary())
            defer { diary.forget() }
            let pair = Pair()
            _ = try loop.add(pair.fd, interest: .read, source: other, tag: 0)
            pair.send()
            let timer = loop.makeTimer(source: diary, tag: 1)
            diary.onTimer = { _ in loop.arm(timer, at: loop.now) }
            loop.arm(timer, at: loop.now)
            for _ in 0..<10 { loop.runOnce(.noWait) }
            guard other.entries.count == 10 else { return "readiness was told \(other.entries.count) times in 10 iterations" }
            return diary.entries.count <= 10 ? nil : "it fired \(diary.entries.count) times in 10 iterations, stopped by the bound alone"
        }
    }

    @Test("trap 18: a span beyond the end of time is a deadline that never comes: no crash, and it does not fire at once")
    func trap18() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let spans = [Nanoseconds(.max), .seconds(.max), .milliseconds(.max), .seconds(1 << 40) * 1_000_000, Nanoseconds(.seconds(Int64.max))]
        for span in spans {
            loop.arm(loop.makeTimer(source: diary, tag: 0), after: span)
            loop.arm(loop.makeTimer(source: diary, tag: 0), at: loop.now + span)
        }
        for _ in 0..<5 { loop.runOnce(.noWait) }
        #expect(diary.entries.isEmpty, "\(diary.entries.count) of 10 timers fired 584 years early")
        #expect(loop.nextDeadline.map { $0 > loop.now + .seconds(1 << 20) } == true)
    }

    @Test("trap 19: no wait is longer than a day, whatever the deadline, with epoll_pwait2 and without")
    func trap19() throws {
        let century = Nanoseconds.seconds(3_155_695_200)
        for isCoarse in [false, true] where Faults.areBuilt {
            try trap(19, leftOut: { Faults.leaveOut(19) }) {
                if isCoarse { Faults.answer(.wait, Int64(-CEPOLL_ENOSYS)) }
                let loop = try EventLoop()
                let call: Call = isCoarse ? .coarseWait : .wait
                Faults.answer(call, 0)
                for deadline in [loop.now + century, .never, loop.now + .milliseconds(1)] {
                    let timer = loop.makeTimer(source: Diary(), tag: 0)
                    loop.arm(timer, at: deadline)
                    loop.runOnce(.wait)
                    loop.destroy(timer)
                }
                guard loop.state.waitsFinely == !isCoarse else { return "the kernel's answer was not heeded" }
                let waits = Faults.records.filter { $0.call == call }.map(\.argument)
                let day: Int64 = isCoarse ? 86_400_000 : 86_400_000_000_000
                let wrong = waits.first { $0 < 0 || $0 > day }
                return wrong.map { "a deadline a century away became a wait of \($0) \(isCoarse ? "ms" : "ns")" }
            }
        }
    }

    @Test("trap 20: a span counts from the call that arms it, not from an iteration's old reading of the clock")
    func trap20() throws {
        try trap(20, leftOut: { Faults.leaveOut(20) }) {
            let loop = try EventLoop()
            let diary = Diary()
            defer { diary.forget() }
            let pair = Pair()
            let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 0)
            let timer = loop.makeTimer(source: diary, tag: 1)
            var (armed, fired) = (Instant.zero, Instant.zero)
            diary.onReady = { _, _ in
                loop.remove(slot)
                work(.milliseconds(40))
                armed = Instant(nanoseconds: cepoll_monotonic())
                loop.arm(timer, after: .milliseconds(30))
            }
            diary.onTimer = { _ in fired = Instant(nanoseconds: cepoll_monotonic()) }
            pair.send()
            guard run(loop, until: { fired > .zero }) else { return "it never fired" }
            let passed = fired - armed
            return passed >= .milliseconds(30) ? nil : "30 ms were over after \(passed.count / 1_000) µs"
        }
    }

    @Test("trap 22: a clock that jumps by weeks fires what is due in bounded batches, and readiness has its turn between")
    func trap22() throws {
        let settings = Box(1_000)
        try trap(22, leftOut: { settings.value = .max }) {
            guard Faults.areBuilt else { return nil }
            var configuration = EventLoop.Configuration()
            configuration.timersPerIteration = settings.value
            let loop = try EventLoop(configuration)
            let (diary, other) = (Diary(), Diary())
            let pair = Pair()
            _ = try loop.add(pair.fd, interest: .read, source: other, tag: 0)
            pair.send()
            for index in 0..<10_000 {
                let timer = loop.makeTimer(source: diary, tag: UInt32(index))
                loop.arm(timer, after: .seconds(UInt64(index) * 190 + 60))
            }
            loop.runOnce(.noWait)
            guard diary.entries.isEmpty else { return "timers fired before the jump" }
            Faults.shiftClock(seconds: 86_400 * 24)
            var (most, iterations) = (0, 1)
            while diary.entries.count < 10_000, iterations < 10_000 {
                let before = diary.entries.count
                loop.runOnce(.noWait)
                iterations += 1
                most = max(most, diary.entries.count - before)
            }
            guard most <= 1_000 else { return "\(most) timers fired in one iteration before any descriptor had its turn" }
            guard diary.firedTags == (0..<10_000).map(UInt32.init) else { return "not all fired, or not in order" }
            return other.entries.count == iterations ? nil : "readiness was told \(other.entries.count) times in \(iterations) iterations"
        }
    }

    @Test("trap 23: cancelled timers leave nothing behind: no wake, no deadline, no work")
    func trap23() throws {
        try trap(23, leftOut: { Faults.leaveOut(23) }) {
            let loop = try EventLoop()
            let diary = Diary()
            let timers = (0..<1_000).map { loop.makeTimer(source: diary, tag: UInt32($0)) }
            for (index, timer) in timers.enumerated() { loop.arm(timer, at: loop.now + .milliseconds(UInt64(index))) }
            for timer in timers { loop.cancel(timer) }
            if let deadline = loop.nextDeadline { return "with every timer cancelled the next wake is at \(deadline.nanoseconds)" }
            run(loop, for: .milliseconds(20))
            return diary.entries.isEmpty ? nil : "\(diary.entries.count) cancelled timers fired"
        }
    }
}

/// A value that two closures share.
private final class Box {
    var value: Int
    init(_ value: Int) { self.value = value }
}
