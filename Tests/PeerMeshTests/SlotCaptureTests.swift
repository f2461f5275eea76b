// Strangers that want all slots: what one address, one subnet and many nets get, who is in for good, and who always finds a place.

import Testing
import Timers

@testable import PeerMesh

@Suite("Slots under attack")
struct SlotCaptureTests {
    private static func address(_ a: Int, _ b: Int, _ c: Int, _ d: Int) -> IPAddress {
        IPAddress(v4: UInt8(a), UInt8(b), UInt8(c), UInt8(d))
    }

    /// Attacker `index` of many nets: each has a /16 of its own.
    private static func spread(_ index: Int) -> IPAddress { address(20 + index / 250, index % 250, 7, 7) }

    /// An attacker of one /16, two to a /24.
    private static func crowd(_ index: Int) -> IPAddress { address(9, 9, index / 2, 1 + index % 2) }

    /// A stranger calls from `address` with a nonce of its own and states no endpoint.
    private func call(_ h: inout Harness, from address: IPAddress) -> (LinkID?, Verdict?) {
        h.now = h.now + .milliseconds(1)
        return greet(&h, from: address)
    }

    private func greet(_ h: inout Harness, from address: IPAddress) -> (LinkID?, Verdict?) {
        h.inbound(Hello(isNative: true, nonce: 1_000 + UInt64(h.tickets)), from: Endpoint(address, port: UInt16(1_024 + h.tickets % 60_000)))
    }

    private func standing(_ h: borrowing Harness, _ links: [LinkID]) -> Int {
        links.count { h.mesh.link($0)?.state == .established }
    }

    private func report(_ h: inout Harness, _ endpoint: Endpoint) -> PeerReport? { h.mesh.peer(at: endpoint, now: h.now) }

    /// All regular slots that strangers can have are theirs.
    private func besieged(isSpread: Bool = true, configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        var h = Harness(configure: configure)
        for index in 0..<300 { _ = call(&h, from: isSpread ? Self.spread(index) : Self.crowd(index)) }
        return h
    }

    /// Learnt peers of nets of their own, each dialled and linked.
    private func linkedOut(_ h: inout Harness, _ count: Int) -> [LinkID] {
        var actions: [Action] = []
        for index in 0..<count { actions += h.tell(.recalled(Endpoint(Self.address(150, index, 1, 1), port: 9_000), .linked)) }
        var links: [LinkID] = []
        for action in actions + h.tell(.start) + h.wait(.seconds(1)) {
            guard case .dial(let link, let endpoint) = action else { continue }
            _ = h.tell(.connected(link))
            _ = h.tell(.hello(link, Hello(isNative: true, endpoint: endpoint, nonce: endpoint.address.v4Bits.hashNonce, verdict: .accepted)))
            links.append(link)
        }
        return links
    }

    // Bounds.

    @Test("one address opens two hundred links: eight are established, the others are refused as crowded")
    func oneAddress() {
        var h = Harness()
        var (verdicts, crowded): ([Verdict?: Int], Int) = ([:], 0)
        for _ in 0..<200 {
            let link = h.accept(from: Endpoint(Self.address(9, 9, 9, 9), port: UInt16(1_024 + h.tickets)))!
            let actions = h.tell(.hello(link, Hello(isNative: true, nonce: 1_000 + UInt64(h.tickets))))
            for case .answer(_, let verdict, _) in actions { verdicts[verdict, default: 0] += 1 }
            crowded += actions.count { if case .drain(_, .crowded) = $0 { true } else { false } }
        }
        #expect(verdicts == [.accepted: 8, .full: 192] && crowded == 192)
        #expect(h.mesh.census().establishedRegular == 8)
        #expect(call(&h, from: Self.address(8, 8, 8, 8)).1 == .accepted)
    }

    @Test("the neighbours of an IPv6 address are its /64, and its /48 is a subnet")
    func versionSix() {
        var h = Harness { ($0.regularPerAddress, $0.regularPerSubnet) = (2, 3) }
        func six(_ high: UInt64, _ low: UInt64) -> IPAddress { IPAddress(v6High: high, low: low) }
        let home: UInt64 = 0x2001_0db8_0001_0000
        #expect(call(&h, from: six(home, 1)).1 == .accepted)
        let second = call(&h, from: six(home, 2)).0!
        #expect(call(&h, from: six(home, 3)).1 == .full)
        #expect(call(&h, from: six(home + 1, 1)).1 == .accepted)
        #expect(call(&h, from: six(home + 2, 1)).1 == .full)
        #expect(call(&h, from: six(home + 0x1_0000, 1)).1 == .accepted)
        _ = h.tell(.ended(second, .remoteClosed))
        #expect(call(&h, from: six(home, 3)).1 == .accepted)
    }

    @Test("one /24 has half of the regular slots at most")
    func oneSubnet() {
        var h = Harness()
        for index in 0..<200 { _ = call(&h, from: Self.address(9, 9, 9, index)) }
        #expect(h.mesh.census().establishedRegular == 35)
    }

    @Test("the operator's peers and masternodes are linked beside a full address, and are not counted there")
    func exempt() {
        var h = Harness { $0.regularPerAddress = 2 }
        let home = Self.address(9, 9, 9, 9)
        for _ in 0..<3 { _ = call(&h, from: home) }
        for port in 1...4 as ClosedRange<UInt16> {
            let endpoint = Endpoint(home, port: port)
            _ = h.tell(port < 3 ? .connect(endpoint) : .registered(endpoint))
            #expect(h.inbound(peer: endpoint, nonce: UInt64(port)).1 == .accepted)
        }
        #expect(h.mesh.census().establishedRegular == 4 && h.mesh.census().establishedMasternodes == 2)
        #expect(call(&h, from: home).1 == .full)
        // What the operator wants no longer has left with its link; what was a stranger's is one of the operator's as soon as it is named.
        let stranger = Endpoint(Self.address(8, 8, 8, 8), port: 9_000)
        for port in [0, 1, 2] as [UInt16] { _ = h.inbound(peer: Endpoint(stranger.address, port: stranger.port + port), nonce: 50 + UInt64(port)) }
        #expect(h.mesh.census().establishedRegular == 6)
        _ = h.tell(.connect(stranger))
        #expect(h.inbound(peer: Endpoint(stranger.address, port: stranger.port + 2), nonce: 52).1 == .accepted)
    }

    @Test("a learnt peer with too many neighbours holds up no other learnt peer, and says what it waits for")
    func crowdedDial() {
        var h = Harness(started: false) { ($0.regularPerAddress, $0.regularPerSubnet) = (1, 70) }
        let home = Self.address(150, 0, 1, 1)
        _ = h.tell(.start)
        #expect(call(&h, from: home).1 == .accepted)
        let teller = call(&h, from: Self.address(7, 7, 7, 7)).0!
        let (crowded, other) = (Endpoint(home, port: 9_000), Endpoint(Self.address(151, 0, 1, 1), port: 9_000))
        for endpoint in [crowded, other] { _ = h.tell(.learnt(teller, endpoint)) }
        #expect(h.dials(h.wait(.seconds(5))) == [other])
        guard case .wait(_, .crowded)? = report(&h, crowded)?.verdict else {
            Issue.record("\(String(describing: report(&h, crowded)?.verdict))")
            return
        }
    }

    // The share of those that are dialled.

    @Test("a quarter of the regular slots is for peers that are dialled: callers take none of it")
    func outboundShare() {
        var h = Harness(started: false)
        #expect(h.mesh.settings.regularSlots == 70 && h.mesh.settings.effectiveOutboundSlots == 17)
        _ = h.tell(.start)
        for index in 0..<300 { _ = call(&h, from: Self.spread(index)) }
        #expect(h.mesh.census().establishedRegular == 53)
        let links = linkedOut(&h, 60)
        #expect(links.count == 17 && standing(h, links) == 17)
        #expect(h.mesh.census().establishedRegular == 70)
        for link in links.prefix(3) { _ = h.tell(.ended(link, .remoteClosed)) }
        for index in 300..<350 { _ = call(&h, from: Self.spread(index)) }
        #expect(h.mesh.census().establishedRegular == 67)
        #expect(standing(h, links) == 14)
    }

    @Test("discovery fills three quarters of the regular slots, and a table of fewer than sixteen whole; callers fill the rest")
    func discoveryFills() {
        var h = Harness(started: false)
        #expect(linkedOut(&h, 70).count == 53)
        for index in 0..<40 { _ = call(&h, from: Self.spread(index)) }
        #expect(h.mesh.census().establishedRegular == 70)
        var small = Harness(started: false) { ($0.maxPeers, $0.reservedSlots) = (15, 0) }
        #expect(linkedOut(&small, 15).count == 15)
    }

    // The operator's place.

    @Test("the operator's peer is dialled and linked though strangers hold every slot; one of them goes, and no masternode")
    func operatorsPlace() {
        var h = besieged { $0.outboundSlots = 0 }
        for index in 0..<30 {
            _ = h.tell(.registered(peer(index)))
            #expect(h.inbound(peer: peer(index), nonce: 10 + UInt64(index)).1 == .accepted)
        }
        #expect(h.mesh.census().establishedRegular == 70 && h.mesh.census().establishedMasternodes == 30)
        let wanted = Endpoint(Self.address(11, 0, 0, 1), port: 9_000)
        let link = h.dialled(wanted, in: h.tell(.connect(wanted)) + h.wait(.seconds(1)), nonce: 5)
        #expect(link != nil && report(&h, wanted)?.established == link)
        #expect(h.mesh.census().establishedRegular == 70 && h.mesh.census().establishedMasternodes == 30)
        // One that calls in, too.
        let caller = Endpoint(Self.address(11, 0, 0, 2), port: 9_000)
        _ = h.tell(.connect(caller))
        #expect(h.inbound(peer: caller, nonce: 6).1 == .accepted)
        #expect(h.mesh.census().establishedRegular == 70 && h.mesh.census().establishedMasternodes == 30)
        #expect(report(&h, wanted)?.established == link)
    }

    @Test("the operator's peers fill the regular slots, each at the cost of a stranger; one more waits for a slot")
    func operatorsFill() {
        var h = besieged { ($0.maxPeers, $0.reservedSlots) = (20, 4) }
        let wanted = (0..<18).map { Endpoint(Self.address(11, $0, 0, 1), port: 9_000) }
        for endpoint in wanted { _ = h.dialled(endpoint, in: h.tell(.connect(endpoint)) + h.wait(.milliseconds(100)), nonce: endpoint.address.v4Bits.hashNonce) }
        #expect(wanted.count { report(&h, $0)?.established != nil } == 16)
        #expect(h.mesh.census().establishedRegular == 16)
        #expect(report(&h, wanted[17])?.verdict == .queue(.slot))
        // A masternode is worth one of them, when no stranger is left and the reserve is full.
        for index in 0..<5 {
            _ = h.tell(.registered(peer(index)))
            #expect(h.inbound(peer: peer(index), nonce: 10 + UInt64(index)).1 == .accepted)
        }
        #expect(h.mesh.census().establishedRegular == 15 && h.mesh.census().establishedMasternodes == 5)
        #expect(report(&h, wanted[16])?.established == nil && report(&h, wanted[17])?.established == nil)
    }

    @Test("dead peers, learnt or the operator's, hold up no peer that the operator names")
    func deadDials() {
        var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.bookCapacity, $0.outboundSlots) = (1_000, 20, 2_048, 200) }
        for index in 0..<300 { _ = h.tell(.recalled(Endpoint(Self.address(150 + index / 200, index % 200, 1, 1), port: 9_000), .linked)) }
        for index in 0..<300 { _ = h.tell(.connect(Endpoint(Self.address(160 + index / 200, index % 200, 1, 1), port: 9_000))) }
        _ = h.tell(.start)
        let sign = call(&h, from: Self.address(7, 7, 7, 7)).0!
        for _ in 0..<60 {
            _ = h.wait(.seconds(2))
            _ = h.tell(.received(sign, frames: 1, partial: 0))
        }
        #expect(h.mesh.census().dialingRegular >= 32)
        let wanted = Endpoint(Self.address(11, 0, 0, 1), port: 9_000)
        #expect(h.dials(h.tell(.connect(wanted)) + h.wait(.milliseconds(20))).contains(wanted))
    }

    @Test("an address of the operator's finds a pending place among strangers, and one of them goes for it")
    func operatorsPending() {
        var h = Harness { $0.pendingLimit = 8 }
        for index in 0..<8 { #expect(h.accept(from: Endpoint(Self.spread(index), port: 1)) != nil) }
        let wanted = Endpoint(Self.address(11, 0, 0, 1), port: 9_000)
        #expect(h.accept(from: Endpoint(wanted.address, port: 2)) == nil)
        _ = h.tell(.connect(wanted))
        #expect(h.inbound(peer: wanted, nonce: 5).1 == .accepted)
        _ = h.tell(.disconnect(wanted))
        for index in 8..<9 { #expect(h.accept(from: Endpoint(Self.spread(index), port: 1)) != nil) }
        #expect(h.accept(from: Endpoint(wanted.address, port: 3)) == nil)
    }

    // Eviction.

    @Test("three hundred attackers keep no newcomer out, wherever they call from", arguments: [true, false])
    func newcomers(isSpread: Bool) {
        var h = besieged(isSpread: isSpread)
        let before = h.mesh.census().establishedRegular
        #expect(before == 53)
        for index in 0..<20 {
            let (link, verdict) = call(&h, from: Self.address(100 + index, 1, 1, 1))
            #expect(verdict == .accepted)
            #expect(h.mesh.link(link!)?.state == .established)
        }
        #expect(h.mesh.census().establishedRegular == before)
    }

    @Test("attackers of one /16 that call again and again push out none of those that came from elsewhere")
    func crowdReturns() {
        var h = besieged(isSpread: false)
        var honest: [LinkID] = []
        for index in 0..<20 { honest.append(call(&h, from: Self.address(100 + index, 1, 1, 1)).0!) }
        for index in 0..<1_000 { _ = call(&h, from: Self.crowd(index % 300)) }
        #expect(standing(h, honest) == 20)
    }

    @Test("the longest-lived half and the fastest stay, whoever calls from however many nets")
    func protected() {
        var h = Harness()
        h.kernelTakesPings = true
        var old: [LinkID] = []
        for index in 0..<26 { old.append(call(&h, from: Self.address(100 + index, 1, 1, 1)).0!) }
        var fast: [LinkID] = []
        for index in 0..<6 { fast.append(call(&h, from: Self.address(130, 1 + index, 1, 1)).0!) }
        for index in 0..<21 { _ = call(&h, from: Self.spread(index)) }
        #expect(h.mesh.census().establishedRegular == 53)
        // Each is pinged; the fast ones answer after a millisecond, all others after a hundred.
        var pings: [(LinkID, UInt64)] = []
        for case .ping(let link, let nonce) in h.wait(.seconds(30)) { pings.append((link, nonce)) }
        h.now = h.now + .milliseconds(1)
        for (link, nonce) in pings where fast.contains(link) { _ = h.tell(.pong(link, nonce: nonce)) }
        h.now = h.now + .milliseconds(99)
        for (link, nonce) in pings where !fast.contains(link) { _ = h.tell(.pong(link, nonce: nonce)) }
        for index in 0..<600 { _ = call(&h, from: Self.spread(21 + index)) }
        #expect(standing(h, old) == 26)
        #expect(standing(h, fast) == 6)
    }

    @Test("no table of fewer than sixteen regular slots, and no one of eight callers, is fought over by strangers")
    func smallTables() {
        var small = besieged { ($0.maxPeers, $0.reservedSlots) = (15, 0) }
        #expect(call(&small, from: Self.address(100, 1, 1, 1)).1 == .full)
        var few = besieged { ($0.maxPeers, $0.reservedSlots, $0.outboundSlots) = (16, 0, 8) }
        #expect(few.mesh.census().establishedRegular == 8)
        #expect(call(&few, from: Self.address(100, 1, 1, 1)).1 == .full)
    }

    @Test("a masternode finds a slot as long as a stranger has one, whoever the strangers are; a dialled one goes last")
    func masternodesAlways() {
        var h = Harness(started: false) { ($0.maxPeers, $0.reservedSlots, $0.outboundSlots) = (30, 0, 10) }
        let out = linkedOut(&h, 10)
        #expect(out.count == 10)
        for index in 0..<100 { _ = call(&h, from: Self.spread(index)) }
        #expect(h.mesh.census().establishedRegular == 30)
        for index in 0..<30 {
            _ = h.tell(.registered(peer(index)))
            if index == 20 { #expect(standing(h, out) == 10) }
            #expect(h.inbound(peer: peer(index), nonce: 10 + UInt64(index)).1 == .accepted)
        }
        #expect(h.mesh.census().establishedRegular == 0 && h.mesh.census().establishedMasternodes == 30)
        #expect(standing(h, out) == 0)
    }

    @Test("a choice looks at no more than 128 links, in a table of any size")
    func boundedChoice() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots, $0.outboundSlots, $0.pendingLimit) = (5_000, 0, 0, 8) }
        var first: [LinkID] = []
        for index in 0..<5_000 {
            h.tickets += 1
            h.mesh.handle(.accepted(ticket: h.tickets, from: Endpoint(IPAddress(v4: 0x1400_0000 + UInt32(index) << 9), port: 5)), at: h.now)
            var link: LinkID?
            while let action = h.mesh.nextAction() { if case .adopt(_, let id) = action { link = id } }
            h.mesh.handle(.hello(link!, Hello(isNative: true, nonce: 1_000 + UInt64(index))), at: h.now)
            while h.mesh.nextAction() != nil {}
            while h.mesh.nextTransition() != nil {}
            if index < 2_500 { first.append(link!) }
        }
        #expect(h.mesh.census().establishedRegular == 5_000)
        let began = ContinuousClock.now
        for index in 0..<50 { #expect(call(&h, from: Self.address(100 + index, 1, 1, 1)).1 == .accepted) }
        print("figure: a call, an eviction and the invariants' check in a table of 5,000: \((ContinuousClock.now - began) / 50)")
        #expect(standing(h, first) == 2_500)
        var candidates = EvictionCandidates(key: 7)
        var rest = 0
        let chosen = ContinuousClock.now
        for round in 0..<100 {
            candidates.clear()
            for slot in 0..<EvictionCandidates.capacity { candidates.append(slot, group: UInt64(slot), roundTrip: UInt64(1_000 + slot)) }
            candidates.protectGroups(16)
            candidates.protectFastest(32)
            rest &+= candidates.victim(joining: UInt64(round))
        }
        print("figure: the largest choice: \((ContinuousClock.now - chosen) / 100)")
        #expect(rest > 0)
        #expect(EvictionCandidates.capacity == 128)
    }

    @Test("the choice survives the state being written out and read back")
    func restored() {
        var h = besieged(isSpread: false)
        h.now = h.now + .milliseconds(1)
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        var one = h.mesh.clone()
        var other = Mesh(h.mesh.settings, decoding: bytes, now: h.now)!
        let now = h.now
        func told(_ mesh: inout Mesh) -> [Action] {
            mesh.handle(.accepted(ticket: 9_999, from: Endpoint(Self.address(100, 1, 1, 1), port: 5)), at: now)
            var actions: [Action] = []
            while let action = mesh.nextAction() {
                actions.append(action)
                if case .adopt(_, let link) = action { mesh.handle(.hello(link, Hello(isNative: true, nonce: 7)), at: now) }
            }
            return actions
        }
        let actions = told(&one)
        #expect(actions.contains { if case .drain(_, .evicted) = $0 { true } else { false } })
        #expect(told(&other) == actions)
    }

    @Test("a demoted masternode's link, which keeps the slot that it had, is not the one that makes room for a stranger")
    func keptSlotMakesNoRoom() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots, $0.outboundSlots, $0.demotionDelay) = (18, 2, 0, .seconds(3)) }
        for index in 0..<16 { _ = call(&h, from: Self.spread(index)) }
        let demoted = Endpoint(Self.address(11, 0, 0, 1), port: 9_000)
        _ = h.tell(.registered(demoted))
        let link = h.inbound(peer: demoted, nonce: 5).0!
        _ = h.tell(.unregistered(demoted))
        _ = h.wait(.seconds(4))
        #expect(report(&h, demoted)?.role == .regular && h.mesh.census().establishedRegular == 17)
        // `inbound` asks the invariants: with the kept slot's link gone there would be seventeen regular peers of sixteen.
        #expect(call(&h, from: Self.address(100, 1, 1, 1)).1 == .accepted)
        #expect(standing(h, [link]) == 1 && h.mesh.census().establishedRegular == 17)
    }

    // Pending.

    @Test("a registered address has places for its peers in the pending pool, and no more: another masternode's call is let in")
    func hostileMasternode() {
        var h = Harness()
        let (hostile, honest) = (Endpoint(Self.address(9, 9, 9, 9), port: 9_000), Endpoint(Self.address(8, 8, 8, 8), port: 9_000))
        for endpoint in [hostile, honest] { _ = h.tell(.registered(endpoint)) }
        for index in 0..<60 { _ = h.accept(from: Endpoint(Self.spread(index), port: 1)) }
        var held = 0
        for port in 1...200 as ClosedRange<UInt16> where h.accept(from: Endpoint(hostile.address, port: port)) != nil { held += 1 }
        #expect(held == 4)
        #expect(h.mesh.census().pending == 64)
        #expect(h.inbound(peer: honest, nonce: 5).1 == .accepted)
        // Thirty-two masternodes behind one address call at once.
        var lab = Harness()
        for port in 1...32 as ClosedRange<UInt16> { _ = lab.tell(.registered(Endpoint(hostile.address, port: port))) }
        for port in 1...32 as ClosedRange<UInt16> { #expect(lab.accept(from: Endpoint(hostile.address, port: 40_000 + port)) != nil) }
        for port in 1...64 as ClosedRange<UInt16> { _ = lab.accept(from: Endpoint(hostile.address, port: 41_000 + port)) }
        #expect(lab.mesh.census().pending == 48)
    }
}

extension UInt32 {
    /// A nonce that no other peer of these scenes shows.
    fileprivate var hashNonce: UInt64 { 0x1_0000_0000 + UInt64(self) }
}
