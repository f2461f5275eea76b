// What a row and a link cost, and that what few links have at a time is as much a part of the state as the rest.

import Testing
import Timers

@testable import PeerMesh

@Suite("The tables' memory")
struct TableSizeTests {
    @Test("a link is two cache lines, and what a ping touches is in the first; a row is 152 bytes; a list's place and a hash 8 each")
    func sizes() {
        #expect(MemoryLayout<Link>.stride == 128)
        #expect(MemoryLayout<Link>.offset(of: \.roundTrip) == 64, "identity, life and keepalive come before it")
        #expect(MemoryLayout<Peer>.stride == 152)
        #expect(MemoryLayout<Peer>.offset(of: \.turnAt) == 64)
        #expect(MemoryLayout<IndexLists.Node>.stride == 8 && MemoryLayout<HashIndex.Entry>.stride == 8)
        #expect(MemoryLayout<Endpoint>.stride == 24 && MemoryLayout<Action>.stride <= 64)
    }

    #if compiler(>=6.2)
    @Test("a mesh without a place to drain is the caller's error and stops the process")
    func noPlaceToDrain() async {
        await #expect(processExitsWith: .failure) {
            var settings = MeshSettings(nonce: 1, seed: 1)
            settings.drainingLimit = 0
            _ = Mesh(settings, now: .zero)
        }
    }
    #endif

    /// A mesh with an established link that is in the middle of a frame, is probed for a newcomer, whose full queue has bought it
    /// grace, and whose sender listens elsewhere.
    private func extraordinary() throws -> Harness {
        var h = Harness { $0.progressBytes = 1_000 }
        h.kernelTakesPings = false
        let home = peer(1)
        let far = Endpoint(home.address, port: home.port + 1)
        let hello = Hello(isNative: true, endpoint: Endpoint(IPAddress(v4: 203, 0, 113, 9), port: 7), nonce: 77)
        let link = try #require(h.inbound(hello, from: far).0)
        h.subject = link
        _ = h.wait(.seconds(30))
        _ = h.tell(.sent(link, bytes: 2_000, controlEmpty: false))
        _ = h.wait(.seconds(10))
        #expect(h.inbound(hello, from: far).1 == nil, "the newcomer is held")
        return h
    }

    @Test("the extras of a link are copied, written out and read back")
    func extras() throws {
        var h = try extraordinary()
        let slot = Int(h.subject!.slot)
        #expect(h.mesh.links[slot][.hasGrace] && h.mesh.links[slot][.isProbed] && h.mesh.links[slot][.statesElsewhere])
        h.mesh.setFrame(ofLink: slot, partial: 40, started: h.now)
        #expect(h.mesh.stated(byLink: slot) == Endpoint(IPAddress(v4: 203, 0, 113, 9), port: 7))

        let copy = h.mesh.clone()
        #expect(copy.stableHash() == h.mesh.stableHash())
        #expect(copy.frameStarted(ofLink: slot) == h.now && copy.framePartial(ofLink: slot) == 40)
        #expect(copy.probeUntil(ofLink: slot) == h.mesh.probeUntil(ofLink: slot))
        #expect(copy.graceUntil(ofLink: slot) == h.mesh.graceUntil(ofLink: slot))

        var bytes: [UInt8] = []
        h.mesh.encode(into: &bytes)
        guard let read = Mesh(h.mesh.settings, decoding: bytes, now: h.now) else {
            Issue.record("not read back")
            return
        }
        #expect(read.stableHash() == h.mesh.stableHash())
        #expect(read.stated(byLink: slot) == h.mesh.stated(byLink: slot))
        #expect(read.graceUntil(ofLink: slot) == h.mesh.graceUntil(ofLink: slot))

        // Each is part of the state: taken away, the state is another one.
        for trait: LinkTraits in [.hasFrame, .hasGrace, .isProbed, .statesElsewhere] {
            var other = h.mesh.clone()
            other.links[slot][trait] = false
            #expect(other.stableHash() != h.mesh.stableHash(), "\(trait)")
        }
    }

    @Test("a link's next use has none of the extras of the one before")
    func reuse() throws {
        var h = try extraordinary()
        let slot = Int(h.subject!.slot)
        h.mesh.setFrame(ofLink: slot, partial: 40, started: h.now)
        _ = h.tell(.ended(h.subject!, .remoteClosed))
        #expect(h.mesh.links[slot].state == .closed)
        for index in 0..<Int(h.mesh.settings.linkCapacity) where h.mesh.links[slot].state == .closed {
            guard let link = h.accept(from: Endpoint(IPAddress(v4: 0x0a00_0000 + UInt32(index) << 9), port: 9)) else { continue }
            if Int(link.slot) != slot { _ = h.tell(.ended(link, .remoteClosed)) }
        }
        #expect(h.mesh.links[slot].state == .greeting)
        #expect(h.mesh.links[slot].hasNoExtra)
        #expect(h.mesh.stated(byLink: slot) == nil && h.mesh.frameStarted(ofLink: slot) == .never)
    }

    @Test("a list's member knows its neighbours and its list, first and last, over all indices that fit")
    func listWord() {
        for list: Int32 in [-1, 0, 3, 7] {
            for next: Int32 in [-1, 0, 1, 1 << 27 - 1] {
                var node = IndexLists.Node(previous: 5, next: next, list: list)
                #expect(node.next == next && node.list == list && node.previous == 5)
                node.next = 77
                #expect(node.next == 77 && node.list == list)
                node.next = -1
                #expect(node.next == -1 && node.list == list)
            }
        }
    }
}
