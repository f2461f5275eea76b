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

    /// Where a level's slot ends, seen from `now`: the next multiple of 64^k ticks, or a nanosecond or a tick beside it.
    mutating func levelEdge(after now: Instant) -> Instant {
        let tick: UInt64 = 1_000_000
        let shift = UInt64(6 * below(8))
        let slot = (now.nanoseconds / tick) >> shift
        let (edge, overflow) = ((slot + 1) << shift).multipliedReportingOverflow(by: tick)
        guard !overflow else { return .never }
        switch below(5) {
        case 0: return Instant(nanoseconds: max(edge, tick) - tick)
        case 1: return Instant(nanoseconds: max(edge, 1) - 1)
        case 2: return Instant(nanoseconds: edge)
        case 3: return Instant(nanoseconds: edge) + Nanoseconds(1)
        default: return Instant(nanoseconds: edge) + Nanoseconds(tick)
        }
    }

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
        var hasFired = false
    }

    var timers: [Timer?]
    var now: Instant
    /// The first whole tick at which one of those that the last advance found was due, but for those armed for the past.
    var firstDue: UInt64?

    static func tick(up deadline: Instant) -> UInt64 {
        deadline.nanoseconds / 1_000_000 + (deadline.nanoseconds % 1_000_000 == 0 ? 0 : 1)
    }

    static func tick(of now: Instant) -> UInt64 {
        now == .never ? tick(up: now) : now.nanoseconds / 1_000_000
    }

    static func instant(_ tick: UInt64) -> Instant {
        let (nanoseconds, overflow) = tick.multipliedReportingOverflow(by: 1_000_000)
        return Instant(nanoseconds: overflow ? .max : nanoseconds)
    }

    mutating func arm(_ index: Int, _ deadline: Instant) {
        timers[index] = Timer(deadline: deadline, isPast: deadline <= now)
    }

    mutating func cancel(_ index: Int) {
        timers[index] = nil
    }

    mutating func advance(to instant: Instant) {
        now = max(now, instant)
        firstDue = nil
        for index in timers.indices {
            guard let timer = timers[index], !timer.hasFired else { continue }
            let tick = Model.tick(up: timer.deadline)
            guard timer.isPast || tick <= Model.tick(of: now) else { continue }
            timers[index]?.hasFired = true
            if !timer.isPast { firstDue = min(firstDue ?? tick, tick) }
        }
    }

    var hasFired: Bool {
        for case .some(let timer) in timers where timer.hasFired { return true }
        return false
    }

    var armedCount: Int {
        var count = 0
        for timer in timers where timer != nil { count += 1 }
        return count
    }

    /// The latest moment at which the wheel may ask to be woken.
    var latestWake: Instant? {
        var first: Instant?
        for case .some(let timer) in timers {
            let wake = timer.hasFired || timer.isPast ? now : Model.instant(Model.tick(up: timer.deadline))
            first = min(first ?? wake, wake)
        }
        return first
    }
}

#if DEBUG
private let operations = 100_000
#else
private let operations = 10_000_000
#endif

@Suite("Timer wheel against a model")
struct TimerWheelModelTests {
    static let epochs = [
        Instant.zero, Instant(nanoseconds: 1), Instant(nanoseconds: 86_400_000_000_000),
        Instant(nanoseconds: 1 << 62), Instant(nanoseconds: .max / 2), Instant(nanoseconds: .max - 90_000_000_000),
        Instant(nanoseconds: .max - 1_000_001), .never,
    ]

    @Test("ten million operations agree with a plain list, in every epoch of the clock", arguments: epochs)
    func agrees(epoch: Instant) throws {
        var generator = Generator(state: epoch.nanoseconds ^ 42)
        var remaining = operations / Self.epochs.count
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
            case 10 where generator.below(8) == 0:
                wheel = wheel.clone()
            case 10:
                let deadline = generator.levelEdge(after: model.now)
                wheel.arm(index, at: deadline)
                model.arm(index, deadline)
            default:
                let target: Instant
                switch generator.below(6) {
                case 0, 1: target = wheel.nextWake.map { calm && $0 - model.now > .seconds(10) ? model.now : $0 } ?? model.now
                case 2: target = model.now + Nanoseconds(generator.span() % 100_000_000)
                case 3: target = model.now
                case 4:
                    let edge = generator.levelEdge(after: model.now)
                    target = calm && edge - model.now > .seconds(300) ? model.now : edge
                default: target = model.now + Nanoseconds(calm ? generator.span() % 10_000_000_000 : generator.span())
                }
                let due = wheel.advance(to: target)
                model.advance(to: target)
                try check(due == model.firstDue.map(Model.instant), "advance misjudged how late it is")
                try drain(&wheel, &model, &generator)
            }
            try compare(wheel, model, index)
        }
    }

    /// Takes out what fired, cancelling and re-arming on the way.
    private func drain(_ wheel: inout TimerWheel, _ model: inout Model, _ generator: inout Generator) throws {
        var lastTick: UInt64 = 0
        let stopEarly = generator.below(8) == 0
        // Handed out by now: nothing may come twice in a round, however it was re-armed meanwhile.
        var handedOut: UInt64 = 0
        while !stopEarly || generator.below(3) != 0, let index = wheel.popFired() {
            guard let timer = model.timers[index] else { throw Mismatch("\(index) fired, and is not armed") }
            try check(timer.hasFired, "\(index) fired, and should not have")
            try check(handedOut & 1 << UInt64(index) == 0, "\(index) fired twice in a round")
            handedOut |= 1 << UInt64(index)
            if !timer.isPast {
                let tick = Model.tick(up: timer.deadline)
                try check(tick >= lastTick, "fired out of order: \(timer) after tick \(lastTick), now \(model.now)")
                lastTick = tick
            }
            model.timers[index] = nil
            // What a callback may do: arm itself or others at zero, for now, or for later; cancel any.
            let other = generator.below(4) == 0 ? generator.below(model.timers.count) : index
            switch generator.below(8) {
            case 0:
                wheel.arm(other, at: .zero)
                model.arm(other, .zero)
            case 1:
                wheel.arm(other, at: model.now)
                model.arm(other, model.now)
            case 2:
                let victim = generator.below(model.timers.count)
                wheel.cancel(victim)
                model.cancel(victim)
            case 3:
                let deadline = model.now + Nanoseconds(generator.span())
                wheel.arm(other, at: deadline)
                model.arm(other, deadline)
            default: break
            }
        }
        // A round that was broken off may mix with the next one's; order holds within a round only.
        if stopEarly {
            while let index = wheel.popFired() {
                try check(model.timers[index]?.hasFired == true, "\(index) fired, and should not have")
                model.timers[index] = nil
            }
        }
        try check(!model.hasFired, "due, and did not fire")
    }

    private func compare(_ wheel: borrowing TimerWheel, _ model: Model, _ index: Int) throws {
        try check(wheel.deadline(of: index) == model.timers[index]?.deadline, "another deadline than was set")
        try check(wheel.armedCount == model.armedCount, "another number of armed timers")
        switch (wheel.nextWake, model.latestWake) {
        case (nil, nil): break
        case (let wake?, let latest?): try check(wake <= latest && wake >= model.now, "wakes at \(wake), not by \(latest)")
        default: throw Mismatch("a wake without a timer, or a timer without a wake")
        }
    }

    // Not `#require`, which costs more than all that it checks here.
    private func check(_ holds: Bool, _ text: @autoclosure () -> String) throws {
        if !holds { throw Mismatch(text()) }
    }
}

private struct Mismatch: Error, CustomStringConvertible {
    var description: String

    init(_ text: String) { description = text }
}
