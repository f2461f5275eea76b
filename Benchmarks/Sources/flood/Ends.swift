// The node that is flooded, those who flood it, and the one who only wants its echo.

import Glibc
import PeerMesh
import Reactor
import Timers

let floodType = MessageType(1_000)
let echoType = MessageType(1_001)

/// Runs `body` on a thread of its own; an error ends the process.
@discardableResult
func onThread(_ body: @escaping () throws -> Void) -> pthread_t {
    final class Box { let body: () throws -> Void; init(_ body: @escaping () throws -> Void) { self.body = body } }
    var thread = pthread_t()
    pthread_create(&thread, nil, { argument in
        guard let argument else { return nil }
        do { try Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() } catch { fatalError("\(error)") }
        return nil
    }, Unmanaged.passRetained(Box(body)).toOpaque())
    return thread
}

func monotonic() -> UInt64 {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
}

func settings(_ nonce: UInt64) -> NodeSettings {
    NodeSettings(mesh: MeshSettings(nonce: nonce, seed: nonce))
}

func microseconds(_ histogram: TimeHistogram) -> String {
    func us(_ span: Nanoseconds) -> String { "\(span.count / 1_000)" }
    return "p50 \(us(histogram.quantile(0.5))) p99 \(us(histogram.quantile(0.99))) p99.9 \(us(histogram.quantile(0.999)))"
        + " longest \(us(histogram.longest)) µs (\(histogram.count) samples)"
}

/// Ticks, so that the loop has a timer to be late for.
final class Heart: Source {
    private let loop: EventLoop
    private var timer = TimerID.none
    private let end: UInt64

    init(_ loop: EventLoop, seconds: UInt64) {
        self.loop = loop
        end = monotonic() + seconds * 1_000_000_000
        super.init()
        timer = loop.makeTimer(source: self, tag: 0)
        loop.arm(timer, after: .milliseconds(5))
    }

    override func timerFired(tag: UInt32) {
        if monotonic() >= end { loop.stop() }
        loop.arm(timer, after: .milliseconds(5))
    }
}

final class Victim: PeerHandler {
    private let loop: EventLoop
    private var node: PeerNode!
    private let isEchoing: Bool
    private(set) var endpoint = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 0)

    init(isEchoing: Bool) throws {
        self.isEchoing = isEchoing
        loop = try EventLoop()
        super.init()
        node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings(0xf1), handler: self)
        endpoint = try node.listen(on: endpoint)
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        if type == echoType || isEchoing { node.send(body, type: type, to: link) }
    }

    func run(seconds: UInt64) {
        node.start()
        let heart = Heart(loop, seconds: seconds)
        loop.run()
        withExtendedLifetime(heart) {}
    }

    func report() {
        let counters = loop.counters
        print("in \(node.counters.bytesIn >> 20) MiB, \(node.counters.framesIn) frames; out \(node.counters.bytesOut >> 20) MiB")
        print("loop lag        \(microseconds(counters.lag))")
        print("callback time   \(microseconds(counters.callbackTime))")
        print("exhausted: reads \(counters.exhausted.reads) time \(counters.exhausted.time); iterations \(counters.iterations)")
    }
}

func startFlood(of count: Int, to there: Endpoint) {
    onThread {
        let loop = try EventLoop()
        let ends = try (0..<count).map { try Flooder(loop: loop, to: there, number: UInt64($0)) }
        loop.run()
        withExtendedLifetime(ends) {}
    }
}

final class Flooder: PeerHandler {
    private var node: PeerNode!
    private let body = [UInt8](repeating: 1, count: 4_096)

    init(loop: EventLoop, to there: Endpoint, number: UInt64) throws {
        super.init()
        node = try PeerNode(
            loop: loop, wire: TimeWire(network: .reactor), settings: settings(0xf100 + number), handler: self
        )
        node.start()
        node.handle(.connect(there))
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) { flood(link) }
    override func lowWater(_ link: LinkID) { flood(link) }

    private func flood(_ link: LinkID) {
        let body = body
        while node.send(body.span.bytes, type: floodType, to: link) == .queued {}
    }
}

/// Everything but `init` and `report` is on the loop's thread; the report comes when that has ended.
final class Pinger: PeerHandler, @unchecked Sendable {
    let loop: EventLoop
    private var node: PeerNode!
    private var pulse: Pulse!
    private var trips = TimeHistogram()

    init(to there: Endpoint) throws {
        loop = try EventLoop()
        super.init()
        node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings(0xb1), handler: self)
        pulse = Pulse(loop)
        node.start()
        node.handle(.connect(there))
    }

    func start() -> pthread_t {
        onThread { [self] in loop.run() }
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        pulse.onBeat = { [unowned self] in
            let now = [monotonic()]
            node.send(now.span.bytes, type: echoType, to: link)
        }
        pulse.beat()
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        let sent = body.unsafeLoadUnaligned(as: UInt64.self)
        trips.add(Nanoseconds(monotonic() - sent))
    }

    func report() {
        print("echo to another \(microseconds(trips))")
    }
}

/// Calls every 2 ms.
final class Pulse: Source {
    private let loop: EventLoop
    private var timer = TimerID.none
    var onBeat: () -> Void = {}

    init(_ loop: EventLoop) {
        self.loop = loop
        super.init()
        timer = loop.makeTimer(source: self, tag: 0)
    }

    func beat() { loop.arm(timer, after: .milliseconds(2)) }

    override func timerFired(tag: UInt32) {
        onBeat()
        beat()
    }
}
