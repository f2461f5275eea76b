// Actors on the loop whose tasks prefer nothing: they wait for sockets and timers, are cancelled, and never leave the loop's thread.

import CEpoll
import Glibc
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Reactor

@Suite("Async sockets in actors", .ownThread)
struct AsyncActorTests {
    /// Which thread runs the loop.
    enum Runner: CaseIterable, CustomTestStringConvertible {
        case testThread, otherThread
        var testDescription: String { "\(self)" }
    }

    /// How the actor's task begins.
    enum Start: CaseIterable, CustomTestStringConvertible {
        case task, immediate
        var testDescription: String { "\(self)" }

        func callAsFunction(_ body: sending @escaping () async -> Void) {
            switch self {
            case .task: Task { await body() }
            case .immediate: Task.immediate { await body() }
            }
        }
    }

    /// Starts `body` and runs the loop until it is done. Afterwards no descriptor and no place may be left. The limit is long: what
    /// prefers no executor begins on the shared pool, which other tests may hold.
    func finish(_ runner: Runner, _ start: Start, _ body: @escaping @Sendable (LoopExecutor) async throws -> Void) throws {
        let loop = try EventLoop()
        let executor = loop.executor
        let isDone = AtomicBox()
        start {
            do {
                try await body(executor)
            } catch {
                Issue.record(error)
            }
            isDone.value.store(1, ordering: .releasing)
            executor.mailbox.wake()
        }
        let isOver = {
            isDone.value.load(ordering: .acquiring) == 1 && executor.state.places.live == 0 && loop.descriptorCount == 0
        }
        switch runner {
        case .testThread:
            #expect(run(loop, limit: .seconds(180), until: isOver), "it hangs, or left something behind")
        case .otherThread:
            let lent = Holder((loop, isOver))
            let thread = TestThread {
                let (loop, isOver) = lent.value!
                #expect(run(loop, limit: .seconds(180), until: isOver), "it hangs, or left something behind")
            }
            thread.join()
        }
    }

    @Test("an actor on the loop accepts, reads and writes, and another one dials it", arguments: Runner.allCases, Start.allCases)
    func echo(runner: Runner, start: Start) throws {
        try finish(runner, start) { executor in
            let porter = Porter(executor)
            let endpoint = try await porter.open(start)
            let caller = Caller(executor)
            for round in 0..<200 {
                let text = Array("round \(round)".utf8)
                #expect(try await caller.ask(endpoint, text) == text)
            }
            await porter.close()
        }
    }

    @Test("four megabytes pass through an actor that has to wait for room", arguments: Runner.allCases)
    func bulk(runner: Runner) throws {
        try finish(runner, .task) { executor in
            let porter = Porter(executor)
            let endpoint = try await porter.open(.task)
            let caller = Caller(executor)
            #expect(try await caller.pour(endpoint, 4 << 20) == 4 << 20)
            await porter.close()
        }
    }

    @Test("an actor's wait is cancelled from the pool and from the loop, and loses nothing", arguments: Runner.allCases)
    func cancelled(runner: Runner) throws {
        try finish(runner, .task) { executor in
            let porter = Porter(executor)
            let caller = Caller(executor)
            let endpoint = try await porter.listen()
            for round in 0..<200 {
                let waiting = Task { try await porter.acceptOne() }
                if round % 2 == 0 { await porter.cancel(waiting) } else { waiting.cancel() }
                await #expect(throws: CancellationError.self) { try await waiting.value }
            }
            let asking = Task { try await caller.ask(endpoint, [7]) }
            try await porter.acceptOne()
            #expect(try await asking.value == [7])
            await porter.close()
        }
    }
}

/// Gives back what it gets. All of it in tasks that prefer no executor.
private actor Porter {
    private let executor: LoopExecutor
    private var listener: AsyncListener?

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) {
        self.executor = executor
    }

    func listen() throws -> Endpoint {
        let listener = try executor.listen(on: .loopback())
        self.listener = listener
        return listener.endpoint
    }

    func open(_ start: AsyncActorTests.Start) throws -> Endpoint {
        let endpoint = try listen()
        switch start {
        case .task: Task { await self.serve() }
        case .immediate: Task.immediate { await self.serve() }
        }
        return endpoint
    }

    func close() {
        listener?.close()
    }

    func cancel(_ task: Task<Void, any Error>) {
        task.cancel()
    }

    func acceptOne() async throws {
        guard let socket = try await listener?.accept() else { return }
        try await echo(socket)
    }

    private func serve() async {
        guard let listener else { return }
        do {
            for try await socket in listener {
                executor.checkIsolated()
                Task.immediate { try await self.echo(socket) }
            }
        } catch {
            Issue.record(error)
        }
    }

    private func echo(_ socket: AsyncSocket) async throws {
        while true {
            let bytes = try await socket.read(upTo: 4_096)
            executor.checkIsolated()
            if bytes.isEmpty { break }
            try await executor.sleep(for: .zero)
            executor.checkIsolated()
            try await socket.write(bytes)
            executor.checkIsolated()
        }
        socket.close()
    }
}

private actor Caller {
    private let executor: LoopExecutor

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) {
        self.executor = executor
    }

    func ask(_ endpoint: Endpoint, _ bytes: [UInt8]) async throws -> [UInt8] {
        let socket = try await executor.connect(to: endpoint)
        executor.checkIsolated()
        try await socket.write(bytes)
        return try await socket.read(upTo: 100)
    }

    /// Sends so many bytes; returns how many came back.
    func pour(_ endpoint: Endpoint, _ size: Int) async throws -> Int {
        let socket = try await executor.connect(to: endpoint)
        let writing = Task { try await self.send(size, to: socket) }
        var count = 0
        while true {
            let bytes = try await socket.read(upTo: 10_000)
            if bytes.isEmpty { break }
            count += bytes.count
        }
        try await writing.value
        return count
    }

    private func send(_ size: Int, to socket: AsyncSocket) async throws {
        try await socket.write([UInt8](repeating: 1, count: size))
        executor.checkIsolated()
        socket.shutdownSending()
    }
}
