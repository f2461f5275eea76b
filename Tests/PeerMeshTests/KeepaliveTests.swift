// The keepalive, each rule at its boundary: what answers a ping, what is a miss, what excuses one, and what ends a link.

import Testing
import Timers

@testable import PeerMesh

@Suite("The keepalive")
struct KeepaliveTests {
    private func pings(_ actions: [Action]) -> [UInt64] {
        actions.compactMap { if case .ping(_, let nonce) = $0 { nonce } else { nil } }
    }

    private func closes(_ actions: [Action]) -> [CloseReason] {
        actions.compactMap { if case .close(_, let reason) = $0 { reason } else { nil } }
    }

    /// A harness whose subject is a linked peer in the table's first places.
    private func linked(_ role: Role = .regular, _ configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        var h = Harness(configure: configure)
        h.framesBringPongs = false
        if role == .masternode { _ = h.tell(.registered(peer(1))) }
        h.subject = h.inbound(peer: peer(1), nonce: 1).0
        return h
    }

    @Test("a regular peer is closed at its third miss, a masternode at its sixth, to the millisecond", arguments: [Role.regular, .masternode])
    func misses(role: Role) {
        var h = linked(role)
        let limit: UInt64 = role == .regular ? 3 : 6
        let before = h.wait(.milliseconds(30_000 + limit * 10_000 - 1))
        #expect(pings(before).count == Int(limit))
        // A ping is repeated with its nonce: a slow peer's pong to any of them is the answer.
        #expect(Set(pings(before)).count == 1)
        #expect(h.mesh.link(h.subject!)?.misses == UInt32(limit) - 1)
        let after = h.wait(.milliseconds(1))
        #expect(closes(after) == [.keepaliveTimeout])
        #expect(h.mesh.link(h.subject!) == nil)
    }

    @Test("a link that is nobody's has a regular peer's misses")
    func anonymous() {
        var h = Harness()
        // The masternode in the first row is another one.
        _ = h.tell(.registered(peer(1)))
        let link = h.inbound(Hello(isNative: true, nonce: 5), from: peer(9)).0!
        _ = h.wait(.milliseconds(59_999))
        #expect(h.mesh.link(link)?.misses == 2)
        _ = h.wait(.milliseconds(1))
        #expect(h.mesh.link(link) == nil)
    }

    @Test("a ping wants its pong: any other byte after it extends the wait, and does so once")
    func extendsOnce() {
        var h = linked()
        let link = h.subject!
        _ = h.wait(.milliseconds(29_999))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        #expect(pings(h.wait(.milliseconds(1))).count == 1)
        _ = h.tell(.received(link, frames: 1, partial: 0))
        // The byte of the ping's own instant was under way before it.
        #expect(pings(h.wait(.seconds(10))).count == 1)
        #expect(h.mesh.link(link)?.misses == 1)
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.wait(.milliseconds(1))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        // Extended: neither a miss nor a further ping.
        #expect(pings(h.wait(.milliseconds(9_999))).count == 0)
        #expect(h.mesh.link(link)?.misses == 1)
        _ = h.tell(.received(link, frames: 1, partial: 0))
        #expect(pings(h.wait(.seconds(10))).count == 1)
        #expect(h.mesh.link(link)?.misses == 2)
        _ = h.tell(.received(link, frames: 1, partial: 0))
        #expect(closes(h.wait(.seconds(10))) == [.keepaliveTimeout])
    }

    @Test("a pong begins anew: the next wait may be extended, too")
    func extendedAgain() {
        var h = linked()
        let link = h.subject!
        for _ in 0..<3 {
            let nonce = pings(h.wait(h.mesh.link(link)!.deadline! - h.now))[0]
            _ = h.wait(.seconds(5))
            _ = h.tell(.received(link, frames: 1, partial: 0))
            _ = h.wait(.seconds(10))
            #expect(h.mesh.link(link)?.misses == 0)
            _ = h.tell(.pong(link, nonce: nonce))
        }
    }

    @Test("a peer that never pongs is closed within one more pong timeout, whatever small frames it sends", arguments: [Role.regular, .masternode])
    func neverPongs(role: Role) {
        var h = linked(role)
        let limit: UInt64 = role == .regular ? 3 : 6
        var closed: [CloseReason] = []
        for _ in 0..<(30 + 10 + limit * 10) * 4 where closed.isEmpty {
            _ = h.tell(.received(h.subject!, frames: 1, partial: 0))
            _ = h.tell(.received(h.subject!, frames: 0, partial: 1))
            closed = closes(h.wait(.milliseconds(250)))
        }
        #expect(closed == [.keepaliveTimeout])
    }

    @Test("a started frame that keeps up the minimum rate excuses its pong, for its time's limit; slower it does not")
    func largeFrame() {
        for (bytes, isExcused) in [(10_400, true), (10_000, false)] as [(UInt32, Bool)] {
            var h = linked { $0.frameLimit = .seconds(150) }
            let link = h.subject!
            let nonce = pings(h.wait(.seconds(30)))[0]
            var partial: UInt32 = 0
            for _ in 0..<10 where h.mesh.link(link) != nil {
                partial += bytes / 2
                _ = h.tell(.received(link, frames: 0, partial: partial))
                _ = h.wait(.seconds(5))
                partial += bytes / 2
                _ = h.tell(.received(link, frames: 0, partial: partial))
                _ = h.wait(.seconds(5))
            }
            guard isExcused else {
                #expect(h.mesh.link(link) == nil)
                continue
            }
            #expect(h.mesh.link(link)?.misses == 0)
            // The frame is whole, and the pong is behind it.
            _ = h.tell(.received(link, frames: 1, partial: 0))
            _ = h.tell(.pong(link, nonce: nonce))
            #expect(h.mesh.link(link)?.misses == 0 && h.mesh.link(link)?.roundTrip == .seconds(100))
        }
    }

    @Test("many frames at the minimum rate excuse a pong no longer than one would")
    func manyFrames() {
        var h = linked { ($0.frameLimit, $0.regularMisses) = (.seconds(60), 2) }
        let link = h.subject!
        _ = h.wait(.seconds(30))
        var closed: [CloseReason] = []
        var seconds = 30
        while closed.isEmpty, seconds < 600 {
            _ = h.tell(.received(link, frames: 1, partial: 11_000))
            closed = closes(h.wait(.seconds(5)))
            seconds += 5
        }
        #expect(closed == [.keepaliveTimeout])
        // The ping at 30 s, 60 s of frames, one extension, two misses.
        #expect((100...120).contains(seconds), "\(seconds) s")
    }

    @Test("a pong with the ping's own nonce dates the round trip and ends the wait; any other pong does not")
    func pong() {
        var h = linked()
        let link = h.subject!
        _ = h.tell(.pong(link, nonce: 0))
        #expect(h.mesh.link(link)?.roundTrip == .zero)
        let nonce = pings(h.wait(.seconds(30)))[0]
        _ = h.wait(.milliseconds(250))
        _ = h.tell(.pong(link, nonce: nonce &+ 1))
        #expect(h.mesh.link(link)?.roundTrip == .zero)
        _ = h.tell(.pong(link, nonce: nonce))
        #expect(h.mesh.link(link)?.roundTrip == .milliseconds(250))
        #expect(h.mesh.link(link)?.deadline == h.now + .milliseconds(29_750))
        _ = h.wait(.milliseconds(250))
        // A second pong for the same ping is an echo.
        _ = h.tell(.pong(link, nonce: nonce))
        #expect(h.mesh.link(link)?.roundTrip == .milliseconds(250))
    }

    @Test("a ping counts from when the kernel took its last byte, once, and one not taken yet is not sent a second time")
    func taken() {
        var h = linked()
        let link = h.subject!
        h.kernelTakesPings = false
        _ = h.tell(.sent(link, bytes: 1, controlEmpty: true))
        #expect(pings(h.wait(.seconds(30))).count == 1)
        _ = h.wait(.seconds(4))
        _ = h.tell(.sent(link, bytes: 10, controlEmpty: false))
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(6))
        _ = h.tell(.sent(link, bytes: 33, controlEmpty: true))
        let took = h.now
        _ = h.wait(.seconds(3))
        _ = h.tell(.sent(link, bytes: 5, controlEmpty: true))
        #expect(pings(h.wait(.milliseconds(6_999))).count == 0)
        #expect(h.mesh.link(link)?.misses == 0)
        #expect(pings(h.wait(.milliseconds(1))).count == 1)
        #expect(h.now == took + .seconds(10))
        #expect(h.mesh.link(link)?.misses == 1)
        // This one is never taken: misses go on, without a further ping.
        #expect(pings(h.wait(.seconds(10))).count == 0)
        #expect(h.mesh.link(link)?.misses == 2)
        #expect(closes(h.wait(.seconds(10))) == [.keepaliveTimeout])
    }

    @Test("bytes that the kernel takes while no ping is out bring none about")
    func takenWithoutPing() {
        var h = linked { $0.frameTimeout = .seconds(2) }
        let link = h.subject!
        _ = h.tell(.sent(link, bytes: 100, controlEmpty: true))
        // A frame has the link looked at before the ping's time.
        _ = h.tell(.received(link, frames: 0, partial: 5))
        _ = h.wait(.seconds(1))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        #expect(pings(h.wait(.milliseconds(28_999))).count == 0)
        #expect(pings(h.wait(.milliseconds(1))).count == 1)
    }

    @Test("a ping counts from when the control queue was empty, not from when some of our bytes were taken")
    func takenWhole() {
        var h = linked()
        let link = h.subject!
        h.kernelTakesPings = false
        _ = h.wait(.seconds(34))
        _ = h.tell(.sent(link, bytes: 10, controlEmpty: false))
        _ = h.wait(.seconds(2))
        _ = h.tell(.sent(link, bytes: 33, controlEmpty: true))
        _ = h.wait(.milliseconds(9_999))
        #expect(h.mesh.link(link)?.misses == 0)
        _ = h.wait(.milliseconds(1))
        #expect(h.mesh.link(link)?.misses == 1)
    }

    @Test("4,096 bytes taken in a pong's time excuse a miss, 4,095 do not; after five minutes nothing does")
    func progress() {
        var h = linked { $0.progressGrace = .seconds(30) }
        let link = h.subject!
        h.kernelTakesPings = false
        _ = h.wait(.seconds(30))
        _ = h.tell(.sent(link, bytes: 4_096, controlEmpty: false))
        _ = h.wait(.seconds(10))
        #expect(h.mesh.link(link)?.misses == 0)
        _ = h.tell(.sent(link, bytes: 4_095, controlEmpty: false))
        _ = h.wait(.seconds(10))
        #expect(h.mesh.link(link)?.misses == 1)
        for misses in [1, 2] as [UInt32] {
            _ = h.tell(.sent(link, bytes: 5_000, controlEmpty: false))
            _ = h.wait(.seconds(10))
            // The grace of 30 s began at the first excuse: it is over at its end, not after it.
            #expect(h.mesh.link(link)?.misses == misses)
        }
    }

    @Test("the five minutes begin with the first excuse, not with the first miss")
    func graceBegins() {
        var h = linked { $0.progressGrace = .seconds(30) }
        let link = h.subject!
        h.kernelTakesPings = false
        _ = h.wait(.seconds(40))
        #expect(h.mesh.link(link)?.misses == 1)
        for _ in 0..<3 {
            _ = h.tell(.sent(link, bytes: 5_000, controlEmpty: false))
            _ = h.wait(.seconds(10))
            #expect(h.mesh.link(link)?.misses == 1)
        }
        _ = h.tell(.sent(link, bytes: 5_000, controlEmpty: false))
        _ = h.wait(.seconds(10))
        #expect(h.mesh.link(link)?.misses == 2)
    }

    @Test("only the probe's answer keeps a probed link, and a byte ends the probe at once")
    func probe() {
        var h = linked()
        let link = h.subject!
        _ = h.wait(.seconds(26))
        let newcomer = h.accept(from: Endpoint(peer(1).address, port: 41_000))!
        #expect(pings(h.tell(.hello(newcomer, Hello(isNative: true, endpoint: peer(1), nonce: 1)))).count == 1)
        #expect(h.mesh.link(newcomer)?.state == .held)
        #expect(h.mesh.link(newcomer)?.deadline == nil)
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(5))
        _ = h.wait(.milliseconds(4_999))
        let actions = h.tell(.received(link, frames: 0, partial: 1))
        #expect(actions.contains(.answer(newcomer, .duplicate, isNative: true)))
        _ = h.wait(.seconds(1))
        #expect(h.mesh.link(link)?.state == .established)
    }

    @Test("a frame's time runs from its first byte, begins anew with each frame, and ends with it")
    func frames() {
        var h = linked { ($0.frameTimeout, $0.frameMinimumRate) = (.seconds(2), 1_000) }
        let link = h.subject!
        _ = h.tell(.received(link, frames: 0, partial: 10))
        _ = h.wait(.milliseconds(1_500))
        _ = h.tell(.received(link, frames: 0, partial: 20))
        #expect(h.mesh.link(link)?.deadline == h.now + .milliseconds(500))
        // The frame ends and another begins in one read.
        _ = h.tell(.received(link, frames: 1, partial: 20))
        _ = h.wait(.milliseconds(1_999))
        #expect(h.mesh.link(link)?.state == .established)
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.wait(.seconds(5))
        #expect(h.mesh.link(link)?.state == .established)
        // 3,000 bytes at 1,000 a second have earned three seconds.
        _ = h.tell(.received(link, frames: 0, partial: 3_000))
        _ = h.wait(.milliseconds(2_999))
        #expect(h.mesh.link(link)?.state == .established)
        #expect(closes(h.wait(.milliseconds(1))) == [.frameTimeout])
    }

    @Test("a frame that goes on is looked at when its time is over, not at each piece of it")
    func frameGoesOn() {
        var h = linked { ($0.frameTimeout, $0.frameMinimumRate, $0.pingInterval) = (.seconds(2), 1, .seconds(3_600)) }
        let link = h.subject!
        _ = h.tell(.received(link, frames: 0, partial: 100))
        _ = h.wait(.seconds(3))
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(97))
        _ = h.tell(.received(link, frames: 0, partial: 110))
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(97))
    }

    @Test("a frame ends within its limit, however fast it comes")
    func frameLimit() {
        var h = linked { ($0.frameTimeout, $0.frameMinimumRate, $0.frameLimit) = (.seconds(2), 1_000, .seconds(10)) }
        let link = h.subject!
        var partial: UInt32 = 0
        var closed: [CloseReason] = []
        for _ in 0..<99 {
            partial += 1_000_000
            _ = h.tell(.received(link, frames: 0, partial: partial))
            closed += closes(h.wait(.milliseconds(100)))
        }
        #expect(closed == [])
        _ = h.tell(.received(link, frames: 0, partial: partial + 1))
        #expect(closes(h.wait(.milliseconds(100))) == [.frameTimeout])
    }

    @Test("a link that the driver does not read is not judged silent, and is judged anew from when it is read again")
    func unread() {
        var h = linked { ($0.pingInterval, $0.pongTimeout, $0.frameTimeout) = (.seconds(10), .seconds(5), .seconds(20)) }
        let link = h.subject!
        _ = h.tell(.received(link, frames: 0, partial: 100))
        _ = h.tell(.reading(link, false))
        #expect(closes(h.wait(.seconds(3_600))) == [])
        #expect(h.mesh.link(link)?.misses == 0)
        _ = h.tell(.reading(link, true))
        #expect(closes(h.wait(.milliseconds(4_999))) == [])
        #expect(h.mesh.link(link)?.misses == 0)
        #expect(closes(h.wait(.seconds(60))) == [.keepaliveTimeout], "silence of its own is judged as ever")
    }

    @Test("a link that the driver does not read is still so in a state that was written and read back")
    func unreadIsState() throws {
        var h = linked { ($0.pingInterval, $0.pongTimeout) = (.seconds(10), .seconds(5)) }
        _ = h.tell(.reading(h.subject!, false))
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        let settings = h.mesh.settings
        let read = Mesh(settings, decoding: bytes, now: h.now)
        guard var mesh = read else {
            Issue.record("the state was refused")
            return
        }
        var now = h.now
        while now < h.now + .seconds(600) {
            now = max(now + .milliseconds(1), mesh.nextDeadline ?? .never)
            mesh.advance(to: now)
            while let action = mesh.nextAction() {
                if case .ping(let link, _) = action { mesh.handle(.sent(link, bytes: 33, controlEmpty: true), at: now) }
                if case .close(_, let reason) = action { Issue.record("closed as \(reason)") }
            }
            while mesh.nextTransition() != nil {}
        }
    }

    @Test("a link whose pong came late is asked again at once when the interval is over by then")
    func asksAtOnce() {
        var h = linked { ($0.pingInterval, $0.pongTimeout) = (.seconds(10), .seconds(20)) }
        let nonce = pings(h.wait(.seconds(10)))[0]
        _ = h.wait(.seconds(19))
        _ = h.tell(.pong(h.subject!, nonce: nonce))
        h.mesh.advance(to: h.now)
        #expect(pings(h.take()).count == 1)
    }

    @Test("a frame without a minimum rate has its time and one second a byte")
    func noMinimumRate() {
        var h = linked { ($0.frameTimeout, $0.frameMinimumRate) = (.seconds(2), 0) }
        _ = h.tell(.received(h.subject!, frames: 0, partial: 4))
        #expect(closes(h.wait(.milliseconds(3_999))) == [])
        #expect(closes(h.wait(.milliseconds(1))) == [.frameTimeout])
    }

    @Test("a frame that begins before the hello is over does not shorten the greeting")
    func frameInGreeting() {
        var h = Harness { $0.frameTimeout = .seconds(2) }
        let link = h.accept(from: peer(1))!
        _ = h.tell(.received(link, frames: 0, partial: 5))
        #expect(h.mesh.link(link)?.deadline == h.now + .seconds(15))
        #expect(closes(h.wait(.milliseconds(14_999))) == [])
        #expect(closes(h.wait(.milliseconds(1))) == [.greetingTimeout])
    }

    @Test("failures are cleared in the midst of a link once its last byte is 60 s after its begin", arguments: [59_999, 60_000] as [UInt64])
    func stability(lastByte: UInt64) {
        var h = linked { $0.pingInterval = .seconds(100) }
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        #expect(h.failures(peer(1)) == 1)
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.wait(.milliseconds(lastByte))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        // The ping looks at it.
        _ = h.wait(.seconds(45))
        #expect(h.mesh.link(link)?.state == .established)
        #expect(h.failures(peer(1)) == (lastByte < 60_000 ? 1 : 0))
    }

    @Test("a ping is answered on a held link and on an established one, not before the hello and not while draining")
    func pinged() {
        var h = linked()
        let link = h.subject!
        #expect(h.tell(.ping(link, nonce: 3)) == [.pong(link, nonce: 3)])
        let pending = h.accept(from: peer(9))!
        #expect(h.tell(.ping(pending, nonce: 3)) == [])
        _ = h.tell(.disconnect(peer(1)))
        #expect(h.tell(.ping(link, nonce: 3)) == [])
    }

    @Test(
        "with jitter the pings of many links go at shared moments; none waits longer than the interval, or less than jitter and a 64th allow",
        arguments: [(30_000, 256), (2_000, 16), (100, 1)] as [(UInt64, UInt64)]
    )
    func sharedMoments(milliseconds: UInt64, step: UInt64) {
        let interval = Nanoseconds.milliseconds(milliseconds)
        var h = Harness { ($0.jitterPercent, $0.reservedSlots, $0.pingInterval) = (20, 0, interval) }
        var last: [LinkID: Instant] = [:]
        for index in 1...40 {
            if let link = h.inbound(peer: peer(index), nonce: UInt64(index)).0 { last[link] = h.now }
            h.now = h.now + .milliseconds(7)
        }
        #expect(last.count == 40)
        var (count, moments) = (0, Set<Instant>())
        let end = h.now + interval * 6
        while let deadline = h.mesh.nextDeadline, deadline < end {
            for case .ping(let link, let nonce) in h.wait(deadline - h.now) {
                let waited = h.now - last[link]!
                #expect(waited <= max(interval, .milliseconds(40 * 7)) && waited + interval / 64 >= interval * 80 / 100)
                #expect(step == 1 || h.now.nanoseconds % (step * 1_000_000) == 0)
                last[link] = h.now
                moments.insert(h.now)
                count += 1
                _ = h.tell(.pong(link, nonce: nonce))
            }
        }
        #expect(count >= 200)
        #expect(step == 1 || moments.count < count * 9 / 10)
    }
}
