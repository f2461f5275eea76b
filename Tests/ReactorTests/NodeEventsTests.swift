// A node's events as a sequence: in order, bounded, and none lost while somebody takes them.

import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Node events", .ownThread)
struct NodeEventsTests {
    static let link = LinkID(slot: 1, generation: 1)

    /// A node on the loop with its events.
    static func node(_ executor: LoopExecutor, _ nonce: UInt64, capacity: Int = 64) throws -> (PeerNode, NodeEvents) {
        let events = NodeEvents(on: executor, capacity: capacity)
        let settings = NodeSettings(mesh: MeshSettings(nonce: nonce, seed: nonce))
        let node = try PeerNode(loop: executor.loop, wire: TimeWire(network: .reactor), settings: settings, handler: events)
        events.node = node
        let endpoint = try node.listen(on: .loopback())
        node.handle(.ownEndpoint(endpoint))
        return (node, events)
    }

    @Test("two nodes tell their tasks of the link, of each frame in order, and of its end; a slow task slows its peer and misses nothing")
    func conversation() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let frames = 2_000
        let numbers = try loop.run {
            let (server, serverEvents) = try Self.node(executor, 1)
            let (client, clientEvents) = try Self.node(executor, 2)
            client.handle(.connect(server.settings.endpoint ?? server.ownEndpoint!))
            server.start()
            client.start()
            var numbers: [UInt32] = []
            for await event in clientEvents {
                guard case .linkUp(let link, _) = event else { continue }
                for number in 0..<UInt32(frames) {
                    withUnsafeBytes(of: number) { _ = client.send(RawSpan(_unsafeBytes: $0), type: MessageType(1_000), to: link, policy: .insists) }
                }
                break
            }
            var isUp = false
            loop: for await event in serverEvents {
                switch event {
                case .linkUp: isUp = true
                case .received(_, MessageType(1_000), let body):
                    #expect(isUp)
                    numbers.append(body.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) })
                    #expect(serverEvents.waiting <= 64)
                    // Slower than they come.
                    if numbers.count % 100 == 0 { try await executor.sleep(for: .milliseconds(1)) }
                    if numbers.count == frames { break loop }
                default: break
                }
            }
            client.shutdown()
            server.shutdown()
            var ends = 0
            for await event in serverEvents { if case .linkDown = event { ends += 1 } }
            for await event in clientEvents { if case .linkDown = event { ends += 1 } }
            #expect(ends == 2, "each sequence ends when its node has stopped")
            return numbers
        }
        #expect(numbers == Array(0..<UInt32(frames)))
    }

    @Test("a cancelled task leaves the sequence at once; another goes on where it left")
    func cancelled() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        try loop.run {
            let (node, events) = try Self.node(executor, 3)
            node.start()
            let task = Task.detached(executorPreference: executor) {
                var count = 0
                for await _ in events { count += 1 }
                return count
            }
            for _ in 0..<5 { await Task.yield() }
            task.cancel()
            #expect(await task.value == 0)
            events.highWater(Self.link)
            var iterator = events.makeAsyncIterator()
            #expect(await iterator.next() == .highWater(Self.link))
            node.shutdown()
            #expect(await iterator.next() == nil)
        }
        #expect(run(loop) { executor.state.places.live == 0 })
    }

    @Test("events that find the queue full are dropped, and their number is told in their place")
    func missed() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let told = try loop.run {
            let events = NodeEvents(on: executor, capacity: 2)
            for _ in 0..<5 { events.lowWater(Self.link) }
            events.stopped()
            var told: [NodeEvent] = []
            for await event in events { told.append(event) }
            return told
        }
        #expect(told == [.lowWater(Self.link), .lowWater(Self.link), .missed(3)])
    }
}
