// Who is wanted, and what the operator, the registry, bans and scores do to it; what is reported of it.

import Testing
import Timers

@testable import PeerMesh

@Suite("Registry, operator, bans")
struct RegistryTests {
    private func schedule(_ h: borrowing Harness, _ index: Int) -> Schedule? { h.mesh.peer(at: peer(index), now: h.now)?.schedule }
    private func report(_ h: borrowing Harness, _ index: Int) -> PeerReport? { h.mesh.peer(at: peer(index), now: h.now) }

    // Masternodes beyond the table.

    @Test("the highest endpoints are beyond the table, whatever order they come in; one that fits again is wanted at once")
    func beyondTable() {
        for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] {
            var h = Harness(started: false, own: peer(9)) { ($0.maxPeers, $0.reservedSlots) = (3, 3) }
            _ = h.tell(.registered(peer(9)))
            for index in order { _ = h.tell(.registered(peer(index))) }
            _ = h.tell(.start)
            #expect(h.mesh.registeredCount == 5)
            for index in 1...5 { #expect((schedule(h, index) == .off(.tooMany)) == (index > 3), "\(order), \(index)") }
            _ = h.tell(.unregistered(peer(1)))
            #expect(schedule(h, 4) != .off(.tooMany))
            #expect(schedule(h, 5) == .off(.tooMany))
            _ = h.tell(.unregistered(peer(2)))
            #expect(schedule(h, 5) != .off(.tooMany))
            // Exactly as many as fit: none is beyond.
            #expect(h.mesh.registeredCount == 3)
        }
    }

    @Test("who stays beyond the table's end has no step that the diary could tell of")
    func staysBeyond() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 1) }
        _ = h.tell(.registered(peer(2)))
        _ = h.tell(.dialFailed(report(h, 2)!.dial!, .refused))
        _ = h.tell(.registered(peer(1)))
        #expect(schedule(h, 2) == .off(.tooMany))
        h.mesh.handle(.registered(peer(3)), at: h.now)
        var told: [Endpoint] = []
        while let transition = h.mesh.nextTransition() { told.append(transition.endpoint) }
        #expect(!told.contains(peer(2)))
        #expect(schedule(h, 2) == .off(.tooMany) && schedule(h, 3) == .off(.tooMany))
    }

    @Test("our own endpoint is never looked at again for having met ourselves there")
    func metAndKnown() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        let link = report(h, 1)!.dial!
        _ = h.tell(.connected(link))
        _ = h.tell(.ownEndpoint(peer(1)))
        _ = h.tell(.hello(link, Hello(isNative: true, nonce: Harness.nonce, verdict: .duplicate)))
        h.now = h.now + h.mesh.settings.selfMemory
        h.mesh.advance(to: h.now)
        #expect(schedule(h, 1) == .off(.ourselves))
        #expect(h.mesh.wheel.deadline(of: h.mesh.rowTimer(h.mesh.row(of: peer(1)))) == nil)
    }

    @Test("our own endpoint in the registry takes no place and is not dialled; when it moves, it is another's")
    func ourselves() {
        var h = Harness(own: peer(1)) { ($0.maxPeers, $0.reservedSlots) = (1, 1) }
        _ = h.tell(.registered(peer(1)))
        #expect(h.dials(h.tell(.registered(peer(2)))) == [peer(2)])
        #expect(schedule(h, 1) == .off(.ourselves))
        #expect(h.mesh.registeredCount == 1)
        #expect(h.dials(h.tell(.ownEndpoint(peer(1)))) == [])
        #expect(schedule(h, 1) == .off(.ourselves))
    }

    @Test("knowing our own endpoint anew forgets which endpoints turned out to be ourselves; hearing the same again does not")
    func ownEndpointMoves() {
        var h = Harness(own: peer(9))
        _ = h.tell(.connect(peer(1)))
        let link = report(h, 1)!.dial!
        _ = h.tell(.connected(link))
        _ = h.tell(.hello(link, Hello(isNative: true, nonce: Harness.nonce, verdict: .duplicate)))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(schedule(h, 1) == .off(.ourselves))
        #expect(h.dials(h.tell(.ownEndpoint(peer(9)))) == [])
        #expect(schedule(h, 1) == .off(.ourselves))
        _ = h.wait(.seconds(10))
        #expect(h.dials(h.tell(.ownEndpoint(peer(8)))) == [peer(1)])
    }

    /// Dials the peer, which answers with our own nonce.
    private func meetOurselves(_ h: inout Harness, _ index: Int) {
        let link = report(h, index)!.dial!
        _ = h.tell(.connected(link))
        _ = h.tell(.hello(link, Hello(isNative: true, nonce: Harness.nonce, verdict: .duplicate)))
        _ = h.tell(.ended(link, .remoteClosed))
    }

    @Test("the memory of having met ourselves lasts an hour to the millisecond for a learnt peer")
    func selfMemory() {
        var h = Harness()
        _ = h.tell(.recalled(peer(1), .linked))
        meetOurselves(&h, 1)
        #expect(h.dials(h.wait(.milliseconds(3_599_999))) == [])
        #expect(h.dials(h.wait(.milliseconds(1))) == [peer(1)])
    }

    @Test("a peer of the operator's that proved to be ourselves is dialled again after the longest wait")
    func selfMemoryOfTheOperators() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        meetOurselves(&h, 1)
        #expect(schedule(h, 1) == .off(.ourselves))
        #expect(h.dials(h.wait(.milliseconds(299_999))) == [])
        #expect(h.dials(h.wait(.milliseconds(1))) == [peer(1)])
    }

    @Test("a masternode that answers with our own nonce has failed, and no more: its address may have been ours for a moment, or it copies")
    func noSelfMemoryForTheRegistrys() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        var waits: [UInt64] = []
        for _ in 0..<4 {
            meetOurselves(&h, 1)
            let began = h.now
            while report(h, 1)?.dial == nil { _ = h.wait(.seconds(1)) }
            waits.append((h.now - began).count / 1_000_000_000)
        }
        #expect(waits == [5, 10, 20, 40])
        #expect(report(h, 1)?.lastReason == .selfConnection)
    }

    @Test("who proved to be ourselves and is registered then is dialled at once")
    func registeredLater() {
        var h = Harness()
        _ = h.tell(.recalled(peer(1), .linked))
        meetOurselves(&h, 1)
        _ = h.wait(.seconds(60))
        #expect(h.dials(h.tell(.registered(peer(1)))) == [peer(1)])
    }

    // A demoted masternode's dial.

    @Test("a demoted masternode's dial ends where no regular slot is left; where one is, it goes on", arguments: [1, 2] as [UInt32])
    func demotedDial(slots: UInt32) {
        var h = Harness { ($0.maxPeers, $0.reservedSlots, $0.demotionDelay, $0.dialTimeout) = (slots + 1, 1, .seconds(4), .seconds(60)) }
        _ = h.tell(.registered(peer(1)))
        #expect(h.inbound(peer: peer(2), nonce: 2).1 == .accepted)
        let dial = report(h, 1)!.dial!
        _ = h.tell(.unregistered(peer(1)))
        let actions = h.wait(.seconds(4))
        #expect(report(h, 1)?.role == .regular)
        #expect(actions.contains(.close(dial, .full)) == (slots == 1))
        #expect((report(h, 1)?.dial == dial) == (slots == 2))
    }

    @Test("a demoted masternode keeps its slot for its link, and its next dial needs one of its own")
    func keptSlotEnds() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots, $0.demotionDelay) = (2, 1, .seconds(4)) }
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.connect(peer(1)))
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.unregistered(peer(1)))
        // A stranger would make room for the operator's peer; another one of the operator's does not.
        _ = h.tell(.connect(peer(2)))
        #expect(h.inbound(peer: peer(2), nonce: 2).1 == .accepted)
        _ = h.wait(.seconds(5))
        #expect(h.mesh.link(link)?.state == .established && report(h, 1)?.role == .regular)
        _ = h.tell(.ended(link, .remoteClosed))
        _ = h.wait(.seconds(20))
        #expect(report(h, 1)?.schedule == .ready)
        #expect(report(h, 1)?.verdict == .queue(.slot))
    }

    // The registry's glitches.

    @Test("a linked masternode that the registry drops keeps its link, is learnt, and turns regular ten minutes later to the millisecond")
    func demotion() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots, $0.pingInterval) = (3, 2, .seconds(3_600)) }
        _ = h.tell(.registered(peer(1)))
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        let (other, _) = h.inbound(peer: peer(2), nonce: 2)
        _ = h.tell(.unregistered(peer(1)))
        #expect(report(h, 1)?.role == .masternode)
        #expect(report(h, 1)?.desire == .learnt)
        _ = h.wait(.milliseconds(599_999))
        #expect(report(h, 1)?.role == .masternode)
        _ = h.wait(.milliseconds(1))
        #expect(report(h, 1)?.role == .regular)
        // It keeps the slot that it had: two regular peers in one slot, for as long as its link stands.
        #expect(h.mesh.census().establishedRegular == 2)
        #expect(h.inbound(peer: peer(3), nonce: 3).1 == .full)
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.inbound(peer: peer(3), nonce: 3).1 == .full)
        _ = h.tell(.ended(other!, .remoteClosed))
        #expect(h.inbound(peer: peer(3), nonce: 3).1 == .accepted)
        _ = h.tell(.unregistered(peer(2)))
        #expect(report(h, 2)?.role == .regular)
    }

    @Test("a masternode that is registered again before its ten minutes are over stays one")
    func glitch() {
        var h = Harness { $0.pingInterval = .seconds(3_600) }
        _ = h.tell(.registered(peer(1)))
        _ = h.inbound(peer: peer(1), nonce: 1)
        _ = h.tell(.unregistered(peer(1)))
        _ = h.wait(.seconds(300))
        _ = h.tell(.registered(peer(1)))
        _ = h.wait(.seconds(600))
        #expect(report(h, 1)?.role == .masternode)
        #expect(h.mesh.census().establishedMasternodes == 1)
    }

    @Test("an unlinked masternode that the registry drops is gone; one that the operator named too stays as a regular peer")
    func dropped() {
        var h = Harness()
        _ = h.tell(.connect(peer(2)))
        for index in [1, 2] { _ = h.tell(.registered(peer(index))) }
        for index in [1, 2] {
            if let dial = report(h, index)?.dial { _ = h.tell(.dialFailed(dial, .refused)) }
            _ = h.tell(.unregistered(peer(index)))
        }
        #expect(report(h, 1) == nil)
        #expect(report(h, 2)?.role == .regular)
        #expect(report(h, 2)?.desire == .operator)
    }

    @Test("a role change of a linked peer restarts its turn, a repeated registration does not")
    func turnRestarts() {
        var h = Harness(started: false, own: peer(5)) { $0.role = .masternode }
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.start)
        _ = h.wait(.seconds(1))
        _ = h.tell(.registered(peer(1)))
        #expect(h.dials(h.wait(.seconds(1))) == [peer(1)])
    }

    // The operator.

    @Test("a name that moves takes its failures and its wait along, and not from a peer that is linked")
    func moved() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        for _ in 0..<3 {
            while report(h, 1)?.dial == nil { _ = h.wait(.seconds(1)) }
            _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        }
        let before = schedule(h, 1)
        _ = h.tell(.moved(from: peer(1), to: peer(1)))
        #expect(report(h, 1)?.desire == .operator)
        _ = h.tell(.moved(from: peer(1), to: peer(2)))
        #expect(report(h, 1) == nil)
        #expect(h.failures(peer(2)) == 3)
        #expect(schedule(h, 2) == before)
        _ = h.tell(.moved(from: peer(40), to: peer(41)))
        #expect(report(h, 41) == nil)
        let link = h.inbound(peer: peer(2), nonce: 2).0!
        _ = h.tell(.moved(from: peer(2), to: peer(3)))
        #expect(report(h, 2)?.desire == .operator)
        #expect(report(h, 3) == nil)
        // Onto one that has failed less: the greater count and the later wait hold.
        _ = h.tell(.ended(link, .remoteClosed))
        _ = h.tell(.connect(peer(4)))
        _ = h.tell(.dialFailed(report(h, 4)!.dial!, .refused))
        let wait = schedule(h, 2)
        _ = h.tell(.moved(from: peer(2), to: peer(4)))
        #expect(h.failures(peer(4)) == 4)
        #expect(schedule(h, 4) == wait)
    }

    @Test("a masternode whose name moves keeps its class, its failures and its wait, so that two dead addresses are not dialled in a loop")
    func movedMasternode() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        for _ in 0..<3 {
            while report(h, 1)?.dial == nil { _ = h.wait(.seconds(1)) }
            _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        }
        let before = schedule(h, 1)
        _ = h.tell(.moved(from: peer(1), to: peer(2)))
        #expect(report(h, 1) == nil)
        #expect(report(h, 2)?.desire == .registry && report(h, 2)?.role == .masternode)
        #expect(h.failures(peer(2)) == 3 && schedule(h, 2) == before)
        #expect(h.mesh.registeredCount == 1)
        // What nobody wants moves nowhere.
        _ = h.tell(.unregistered(peer(2)))
        _ = h.tell(.moved(from: peer(2), to: peer(3)))
        #expect(report(h, 3) == nil)
    }

    @Test("moving onto a linked peer leaves its count and its link as they are")
    func movedOntoLinked() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        let link = h.inbound(peer: peer(2), nonce: 2).0!
        _ = h.tell(.moved(from: peer(1), to: peer(2)))
        #expect(h.failures(peer(2)) == 0)
        #expect(report(h, 2)?.established == link)
        #expect(report(h, 2)?.desire == [.operator, .learnt])
    }

    @Test("a linked masternode is no rescue of the discovery")
    func noRescue() {
        var h = Harness()
        _ = h.tell(.registered(peer(1)))
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        for _ in 0..<20 {
            _ = h.wait(.seconds(20))
            _ = h.tell(.received(link, frames: 1, partial: 0))
        }
        #expect(h.mesh.rescues == 0)
        #expect(h.mesh.link(link)?.state == .established)
    }

    @Test("moving back onto one that failed more keeps the more")
    func movedOntoWorse() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        for _ in 0..<3 {
            while report(h, 1)?.dial == nil { _ = h.wait(.seconds(1)) }
            _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        }
        let wait = schedule(h, 1)
        _ = h.tell(.connect(peer(2)))
        _ = h.tell(.dialFailed(report(h, 2)!.dial!, .refused))
        _ = h.tell(.moved(from: peer(2), to: peer(1)))
        #expect(h.failures(peer(1)) == 3)
        #expect(schedule(h, 1) == wait)
    }

    @Test("a book full of wanted peers takes no further one, and says so")
    func fullBook() {
        var h = Harness { ($0.bookCapacity, $0.dialLimit) = (2, 2) }
        for index in 1...2 { _ = h.tell(.connect(peer(index))) }
        #expect(h.tell(.connect(peer(3))) == [.bookFull(peer(3), .operator)])
        #expect(h.tell(.registered(peer(3))) == [.bookFull(peer(3), .registry)])
        _ = h.tell(.dialFailed(report(h, 1)!.dial!, .refused))
        #expect(h.tell(.moved(from: peer(1), to: peer(3))) == [.bookFull(peer(3), .operator)])
        #expect(report(h, 1)?.desire == .operator)
        #expect(h.tell(.redial(peer(3))) == [])
        #expect(h.tell(.disconnect(peer(3))) == [])
        #expect(h.tell(.unregistered(peer(1))) == [])
    }

    // Bans.

    @Test("a ban that is over already bans nobody, a ban in a full table neither; an automatic one closes nothing")
    func emptyBans() {
        var h = Harness { $0.banCapacity = 1 }
        let other = Subnet(peer(9).address)
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        let subnet = Subnet(peer(1).address)
        #expect(h.tell(.ban(subnet, until: h.now, by: .operator)) == [])
        #expect(h.mesh.census().bans == 0)
        #expect(h.tell(.ban(subnet, until: .never, by: .automatic)) == [])
        #expect(h.mesh.link(link)?.state == .established)
        _ = h.tell(.unban(subnet))
        #expect(h.tell(.ban(other, until: .never, by: .operator)) == [])
        let refused = BanRecord(subject: subnet, kind: .ban(.operator), until: .never, reason: nil)
        #expect(h.tell(.ban(subnet, until: .never, by: .operator)) == [.banFull(refused)])
        #expect(h.mesh.link(link)?.state == .established)
    }

    @Test("a ban of a range closes what it covers and nothing beside it, and ends with the unban of that range")
    func range() {
        var h = Harness()
        func at(_ a: UInt8, _ b: UInt8) -> Endpoint { Endpoint(IPAddress(v4: 10, 0, a, b), port: 9_000) }
        let inside = h.inbound(peer: at(4, 1), nonce: 1).0!
        let outside = h.inbound(peer: at(5, 1), nonce: 2).0!
        _ = h.tell(.connect(at(4, 9)))
        _ = h.tell(.connect(at(5, 9)))
        _ = h.tell(.ban(Subnet(at(4, 0).address, prefix: 24), until: .never, by: .operator))
        #expect(h.mesh.link(inside)?.state == .draining)
        #expect(h.mesh.link(outside)?.state == .established)
        #expect(h.mesh.peer(at: at(4, 9), now: h.now)?.schedule == .off(.banned))
        #expect(h.mesh.peer(at: at(5, 9), now: h.now)?.dial != nil)
        #expect(h.dials(h.tell(.unban(Subnet(at(4, 9).address)))) == [])
        #expect(Set(h.dials(h.tell(.unban(Subnet(at(4, 0).address, prefix: 24))))) == [at(4, 9)])
    }

    private func abuse(_ h: inout Harness, from remote: Endpoint, times: Int, _ reason: CloseReason = .protocolViolation) {
        for _ in 0..<times {
            guard let link = h.accept(from: remote) else { return }
            _ = h.tell(.ended(link, reason))
        }
    }

    @Test("five provable abuses ban an address for an hour; four do not; an unban clears the points")
    func scores() {
        let stranger = Endpoint(IPAddress(v4: 198, 51, 100, 7), port: 5)
        var h = Harness()
        abuse(&h, from: stranger, times: 4)
        abuse(&h, from: stranger, times: 9, .remoteClosed)
        #expect(h.mesh.census().bans == 0)
        _ = h.tell(.unban(Subnet(stranger.address, prefix: 24)))
        abuse(&h, from: stranger, times: 1, .frameTooLarge)
        #expect(h.mesh.census().bans == 1)
        _ = h.tell(.unban(Subnet(stranger.address)))
        abuse(&h, from: stranger, times: 4)
        _ = h.tell(.unban(Subnet(stranger.address)))
        abuse(&h, from: stranger, times: 4)
        #expect(h.mesh.census().bans == 0)
        abuse(&h, from: stranger, times: 1)
        #expect(h.mesh.census().bans == 1)
        #expect(h.inbound(peer: stranger, nonce: 3).1 == .banned(for: .seconds(3_600)))
        _ = h.wait(.milliseconds(3_599_999))
        #expect(h.inbound(peer: stranger, nonce: 3).1 == .banned(for: .milliseconds(1)))
        _ = h.wait(.milliseconds(1))
        #expect(h.inbound(peer: stranger, nonce: 3).1 == .accepted)
    }

    @Test("loopback, the trusted, a masternode's address, and whom we dialled are never scored")
    func neverScored() {
        var h = Harness()
        let trusted = Endpoint(IPAddress(v4: 198, 51, 100, 8), port: 5)
        _ = h.tell(.trust(Subnet(trusted.address)))
        _ = h.tell(.registered(peer(4)))
        let bans = h.mesh.census().bans
        for remote in [trusted, Endpoint(peer(4).address, port: 77), Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 5)] {
            abuse(&h, from: remote, times: 12)
        }
        for _ in 0..<8 {
            let dial = h.dials(h.tell(.connect(peer(6))))
            #expect(dial == [peer(6)])
            _ = h.tell(.connected(report(h, 6)!.dial!))
            _ = h.tell(.ended(report(h, 6)!.dial!, .protocolViolation))
        }
        #expect(h.mesh.census().bans == bans)
    }

    // Reports.

    @Test("a report tells every link and peer as it is, in the first place of the table as in any other")
    func reports() {
        var h = Harness()
        _ = h.tell(.connect(peer(1)))
        _ = h.tell(.registered(peer(2)))
        let dial = report(h, 1)!.dial
        #expect(report(h, 1)?.view == .dialing)
        #expect(report(h, 1)?.linkedSince == nil)
        _ = h.tell(.connected(dial!))
        #expect(report(h, 1)?.view == .greeting)
        #expect(report(h, 1)?.established == nil)
        _ = h.tell(.hello(dial!, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .accepted)))
        #expect(report(h, 1)?.established == dial)
        #expect(report(h, 1)?.view == .established)
        #expect(report(h, 1)?.linkedSince == h.now)
        #expect(report(h, 1)?.dial == nil)
        #expect(h.mesh.link(dial!)?.info.peer == peer(1))
        #expect(h.mesh.link(dial!)?.info.role == .regular)
        #expect(h.mesh.census().knownPeers == 2)
        _ = h.wait(.seconds(26))
        let held = h.accept(from: Endpoint(peer(1).address, port: 41_000))!
        _ = h.tell(.hello(held, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        #expect(report(h, 1)?.held == held)
        var links: [LinkState] = []
        h.mesh.forEachLink { links.append($0.state) }
        #expect(Set(links.map { "\($0)" }) == ["established", "held"])
        var peers: [Endpoint] = []
        h.mesh.forEachPeer(at: h.now) { peers.append($0.endpoint) }
        #expect(Set(peers) == [peer(1), peer(2)])
        #expect(h.view(peer(2)) != .idle)
    }

    @Test("the diary names the peer, its role, its failures and its next step, and only where something changed")
    func diary() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var settings = MeshSettings(nonce: 1, seed: 1)
        settings.jitterPercent = 0
        var mesh = Mesh(settings, now: now)
        func take() -> [Transition] {
            var taken: [Transition] = []
            while mesh.nextAction() != nil {}
            while let transition = mesh.nextTransition() { taken.append(transition) }
            return taken
        }
        mesh.handle(.registered(peer(1)), at: now)
        _ = take()
        mesh.handle(.start, at: now)
        let started = take()
        #expect(started.count == 1)
        #expect(started.allSatisfy { $0.endpoint == peer(1) && $0.isPeer && $0.role == .masternode && $0.failures == 0 })
        let dial = mesh.peer(at: peer(1), now: now)!.dial!
        mesh.handle(.dialFailed(dial, .refused), at: now)
        let failed = take()
        #expect(failed.contains { $0.subject == .peer(from: .idle, to: .backoff) && $0.failures == 1 && $0.next == now + .seconds(5) && $0.reason == .refused })
        #expect(failed.contains { if case .link(dial, .connecting, .closed, .outbound) = $0.subject { $0.endpoint == peer(1) && $0.role == .masternode && $0.isPeer && $0.failures == 1 } else { false } })
        mesh.handle(.accepted(ticket: 1, from: Endpoint(peer(9).address, port: 4_000)), at: now)
        let accepted = take()
        #expect(accepted.count == 1)
        #expect(accepted.allSatisfy { !$0.isPeer && $0.role == .regular && $0.endpoint == Endpoint(peer(9).address, port: 4_000) && $0.failures == 0 && $0.next == .never })
        mesh.handle(.registered(peer(1)), at: now)
        #expect(take().isEmpty)
    }

    @Test("a diary that nobody takes counts what it loses, and nothing else stops")
    func fullDiary() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var settings = MeshSettings(nonce: 1, seed: 1)
        (settings.maxPeers, settings.reservedSlots, settings.dialLimit, settings.pendingLimit) = (2, 0, 1, 2)
        (settings.drainingLimit, settings.bookCapacity) = (1, 2)
        var mesh = Mesh(settings, now: now)
        mesh.handle(.start, at: now)
        for ticket in 0..<100 as Range<UInt32> {
            mesh.handle(.accepted(ticket: ticket, from: peer(9)), at: now)
            while let action = mesh.nextAction() {
                if case .adopt(_, let link) = action { mesh.handle(.ended(link, .remoteClosed), at: now) }
            }
        }
        #expect(mesh.lostTransitions > 0)
        var kept: UInt64 = 0
        while mesh.nextTransition() != nil { kept += 1 }
        #expect(kept + mesh.lostTransitions == 200)
    }
}
