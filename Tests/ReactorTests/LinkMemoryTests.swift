// What an idle link keeps.

import PeerMesh
import Testing

@testable import Reactor

/// Of the class itself: what malloc gives for it may be the rest of something larger.
@_silgen_name("$ss36_class_getInstancePositiveExtentSizeySiyXlXpF")
private func instanceSize(of type: AnyClass) -> Int

@Suite("A link's memory")
struct LinkMemoryTests {
    @Test("the driver's link is one object of at most 136 bytes")
    func size() {
        #expect(instanceSize(of: NodeLink.self) <= 136)
    }

    @Test("what a dialect keeps of an incomplete hello is there until it is complete, and then is nobody's memory")
    func hello() {
        let memory = StreamMemory(limit: 1 << 20)
        let link = NodeLink(memory: memory)
        link.begin(LinkID(slot: 3, generation: 1), .inbound, .greeting)
        #expect(link.wire == WireState(direction: .inbound) && memory.pool.inUse == 0)

        var said = link.wire
        said.flags = 5
        said.peerVersion = 70_016
        said.hello = Hello(isNative: true, endpoint: Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 8_333), nonce: 9, capabilities: 1)
        link.wire = said
        #expect(link.wire == said && memory.pool.inUse > 0)

        link.greeted()
        #expect(memory.pool.inUse == 0)
        #expect(link.wire.flags == 5 && link.wire.peerVersion == 70_016)
        #expect(link.wire.hello == Hello(isNative: true), "its kind is what is left of it")

        // A link that ends in the midst of it gives it back, too.
        link.end()
        link.begin(LinkID(slot: 3, generation: 2), .outbound, .greeting)
        #expect(link.wire == WireState(direction: .outbound))
        link.wire = said
        link.end()
        #expect(memory.pool.inUse == 0)
    }

    @Test("a queue is there while something waits, and no longer")
    func queue() {
        let memory = StreamMemory(limit: 1 << 20)
        let stream = Stream(memory: memory)
        #expect(stream.queue == nil)
        let frame = [UInt8](repeating: 1, count: 33)
        #expect(stream.enqueue(control: frame.span.bytes) == .queued)
        #expect(stream.controlCount == 33 && stream.queuedCount == 33 && memory.pool.inUse > 0)
        stream.close()
        #expect(stream.queue == nil)
        #expect(stream.queuedCount == 0 && memory.pool.inUse == 0)
        let asked = memory.pool.allocations
        for _ in 0..<100 {
            #expect(stream.enqueue(control: frame.span.bytes) == .queued)
            stream.close()
        }
        #expect(memory.pool.allocations == asked, "what was given back is what is taken next")
    }

    @Test("a queue that the pool refuses leaves nothing behind")
    func refused() {
        let memory = StreamMemory(limit: 700)
        let stream = Stream(memory: memory)
        let frame = [UInt8](repeating: 1, count: 600)
        #expect(stream.enqueue(frame.span.bytes, .yields) == .wouldBlock)
        #expect(stream.queue == nil)
        #expect(memory.pool.inUse == 0)
    }
}
