import Testing
import Timers

@testable import PeerMesh

@Suite("The policies, one at a time")
struct PolicyTests {
    // Slots.

    @Test(
        "the reserve is 40 % of the table, at least 20, at most 30, and never more than the table",
        arguments: [(10, 10), (20, 20), (50, 20), (60, 24), (75, 30), (100, 30), (250, 30)]
    )
    func reserve(maxPeers: UInt32, reserved: UInt32) {
        var settings = MeshSettings(nonce: 1, seed: 1)
        settings.maxPeers = maxPeers
        #expect(settings.effectiveReserve == reserved)
        #expect(settings.regularSlots == maxPeers - reserved)
    }

    @Test("regular peers fill their slots and no more; the next one is told that the table is full")
    func regularSlots() {
        var h = Harness { $0.maxPeers = 5; $0.reservedSlots = 2 }
        for index in 1...3 { #expect(h.inbound(peer: peer(index), nonce: UInt64(index)).1 == .accepted) }
        #expect(h.inbound(peer: peer(4), nonce: 4).1 == .full)
        _ = h.tell(.registered(peer(9)))
        #expect(h.inbound(peer: peer(9), nonce: 9).1 == .accepted)
    }

    @Test("a masternode that finds no slot evicts the youngest regular peer, never another masternode")
    func eviction() {
        var h = Harness { $0.maxPeers = 3; $0.reservedSlots = 1 }
        for index in 10...14 { _ = h.tell(.registered(peer(index))) }
        _ = h.wait(.milliseconds(1))
        let first = h.inbound(peer: peer(1), nonce: 1).0
        let second = h.inbound(peer: peer(2), nonce: 2).0
        #expect(h.inbound(peer: peer(10), nonce: 10).1 == .accepted)
        let link = h.accept(from: peer(11))!
        let actions = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(11), nonce: 11)))
        #expect(actions.contains { if case .drain(second!, .evicted) = $0 { true } else { false } })
        #expect(!actions.contains { if case .drain(first!, _) = $0 { true } else { false } })
        #expect(h.inbound(peer: peer(12), nonce: 12).1 == .accepted)
        #expect(h.inbound(peer: peer(13), nonce: 13).1 == .full)
        #expect(h.mesh.census().establishedMasternodes == 3)
    }

    @Test("sockets that say nothing have a pool of their own: so many in all, an address and a subnet (trap 33)")
    func pendingPool() {
        var h = Harness { $0.pendingLimit = 6; $0.pendingPerAddress = 2; $0.pendingPerSubnet = 3 }
        func from(_ a: UInt8, _ b: UInt8) -> Endpoint { Endpoint(IPAddress(v4: 192, 0, a, b), port: 1) }
        #expect(h.accept(from: from(1, 1)) != nil)
        #expect(h.accept(from: from(1, 1)) != nil)
        #expect(h.accept(from: from(1, 1)) == nil)
        #expect(h.accept(from: from(1, 2)) != nil)
        #expect(h.accept(from: from(1, 3)) == nil)
        for subnet in 2...4 { #expect(h.accept(from: from(UInt8(subnet), 1)) != nil) }
        #expect(h.accept(from: from(9, 1)) == nil)
        // A registered address takes the place of the oldest unknown one.
        _ = h.tell(.registered(Endpoint(from(8, 8).address, port: 9_000)))
        #expect(h.accept(from: from(8, 8)) != nil)
        #expect(h.mesh.census().pending == 6)
    }

    // Dials.

    @Test("dials start sixteen at once, then sixty-four a second, sixty-four in flight at most")
    func dialRate() {
        var h = Harness(started: false) { $0.maxPeers = 500; $0.reservedSlots = 400 }
        for index in 0..<300 { _ = h.tell(.registered(peer(index))) }
        #expect(h.dials(h.tell(.start)).count == 16)
        #expect((31...33).contains(h.dials(h.wait(.milliseconds(500))).count))
        #expect((15...17).contains(h.dials(h.wait(.milliseconds(500))).count))
        #expect(h.mesh.census().dialingMasternodes == 64)
    }

    @Test("masternodes are dialled ahead of regular peers")
    func masternodesFirst() {
        var h = Harness(started: false)
        for index in 0..<20 { _ = h.tell(.connect(peer(index))) }
        for index in 20..<36 { _ = h.tell(.registered(peer(index))) }
        #expect(Set(h.dials(h.tell(.start))) == Set((20..<36).map(peer)))
    }

    // Backoff.

    @Test("a peer that refuses is redialled after 5, 10, 20 … 300 s, and after twenty failures every 300 s")
    func backoff() {
        var h = Harness(started: false)
        _ = h.tell(.registered(peer(1)))
        var actions = h.tell(.start)
        var delays: [UInt64] = []
        for _ in 0..<24 {
            guard case .dial(let link, _)? = actions.first(where: { if case .dial = $0 { true } else { false } }) else { break }
            _ = h.tell(.dialFailed(link, .refused))
            let before = h.now
            while h.mesh.peer(at: peer(1), now: h.now)?.dial == nil { _ = h.wait(.milliseconds(500)) }
            delays.append((h.now - before).count / 1_000_000_000)
            let dial = h.mesh.peer(at: peer(1), now: h.now)!.dial!
            actions = [.dial(dial, peer(1))]
        }
        #expect(delays.prefix(8) == [5, 10, 20, 40, 80, 160, 300, 300])
        #expect(delays.allSatisfy { $0 <= 300 })
        #expect(h.failures(peer(1))! >= 20)
    }

    @Test("a session shorter than 60 s is a failure; 60 s of continuous link, to the last byte, clear the count")
    func stability() {
        var h = Harness(started: false)
        _ = h.tell(.registered(peer(1)))
        var link = h.dialled(peer(1), in: h.tell(.start))!
        _ = h.wait(.seconds(5))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.failures(peer(1)) == 1)
        link = h.dialled(peer(1), in: h.wait(.seconds(5)))!
        // Alive for 70 s, but silent after 50: the last byte counts.
        _ = h.wait(.seconds(25))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.wait(.seconds(25))
        _ = h.tell(.received(link, frames: 1, partial: 0))
        _ = h.wait(.seconds(20))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.failures(peer(1)) == 2)
        link = h.dialled(peer(1), in: h.wait(.seconds(10)))!
        for _ in 0..<3 {
            _ = h.wait(.seconds(25))
            _ = h.tell(.received(link, frames: 1, partial: 0))
        }
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.failures(peer(1)) == 0)
    }

    @Test("an outage of our own network is not the peers' failure")
    func ownOutage() {
        var h = Harness(started: false)
        _ = h.tell(.registered(peer(1)))
        var dials = h.dials(h.tell(.start)).count
        // Nothing answers at all: every dial runs into its deadline.
        for _ in 0..<100 { dials += h.dials(h.wait(.seconds(15))).count }
        #expect(h.failures(peer(1)) == 0)
        #expect(dials >= 99)
    }

    @Test("a short session that ends in an outage of ours is no failure: the link that ends is no sign of life, another one is", arguments: [false, true])
    func ownOutageEndsSession(hasAnother: Bool) {
        var h = Harness()
        let dials = h.tell(.registered(peer(1)))
        let link = h.dialled(peer(1), in: dials)!
        if hasAnother { _ = h.inbound(peer: peer(2)) }
        // The machine slept: nothing has been heard for ten minutes, and the kernel gives the connection up.
        h.now = h.now + .seconds(600)
        _ = h.tell(.ended(link, .io(110)))
        #expect(h.failures(peer(1)) == (hasAnother ? 1 : 0))
    }

    @Test("a learnt peer leaves the book after ten failures with a tombstone that a valid hello lifts; the last ones stay")
    func forgetting() {
        var h = Harness { $0.bookFloor = 3 }
        let (teller, _) = h.inbound(peer: peer(1), nonce: 1)
        for index in 2...5 { _ = h.tell(.learnt(teller!, peer(index))) }
        // Every dial is refused, for a day.
        for _ in 0..<8_640 {
            _ = h.tell(.received(teller!, frames: 1, partial: 0))
            for action in h.wait(.seconds(10)) {
                if case .dial(let link, _) = action { _ = h.tell(.dialFailed(link, .refused)) }
            }
        }
        #expect(h.mesh.peerCount == 3, "the floor holds")
        let forgotten = (2...5).map(peer).filter { h.mesh.peer(at: $0, now: h.now)?.desire.isEmpty ?? true }
        #expect(forgotten.count == 2)
        _ = h.tell(.learnt(teller!, forgotten[0]))
        #expect(h.inbound(peer: forgotten[1], nonce: 5).1 == .accepted)
        #expect(h.mesh.peer(at: forgotten[1], now: h.now)?.desire == .learnt)
    }

    // Bans.

    @Test("the precedence is operator's ban, trust, automatic ban")
    func precedence() {
        var h = Harness()
        let subnet = Subnet(peer(1).address)
        h.mesh.ban(subnet, until: .never, by: .automatic, reason: nil, at: h.now)
        _ = h.take()
        #expect(h.inbound(peer: peer(1)).1 == .banned(for: Nanoseconds(.max)))
        _ = h.tell(.trust(Subnet(IPAddress(v4: 10, 0, 0, 0), prefix: 8)))
        #expect(h.inbound(peer: peer(1)).1 == .accepted)
        _ = h.tell(.ban(subnet, until: h.now + .seconds(100), by: .operator))
        #expect(h.mesh.census().establishedRegular == 0)
        #expect(h.inbound(peer: peer(1)).1 == .banned(for: .seconds(100)))
        _ = h.wait(.seconds(101))
        #expect(h.inbound(peer: peer(1)).1 == .accepted)
    }

    @Test("a banned masternode is dialled again when its ban runs out, without help")
    func banEnds() {
        var h = Harness()
        _ = h.tell(.ban(Subnet(peer(1).address), until: h.now + .seconds(1_000), by: .operator))
        #expect(h.dials(h.tell(.registered(peer(1)))) == [])
        #expect(h.view(peer(1)) == .banned)
        #expect(h.dials(h.wait(.seconds(999))) == [])
        #expect(h.dials(h.wait(.seconds(2))) == [peer(1)])
    }

    @Test("provable abuse bans an address after its fifth time; a bad length never does")
    func scoring() {
        var h = Harness()
        let stranger = Endpoint(IPAddress(v4: 198, 51, 100, 7), port: 5)
        for _ in 0..<20 {
            let link = h.accept(from: stranger)!
            _ = h.tell(.ended(link, .desync))
        }
        for _ in 0..<5 {
            let link = h.accept(from: stranger)!
            _ = h.tell(.ended(link, .protocolViolation))
        }
        let link = h.accept(from: stranger)!
        let actions = h.tell(.hello(link, Hello(isNative: true, nonce: 3)))
        #expect(actions.contains { if case .answer(link, .banned, _) = $0 { true } else { false } })
    }

    // Identity.

    @Test("our own nonce on a dialled link makes a learnt endpoint ourselves for an hour; on an inbound one nothing is remembered")
    func selfConnection() {
        var h = Harness(started: false)
        _ = h.tell(.recalled(peer(1), .linked))
        let actions = h.tell(.start)
        guard case .dial(let link, _)? = actions.first else { Issue.record("no dial"); return }
        _ = h.tell(.connected(link))
        _ = h.tell(.hello(link, Hello(isNative: true, nonce: Harness.nonce, verdict: .duplicate)))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.dials(h.wait(.seconds(3_590))) == [])
        #expect(h.dials(h.wait(.seconds(20))) == [peer(1)])
        let (inbound, verdict) = h.inbound(Hello(isNative: true, endpoint: peer(3), nonce: Harness.nonce), from: peer(3))
        #expect(inbound != nil && verdict == .duplicate)
        #expect(h.mesh.peer(at: peer(3), now: h.now) == nil)
    }

    @Test("a foreign peer's own link is never closed as a duplicate, and a weak one does not stop the slow dial")
    func foreign() {
        var h = Harness { $0.isNativeDialect = false }
        _ = h.tell(.registered(Endpoint(peer(1).address, port: 9_333)))
        let registered = Endpoint(peer(1).address, port: 9_333)
        // Our dial is in flight; the peer's own link comes in first.
        let weak = h.accept(from: Endpoint(peer(1).address, port: 50_000))!
        _ = h.tell(.hello(weak, Hello(isNative: false, nonce: 5)))
        #expect(h.mesh.link(weak)?.identity == .weak)
        let dial = h.mesh.peer(at: registered, now: h.now)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(dial, Hello(isNative: false, nonce: 6)))
        #expect(h.mesh.link(weak)?.state == .established)
        #expect(h.mesh.link(dial)?.state == .established)
        _ = h.tell(.ended(dial, .remoteClosed))
        #expect(h.dials(h.wait(.seconds(10))) == [registered])
    }

    // Roles.

    @Test("promotion is immediate, demotion takes ten minutes, neither closes a link")
    func roles() {
        var h = Harness()
        let (link, _) = h.inbound(peer: peer(1))
        #expect(h.mesh.census().establishedRegular == 1)
        _ = h.tell(.registered(peer(1)))
        #expect(h.mesh.census().establishedMasternodes == 1)
        _ = h.tell(.unregistered(peer(1)))
        func stay(_ h: inout Harness, _ seconds: UInt64) {
            for _ in 0..<(seconds / 5) {
                _ = h.wait(.seconds(5))
                _ = h.tell(.received(link!, frames: 1, partial: 0))
            }
        }
        stay(&h, 590)
        #expect(h.mesh.census().establishedMasternodes == 1)
        stay(&h, 20)
        #expect(h.mesh.census().establishedMasternodes == 0)
        #expect(h.mesh.link(link!)?.state == .established)
    }

    @Test("of more masternodes than the table holds the first in endpoint order are wanted")
    func beyondTable() {
        var h = Harness(started: false) { $0.maxPeers = 4; $0.reservedSlots = 4 }
        for index in (0..<6).reversed() { _ = h.tell(.registered(peer(index))) }
        #expect(Set(h.dials(h.tell(.start))) == Set((0..<4).map(peer)))
        #expect(h.mesh.peer(at: peer(5), now: h.now)?.schedule == .off(.tooMany))
        #expect(h.dials(h.tell(.unregistered(peer(0)))) == [peer(4)])
    }

    // Keepalive.

    @Test("a ping wants its pong; silence is a miss each 10 s, and the third closes a regular peer")
    func misses() {
        var h = Harness()
        let (link, _) = h.inbound(peer: peer(1))
        var pings = 0
        func count(_ actions: [Action]) -> Int { actions.count { if case .ping(link!, _) = $0 { true } else { false } } }
        pings += count(h.wait(.seconds(35)))
        #expect(pings == 1)
        _ = h.tell(.received(link!, frames: 0, partial: 3))
        _ = h.tell(.received(link!, frames: 1, partial: 0))
        #expect(count(h.wait(.seconds(24))) == 0)
        let actions = h.wait(.seconds(40))
        #expect(count(actions) == 3)
        #expect(actions.contains { if case .close(link!, .keepaliveTimeout) = $0 { true } else { false } })
    }

    @Test("while the peer still takes 4 KiB in 10 s no miss counts, for five minutes at most")
    func progress() {
        var h = Harness()
        h.kernelTakesPings = false
        let (link, _) = h.inbound(peer: peer(1))
        _ = h.wait(.seconds(31))
        var alive = 0
        while h.mesh.link(link!) != nil, alive < 600 {
            _ = h.tell(.sent(link!, bytes: 1_000, controlEmpty: false))
            _ = h.wait(.seconds(1))
            alive += 1
        }
        #expect((290...350).contains(alive))
    }

    @Test("a started frame has 60 s, and longer only at 1 KiB a second on average")
    func frames() {
        var h = Harness()
        let (slow, _) = h.inbound(peer: peer(1), nonce: 1)
        let (fast, _) = h.inbound(peer: peer(2), nonce: 2)
        var slowBytes: UInt32 = 0
        var fastBytes: UInt32 = 0
        for _ in 0..<120 {
            fastBytes += 1_100
            if h.mesh.link(slow!) != nil {
                slowBytes += 1
                _ = h.tell(.received(slow!, frames: 0, partial: slowBytes))
            }
            _ = h.tell(.received(fast!, frames: 0, partial: fastBytes))
            _ = h.wait(.seconds(1))
        }
        #expect(h.mesh.link(slow!) == nil)
        #expect((59...61).contains(slowBytes))
        #expect(h.mesh.link(fast!)?.state == .established)
    }

    @Test("a frame time shorter than the ping interval is kept to the millisecond")
    func shortFrameTime() {
        var h = Harness { $0.frameTimeout = .seconds(2) }
        let (link, _) = h.inbound(peer: peer(1))
        _ = h.wait(.seconds(1))
        _ = h.tell(.received(link!, frames: 0, partial: 1))
        _ = h.wait(.milliseconds(1_999))
        #expect(h.mesh.link(link!) != nil)
        _ = h.wait(.milliseconds(2))
        #expect(h.mesh.link(link!) == nil)
    }

    // Everything else.

    @Test("an event with an old generation changes nothing")
    func oldGeneration() {
        var h = Harness()
        let (link, _) = h.inbound(peer: peer(1))
        let stale = LinkID(slot: link!.slot, generation: link!.generation &- 1)
        let before = h.mesh.link(link!)
        for event: Event in [
            .ended(stale, .remoteClosed), .hello(stale, Hello(isNative: true)), .ping(stale, nonce: 1), .asked(stale),
            .received(stale, frames: 1, partial: 9), .connected(stale), .dialFailed(stale, .refused),
            .pong(stale, nonce: 1), .learnt(stale, peer(9)), .sent(stale, bytes: 1, controlEmpty: true),
            .ended(LinkID(slot: 60_000, generation: 1), .remoteClosed),
        ] {
            #expect(h.tell(event) == [])
        }
        #expect(h.mesh.link(link!) == before)
    }

    @Test("shutdown drains what is established, closes what is not, and dials nobody any more")
    func shutdown() {
        var h = Harness(started: false)
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.registered(peer(2)))
        let actions = h.tell(.start)
        let link = h.dialled(peer(1), in: actions)!
        let after = h.tell(.shutdown)
        #expect(after.contains { if case .drain(link, .shutdown) = $0 { true } else { false } })
        #expect(h.dials(h.wait(.seconds(6))) == [])
        #expect(h.mesh.hasNoLinks == true)
        #expect(h.accept(from: peer(5)) == nil)
    }

    @Test("peers are asked for once a link, taken with a bucket, and told without the asker, the banned and ourselves")
    func exchange() {
        var h = Harness(own: peer(0)) { $0.intakeBurst = 10 }
        let (link, _) = h.inbound(peer: peer(1), nonce: 1)
        let other = h.dialled(peer(2), in: h.tell(.recalled(peer(2), .linked)), nonce: 2)
        for index in 0..<30 { _ = h.tell(.learnt(link!, peer(100 + index))) }
        #expect(h.mesh.peerCount == 2 + 10)
        _ = h.tell(.learnt(other!, peer(0)))
        _ = h.tell(.learnt(other!, Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 9)))
        _ = h.tell(.learnt(other!, Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 0)))
        #expect(h.mesh.peerCount == 12)
        #expect(h.tell(.asked(link!)) == [.share(link!)])
        #expect(h.tell(.asked(link!)) == [])
        var told: [Endpoint] = []
        h.mesh.sharePeers(with: link!, at: h.now) { told.append($0); return true }
        #expect(told == [peer(2)])
    }
}
