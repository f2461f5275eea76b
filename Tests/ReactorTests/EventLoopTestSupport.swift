// What the tests of the loop share: a source that keeps a diary, a way to run a loop until something is true, and
// descriptors that close themselves.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// A source that notes what it was told, and does what a test wants.
final class Diary: Source {
    enum Entry: Equatable {
        case ready(Readiness, UInt32)
        case timer(UInt32)
        case flush
        case reap
        case posted(UInt32, UInt64)
        case accepted(Endpoint, UInt32)
        case acceptedUnnamed(UInt32)
        case rests(SystemError)
        case signal(CInt)
    }

    var entries: [Entry] = []
    var onReady: (Readiness, UInt32) -> Void = { _, _ in }
    var onTimer: (UInt32) -> Void = { _ in }
    var onFlush: () -> Void = {}
    var onReap: () -> Void = {}
    var onPosted: (Job) -> Void = { _ in }
    var accepted: [CInt] = []

    deinit {
        for descriptor in accepted { _ = cepoll_close(descriptor) }
    }

    /// Lets go of what the test's closures hold: the loop above all, which holds whatever is still registered.
    func forget() {
        onReady = { _, _ in }
        onTimer = { _ in }
        onFlush = {}
        onReap = {}
        onPosted = { _ in }
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        entries.append(.ready(readiness, tag))
        onReady(readiness, tag)
    }
    override func timerFired(tag: UInt32) {
        entries.append(.timer(tag))
        onTimer(tag)
    }
    override func flush() {
        entries.append(.flush)
        onFlush()
    }
    override func reap() {
        entries.append(.reap)
        onReap()
    }
    override func posted(_ job: Job) {
        entries.append(.posted(job.kind, job.a))
        onPosted(job)
    }
    override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        entries.append(.accepted(remote, listenerTag))
        accepted.append(socket.release())
    }
    override func accepted(_ socket: consuming Socket, listenerTag: UInt32) {
        entries.append(.acceptedUnnamed(listenerTag))
        accepted.append(socket.release())
    }
    override func listenerRests(for rest: Nanoseconds, after error: SystemError, listenerTag: UInt32) {
        entries.append(.rests(error))
    }
    override func signalled(_ signal: CInt) { entries.append(.signal(signal)) }

    var readyTags: [UInt32] {
        entries.compactMap { if case .ready(_, let tag) = $0 { tag } else { nil } }
    }
    var firedTags: [UInt32] {
        entries.compactMap { if case .timer(let tag) = $0 { tag } else { nil } }
    }
}

/// Runs the loop until `condition` holds; false after `limit`. Waits in the kernel, a hundredth of a second at most.
func run(_ loop: EventLoop, limit: Duration = .seconds(120), until condition: () -> Bool) -> Bool {
    let guardian = Source()
    let timer = loop.makeTimer(source: guardian, tag: 0)
    defer { loop.destroy(timer) }
    let end = ContinuousClock.now + limit
    while !condition() {
        if ContinuousClock.now > end { return false }
        loop.arm(timer, at: Instant(nanoseconds: cepoll_monotonic()) + .milliseconds(10))
        loop.runOnce(.wait)
    }
    return true
}

/// Runs the loop for that long, waiting in the kernel.
func run(_ loop: EventLoop, for span: Duration) {
    let end = ContinuousClock.now + span
    _ = run(loop) { ContinuousClock.now >= end }
}

/// A connected pair of stream sockets.
final class Pair {
    let fd: CInt
    private(set) var farFD: CInt

    init() {
        var (near, far): (CInt, CInt) = (-1, -1)
        let result = cepoll_pair(&near, &far)
        precondition(result == 0)
        fd = near
        farFD = far
    }

    deinit {
        _ = cepoll_close(fd)
        closeFar()
    }

    func send(_ text: String = "x") {
        let bytes = Array(text.utf8)
        let sent = cepoll_send(farFD, bytes, bytes.count)
        precondition(sent == bytes.count)
    }

    func drain() {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        while cepoll_recv(fd, &bytes, bytes.count) > 0 {}
    }

    func closeFar() {
        if farFD >= 0 { _ = cepoll_close(farFD) }
        farFD = -1
    }
}

extension Endpoint {
    static func loopback(_ port: UInt16 = 0) -> Endpoint { Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port) }
    static func loopbackV6(_ port: UInt16 = 0) -> Endpoint { Endpoint(IPAddress(v6High: 0, low: 1), port: port) }
}
