// What strangers tell of addresses: only what means the same host to us as to them, and bans that hold a host, not one of its addresses.

import Testing
import Timers

@testable import PeerMesh

@Suite("Scopes at the mesh's doors")
struct ScopeDoorTests {
    private static func at(_ text: String, _ port: UInt16 = 9_000) -> Endpoint { Endpoint(IPAddress(text)!, port: port) }

    private func linked(_ h: inout Harness, _ text: String, nonce: UInt64) -> LinkID {
        h.inbound(Hello(isNative: true, endpoint: Self.at(text), nonce: nonce), from: Self.at(text, 40_000)).0!
    }

    @Test(
        "a stranger at a public address makes us dial nothing that is not public",
        arguments: [
            "10.0.0.5", "172.20.0.1", "192.168.1.1", "100.64.1.2", "169.254.169.254", "127.0.0.1", "240.1.2.3", "0.1.2.3", "192.0.2.1",
            "198.18.0.1", "fd00::5", "fe80::1", "fec0::1", "::1", "2001:db8::1", "2002:a00:5::1", "64:ff9b::10.0.0.5", "::10.0.0.5",
            "::ffff:10.0.0.5", "ff02::1", "224.0.0.1", "255.255.255.255",
        ]
    )
    func learntAcross(text: String) {
        for teller in ["8.8.8.8", "2a00::1"] {
            var h = Harness(own: Self.at("9.9.9.9"))
            let link = linked(&h, teller, nonce: 1)
            _ = h.tell(.learnt(link, Self.at(text, 22)))
            #expect(h.dials(h.wait(.seconds(2))) == [])
            #expect(h.mesh.peer(at: Self.at(text, 22), now: h.now) == nil)
            _ = h.tell(.learnt(link, Self.at("8.8.4.4")))
            #expect(h.dials(h.wait(.seconds(2))) == [Self.at("8.8.4.4")])
        }
    }

    @Test("peers of one scope learn of each other, and of public ones; those of another scope are not told across")
    func withinScope() {
        var h = Harness(own: Self.at("10.0.0.9"))
        let near = linked(&h, "10.0.0.1", nonce: 1)
        _ = h.tell(.learnt(near, Self.at("192.168.3.4")))
        _ = h.tell(.learnt(near, Self.at("8.8.4.4")))
        _ = h.tell(.learnt(near, Self.at("100.64.0.4")))
        #expect(h.mesh.peer(at: Self.at("192.168.3.4"), now: h.now) != nil)
        #expect(h.mesh.peer(at: Self.at("8.8.4.4"), now: h.now) != nil)
        #expect(h.mesh.peer(at: Self.at("100.64.0.4"), now: h.now) == nil)
        _ = h.tell(.registered(Self.at("192.168.9.9")))
        _ = h.tell(.registered(Self.at("8.8.4.5")))
        let far = linked(&h, "8.8.8.8", nonce: 2)
        var (told, toldNear): ([Endpoint], [Endpoint]) = ([], [])
        h.mesh.sharePeers(with: far, at: h.now) { told.append($0); return true }
        h.mesh.sharePeers(with: near, at: h.now) { toldNear.append($0); return true }
        #expect(told == [Self.at("8.8.4.5")])
        #expect(Set(toldNear) == [Self.at("8.8.4.5"), Self.at("192.168.9.9")])
    }

    private func offend(_ h: inout Harness, from text: String) {
        let link = h.accept(from: Self.at(text, 40_000))
        if let link { _ = h.tell(.ended(link, .protocolViolation)) }
    }

    @Test("offences from many addresses of one IPv6 /64 ban the /64, and no other")
    func bannedByBlock() {
        var h = Harness()
        for host in 1...5 { offend(&h, from: "2a00:1:2:3::\(host)") }
        var bans: [Subnet] = []
        h.mesh.forEachBan { bans.append($0.subject) }
        #expect(bans == [Subnet("2a00:1:2:3::/64")!])
        let link = h.accept(from: Self.at("2a00:1:2:3:ffff::9", 40_000))!
        let actions = h.tell(.hello(link, Hello(isNative: true, nonce: 5)))
        #expect(actions.contains { if case .answer(_, .banned, _) = $0 { true } else { false } })
        #expect(h.inbound(Hello(isNative: true, nonce: 6), from: Self.at("2a00:1:2:4::1", 40_000)).1 == .accepted)
    }

    @Test("a /64 in which a masternode is registered is not banned, and one of its addresses that is trusted is let in")
    func spared() {
        var h = Harness()
        _ = h.tell(.registered(Self.at("2a00:1:2:3::77")))
        for host in 1...40 { offend(&h, from: "2a00:1:2:3::\(host)") }
        #expect(h.mesh.census().bans == 0)
        var other = Harness()
        _ = other.tell(.trust(Subnet(IPAddress("2a00:1:2:5::7")!)))
        for host in 1...6 { offend(&other, from: "2a00:1:2:5::\(host)") }
        #expect(other.inbound(Hello(isNative: true, nonce: 6), from: Self.at("2a00:1:2:5::7", 40_000)).1 == .accepted)
    }

    @Test("the operator's pardon of a /64, or of one address in it, forgets its points")
    func pardon() {
        for pardon in ["2a00:1:2:3::/64", "2a00:1:2:3::9"] {
            var h = Harness()
            for host in 1...4 { offend(&h, from: "2a00:1:2:3::\(host)") }
            _ = h.tell(.unban(Subnet(pardon)!))
            offend(&h, from: "2a00:1:2:3::5")
            #expect(h.mesh.census().bans == 0)
        }
    }

    @Test("one /64 has the pending sockets of one address")
    func pendingByBlock() {
        var h = Harness { ($0.pendingPerAddress, $0.pendingPerSubnet) = (2, 9) }
        #expect(h.accept(from: Self.at("2a00:1:2:3::1", 1)) != nil)
        #expect(h.accept(from: Self.at("2a00:1:2:3::2", 1)) != nil)
        #expect(h.accept(from: Self.at("2a00:1:2:3::3", 1)) == nil)
        #expect(h.accept(from: Self.at("2a00:1:2:4::1", 1)) != nil)
    }

    // Bans without room.

    private func ban(_ index: UInt8) -> Subnet { Subnet(IPAddress(v4: 9, 0, 0, index)) }

    private func expectRoom(
        _ h: borrowing Harness, _ subnet: Subnet, isTrust: Bool, _ expected: Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let hasRoom = h.mesh.hasRoom(forRecordOf: subnet, isTrust: isTrust, at: h.now)
        #expect(hasRoom == expected, sourceLocation: sourceLocation)
    }

    @Test("a ban or trust without room is refused and reported, not dropped; who asks before is told so")
    func banWithoutRoom() {
        var h = Harness { $0.banCapacity = 2 }
        for index in 1...2 as ClosedRange<UInt8> {
            expectRoom(h, ban(index), isTrust: false, true)
            #expect(h.tell(.ban(ban(index), until: h.now + .seconds(10), by: .operator)) == [])
        }
        expectRoom(h, ban(3), isTrust: false, false)
        expectRoom(h, ban(1), isTrust: true, false)
        let third = BanRecord(subject: ban(3), kind: .ban(.operator), until: h.now + .seconds(10), reason: nil)
        #expect(h.tell(.ban(ban(3), until: third.until, by: .operator)) == [.banFull(third)])
        let trust = BanRecord(subject: ban(3), kind: .trust, until: .never, reason: nil)
        #expect(h.tell(.trust(ban(3))) == [.banFull(trust)])
        // The same again replaces itself, and what has run out makes room.
        expectRoom(h, ban(1), isTrust: false, true)
        #expect(h.tell(.ban(ban(1), until: .never, by: .operator)) == [])
        _ = h.wait(.seconds(11))
        expectRoom(h, ban(3), isTrust: false, true)
        #expect(h.tell(.ban(ban(3), until: .never, by: .operator)) == [])
        #expect(h.mesh.census().bans == 2)
    }

    @Test("an automatic ban without room is reported; an operator's takes the place of the automatic one that ends first, and says which")
    func automaticWithoutRoom() {
        var h = Harness { ($0.banCapacity, $0.banScore) = (2, 20) }
        offend(&h, from: "9.0.0.1")
        _ = h.wait(.seconds(1))
        offend(&h, from: "9.0.0.2")
        let link = h.accept(from: Self.at("9.0.0.3", 40_000))!
        let actions = h.tell(.ended(link, .protocolViolation))
        #expect(actions.contains { if case .banFull(let record) = $0 { record.subject == ban(3) && record.kind == .ban(.automatic) } else { false } })
        expectRoom(h, ban(9), isTrust: false, true)
        let displaced = h.tell(.ban(ban(9), until: .never, by: .operator))
        #expect(displaced.contains { if case .banFull(let record) = $0 { record.subject == ban(1) } else { false } })
        var subjects: Set<Subnet> = []
        h.mesh.forEachBan { subjects.insert($0.subject) }
        #expect(subjects == [ban(2), ban(9)])
        #expect(h.inbound(Hello(isNative: true, nonce: 6), from: Self.at("9.0.0.1", 40_001)).1 == .accepted)
    }
}
