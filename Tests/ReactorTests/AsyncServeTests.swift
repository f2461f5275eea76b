// A listener that serves by its own tasks: as many connections at once as allowed, each ended with its call, and an end that waits
// for all of them.

import CEpoll
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Reactor

@Suite("Async serving", .ownThread)
struct AsyncServeTests {
    /// A listener that is served by `body` while `clients` runs. How serving ended; afterwards nothing may be left.
    func serving(
        atMost limit: Int = .max, by body: nonisolated(nonsending) @escaping @Sendable (AsyncSocket) async throws -> Void,
        _ clients: @escaping @Sendable (LoopExecutor, AsyncListener, Task<Void, any Error>) async throws -> Void
    ) throws -> Result<Void, any Error> {
        let loop = try EventLoop()
        let executor = loop.executor
        let result = try loop.run {
            let listener = try executor.listen(on: .loopback())
            let serving = Task(executorPreference: executor) { try await listener.serve(atMost: limit, body) }
            await Task.yield()
            try await clients(executor, listener, serving)
            listener.close()
            return await serving.result
        }
        #expect(run(loop) { executor.state.places.live == 0 && loop.descriptorCount == 0 && !loop.hasTaskJobs }, "something is left behind")
        return result
    }

    private static func echo(_ socket: AsyncSocket) async throws {
        while true {
            let bytes = try await socket.read(upTo: 4_096)
            if bytes.isEmpty { return }
            try await socket.write(bytes)
        }
    }

    /// Dials, sends a byte, and returns what comes back; none is the end, or a reset.
    private static func ask(_ executor: LoopExecutor, _ endpoint: Endpoint, _ byte: UInt8) async throws -> [UInt8] {
        let socket = try await executor.connect(to: endpoint)
        defer { socket.close() }
        try await socket.write([byte])
        return (try? await socket.read(upTo: 10)) ?? []
    }

    @Test("two hundred connections at once are all served, and closing the listener ends it once the last call has ended")
    func many() throws {
        let ended = AtomicBox()
        let result = try serving(by: { socket in
            defer { ended.value.wrappingAdd(1, ordering: .relaxed) }
            try await Self.echo(socket)
        }) { executor, listener, serving in
            var sockets: [AsyncSocket] = []
            for _ in 0..<200 { sockets.append(try await executor.connect(to: listener.endpoint)) }
            for (index, socket) in sockets.enumerated() { try await socket.write([UInt8(index)]) }
            for (index, socket) in sockets.enumerated() {
                let answer = try await socket.read(upTo: 10)
                #expect(answer == [UInt8(index)])
            }
            listener.close()
            try await executor.sleep(for: .milliseconds(5))
            #expect(ended.value.load(ordering: .relaxed) == 0, "calls go on after the listener")
            for socket in sockets { socket.close() }
            try await serving.value
            #expect(ended.value.load(ordering: .relaxed) == 200)
        }
        #expect(throws: Never.self) { try result.get() }
    }

    @Test("at most so many are served at a time; the others wait, and each has its turn")
    func limited() throws {
        let (now, most) = (AtomicBox(), AtomicBox())
        let result = try serving(atMost: 3, by: { socket in
            let count = now.value.wrappingAdd(1, ordering: .relaxed).newValue
            most.value.store(max(most.value.load(ordering: .relaxed), count), ordering: .relaxed)
            defer { now.value.wrappingSubtract(1, ordering: .relaxed) }
            for _ in 0..<5 { await Task.yield() }
            try await Self.echo(socket)
        }) { executor, listener, _ in
            try await withThrowingTaskGroup(of: [UInt8].self) { group in
                for client in 0..<150 { group.addTask { try await Self.ask(executor, listener.endpoint, UInt8(client)) } }
                var answers: Set<[UInt8]> = []
                for try await answer in group { answers.insert(answer) }
                #expect(answers.count == 150 && !answers.contains([]))
            }
        }
        #expect(throws: Never.self) { try result.get() }
        #expect(most.value.load(ordering: .relaxed) == 3)
    }

    @Test("served from an actor that lives on the loop, the calls may use it, begin on the loop and never leave it")
    func inActor() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        try loop.run {
            let listener = try executor.listen(on: .loopback())
            let host = Host(executor)
            let serving = Task { try await host.serve(listener) }
            for client in 0..<20 as Range<UInt8> {
                let answer = try await Self.ask(executor, listener.endpoint, client)
                #expect(answer == [client])
            }
            let idle = try await executor.connect(to: listener.endpoint)
            while await host.calls < 21 { await Task.yield() }
            serving.cancel()
            await #expect(throws: CancellationError.self) { try await serving.value }
            #expect(try await idle.read(upTo: 1) == [])
            listener.close()
        }
        #expect(run(loop) { executor.state.places.live == 0 && loop.descriptorCount == 0 })
    }

    @Test("a call may wait for its connection in a method of an actor on the loop")
    func waitingInActor() throws {
        let hosts = Holder<[Host]>([])
        let result = try serving(by: { socket in
            try await hosts.value![0].echo(socket)
            withUnsafeCurrentTask { $0?.cancel() }
            await #expect(throws: CancellationError.self) { try await hosts.value![0].echo(socket) }
        }) { executor, listener, _ in
            hosts.value = [Host(executor)]
            for client in 1...20 as ClosedRange<UInt8> {
                let socket = try await executor.connect(to: listener.endpoint)
                for byte in [client, 0] {
                    try await socket.write([byte])
                    #expect(try await socket.read(upTo: 10) == [byte])
                }
                #expect(try await socket.read(upTo: 10) == [])
            }
        }
        #expect(throws: Never.self) { try result.get() }
    }

    @Test("a wait of a call in a method of an actor on the loop is one job, as one in the call itself")
    func jobs() throws {
        let hosts = Holder<[Host]>([])
        let jobs = Holder(0)
        let rounds = 1_000
        let result = try serving(by: { try await hosts.value![0].echo($0) }) { executor, listener, _ in
            hosts.value = [Host(executor)]
            let socket = try await executor.connect(to: listener.endpoint)
            let before = executor.loop.counters.taskJobs
            for round in 0...rounds {
                let byte: UInt8 = round < rounds ? 1 : 0
                try await socket.write([byte])
                #expect(try await socket.read(upTo: 10) == [byte])
            }
            jobs.value = Int(executor.loop.counters.taskJobs - before)
        }
        #expect(throws: Never.self) { try result.get() }
        // One more is the client's own.
        #expect((jobs.value! + rounds / 2) / rounds == 2, "\(jobs.value!) jobs")
    }

    @Test("a task that a call starts at once may wait for the call's connection, and is cancelled by itself")
    func immediate() throws {
        let outcome = AtomicBox()
        let loopOf = Holder<[LoopExecutor]>([])
        let result = try serving(by: { socket in
            let task = Task.immediate(executorPreference: loopOf.value![0]) {
                do {
                    _ = try await socket.read(upTo: 10)
                } catch is CancellationError {
                    outcome.value.wrappingAdd(1, ordering: .relaxed)
                }
            }
            for _ in 0..<3 { await Task.yield() }
            task.cancel()
            _ = await task.result
            try await socket.write([9])
            try await Self.echo(socket)
        }) { executor, listener, _ in
            loopOf.value = [executor]
            for client in 1...5 as ClosedRange<UInt64> {
                let socket = try await executor.connect(to: listener.endpoint)
                #expect(try await socket.read(upTo: 10) == [9])
                #expect(outcome.value.load(ordering: .relaxed) == client)
                socket.close()
            }
        }
        #expect(throws: Never.self) { try result.get() }
    }

    @Test("one connection after the other is served by the same task")
    func kept() throws {
        let tasks = Holder<Set<UInt>>([])
        let result = try serving(by: { socket in
            tasks.value?.insert(CurrentTask.id)
            try await Self.echo(socket)
        }) { executor, listener, _ in
            for client in 0..<50 as Range<UInt8> {
                let answer = try await Self.ask(executor, listener.endpoint, client)
                #expect(answer == [client])
                // The server reads the end in an iteration of its own.
                try await executor.sleep(for: .milliseconds(2))
            }
        }
        #expect(throws: Never.self) { try result.get() }
        #expect((1...10).contains(tasks.value?.count ?? 0), "\(tasks.value?.count ?? 0) tasks for 50 connections")
    }

    @Test("what a call throws ends its connection and nothing else; one that cancels its own task harms no other")
    func failing() throws {
        let turn = AtomicBox()
        let result = try serving(atMost: 1, by: { socket in
            switch turn.value.wrappingAdd(1, ordering: .relaxed).newValue % 3 {
            case 0: throw SystemError(.receive, CEPOLL_EIO)
            case 1:
                withUnsafeCurrentTask { $0?.cancel() }
                await #expect(throws: CancellationError.self) { _ = try await socket.read(upTo: 10) }
            default: try await Self.echo(socket)
            }
        }) { executor, listener, _ in
            var answers = 0
            for client in 0..<30 as Range<UInt8> where try await Self.ask(executor, listener.endpoint, client) == [client] { answers += 1 }
            #expect(answers == 10)
        }
        #expect(throws: Never.self) { try result.get() }
    }

    @Test("cancelled, it cancels every call wherever it waits, and ends with the last of them", arguments: [false, true])
    func cancelled(fromElsewhere: Bool) throws {
        let (begun, cancelled) = (AtomicBox(), AtomicBox())
        let loopOf = Holder<[LoopExecutor]>([])
        let result = try serving(by: { socket in
            let number = begun.value.wrappingAdd(1, ordering: .relaxed).newValue
            do {
                switch number % 3 {
                case 0: _ = try await socket.read(upTo: 10)
                case 1: try await loopOf.value![0].sleep(for: .seconds(3_600))
                default: try await socket.write([UInt8](repeating: 1, count: 64 << 20))
                }
            } catch is CancellationError {
                cancelled.value.wrappingAdd(1, ordering: .relaxed)
            }
        }) { executor, listener, serving in
            loopOf.value = [executor]
            var sockets: [AsyncSocket] = []
            for _ in 0..<12 { sockets.append(try await executor.connect(to: listener.endpoint)) }
            while begun.value.load(ordering: .relaxed) < 12 { await Task.yield() }
            for _ in 0..<5 { await Task.yield() }
            if fromElsewhere {
                await Task.detached { serving.cancel() }.value
            } else {
                serving.cancel()
            }
            _ = await serving.result
            #expect(cancelled.value.load(ordering: .relaxed) == 12)
            // The listener is open still, and may be served again.
            let again = Task(executorPreference: executor) { try await listener.serve { try await Self.echo($0) } }
            let answer = try await Self.ask(executor, listener.endpoint, 9)
            #expect(answer == [9])
            again.cancel()
            _ = await again.result
        }
        #expect(throws: CancellationError.self) { try result.get() }
    }

    @Test("a connection that is answered without a wait is never registered; one that is waited for is, once")
    func registration() throws {
        let loop = try EventLoop()
        let executor = loop.executor
        try loop.run {
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            try await client.write([1])
            let server = try await listener.accept()
            let before = (executor.loop.counters.controls, executor.loop.descriptorCount)
            #expect(try await server.read(upTo: 10) == [1])
            try await server.write([2])
            #expect(executor.loop.descriptorCount == before.1)
            for round in 3..<10 as Range<UInt8> {
                async let reading = server.read(upTo: 10)
                await Task.yield()
                try await client.write([round])
                #expect(try await reading == [round])
            }
            #expect(executor.loop.descriptorCount == before.1 + 1)
            #expect(executor.loop.counters.controls <= before.0 + 2)
            listener.close()
        }
    }
}

/// Serves from an actor on the loop.
private actor Host {
    private let executor: LoopExecutor
    private(set) var calls = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) {
        self.executor = executor
    }

    func serve(_ listener: AsyncListener) async throws {
        try await listener.serve { [self] socket in
            executor.checkIsolated()
            await begin()
            while true {
                let bytes = try await socket.read(upTo: 4_096)
                executor.checkIsolated()
                if bytes.isEmpty { return }
                try await socket.write(bytes)
            }
        }
    }

    /// Until a zero.
    func echo(_ socket: AsyncSocket) async throws {
        while true {
            let bytes = try await socket.read(upTo: 4_096)
            executor.checkIsolated()
            try await socket.write(bytes)
            if bytes.isEmpty || bytes == [0] { return }
        }
    }

    private func begin() { calls += 1 }
}
