// The examples of docs/Concurrency.md, word for word, and that they do what the page says.

import PeerMesh
import Reactor
import Testing
import Timers

// A server that gives back what it gets.
func serve(_ listener: AsyncListener) async throws {
    try await listener.serve { socket in
        while true {
            let bytes = try await socket.read(upTo: 4_096)
            if bytes.isEmpty { break }
            try await socket.write(bytes)
        }
    }
}

// An actor that lives on the loop.
actor Registry {
    private let executor: LoopExecutor
    private var names: [String: Endpoint] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(on executor: LoopExecutor) { self.executor = executor }

    func set(_ name: String, _ endpoint: Endpoint) { names[name] = endpoint }
    func find(_ name: String) -> Endpoint? { names[name] }
}

// An answer in time, or none.
func ask(_ endpoint: Endpoint, within limit: Nanoseconds, on executor: LoopExecutor) async throws -> [UInt8]? {
    try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
        group.addTask(executorPreference: executor) {
            let socket = try await executor.connect(to: endpoint)
            try await socket.write(Array("hello".utf8))
            return try await socket.read(upTo: 100)
        }
        group.addTask(executorPreference: executor) {
            try await executor.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        return try await group.next() ?? nil
    }
}

@Suite("The examples of docs/Concurrency.md", .ownThread)
struct ConcurrencyExampleTests {
    @Test("a server in tasks, a client with a limit, an actor on the loop")
    func example() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let answer = try loop.run {
            let listener = try executor.listen(on: Endpoint("127.0.0.1:0")!)
            let registry = Registry(on: executor)
            await registry.set("echo", listener.endpoint)
            let server = Task(executorPreference: executor) { try await serve(listener) }
            let answer = try await ask(await registry.find("echo")!, within: .seconds(60), on: executor)
            server.cancel()
            _ = await server.result
            return answer
        }
        #expect(answer == Array("hello".utf8))
    }
}
