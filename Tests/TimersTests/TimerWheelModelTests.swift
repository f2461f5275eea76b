// The wheel against a model that nobody can get wrong: an array of deadlines, searched from end to end.

import Testing
import Timers

private struct Generator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// A span that is likely to sit on an edge: 2^k − 1, 2^k, 2^k + 1 ticks, or nearly; or a few; or any number of nanoseconds.
    mutating func span() -> UInt64 {
        let tick: UInt64 = 1_000_000
        switch below(6) {
        case 0: return UInt64(below(200)) * tick
        case 1: return next() >> UInt64(below(64))
        case 2: return UInt64(below(3)) * UInt64(below(2_000_000))
        default:
            let ticks = (1 << UInt64(below(44))) &+ UInt64(below(3)) &- 1
            let nanoseconds = ticks.multipliedReportingOverflow(by: tick)
            let offset = below(3) == 0 ? UInt64(below(3)) : 0
            return nanoseconds.overflow ? .max : max(nanoseconds.partialValue, 1) - 1 + offset
        }
    }
}

/// What the wheel promises, in the plainest words.
private struct Model {
    struct Timer {
        var deadline: Instant
        /// It was in the past when it was armed: due at the next advance, whatever the ticks say.
        var isPast: Bool
    }

    var timers: [Timer?]
    var fired: Set<Int> = []
    var now: Instant

    static func tick(up deadline: Instant) -> UInt64 {
        deadline.nanoseconds / 1_000_000 + (deadline.nanoseconds % 1_000_000 == 0 ? 0 : 1)
    }

    static func tick(of now: Instant) -> UInt64 {
        now == .never ? tick(up: now) : now.nanoseconds / 1_000_000
    }

    mutating func arm(_ index: Int, _ deadline: Instant) {
        fired.remove(index)
        timers[index] = Timer(deadline: deadline, isPast: deadline <= now)
    }

    mutating func cancel(_ index: Int) {
        fired.remove(index)
        timers[index] = nil
    }

    mutating func advance(to instant: Instant) {
        now = max(now, instant)
        for (index, timer) in timers.enumerated() {
            if let timer, timer.isPast || Model.tick(up: timer.deadline) <= Model.tick(of: now) { fired.insert(index) }
        }
    }

    /// The latest moment at which the wheel may ask to be woken.
    var latestWake: Instant? {
        if !fired.isEmpty { return now }
        return timers.compactMap { timer -> Instant? in
            guard let timer else { return nil }
            if timer.isPast { return now }
            let (nanoseconds, overflow) = Model.tick(up: timer.deadline).multipliedReportingOverflow(by: 1_000_000)
            return Instant(nanoseconds: overflow ? .max : nanoseconds)
        }.min()
    }
}

#if DEBUG
private let operations = 100_000
#else
private let operations = 1_000_000
#endif

@Suite("Timer wheel against a model")
struct TimerWheelModelTests {
    @Test(
        "a million operations agree with a plain list, in every epoch of the clock",
        arguments: [
            Instant.zero, Instant(nanoseconds: 1), Instant(nanoseconds: 86_400_000_000_000),
            Instant(nanoseconds: 1 << 62), Instant(nanoseconds: .max / 2), Instant(nanoseconds: .max - 90_000_000_000),
        ]
    )
    func agrees(epoch: Instant) throws {
        var generator = Generator(state: epoch.nanoseconds ^ 42)
        var remaining = operations / 6
        while remaining > 0 {
            // Short lives, so that the clock, which only jumps ahead, is not at the end of time for most of them.
            let life = min(remaining, 100 + generator.below(400))
            try run(operations: life, from: epoch, &generator)
            remaining -= life
        }
    }

    private func run(operations: Int, from epoch: Instant, _ generator: inout Generator) throws {
        let count = 1 + generator.below(40)
        var wheel = TimerWheel(capacity: count, now: epoch)
        var model = Model(timers: Array(repeating: nil, count: count), now: epoch)
        // How far a jump may go: most lives stay near their epoch.
        let calm = generator.below(4) != 0
        for _ in 0..<operations {
            let index = generator.below(count)
            switch generator.below(16) {
            case 0...4:
                let deadline = model.now + Nanoseconds(generator.span())
                wheel.arm(index, at: deadline)
                model.arm(index, deadline)
            case 5, 6:
                // Extend or shorten by a little.
                let old = model.timers[index]?.deadline ?? model.now
                let shift = Nanoseconds(generator.span() % 1_000_000_000)
                let deadline = generator.below(3) > 0 ? old + shift : Instant(nanoseconds: (old - .zero).count &- min(shift.count, old.nanoseconds))
                wheel.arm(index, at: deadline)
                model.arm(index, deadline)
            case 7:
                let deadline = generator.below(2) == 0 ? Instant.never : .zero
                wheel.arm(index, at: deadline)
                model.arm(index, deadline)
            case 8, 9:
                wheel.cancel(index)
                model.cancel(index)
            case 10:
                wheel = wheel.clone()
            default:
                let target: Instant
                switch generator.below(4) {
                case 0, 1: target = wheel.nextWake.map { calm && $0 - model.now > .seconds(10) ? model.now : $0 } ?? model.now
                case 2: target = model.now + Nanoseconds(generator.span() % 100_000_000)
                default: target = model.now + Nanoseconds(calm ? generator.span() % 10_000_000_000 : generator.span())
                }
                wheel.advance(to: target)
                model.advance(to: target)
                try drain(&wheel, &model, &generator)
            }
            try compare(wheel, model, index)
        }
    }

    /// Takes out what fired, cancelling and re-arming on the way.
    private func drain(_ wheel: inout TimerWheel, _ model: inout Model, _ generator: inout Generator) throws {
        var lastTick: UInt64 = 0
        var handedOut: Set<Int> = []
        let stopEarly = generator.below(8) == 0
        while !stopEarly || generator.below(3) != 0, let index = wheel.popFired() {
            try #require(model.fired.remove(index) != nil, "\(index) fired, and should not have")
            try #require(handedOut.insert(index).inserted, "\(index) fired twice in a round")
            let timer = try #require(model.timers[index])
            if !timer.isPast {
                let tick = Model.tick(up: timer.deadline)
                try #require(tick >= lastTick, "fired out of order: \(timer) after tick \(lastTick), now \(model.now)")
                lastTick = tick
            }
            model.timers[index] = nil
            switch generator.below(6) {
            case 0:
                wheel.arm(index, at: model.now)
                model.arm(index, model.now)
            case 1:
                let victim = generator.below(model.timers.count)
                wheel.cancel(victim)
                model.cancel(victim)
            case 2:
                let deadline = model.now + Nanoseconds(generator.span())
                wheel.arm(index, at: deadline)
                model.arm(index, deadline)
            default: break
            }
        }
        // A round that was broken off may mix with the next one's; order holds within a round only.
        if stopEarly {
            while let index = wheel.popFired() {
                try #require(model.fired.remove(index) != nil)
                model.timers[index] = nil
            }
        }
        try #require(model.fired.isEmpty, "due, and did not fire: \(model.fired)")
    }

    private func compare(_ wheel: borrowing TimerWheel, _ model: Model, _ index: Int) throws {
        let deadline = wheel.deadline(of: index)
        try #require(deadline == model.timers[index]?.deadline)
        let armed = wheel.armedCount
        try #require(armed == model.timers.count { $0 != nil })
        let wake = wheel.nextWake
        let latest = model.latestWake
        try #require((wake == nil) == (latest == nil))
        if let wake, let latest { try #require(wake <= latest && wake >= model.now) }
    }
}
