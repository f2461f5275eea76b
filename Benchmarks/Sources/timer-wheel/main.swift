// The library's timer wheel against `Peers/timers`: the same operations in the same order.
//
//   timer-wheel SIZE                nanoseconds of each operation, as a line of JSON
//   timer-wheel SIZE OPERATION      does that operation alone, once for each timer, after what it needs; for a count of
//                                   instructions, of which a run with `none` is the rest
//
// arm      each timer, at a delay of 1 … 120,000 ms, in random order
// extend   each armed timer to a later deadline, as each message does with an idle timer
// move     each armed timer to another random deadline, sooner or later
// cancel   each armed timer, in random order
// expire   all of them, the clock going from deadline to deadline

import Glibc
import Timers

/// xorshift64*: the same numbers as the C side draws.
struct Numbers {
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

struct Bench: ~Copyable {
    let size: Int
    var wheel: TimerWheel
    let delays: UnsafeMutablePointer<UInt64>
    let others: UnsafeMutablePointer<UInt64>
    let order: UnsafeMutablePointer<UInt32>
    static var start: Instant { Instant(nanoseconds: 1_000_000_000_000) }

    /// Without a look at the end of time, as on the C side.
    @inline(__always)
    static func after(_ delay: UInt64) -> Instant {
        Instant(nanoseconds: start.nanoseconds &+ delay)
    }

    init(size: Int) {
        self.size = size
        wheel = TimerWheel(capacity: size, now: Self.start)
        delays = .allocate(capacity: size)
        others = .allocate(capacity: size)
        order = .allocate(capacity: size)
        var numbers = Numbers()
        for index in 0..<size {
            delays[index] = (1 + numbers.next() % 120_000) * 1_000_000
            others[index] = (1 + numbers.next() % 120_000) * 1_000_000
            order[index] = UInt32(index)
        }
        for index in stride(from: size - 1, to: 0, by: -1) {
            let other = Int(numbers.next() % UInt64(index + 1))
            (order[index], order[other]) = (order[other], order[index])
        }
    }

    @inline(never)
    mutating func arm() {
        for step in 0..<size {
            let index = Int(order[step])
            wheel.arm(index, at: Self.after(delays[index]))
        }
    }

    @inline(never)
    mutating func extend() {
        for step in 0..<size {
            let index = Int(order[step])
            wheel.arm(index, at: Self.after(delays[index] &+ 120_000_000_000))
        }
    }

    @inline(never)
    mutating func move() {
        for step in 0..<size {
            let index = Int(order[step])
            wheel.arm(index, at: Self.after(others[index]))
        }
    }

    @inline(never)
    mutating func cancel() {
        for step in 0..<size {
            wheel.cancel(Int(order[step]))
        }
    }

    @inline(never)
    mutating func expire() {
        var fired = 0
        while let wake = wheel.nextWake {
            wheel.advance(to: wake)
            while wheel.popFired() != nil { fired += 1 }
        }
        precondition(fired == size, "every timer fires once")
    }
}

func timed(_ size: Int, _ work: () -> Void) -> Double {
    let begin = now()
    work()
    return Double(now() - begin) / Double(size)
}

let arguments = CommandLine.arguments
guard arguments.count >= 2, let size = Int(arguments[1]), size > 0 else {
    print("usage: timer-wheel SIZE [none|arm|extend|move|cancel|expire]")
    exit(64)
}
if arguments.count == 3 {
    var bench = Bench(size: size)
    // Everything but the operation is done in the run with `none`, too: it is armed, so that what is counted is one pass.
    let operation = arguments[2]
    if operation != "arm" { bench.arm() }
    switch operation {
    case "none": break
    case "arm":
        // Twice with a cancel between, less what the others count: see timers_codec.py.
        bench.arm()
        bench.cancel()
        bench.arm()
    case "extend": bench.extend()
    case "move": bench.move()
    case "cancel": bench.cancel()
    case "expire": bench.expire()
    default: exit(64)
    }
    exit(0)
}
// The best pass counts: what else runs on the machine takes its time from single passes, and never gives any.
let passes = max(5, 1_000_000 / size)
var best: [String: Double] = [:]

func note(_ operation: String, _ nanoseconds: Double, in best: inout [String: Double]) {
    best[operation] = min(best[operation] ?? .infinity, nanoseconds)
}

for _ in 0..<passes {
    var bench = Bench(size: size)
    // Touched once, so that no page is new.
    bench.arm()
    bench.cancel()
    note("arm", timed(size) { bench.arm() }, in: &best)
    note("move", timed(size) { bench.move() }, in: &best)
    note("cancel", timed(size) { bench.cancel() }, in: &best)
    bench.arm()
    note("extend", timed(size) { bench.extend() }, in: &best)
    bench.cancel()
    bench.arm()
    note("expire", timed(size) { bench.expire() }, in: &best)
    bench.delays.deallocate()
    bench.others.deallocate()
    bench.order.deallocate()
}
let fields = best.map { "\"\($0.key)\": \($0.value)" }.sorted()
print("{\(fields.joined(separator: ", "))}")
