// What strangers may make of the book: each attack in full, with the share that it gets and what is left of the honest entries.

import Testing
import Timers

@testable import PeerMesh

@Suite("The address book under attack")
struct BookAttackTests {
    private static let capacity = 4_096

    private func harness(_ configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        Harness(own: Endpoint(IPAddress(v4: 203, 0, 115, 1), port: 9_000)) {
            $0.bookCapacity = UInt32(BookAttackTests.capacity)
            ($0.maxPeers, $0.reservedSlots, $0.feelerInterval) = (400, 20, .seconds(30))
            configure(&$0)
        }
    }

    private func address(_ a: Int, _ b: Int, _ c: Int, _ d: Int) -> IPAddress {
        IPAddress(v4: UInt8(a), UInt8(b), UInt8(c), UInt8(d))
    }

    /// A linked caller at this address, which states no endpoint.
    private func teller(_ h: inout Harness, _ address: IPAddress, nonce: UInt64) -> LinkID {
        h.inbound(Hello(isNative: true, nonce: nonce), from: Endpoint(address, port: 40_000)).0!
    }

    /// Rows of the book, tombstones too, whose endpoint is one of these.
    private func rows(_ h: borrowing Harness, where isOne: (Endpoint) -> Bool) -> Int {
        var count = 0
        h.mesh.forEachPeer(at: h.now) { if isOne($0.endpoint) { count += 1 } }
        return count
    }

    /// Events without the invariants' walk after each.
    private func pour(_ h: inout Harness, _ link: LinkID, _ endpoints: some Sequence<Endpoint>) {
        for endpoint in endpoints { h.mesh.handle(.learnt(link, endpoint), at: h.now) }
        #expect(h.mesh.brokenInvariant(at: h.now) == nil)
        _ = h.take()
    }

    /// Told by ten peers of ten networks, thirty by each.
    private func honest(_ h: inout Harness) -> Set<Endpoint> {
        var entries: Set<Endpoint> = []
        for source in 0..<10 {
            let link = teller(&h, address(20 + source, 1, 1, 1), nonce: UInt64(1_000 + source))
            let told = (0..<30).map { Endpoint(address(100 + source, $0, 7, 7), port: 9_000) }
            pour(&h, link, told)
            entries.formUnion(told)
        }
        let known = rows(h) { entries.contains($0) }
        #expect(known == 300)
        return entries
    }

    @Test("an address that calls with ever new ports gets a fiftieth of the book at most, and is told on to nobody")
    func everNewPorts() {
        var h = harness()
        let caller = address(45, 1, 1, 1)
        for port in 0..<3_000 {
            let (link, _) = h.inbound(peer: Endpoint(caller, port: UInt16(10_000 + port)), nonce: UInt64(port + 1))
            if let link { _ = h.tell(.ended(link, .remoteClosed)) }
        }
        let share = rows(h) { $0.address == caller }
        print("book: a caller of 3,000 ports has \(share) of 4,096 rows")
        #expect(share * 50 <= Self.capacity && share > 0, "\(share)")
        let asker = teller(&h, address(46, 1, 1, 1), nonce: 9_999)
        var told: [Endpoint] = []
        h.mesh.sharePeers(with: asker, at: h.now) { told.append($0); return true }
        #expect(told == [])
    }

    @Test("one source gets a fiftieth of the book at most, however often it calls and whatever it tells", arguments: [true, false])
    func oneSource(atOneTarget: Bool) {
        var h = harness { ($0.intakeBurst, $0.pendingPerAddress) = (100_000, 64) }
        let honest = honest(&h)
        for call in 0..<4 {
            let link = teller(&h, address(45, 1, 1, 1), nonce: UInt64(call + 1))
            pour(&h, link, (0..<10_000).map { index in
                atOneTarget ? Endpoint(address(60, 1, 1, 1), port: UInt16(1_000 + index + call * 10_000))
                    : Endpoint(address(60 + call, index / 250, index % 250, 1), port: 9_000)
            })
        }
        let share = rows(h) { $0.address.v4Bits >> 24 >= 60 && $0.address.v4Bits >> 24 < 64 }
        #expect(share * 50 <= Self.capacity && share > 0, "\(share)")
        if atOneTarget { #expect(share * 100 <= Self.capacity, "\(share)") }
        let kept = rows(h) { honest.contains($0) }
        print("book: strangers have \(share) of 4,096 rows, and \(kept) of 300 honest entries stay")
        #expect(kept >= 240, "\(kept)")
    }

    @Test("of one /16 that tells, a twentieth; of sixteen, a quarter; honest entries stay, also if few told of them", arguments: [1, 16], [2, 10])
    func groups(count: Int, honestGroups: Int) {
        var h = harness { $0.intakeBurst = 100_000 }
        var honest: Set<Endpoint> = []
        for source in 0..<10 {
            let link = teller(&h, address(20 + source % honestGroups, 1, source, 1), nonce: UInt64(100_000 + source))
            let told = (0..<30).map { Endpoint(address(100 + source, $0, 7, 7), port: 9_000) }
            pour(&h, link, told)
            honest.formUnion(told)
        }
        let known = rows(h) { honest.contains($0) }
        #expect(known == 300)
        for group in 0..<count {
            for source in 0..<8 {
                let link = teller(&h, address(45, group, source, 1), nonce: UInt64(group * 8 + source + 1))
                pour(&h, link, (0..<1_000).map { Endpoint(address(60 + group, source, $0 / 250, 1 + $0 % 250), port: 9_000) })
            }
        }
        let share = rows(h) { !honest.contains($0) }
        #expect(share * (count == 1 ? 20 : 4) <= Self.capacity && share > 0, "\(share)")
        let kept = rows(h) { honest.contains($0) }
        print("book: strangers have \(share) of 4,096 rows, and \(kept) of 300 honest entries stay")
        #expect(kept >= 240, "\(kept)")
    }

    @Test("honest sources find room in a book that sixteen networks have filled before")
    func lateHonest() {
        var h = harness { $0.intakeBurst = 100_000 }
        for group in 0..<16 {
            for source in 0..<4 {
                let link = teller(&h, address(45, group, source, 1), nonce: UInt64(group * 4 + source + 1))
                pour(&h, link, (0..<1_000).map { Endpoint(address(60 + group, source, $0 / 250, 1 + $0 % 250), port: 9_000) })
            }
        }
        for source in 0..<10 {
            let link = teller(&h, address(20 + source, 1, 1, 1), nonce: UInt64(100_000 + source))
            pour(&h, link, (0..<30).map { Endpoint(address(100 + source, $0, 7, 7), port: 9_000) })
        }
        let entries = rows(h) { $0.address.v4Bits >> 24 >= 100 }
        #expect(entries >= 150, "\(entries)")
    }

    @Test("what answered a dial of ours stays, whatever is told and whoever calls")
    func triedStays() {
        var h = harness { ($0.intakeBurst, $0.maxPeers, $0.bookCapacity) = (100_000, 100, 128) }
        var tried: Set<Endpoint> = []
        for index in 0..<60 {
            let endpoint = Endpoint(address(100, index, 7, 7), port: 9_000)
            _ = h.tell(.recalled(endpoint, .tried))
            tried.insert(endpoint)
        }
        let before = rows(h) { tried.contains($0) }
        #expect(before == 60)
        for source in 0..<40 {
            let link = teller(&h, address(20 + source, 1, 1, 1), nonce: UInt64(1_000 + source))
            pour(&h, link, (0..<100).map { Endpoint(address(150 + source, $0, 1, 1), port: 9_000) })
        }
        let after = rows(h) { tried.contains($0) }
        #expect(after == 60)
        #expect(h.mesh.parts.newCount == 64)
    }

    @Test("one network does not fill what was tried, though each of its addresses answers")
    func triedIsDiverse() {
        var h = harness()
        for index in 0..<1_000 {
            h.mesh.handle(.recalled(Endpoint(address(60, 1, index / 250, 1 + index % 250), port: 9_000), .tried), at: h.now)
        }
        #expect(h.mesh.parts.triedCount * 20 <= Self.capacity && h.mesh.parts.triedCount > 100)
        for port in 0..<1_000 { h.mesh.handle(.recalled(Endpoint(address(61, 1, 1, 1), port: UInt16(1_000 + port)), .tried), at: h.now) }
        let atOne = rows(h) { $0.address == address(61, 1, 1, 1) }
        #expect(atOne * 40 <= Self.capacity)
        #expect(h.mesh.brokenInvariant(at: h.now) == nil)
    }

    @Test("one answer names an eighth of one network at most, and the registry's in full")
    func diverseAnswer() {
        var h = harness { $0.shareLimit = 160 }
        for index in 0..<200 { h.mesh.handle(.recalled(Endpoint(address(60, 1, index, 1), port: 9_000), .tried), at: h.now) }
        for index in 0..<30 { h.mesh.handle(.registered(Endpoint(address(61, 1, index, 1), port: 9_000)), at: h.now) }
        _ = h.take()
        let asker = teller(&h, address(46, 1, 1, 1), nonce: 9_999)
        var told: [Endpoint] = []
        h.mesh.sharePeers(with: asker, at: h.now) { told.append($0); return true }
        #expect(told.count { $0.address.group == address(60, 1, 0, 0) } == 20)
        #expect(told.count { $0.address.group == address(61, 1, 0, 0) } == 30)
    }

    // Reflection.

    /// Dials within ten minutes, each refused at once, while the tellers stay.
    private func dials(_ h: inout Harness, tellers: [LinkID]) -> [Endpoint] {
        var dials: [Endpoint] = []
        for _ in 0..<600 {
            for link in tellers { h.mesh.handle(.received(link, frames: 1, partial: 0), at: h.now) }
            for link in tellers { h.mesh.answerPing(link, at: h.now) }
            for case .dial(let link, let endpoint) in h.take() + h.wait(.seconds(1)) {
                dials.append(endpoint)
                _ = h.tell(.dialFailed(link, .refused))
            }
        }
        return dials
    }

    @Test("10,000 ports of one third party, told once, are a handful of dials in ten minutes")
    func oneThirdParty() {
        var h = harness { $0.intakeBurst = 100_000 }
        let link = teller(&h, address(45, 1, 1, 1), nonce: 1)
        pour(&h, link, (0..<10_000).map { Endpoint(address(60, 1, 1, 1), port: UInt16(1_000 + $0)) })
        let dials = dials(&h, tellers: [link])
        print("book: \(dials.count) dials in ten minutes at the address of a third party")
        #expect((4...14).contains(dials.count), "\(dials.count)")
    }

    @Test("a third party's IPv6 /64 is one address")
    func oneThirdPartyOfSix() {
        var h = harness { $0.intakeBurst = 100_000 }
        let link = teller(&h, address(45, 1, 1, 1), nonce: 1)
        pour(&h, link, (0..<10_000).map { Endpoint(IPAddress(v6High: 0x2a01_04f8_0001_0002, low: UInt64($0 + 1)), port: 9_000) })
        let dials = dials(&h, tellers: [link])
        #expect((4...14).contains(dials.count), "\(dials.count)")
    }

    @Test("a third party's /24 is dialled eight times at once and eight times a minute at most, however many tell of it")
    func thirdNet() {
        var h = harness { $0.intakeBurst = 100_000 }
        let links = (0..<8).map { teller(&h, address(45, $0, 1, 1), nonce: UInt64($0 + 1)) }
        for (index, link) in links.enumerated() {
            pour(&h, link, (0..<1_000).map { Endpoint(address(60, 1, 1, 1 + $0 % 250), port: UInt16(1_000 + index * 1_000 + $0)) })
        }
        let dials = dials(&h, tellers: links)
        print("book: \(dials.count) dials in ten minutes at the /24 of a third party")
        #expect((8...88).contains(dials.count), "\(dials.count)")
    }

    @Test("masternodes, the operator's peers and tried ones are dialled whatever was told of their address")
    func exempt() {
        var h = harness { $0.intakeBurst = 100_000 }
        let link = teller(&h, address(45, 1, 1, 1), nonce: 1)
        let target = address(60, 1, 1, 1)
        pour(&h, link, (0..<100).map { Endpoint(target, port: UInt16(1_000 + $0)) })
        var dialled = h.dials(h.wait(.milliseconds(200)))
        #expect(dialled.count == 4)
        for (port, event) in [(1, Event.registered), (2, Event.connect)] as [(UInt16, (Endpoint) -> Event)] {
            dialled = h.dials(h.tell(event(Endpoint(target, port: port))))
            #expect(dialled == [Endpoint(target, port: port)])
        }
        dialled = h.dials(h.tell(.recalled(Endpoint(target, port: 3), .linked)))
        #expect(dialled == [Endpoint(target, port: 3)])
        // One that an operator asks for by hand does not wait either.
        let waiting = (0..<100).map { Endpoint(target, port: UInt16(1_000 + $0)) }.first { h.mesh.peer(at: $0, now: h.now)?.dial == nil && h.mesh.peer(at: $0, now: h.now) != nil }!
        dialled = h.dials(h.tell(.connect(waiting)))
        #expect(dialled == [waiting])
    }

    @Test("one that waits for others at its address says so, and is dialled when its turn comes")
    func saysSo() {
        var h = Harness(started: false)
        let endpoints = (1...5).map { Endpoint(address(60, 1, 1, 1), port: UInt16($0)) }
        for endpoint in endpoints { _ = h.tell(.recalled(endpoint, .known)) }
        let first = h.tell(.start)
        let begun = h.dials(first)
        #expect(begun.count == 4)
        for case .dial(let link, _) in first { _ = h.tell(.dialFailed(link, .refused)) }
        let schedules = begun.map { h.mesh.peer(at: $0, now: h.now)!.schedule }
        let until = h.now + .seconds(60)
        #expect(schedules.contains(.wait(until: until, .spaced)))
        #expect(h.dials(h.wait(.milliseconds(59_999))) == [])
        #expect(h.dials(h.wait(.milliseconds(1))).count == 1)
    }

    // Feelers.

    @Test("what was only told is tried also while no slot is free, and a peer that answers is told on")
    func feeler() {
        var h = harness { ($0.maxPeers, $0.reservedSlots, $0.outboundSlots) = (4, 3, 0) }
        let link = teller(&h, address(45, 1, 1, 1), nonce: 1)
        let told = Endpoint(address(60, 1, 1, 1), port: 9_000)
        _ = h.tell(.learnt(link, told))
        var actions: [Action] = []
        for _ in 0..<31 where h.dials(actions).isEmpty {
            _ = h.tell(.received(link, frames: 1, partial: 0))
            actions = h.wait(.seconds(1))
        }
        #expect(h.dials(actions) == [told])
        guard case .dial(let feeler, _)? = actions.first(where: { if case .dial = $0 { true } else { false } }) else { return }
        _ = h.tell(.connected(feeler))
        let end = h.tell(.hello(feeler, Hello(isNative: true, endpoint: told, nonce: 7, verdict: .accepted)))
        #expect(end.contains(.drain(feeler, .full)))
        #expect(h.failures(told) == 0)
        var answer: [Endpoint] = []
        h.mesh.sharePeers(with: link, at: h.now) { answer.append($0); return true }
        #expect(answer == [told])
        #expect(h.mesh.census().establishedRegular == 1)
    }

    @Test("a linked caller's claim is verified by a dial that its process answers, and told on from then on")
    func callerIsFelt() {
        var h = harness()
        let caller = Endpoint(address(45, 1, 1, 1), port: 9_000)
        let link = h.inbound(peer: caller, nonce: 1).0!
        let asker = teller(&h, address(46, 1, 1, 1), nonce: 2)
        func told(_ h: inout Harness) -> [Endpoint] {
            var told: [Endpoint] = []
            h.mesh.sharePeers(with: asker, at: h.now) { told.append($0); return true }
            return told
        }
        #expect(told(&h) == [])
        var actions: [Action] = []
        for _ in 0..<31 where h.dials(actions).isEmpty {
            for one in [link, asker] { _ = h.tell(.received(one, frames: 1, partial: 0)) }
            actions = h.wait(.seconds(1))
        }
        #expect(h.dials(actions) == [caller])
        guard case .dial(let feeler, _)? = actions.first(where: { if case .dial = $0 { true } else { false } }) else { return }
        _ = h.tell(.connected(feeler))
        _ = h.tell(.hello(feeler, Hello(isNative: true, endpoint: caller, nonce: 1, verdict: .duplicate)))
        #expect(told(&h) == [caller])
        #expect(h.mesh.peer(at: caller, now: h.now)?.established == link)
    }

    /// What the thread itself took of the processor is compared within one run, by medians: a walk would cost 64 times as much in the large book.
    @Test("what a stranger's call, claim, tale or question costs does not grow with the book", .timeLimit(.minutes(5)))
    func bounded() {
        func cost(capacity: Int) -> Int {
            let now = Instant(nanoseconds: 1_000_000_000)
            var settings = MeshSettings(nonce: 1, seed: 2)
            (settings.bookCapacity, settings.maxPeers, settings.reservedSlots) = (UInt32(capacity), 20, 19)
            (settings.intakeBurst, settings.intakePeriod) = (1_000_000, .milliseconds(1))
            var mesh = Mesh(settings, now: now)
            func drain() -> LinkID? {
                var link: LinkID?
                while let action = mesh.nextAction() { if case .adopt(_, let id) = action { link = id } }
                while mesh.nextTransition() != nil {}
                return link
            }
            mesh.handle(.start, at: now)
            for index in 0..<capacity {
                mesh.handle(.recalled(Endpoint(IPAddress(v4: UInt32(0x0b00_0000 + index * 7_919)), port: 9_000), index % 4 == 0 ? .known : .tried), at: now)
                _ = drain()
            }
            let from = Endpoint(IPAddress(v4: 70, 1, 1, 1), port: 9_000)
            mesh.handle(.accepted(ticket: 0, from: from), at: now)
            let asker = drain()!
            mesh.handle(.hello(asker, Hello(isNative: true, endpoint: from, nonce: 5)), at: now)
            _ = drain()
            var batches: [Int] = []
            for batch in 0..<101 {
                let before = processorTime()
                for index in 0..<16 {
                    let stranger = Endpoint(IPAddress(v4: UInt32(0x5000_0000 + (batch * 16 + index) << 12)), port: 9_000)
                    mesh.handle(.accepted(ticket: 1, from: stranger), at: now)
                    guard let link = drain() else { continue }
                    mesh.handle(.hello(link, Hello(isNative: true, endpoint: stranger, nonce: UInt64(stranger.address.v4Bits))), at: now)
                    mesh.handle(.asked(asker), at: now)
                    mesh.handle(.learnt(asker, Endpoint(stranger.address, port: 1)), at: now)
                    mesh.sharePeers(with: asker, at: now) { _ in true }
                    mesh.giveUpPlace(mesh.row(of: stranger) >= 0 ? mesh.row(of: stranger) : 0, at: now)
                    mesh.fillRegularSlots(at: now)
                    mesh.handle(.ended(link, .remoteClosed), at: now)
                    _ = drain()
                }
                batches.append(processorTime() - before)
            }
            return batches.sorted()[50]
        }
        let (small, large) = (cost(capacity: 4_096), cost(capacity: 262_144))
        print("book: 16 strangers took \(small / 1_000) µs with 4,096 rows and \(large / 1_000) µs with 262,144")
        #expect(large < small * 12)
    }
}
