// `loop-work KIND COUNT`: the bare loop does COUNT times what KIND says, and nothing else that grows with COUNT. What one
// costs is the difference of two runs.
//
// timer   a timer fires and is armed again, 64 of them a tick
// job     a job is posted, delivered, and posts the next one

import Reactor

enum Kind: String {
    case timer, job
}

struct Usage: Error {}

final class Worker: Source {
    private let loop: EventLoop
    private let target: Int
    private let timers: UnsafeMutablePointer<TimerID>
    private let done = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    private let handle = UnsafeMutablePointer<SourceHandle>.allocate(capacity: 1)
    private static let timerCount = 64

    init(loop: EventLoop, target: Int) {
        self.loop = loop
        self.target = target
        timers = .allocate(capacity: Self.timerCount)
        done.initialize(to: 0)
        super.init()
        for tag in 0..<Self.timerCount {
            (timers + tag).initialize(to: loop.makeTimer(source: self, tag: UInt32(tag)))
        }
        handle.initialize(to: loop.makeHandle(for: self))
    }

    func begin(_ kind: Kind) {
        switch kind {
        case .timer: for tag in 0..<Self.timerCount { loop.arm(timers[tag], after: .milliseconds(1)) }
        case .job: _ = loop.mailbox.post(Job(kind: 1), to: handle.pointee)
        }
    }

    override func timerFired(tag: UInt32) {
        count()
        loop.arm(timers[Int(tag)], after: .milliseconds(1))
    }

    override func posted(_ job: Job) {
        count()
        _ = loop.mailbox.post(job, to: handle.pointee)
    }

    private func count() {
        done.pointee &+= 1
        if done.pointee == target { loop.stop() }
    }
}

guard CommandLine.arguments.count == 3, let kind = Kind(rawValue: CommandLine.arguments[1]),
    let count = Int(CommandLine.arguments[2]), count > 0
else {
    print("usage: loop-work timer|job COUNT")
    throw Usage()
}

let loop = try EventLoop()
let worker = Worker(loop: loop, target: count)
worker.begin(kind)
loop.run()
print("\(kind.rawValue) \(count) iterations \(loop.counters.iterations)")
