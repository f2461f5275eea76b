// A node as a service: each way to its end, and that `run` comes back from it.

import PeerMesh
import Reactor
import ReactorService
import ServiceLifecycle
import ServiceLifecycleTestKit
import Synchronization
import Testing

/// What happened, told from the node's thread.
private final class Told: Sendable {
    private let words = Mutex<[String]>([])
    var all: [String] { words.withLock { $0 } }
    func add(_ word: String) { words.withLock { $0.append(word) } }

    func wait(for word: String) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while !all.contains(word) {
            try #require(ContinuousClock.now < end, "never told: \(word), but \(all)")
            try await Task.sleep(for: .milliseconds(2))
        }
    }
}

private final class Telling: PeerHandler {
    let told: Told
    init(_ told: Told) { self.told = told }
    override func stopped() { told.add("stopped") }
}

@Suite("A node as a service")
struct NodeServiceTests {
    private static func service(_ told: Told) -> NodeService {
        NodeService { loop in
            let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(), handler: Telling(told))
            try node.listen(on: Endpoint("127.0.0.1:0")!)
            node.start()
            told.add("started")
            return node
        }
    }

    @Test("a graceful shutdown drains the node, and run returns when it is over")
    func graceful() async throws {
        let told = Told()
        try await testGracefulShutdown { trigger in
            async let running: Void = Self.service(told).run()
            try await told.wait(for: "started")
            trigger.triggerGracefulShutdown()
            try await running
        }
        #expect(told.all == ["started", "stopped"])
    }

    @Test("a cancelled task ends it at once")
    func cancelled() async throws {
        let told = Told()
        let task = Task { try await Self.service(told).run() }
        try await told.wait(for: "started")
        task.cancel()
        try await task.value
        #expect(told.all == ["started", "stopped"])
    }

    @Test("a shutdown that was asked for before there was a node is not forgotten")
    func early() async throws {
        let told = Told()
        try await testGracefulShutdown { trigger in
            trigger.triggerGracefulShutdown()
            try await Self.service(told).run()
        }
        #expect(told.all == ["started", "stopped"])
    }

    @Test("what keeps the node from being made is what run throws")
    func failure() async throws {
        let told = Told()
        let service = NodeService { loop in
            let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(), handler: Telling(told))
            try node.listen(on: Endpoint("203.0.113.1:7000")!)
            return node
        }
        await #expect { try await service.run() } throws: { ($0 as? SystemError)?.call == .bind }
    }
}
