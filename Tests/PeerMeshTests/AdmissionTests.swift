// Who is let in, and whose link it is: the gate at accept and after the hello, the order of identities, slots.

import Testing
import Timers

@testable import PeerMesh

@Suite("Admission and identity")
struct AdmissionTests {
    private func report(_ h: borrowing Harness, _ index: Int) -> PeerReport? { h.mesh.peer(at: peer(index), now: h.now) }

    // At accept.

    @Test("the crowd at one address, in one /24 and in one /48 is refused at its limit, not before")
    func crowds() {
        var h = Harness { ($0.pendingPerAddress, $0.pendingPerSubnet, $0.pendingLimit) = (2, 3, 50) }
        func six(_ high: UInt64, _ low: UInt64) -> Endpoint { Endpoint(IPAddress(v6High: high, low: low), port: 1) }
        let home: UInt64 = 0x2001_0db8_0001_0000
        #expect(h.accept(from: six(home, 1)) != nil)
        #expect(h.accept(from: six(home, 1)) != nil)
        #expect(h.accept(from: six(home, 1)) == nil)
        #expect(h.accept(from: six(home + 1, 1)) != nil)
        #expect(h.accept(from: six(home + 2, 1)) == nil)
        #expect(h.accept(from: six(home + 0x1_0000, 1)) != nil)
        func four(_ c: UInt8, _ d: UInt8) -> Endpoint { Endpoint(IPAddress(v4: 192, 0, c, d), port: 1) }
        for d in 1...3 as ClosedRange<UInt8> { #expect(h.accept(from: four(1, d)) != nil) }
        #expect(h.accept(from: four(1, 4)) == nil)
        #expect(h.accept(from: four(2, 4)) != nil)
    }

    @Test("a registered address passes a crowd, and a full pool gives up its oldest unknown socket for it, if it has one")
    func registeredAddress() {
        var h = Harness { ($0.pendingPerAddress, $0.pendingPerSubnet, $0.pendingLimit) = (1, 9, 2) }
        _ = h.tell(.registered(peer(1)))
        _ = h.tell(.registered(peer(300)))
        let known = h.accept(from: Endpoint(peer(300).address, port: 1))!
        let stranger = h.accept(from: Endpoint(IPAddress(v4: 192, 0, 2, 1), port: 1))!
        #expect(h.accept(from: Endpoint(IPAddress(v4: 192, 0, 3, 1), port: 1)) == nil)
        #expect(h.accept(from: Endpoint(peer(1).address, port: 1)) != nil)
        #expect(h.mesh.link(stranger)?.state != .greeting)
        #expect(h.mesh.link(known)?.state == .greeting)
        #expect(h.accept(from: Endpoint(peer(1).address, port: 2)) == nil)
        #expect(h.mesh.census().pending == 2)
    }

    @Test("a banned address is let in to be told so while half of the pool is free, in a dialect that can tell", arguments: [true, false])
    func banned(isNative: Bool) {
        var h = Harness { ($0.pendingLimit, $0.isNativeDialect) = (4, isNative) }
        _ = h.tell(.ban(Subnet(peer(9).address), until: h.now + .seconds(100), by: .operator))
        let link = h.accept(from: peer(9))
        #expect((link != nil) == isNative)
        if let link {
            let actions = h.tell(.hello(link, Hello(isNative: true, endpoint: peer(9), nonce: 9)))
            #expect(actions.contains(.answer(link, .banned(for: .seconds(100)), isNative: true)))
        }
        for index in 20...21 { #expect(h.accept(from: peer(index)) != nil) }
        #expect(h.accept(from: peer(9)) == nil)
        #expect(h.accept(from: peer(22)) != nil)
    }

    @Test("a peer whose stated address is banned is refused, wherever it calls from")
    func bannedElsewhere() {
        var h = Harness(own: peer(5))
        _ = h.tell(.connect(peer(1)))
        let dial = report(h, 1)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .accepted)))
        _ = h.tell(.ended(dial, .remoteClosed))
        _ = h.tell(.ban(Subnet(peer(1).address), until: .never, by: .operator))
        let link = h.accept(from: Endpoint(IPAddress(v4: 10, 9, 9, 9), port: 1))!
        let actions = h.tell(.hello(link, Hello(isNative: true, nonce: 1)))
        #expect(actions.contains(.answer(link, .banned(for: Nanoseconds(.max)), isNative: true)))
    }

    // Slots.

    @Test("the table's last slot is taken, the next one is not there; dials in flight count; a second link of a peer needs none")
    func lastSlot() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (4, 1) }
        _ = h.tell(.connect(peer(20)))
        #expect(h.mesh.census().dialingRegular == 1)
        #expect(h.inbound(peer: peer(1), nonce: 1).1 == .accepted)
        #expect(h.inbound(peer: peer(2), nonce: 2).1 == .accepted)
        #expect(h.inbound(peer: peer(3), nonce: 3).1 == .full)
        // The one being dialled has its slot already.
        #expect(h.inbound(peer: peer(20), nonce: 20).1 == .accepted)
        _ = h.wait(.seconds(26))
        let again = h.accept(from: Endpoint(peer(1).address, port: 5))!
        _ = h.tell(.hello(again, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        #expect(h.mesh.link(again)?.state == .held)
    }

    @Test("a second link of the peer in the first place needs no slot, either")
    func secondLink() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (2, 1) }
        let first = h.inbound(peer: peer(1), nonce: 1).0!
        #expect(first.slot == 0)
        #expect(h.inbound(peer: peer(2), nonce: 2).1 == .full)
        let again = h.accept(from: Endpoint(peer(1).address, port: 5))!
        _ = h.tell(.hello(again, Hello(isNative: true, endpoint: peer(1), nonce: 1)))
        #expect(h.mesh.link(again)?.state == .held)
    }

    @Test("nobody speaks our dialect's extension where the dialect has none")
    func noExtension() {
        var h = Harness { $0.isNativeDialect = false }
        let link = call(&h, Hello(isNative: true, endpoint: peer(1), nonce: 1), from: Endpoint(peer(1).address, port: 4))
        #expect(link?.info.isNative == false)
        #expect(link?.state == .established)
    }

    @Test("a table full of masternodes holds no regular slot, whatever the reserve says")
    func noSlotBeyondTheTable() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (3, 0) }
        for index in 1...2 {
            _ = h.tell(.registered(peer(index)))
            #expect(h.inbound(peer: peer(index), nonce: UInt64(index)).1 == .accepted)
        }
        #expect(h.inbound(peer: peer(10), nonce: 10).1 == .accepted)
        #expect(h.inbound(peer: peer(11), nonce: 11).1 == .full)
        #expect(h.mesh.mayDial(peer(10), at: h.now) == .no(.alreadyLinked))
    }

    @Test("a dial that finds the table full at its hello is told full, a regular one; a masternode's evicts")
    func fullAtHello() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (2, 0) }
        _ = h.tell(.connect(peer(1)))
        let dial = report(h, 1)!.dial!
        _ = h.tell(.connected(dial))
        for index in 10...11 {
            _ = h.tell(.registered(peer(index)))
            #expect(h.inbound(peer: peer(index), nonce: UInt64(index)).1 == .accepted)
        }
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .accepted)))
        #expect(h.mesh.link(dial)?.state == .draining)
        #expect(report(h, 1)?.lastReason == .full)
        var two = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 0) }
        _ = two.tell(.registered(peer(1)))
        let masternode = report(two, 1)!.dial!
        _ = two.tell(.connected(masternode))
        let victim = two.inbound(peer: peer(10), nonce: 10).0!
        _ = two.tell(.hello(masternode, Hello(isNative: true, endpoint: peer(1), nonce: 1, verdict: .accepted)))
        #expect(two.mesh.link(masternode)?.state == .established)
        #expect(two.mesh.link(victim)?.state == .draining)
        #expect(report(two, 10)?.lastReason == .evicted)
    }

    @Test("the first place of the table is evicted like any other")
    func firstPlace() {
        var h = Harness { ($0.maxPeers, $0.reservedSlots) = (1, 0) }
        let victim = h.inbound(peer: peer(10), nonce: 10).0!
        #expect(victim.slot == 0)
        _ = h.tell(.registered(peer(1)))
        #expect(h.inbound(peer: peer(1), nonce: 1).1 == .accepted)
        #expect(h.mesh.link(victim)?.state == .draining)
    }

    @Test("so many links drain at once; the oldest is cut for one more")
    func draining() {
        var h = Harness { $0.drainingLimit = 2 }
        var links: [LinkID] = []
        for index in 1...3 { links.append(h.inbound(peer: peer(index), nonce: UInt64(index)).0!) }
        for index in 1...2 { _ = h.tell(.disconnect(peer(index))) }
        #expect(h.mesh.census().draining == 2)
        let actions = h.tell(.disconnect(peer(3)))
        #expect(actions.contains(.close(links[0], .operator)))
        #expect(h.mesh.link(links[0]) == nil)
        #expect(h.mesh.link(links[1])?.state == .draining)
        #expect(h.mesh.census().draining == 2)
        #expect(h.wait(.milliseconds(4_999)) == [])
        #expect(h.wait(.milliseconds(1)).count == 2)
    }

    // Identity.

    private func call(_ h: inout Harness, _ hello: Hello, from remote: Endpoint) -> LinkReport? {
        let link = h.accept(from: remote)!
        _ = h.tell(.hello(link, hello))
        return h.mesh.link(link)
    }

    @Test("a claim holds only at the address that it states, for what can be dialled, and is never ours")
    func claims() {
        var h = Harness(own: peer(5))
        let home = call(&h, Hello(isNative: true, endpoint: peer(1), nonce: 1), from: Endpoint(peer(1).address, port: 4))
        #expect(home?.identity == .claimed && home?.info.peer == peer(1))
        let elsewhere = call(&h, Hello(isNative: true, endpoint: peer(2), nonce: 2), from: Endpoint(peer(3).address, port: 4))
        #expect(elsewhere?.identity == .anonymous)
        let portless = call(&h, Hello(isNative: true, endpoint: Endpoint(peer(4).address, port: 0), nonce: 4), from: Endpoint(peer(4).address, port: 4))
        #expect(portless?.identity == .anonymous)
        let ours = call(&h, Hello(isNative: true, endpoint: peer(5), nonce: 5), from: Endpoint(peer(5).address, port: 4))
        #expect(ours?.identity == .anonymous)
        #expect(h.mesh.peerCount == 1)
    }

    @Test("a foreign hello belongs to the only registered masternode at its address that has no link; not to one of two, nor to ours")
    func weak() {
        func at(_ port: UInt16) -> Endpoint { Endpoint(peer(1).address, port: port) }
        let hello = Hello(isNative: false, nonce: 9)
        var h = Harness(own: at(7)) { $0.isNativeDialect = false }
        _ = h.tell(.connect(at(1)))
        #expect(call(&h, hello, from: at(50_000))?.identity == .anonymous)
        _ = h.tell(.registered(peer(2)))
        _ = h.tell(.registered(at(7)))
        _ = h.tell(.registered(at(8)))
        let one = call(&h, hello, from: at(50_001))
        #expect(one?.identity == .weak && one?.info.peer == at(8))
        #expect(call(&h, hello, from: at(50_002))?.identity == .anonymous)
        var two = Harness { $0.isNativeDialect = false }
        _ = two.tell(.registered(at(8)))
        _ = two.tell(.registered(at(9)))
        #expect(call(&two, hello, from: at(50_001))?.identity == .anonymous)
        var stranger = Harness()
        _ = stranger.tell(.registered(at(8)))
        #expect(call(&stranger, Hello(isNative: true, nonce: 10), from: at(50_002))?.identity == .anonymous)
        // In our own dialect a foreign peer of the first row has that place, too.
        var native = Harness()
        _ = native.tell(.registered(at(8)))
        #expect(call(&native, hello, from: at(50_001))?.identity == .weak)
        #expect(call(&native, hello, from: at(50_003))?.identity == .anonymous)
        #expect(call(&native, Hello(isNative: true, nonce: 10), from: at(50_002))?.identity == .anonymous)
    }

    @Test("a weak link does not stop the slow dial, and the first place of the table is no exception")
    func weakIsDialled() {
        var h = Harness { $0.isNativeDialect = false }
        let registered = Endpoint(peer(1).address, port: 9_333)
        _ = h.tell(.registered(registered))
        _ = h.tell(.dialFailed(h.mesh.peer(at: registered, now: h.now)!.dial!, .refused))
        let link = h.accept(from: Endpoint(peer(1).address, port: 50_000))!
        _ = h.tell(.hello(link, Hello(isNative: false, nonce: 5)))
        #expect(h.mesh.peer(at: registered, now: h.now)?.schedule == .wait(until: h.now + .seconds(300), .weakLink))
        _ = h.tell(.ended(link, .remoteClosed))
        #expect(h.mesh.peer(at: registered, now: h.now)?.schedule == .wait(until: h.now + .seconds(300), .weakLink))
    }

    @Test("a process that answered our dial is known by its nonce wherever it calls from; of two endpoints the stated one has it")
    func proven() {
        var h = Harness(own: peer(5))
        for index in [1, 2] {
            _ = h.tell(.connect(peer(index)))
            let dial = report(h, index)!.dial!
            _ = h.tell(.connected(dial))
            _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(index), nonce: 1, verdict: .accepted)))
            _ = h.tell(.ended(dial, .remoteClosed))
        }
        let away = Endpoint(IPAddress(v4: 10, 9, 9, 9), port: 1)
        for index in [2, 1] {
            let link = call(&h, Hello(isNative: true, endpoint: peer(index), nonce: 1), from: away)
            #expect(link?.identity == .proven && link?.info.peer == peer(index))
            _ = h.tell(.ended(link!.link, .remoteClosed))
        }
        let first = call(&h, Hello(isNative: true, nonce: 1), from: away)
        #expect(first?.identity == .proven && first?.info.peer == peer(1))
        #expect(call(&h, Hello(isNative: true, nonce: 3), from: away)?.identity == .anonymous)
        // A new process at the endpoint takes the old one's place.
        _ = h.tell(.redial(peer(2)))
        let dial = report(h, 2)!.dial!
        _ = h.tell(.connected(dial))
        _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: peer(2), nonce: 4, verdict: .full)))
        #expect(call(&h, Hello(isNative: true, nonce: 4), from: away)?.info.peer == peer(2))
    }

    @Test("our own nonce from a foreign dialect is answered by nothing but the close")
    func ourselvesForeign() {
        var h = Harness { $0.isNativeDialect = false }
        let link = h.accept(from: peer(1))!
        let actions = h.tell(.hello(link, Hello(isNative: false, nonce: Harness.nonce)))
        #expect(!actions.contains { if case .answer = $0 { true } else { false } })
        #expect(h.mesh.link(link)?.state == .draining)
        #expect(h.tell(.hello(link, Hello(isNative: false, nonce: 4))) == [])
    }

    @Test("a superfluous peer leaves the table with its last link, not while an inbound link of it is being decided")
    func superfluous() {
        var h = Harness()
        let link = h.inbound(peer: peer(1), nonce: 1).0!
        _ = h.tell(.disconnect(peer(1)))
        #expect(report(h, 1) == nil)
        #expect(h.mesh.link(link)?.state == .draining)
        #expect(h.mesh.peerCount == 0)
    }
}
