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

    @Test("an awaited send waits for its peer, loses nothing, and says why it cannot; made for tasks in one line")
    func awaitedSends() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let frames: UInt32 = 200
        let (numbers, waits) = try loop.run {
            let server = try PeerNode(on: executor, wire: TimeWire(network: .reactor))
            let client = try PeerNode(on: executor, wire: TimeWire(network: .reactor))
            client.handle(.connect(try server.listen(on: .loopback())))
            server.start()
            client.start()
            let guardian = Guardian([server, client], on: executor)
            defer { guardian.cancel() }
            let link = await Self.firstLink(of: client)
            // More than a kernel's buffers and the queue's mark hold: 13 MB.
            var body = [UInt8](repeating: 0, count: 65_536)
            let taking = Task(executorPreference: executor) { [events = server.events] in await Self.takeNumbers(frames, from: events) }
            for number in 0..<frames {
                withUnsafeBytes(of: number) { body.replaceSubrange(0..<4, with: $0) }
                try await client.send(body, type: MessageType(1_000), to: link)
            }
            let numbers = await taking.value
            await #expect(throws: SendError.tooLarge) {
                try await client.send(Array(repeating: 0, count: client.wire.maximumBody + 1), type: MessageType(1_000), to: link)
            }
            server.shutdown()
            client.shutdown()
            for await _ in server.events {}
            for await _ in client.events {}
            await #expect(throws: SendError.notLinked) { try await client.send(body, type: MessageType(1_000), to: link) }
            return (numbers, client.counters.blockedSends)
        }
        #expect(numbers == Array(0..<frames))
        #expect(waits > 0, "the peer was never slower: nothing was waited for")
        #expect(run(loop) { executor.state.places.live == 0 })
    }

    /// Two linked nodes of which the first has these settings.
    static func pair(_ executor: LoopExecutor, _ change: (inout NodeSettings) -> Void) async throws -> (PeerNode, PeerNode, LinkID) {
        var settings = NodeSettings()
        change(&settings)
        let client = try PeerNode(on: executor, wire: TimeWire(network: .reactor), settings: settings)
        let server = try PeerNode(on: executor, wire: TimeWire(network: .reactor))
        client.handle(.connect(try server.listen(on: .loopback())))
        server.start()
        client.start()
        return (client, server, await firstLink(of: client))
    }

    @Test("an awaited send of a body that the node's memory never holds is refused at once, and the largest that it holds is sent")
    func beyondMemory() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        try loop.run {
            for limit in [16 << 10, 64 << 10, 1 << 20] {
                let (client, server, link) = try await Self.pair(executor) { $0.memoryLimit = limit }
                let guardian = Guardian([server, client], on: executor)
                defer { guardian.cancel() }
                for size in [limit + 1, limit, limit - 100, limit * 4] {
                    await #expect(throws: SendError.tooLarge, "\(size) of \(limit)") {
                        try await client.send([UInt8](repeating: 0, count: size), type: MessageType(1_000), to: link)
                    }
                    #expect(client.broadcast([UInt8](repeating: 0, count: size).span.bytes, type: MessageType(1_000)) == 0)
                }
                try await client.send([UInt8](repeating: 3, count: limit / 2 - 100), type: MessageType(1_000), to: link)
                for await event in server.events {
                    guard case .received(_, _, let body) = event else { continue }
                    #expect(body.count == limit / 2 - 100)
                    break
                }
                server.abandon()
                client.abandon()
                for await _ in server.events {}
                for await _ in client.events {}
            }
        }
    }

    @Test("a frame that the receiver's memory never holds closes the link as too large, and does not wait for the keepalive")
    func receivedBeyondMemory() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let reason = try loop.run {
            let (small, large, _) = try await Self.pair(executor) { $0.memoryLimit = 1 << 20 }
            let guardian = Guardian([small, large], on: executor)
            defer { guardian.cancel() }
            let link = await Self.firstLink(of: large)
            try await large.send([UInt8](repeating: 0, count: 4 << 20), type: MessageType(1_000), to: link)
            var reason: CloseReason?
            for await event in small.events {
                guard case .linkDown(_, _, let why) = event else { continue }
                reason = why
                break
            }
            small.abandon()
            large.abandon()
            for await _ in small.events {}
            for await _ in large.events {}
            return reason
        }
        #expect(reason == .frameTooLarge)
    }

    @Test("settings that contradict each other are named, each in words")
    func contradictions() {
        let wire = TimeWire(network: .reactor)
        #expect(NodeSettings().contradiction(with: wire) == nil)
        let wrong: [(String, (inout NodeSettings) -> Void)] = [
            ("lowWater", { $0.lowWater = $0.highWater + 1 }), ("lowWater", { $0.lowWater = -1 }),
            ("highWater", { ($0.lowWater, $0.highWater) = (0, 0) }), ("queueLimit", { $0.queueLimit = 1 << 30 }),
            ("queueLimit", { $0.queueLimit = 1 << 20 }), ("highWater", { $0.highWater = $0.queueLimit }),
            ("controlLimit", { $0.controlLimit = 0 }), ("controlLimit", { $0.controlLimit = 1 << 30 }),
            ("memoryLimit", { $0.memoryLimit = 0 }), ("memoryLimit", { $0.memoryLimit = -1 }),
            ("readBudget", { $0.readBudget = 0 }), ("writeBudget", { $0.writeBudget = 0 }),
            ("recordCapacity", { $0.recordCapacity = 3 }), ("recordCapacity", { $0.recordCapacity = -8 }),
            ("listener.burst", { $0.listener.burst = 0 }),
        ]
        for (word, change) in wrong {
            var settings = NodeSettings()
            change(&settings)
            #expect(settings.contradiction(with: wire)?.contains(word) == true, "\(word): \(settings.contradiction(with: wire) ?? "nil")")
        }
    }

    @Test("a send that waits ends when its task is cancelled, when its link is over, and when its node is")
    func sendsThatEnd() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let ends = try loop.run {
            var ends: [String] = []
            for end in 0..<3 {
                let server = try PeerNode(on: executor, wire: TimeWire(network: .reactor))
                let client = try PeerNode(on: executor, wire: TimeWire(network: .reactor))
                client.handle(.connect(try server.listen(on: .loopback())))
                server.start()
                client.start()
                let guardian = Guardian([server, client], on: executor)
                defer { guardian.cancel() }
                let link = await Self.firstLink(of: client)
                let peer = await Self.firstLink(of: server)
                _ = server.pauseReading(of: peer)
                let filler = Flood(node: client, link: link)
                let task = Task(executorPreference: executor) { await filler.run() }
                while client.counters.blockedSends == 0 { try await executor.sleep(for: .milliseconds(1)) }
                switch end {
                case 0: task.cancel()
                case 1: client.handle(.disconnect(server.endpoints[0]))
                default: client.abandon()
                }
                ends.append(await task.value)
                server.abandon()
                client.abandon()
                for await _ in server.events {}
                for await _ in client.events {}
            }
            return ends
        }
        #expect(ends == ["CancellationError()", "the link is not established, or not any more", "the link is not established, or not any more"])
        #expect(run(loop) { executor.state.places.live == 0 })
    }

    static func firstLink(of node: PeerNode) async -> LinkID {
        for await event in node.events { if case .linkUp(let link, _) = event { return link } }
        Issue.record("no link came up")
        return Self.link
    }

    static func takeNumbers(_ count: UInt32, from events: NodeEvents) async -> [UInt32] {
        var numbers: [UInt32] = []
        for await event in events {
            guard case .received(_, MessageType(1_000), let body) = event else { continue }
            numbers.append(body.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) })
            if numbers.count == count { break }
        }
        return numbers
    }
}

/// Ends nodes that a test has waited for too long: then it fails, instead of waiting for ever.
private final class Guardian: @unchecked Sendable {
    private let nodes: [PeerNode]
    private var task: Task<Void, any Error>?

    init(_ nodes: [PeerNode], on executor: LoopExecutor) {
        self.nodes = nodes
        task = Task(executorPreference: executor) {
            try await executor.sleep(for: .seconds(60))
            Issue.record("nothing came of it in a minute")
            for node in self.nodes { node.abandon() }
        }
    }

    func cancel() {
        task?.cancel()
        task = nil
    }
}

/// Sends until it cannot, and says why.
private final class Flood: @unchecked Sendable {
    let node: PeerNode
    let link: LinkID

    init(node: PeerNode, link: LinkID) {
        self.node = node
        self.link = link
    }

    func run() async -> String {
        do {
            while true { try await node.send([UInt8](repeating: 7, count: 65_536), type: MessageType(1_000), to: link) }
        } catch {
            return "\(error)"
        }
    }
}
