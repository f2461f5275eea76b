// What the loop counts of itself, and how it measures its own lateness. Spans are held against lower bounds only: a machine
// can be slow, but no clock runs backwards.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// Keeps the thread busy for so long.
private func spin(milliseconds: UInt64) {
    let end = cepoll_monotonic() + milliseconds * 1_000_000
    while cepoll_monotonic() < end {}
}

@Suite("Loop counters", .ownThread)
struct LoopCounterTests {
    @Test("the counters are one plain value, which a copy of bytes publishes")
    func plain() throws {
        func size<Value: BitwiseCopyable>(_ value: Value) -> Int { MemoryLayout<Value>.size }
        let loop = try EventLoop()
        loop.runOnce(.noWait)
        let counters = loop.counters
        #expect(size(counters) <= 2_048)
        #expect(counters == loop.counters)
        loop.runOnce(.noWait)
        #expect(counters != loop.counters && counters.iterations == 1)
    }

    @Test("every iteration is one sample of callback time, from the wait's return to the end of the close phase")
    func callbackTime() throws {
        let loop = try EventLoop()
        let diary = Diary()
        diary.onReap = { spin(milliseconds: 3) }
        for _ in 0..<4 { loop.runOnce(.noWait) }
        let before = loop.counters.callbackTime
        #expect(before.count == 4)
        loop.requestReap(diary)
        loop.runOnce(.noWait)
        let sample = loop.counters.callbackTime - before
        #expect(sample.count == 1 && sample.sum >= 3_000_000)
        #expect(sample.quantile(1) >= .milliseconds(3))
    }

    @Test("a timer that waits behind other work is late by all of it: earlier iterations, and this one's readiness and jobs")
    func lag() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let handle = loop.makeHandle(for: diary)
        let timer = loop.makeTimer(source: diary, tag: 0)
        diary.onPosted = { _ in spin(milliseconds: 10) }
        loop.runOnce(.noWait)
        loop.arm(timer, at: loop.now + .milliseconds(2))
        for _ in 0..<2 { #expect(loop.mailbox.post(Job(kind: 0), to: handle) == .posted) }
        while diary.firedTags.isEmpty { loop.runOnce(.wait) }
        let lag = loop.counters.lag
        #expect(lag.count == 1)
        // Due after at most three milliseconds, in whole ticks; twenty of work came first.
        #expect(lag.longest >= .milliseconds(16))
        loop.destroy(timer)
        loop.withdraw(handle)
    }

    @Test("a timer that is armed for the past is not late, and an idle iteration is no sample")
    func noLag() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 0)
        for _ in 0..<5 {
            loop.arm(timer, at: .zero)
            loop.runOnce(.noWait)
        }
        #expect(diary.firedTags.count == 5)
        #expect(loop.counters.lag == TimeHistogram())
        loop.destroy(timer)
    }

    @Test("timers that a budget leaves over count as late until the last of them had its turn")
    func lagOfLeftOvers() throws {
        var configuration = EventLoop.Configuration()
        configuration.timersPerIteration = 1
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let timers = (0..<3).map { loop.makeTimer(source: diary, tag: $0) }
        diary.onTimer = { _ in spin(milliseconds: 5) }
        loop.runOnce(.noWait)
        for timer in timers { loop.arm(timer, at: loop.now + .milliseconds(1)) }
        while diary.firedTags.count < 3 { loop.runOnce(.wait) }
        #expect(loop.counters.lag.count == 3)
        #expect(loop.counters.lag.longest >= .milliseconds(10))
        #expect(loop.counters.exhausted.timers == 2)
        for timer in timers { loop.destroy(timer) }
    }

    @Test("a write that the kernel takes in part is a short write; one that ends at its budget is counted as that")
    func writes() throws {
        let world = try TestWorld()
        let (left, right) = try world.linkedPair(210) {
            $0.writeBudget = 4 << 10
            $0.socket.sendBuffer = 32 << 10
        }
        let link = try #require(left.application.live.first)
        let far = try #require(right.application.live.first)
        right.node.pauseReading(of: far)
        let body = [UInt8](repeating: 3, count: 512 << 10)
        for _ in 0..<8 { #expect(left.node.send(body.span.bytes, type: MessageType(1_000), to: link, policy: .insists) == .queued) }
        let isBlocked = world.run { world.loop.counters.shortWrites > 0 }
        #expect(isBlocked)
        right.node.resumeReading(of: far)
        let haveArrived = world.run { right.application.frames == 8 }
        #expect(haveArrived)
        // A call takes 64 pieces; each of these is one, and so many are more than the budget.
        let small = [UInt8](repeating: 4, count: 100)
        for _ in 0..<200 { #expect(left.node.broadcast(small.span.bytes, type: MessageType(1_000)) == 1) }
        let haveFollowed = world.run { right.application.frames == 208 }
        #expect(haveFollowed)
        #expect(world.loop.counters.exhausted.writes > 0)
    }
}

@Suite("Time histogram")
struct TimeHistogramTests {
    @Test("around every power of two and its half, a span lies in the one bucket whose bounds enclose it")
    func edges() {
        for power in 0..<64 {
            let unit = UInt64(1) << UInt64(power)
            for span in [unit - 1, unit, unit &+ 1, unit &+ unit / 2 &- 1, unit &+ unit / 2, .max] {
                let index = TimeHistogram.bucket(of: Nanoseconds(span))
                if let bound = TimeHistogram.bound(of: index) { #expect(span < bound.count, "\(span)") }
                if index > 0 { #expect(span >= TimeHistogram.bound(of: index - 1)!.count, "\(span)") }
            }
        }
        #expect(TimeHistogram.bound(of: 0) == Nanoseconds(256))
        #expect(TimeHistogram.bound(of: TimeHistogram.bucketCount - 1) == nil)
        #expect(TimeHistogram.bound(of: TimeHistogram.bucketCount - 2)! > .seconds(360))
    }

    @Test("a quantile is never below the truth, and at most half above it")
    func quantiles() {
        var random = SplitMix(state: 7)
        var samples: [UInt64] = []
        var histogram = TimeHistogram()
        #expect(histogram.quantile(0.5) == .zero)
        for _ in 0..<10_000 {
            let span = random.next() >> UInt64.random(in: 26...55, using: &random)
            samples.append(span)
            histogram.add(Nanoseconds(span))
        }
        samples.sort()
        for share in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1] {
            let truth = samples[max(1, Int((share * 10_000).rounded(.up))) - 1]
            let answer = histogram.quantile(share).count
            #expect(answer >= truth && answer <= max(256, truth + truth / 2 + 1), "\(share)")
        }
        #expect(histogram.count == 10_000 && histogram.sum == samples.reduce(0, &+))
        #expect(histogram.longest.count == samples.last)
    }

    @Test("what came between two copies is their difference")
    func windows() {
        var histogram = TimeHistogram()
        histogram.add(.milliseconds(1))
        let before = histogram
        histogram.add(.milliseconds(1))
        histogram.add(.seconds(2))
        let window = histogram - before
        #expect(window.count == 2 && window.sum == 2_001_000_000)
        #expect(window[TimeHistogram.bucket(of: .milliseconds(1))] == 1)
        #expect((histogram - histogram).quantile(0.99) == .zero)
    }
}
