// A mesh that was written out and read back: every list, index and timer is there again, and bytes that contradict
// themselves are no state.

import Testing
import Timers

@testable import PeerMesh

@Suite("Reading a state back")
struct StateRuleTests {
    private func dial(_ h: borrowing Harness, _ index: Int) -> LinkID { h.mesh.peer(at: peer(index), now: h.now)!.dial! }

    /// Rows and links of every kind.
    private func everything() -> Harness {
        var h = Harness(own: peer(50)) { ($0.dialBurst, $0.dialRate, $0.role, $0.pingInterval) = (1, 1, .masternode, .seconds(3_600)) }
        // Dialled and found to be ourselves.
        _ = h.tell(.connect(peer(60)))
        let own = dial(h, 60)
        _ = h.tell(.connected(own))
        _ = h.tell(.hello(own, Hello(isNative: true, nonce: Harness.nonce, verdict: .duplicate)))
        _ = h.wait(.seconds(10))
        // Proven and linked.
        h.subject = h.dialled(peer(61), in: h.tell(.connect(peer(61))), nonce: 61)
        _ = h.wait(.seconds(2))
        // In its backoff.
        _ = h.tell(.connect(peer(62)))
        _ = h.tell(.dialFailed(dial(h, 62), .refused))
        _ = h.wait(.seconds(2))
        _ = h.tell(.recalled(peer(63), .forgotten(until: h.now + .seconds(900))))
        _ = h.tell(.ban(Subnet(peer(64).address), until: h.now + .seconds(800), by: .operator))
        _ = h.tell(.registered(peer(64)))
        // Demoted while linked, and nobody's.
        _ = h.tell(.registered(peer(65)))
        _ = h.inbound(peer: peer(65), nonce: 65)
        _ = h.tell(.unregistered(peer(65)))
        _ = h.inbound(Hello(isNative: true, nonce: 70), from: peer(70))
        // A row that was freed, between used ones; the queue of both classes; a socket that has said nothing.
        _ = h.inbound(peer: peer(66), nonce: 66)
        for index in [67, 68] { _ = h.tell(.connect(peer(index))) }
        _ = h.tell(.registered(peer(69)))
        _ = h.tell(.registered(peer(40)))
        _ = h.tell(.registered(peer(50)))
        _ = h.tell(.disconnect(peer(66)))
        _ = h.accept(from: peer(71))
        return h
    }

    private func read(_ h: borrowing Harness) -> Bool {
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        return reads(bytes, h)
    }

    private func reads(_ bytes: [UInt8], _ h: borrowing Harness) -> Bool {
        if Mesh(h.mesh.settings, decoding: bytes, now: h.now) != nil { return true }
        return false
    }

    @Test("lists, indices and timers are as they were")
    func restored() {
        var h = everything()
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        guard var copy = Mesh(h.mesh.settings, decoding: bytes, now: h.now) else {
            Issue.record("not read back")
            return
        }
        #expect(copy.rowLimit == h.mesh.rowLimit)
        var kinds: Set<String> = []
        for row in 0..<h.mesh.rowLimit {
            #expect(copy.peerLists.list(of: row) == h.mesh.peerLists.list(of: row), "row \(row)")
            guard h.mesh.peers[row].isUsed else {
                kinds.insert("free")
                continue
            }
            let schedule = h.mesh.peers[row].schedule
            let there = copy.wheel.deadline(of: copy.rowTimer(row))
            kinds.insert(String("\(schedule)".prefix(while: { $0 != ":" })))
            if schedule == .off(.banned) {
                // The ban's end is the table's to say.
                #expect(there == .zero)
            } else {
                #expect(there == h.mesh.wheel.deadline(of: h.mesh.rowTimer(row)), "row \(row), \(schedule)")
            }
            #expect(copy.row(of: h.mesh.peers[row].endpoint) == row)
        }
        #expect(kinds.count >= 5 && kinds.contains("free"), "\(kinds)")
        for slot in 0..<h.mesh.links.count {
            #expect(copy.wheel.deadline(of: slot) == h.mesh.wheel.deadline(of: slot))
            #expect(copy.linkLists.list(of: slot) == h.mesh.linkLists.list(of: slot))
        }
        for timer in 0..<GlobalTimer.count {
            #expect(copy.wheel.deadline(of: copy.globalTimer(timer)) == h.mesh.wheel.deadline(of: h.mesh.globalTimer(timer)))
        }
        #expect(copy.anonymousLink(with: 70, besides: -1) == h.mesh.anonymousLink(with: 70, besides: -1))
        #expect(copy.anonymousLink(with: 70, besides: -1) >= 0)
        // A process that was proven is known by its nonce, wherever it calls from.
        copy.handle(.accepted(ticket: 9, from: peer(80)), at: h.now)
        guard case .adopt(_, let link)? = copy.nextAction() else {
            Issue.record("not adopted")
            return
        }
        copy.handle(.hello(link, Hello(isNative: true, nonce: 61)), at: h.now)
        #expect(copy.link(link)?.info.peer == peer(61))
        while copy.nextAction() != nil {}
        // The row that was free is the next one to be taken.
        copy.handle(.connect(peer(90)), at: h.now)
        h.mesh.handle(.connect(peer(90)), at: h.now)
        #expect(copy.row(of: peer(90)) == h.mesh.row(of: peer(90)))
    }

    /// Slots are given out in another order, and so the two are compared by whom they dial and whom they still know.
    @Test("it dials whom the one that was written dials, and when", arguments: [1, 7, 40, 200, 700, 3_000] as [UInt64])
    func goesOn(seconds: UInt64) {
        let h = everything()
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        guard var copy = Mesh(h.mesh.settings, decoding: bytes, now: h.now) else {
            Issue.record("not read back")
            return
        }
        func dialled(_ mesh: inout Mesh) -> [String] {
            var endpoints: [String] = []
            while let action = mesh.nextAction() { if case .dial(_, let to) = action { endpoints.append("\(to)") } }
            return endpoints.sorted()
        }
        var original = h.mesh.clone()
        var now = h.now
        for _ in 0..<20 {
            now = now + .milliseconds(seconds * 50)
            original.advance(to: now)
            copy.advance(to: now)
            #expect(dialled(&copy) == dialled(&original))
            #expect(copy.peerCount == original.peerCount && copy.rescues == original.rescues)
        }
    }

    @Test("a row that was freed behind all others is still one that was used")
    func lastRowFreed() {
        var h = Harness()
        for index in [1, 2] { _ = h.tell(.connect(peer(index))) }
        _ = h.tell(.disconnect(peer(2)))
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        let limit = Mesh(h.mesh.settings, decoding: bytes, now: h.now)?.rowLimit
        #expect(limit == 2)
    }

    @Test("bytes behind the end, or a missing one, are no state")
    func length() {
        var h = everything()
        _ = h.tell(.ban(Subnet(peer(99).address), until: .never, by: .operator))
        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        #expect(reads(bytes + [0], h) == false)
        #expect(reads(Array(bytes.dropLast()), h) == false)
        #expect(reads(bytes, h) == true)
    }

    @Test("links and rows that do not name each other are no state")
    func contradictions() {
        let pending = everything()
        #expect(read(pending) == true)
        func with(_ peer: Peer, held: Int32? = nil, dial: Int32? = nil) -> PeerBonds {
            PeerBonds(established: peer.established, held: held ?? peer.held, dial: dial ?? peer.dial)
        }
        func broken(_ breaking: (inout Mesh) -> Void) -> Bool {
            var h = everything()
            breaking(&h.mesh)
            return !read(h)
        }
        let greeting = (0..<pending.mesh.links.count).first { pending.mesh.links[$0].state == .greeting }!
        let unused = (0..<pending.mesh.rowLimit).first { !pending.mesh.peers[$0].isUsed }!
        let linked = pending.mesh.row(of: peer(61))
        let other = pending.mesh.row(of: peer(65))
        // A socket that is being decided names a row that nobody has.
        #expect(broken { $0.links[greeting].bonds = LinkBonds(row: Int32(unused), rival: -1) })
        #expect(!broken { $0.links[greeting].bonds = LinkBonds(row: Int32(linked), rival: -1) })
        #expect(broken {
            $0.peers[0].isUsed = false
            $0.links[greeting].bonds = LinkBonds(row: 0, rival: -1)
        })
        // Half a pair of rivals.
        #expect(broken { $0.links[greeting].bonds = LinkBonds(row: -1, rival: $0.peers[linked].established) })
        #expect(broken { $0.links[Int($0.peers[linked].established)].bonds = LinkBonds(row: Int32(other), rival: -1) })
        #expect(broken { $0.peers[linked].bonds = $0.peers[other].bonds })
        #expect(broken { $0.peers[linked].bonds = with($0.peers[linked], dial: $0.peers[other].established) })
        #expect(broken { $0.peers[linked].bonds = with($0.peers[linked], held: $0.peers[other].established) })
        #expect(broken { $0.peers[unused].isUsed = true; $0.peers[unused].schedule = .none })
    }

    @Test("a frame that begins, and a silence that begins, after the state was read back have the times that they always have")
    func timesAfterwards() {
        var h = Harness { ($0.frameTimeout, $0.progressGrace) = (.seconds(2), .seconds(30)) }
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        func copied(_ h: borrowing Harness) -> Harness {
            var bytes: [UInt8] = []
            h.mesh.encode(into: &bytes)
            var copy = Harness { ($0.frameTimeout, $0.progressGrace) = (.seconds(2), .seconds(30)) }
            if let mesh = Mesh(h.mesh.settings, decoding: bytes, now: h.now) { copy.mesh = mesh } else { Issue.record("not read back") }
            copy.now = h.now
            return copy
        }
        var framed = copied(h)
        _ = framed.tell(.received(link, frames: 0, partial: 5))
        #expect(framed.wait(.seconds(2)).contains(.close(link, .frameTimeout)))
        var slow = copied(h)
        slow.kernelTakesPings = false
        _ = slow.wait(.seconds(30))
        for round in 0...3 {
            _ = slow.tell(.sent(link, bytes: 5_000, controlEmpty: false))
            _ = slow.wait(.seconds(10))
            #expect(slow.mesh.link(link)?.misses == (round == 3 ? 1 : 0))
        }
    }

    @Test("a pair of rivals is read back, and half of one is none, in the table's first places too")
    func rivals() {
        var h = Harness(own: peer(5))
        let home = Endpoint(peer(1).address, port: 40_000)
        let early = h.accept(from: home)!
        _ = h.inbound(peer: peer(1), nonce: 1)
        _ = h.tell(.hello(early, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        _ = h.tell(.recalled(peer(2), .known))
        _ = h.accept(from: peer(3))
        #expect(h.mesh.peers[0].held == 0 && h.mesh.peers[0].established == 1 && h.mesh.links[2].state == .greeting)
        #expect(read(h) == true)
        func broken(_ h: borrowing Harness, _ breaking: (inout Mesh) -> Void) -> Bool {
            var mesh = h.mesh.clone()
            breaking(&mesh)
            var bytes: [UInt8] = []
            mesh.encode(into: &bytes)
            return !reads(bytes, h)
        }
        #expect(broken(h, { _ in }) == false)
        for slot in 0...1 {
            #expect(broken(h, { $0.links[slot].bonds = LinkBonds(row: $0.links[slot].row, rival: -1) }) == true)
            #expect(broken(h, { $0.links[slot].bonds = LinkBonds(row: -1, rival: $0.links[slot].rival) }) == true)
        }
        // A third link that names one of the pair, and a peer that names the other's newcomer.
        let thirdNames: (inout Mesh) -> Void = { $0.links[2].bonds = LinkBonds(row: -1, rival: 0) }
        let otherNames: (inout Mesh) -> Void = {
            $0.peers[1].bonds = PeerBonds(established: -1, held: 0, dial: -1)
            $0.peers[1].schedule = .none
        }
        #expect(broken(h, thirdNames) == true && broken(h, otherNames) == true)
    }
}
