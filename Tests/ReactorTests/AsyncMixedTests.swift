// Tasks that prefer the loop and call an actor that lives there: the runtime moves them between the two, and wherever they wait
// they stay on the loop's thread, lose nothing and can be cancelled.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Tasks that prefer the loop and call an actor there", .ownThread)
struct AsyncMixedTests {
    /// Who waits for the sockets.
    enum Waiter: CaseIterable, CustomTestStringConvertible {
        case task, actor, both
        var testDescription: String { "\(self)" }
    }

    /// Runs `body` as a task that prefers the loop; afterwards no descriptor, no place and no job may be left.
    func finish(_ runner: AsyncActorTests.Runner, _ body: @escaping @Sendable (LoopExecutor) async throws -> Void) throws {
        switch runner {
        case .testThread: try finish(body)
        case .otherThread:
            let thread = TestThread {
                do {
                    try finish(body)
                } catch {
                    Issue.record(error)
                }
            }
            thread.join()
        }
    }

    private func finish(_ body: @escaping @Sendable (LoopExecutor) async throws -> Void) throws {
        let loop = try EventLoop()
        let executor = loop.executor
        try loop.run { try await body(executor) }
        #expect(run(loop) { executor.state.places.live == 0 && loop.descriptorCount == 0 && !loop.hasTaskJobs })
    }

    @Test(
        "a server and a client wait in their tasks, in the actor's methods, or in both by turns, and never leave the loop",
        arguments: AsyncActorTests.Runner.allCases, Waiter.allCases
    )
    func echo(runner: AsyncActorTests.Runner, waiter: Waiter) throws {
        try finish(runner) { executor in
            let keeper = Keeper(executor)
            let listener = try executor.listen(on: .loopback())
            let serving = Task(executorPreference: executor) { try await serve(listener, waiter, keeper, executor) }
            try await withThrowingDiscardingTaskGroup { group in
                for client in 0..<4 {
                    group.addTask(executorPreference: executor) {
                        for round in 0..<50 {
                            let text = Array("client \(client), round \(round)".utf8)
                            let answer = try await ask(listener.endpoint, text, waiter, keeper, executor)
                            #expect(answer == text)
                        }
                    }
                }
            }
            listener.close()
            try await serving.value
            #expect(await keeper.messages == 4 * 50)
        }
    }

    @Test("a wait in the actor's method is cancelled from the loop and from elsewhere, and loses nothing", arguments: AsyncActorTests.Runner.allCases)
    func cancelled(runner: AsyncActorTests.Runner) throws {
        try finish(runner) { executor in
            let keeper = Keeper(executor)
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            for round in 0..<100 {
                let reading = Task(executorPreference: executor) { try await keeper.read(server) }
                for _ in 0..<round % 8 { await Task.yield() }
                if round % 2 == 0 {
                    reading.cancel()
                } else {
                    await Task.detached { reading.cancel() }.value
                }
                await #expect(throws: CancellationError.self) { try await reading.value }
                executor.checkIsolated()
                try await client.write([UInt8(round)])
                #expect(try await keeper.read(server) == [UInt8(round)])
            }
            let sleeping = Task(executorPreference: executor) { try await keeper.sleep(for: .seconds(3_600)) }
            await Task.yield()
            sleeping.cancel()
            await #expect(throws: CancellationError.self) { try await sleeping.value }
        }
    }

    @Test("closing a socket ends the wait for it in an actor's method")
    func closed() throws {
        try finish(.testThread) { executor in
            let keeper = Keeper(executor)
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            let reading = Task(executorPreference: executor) { try await keeper.read(client) }
            for _ in 0..<8 { await Task.yield() }
            client.close()
            await #expect(throws: SystemError(.closedSocket, CEPOLL_ECANCELED)) { try await reading.value }
        }
    }

    @Test("what a wait costs: one job in a task that calls no actor, and a bounded few where the runtime moves it to and fro")
    func jobs() throws {
        let alone = try jobsAWait { _, socket in _ = try await socket.read(upTo: 10) }
        let inActor = try jobsAWait { keeper, socket in _ = try await keeper.read(socket) }
        let between = try jobsAWait { keeper, socket in
            _ = try await socket.read(upTo: 10)
            await keeper.count()
        }
        #expect(alone == 1)
        print("jobs a wait: \(alone) in a task, \(inActor) in a method of an actor, \(between) with a call of one after it")
        #expect((1...5).contains(inActor), "\(inActor) jobs")
        #expect((1...5).contains(between), "\(between) jobs")
    }

    /// Jobs a round, in each of which `wait` waits once for a byte that comes from no task.
    private func jobsAWait(_ wait: @escaping @Sendable (Keeper, AsyncSocket) async throws -> Void) throws -> Int {
        let loop = try EventLoop()
        let executor = loop.executor
        let keeper = Keeper(executor)
        let (rounds, done) = (100, AtomicBox())
        var (near, far): (CInt, CInt) = (-1, -1)
        try #require(cepoll_pair(&near, &far) == 0)
        defer { _ = cepoll_close(far) }
        let descriptor = near
        let socket = try loop.run { AsyncSocket(Socket(taking: descriptor), remote: .loopback(), on: executor) }
        let task = Task(executorPreference: executor) {
            for _ in 0..<rounds {
                try await wait(keeper, socket)
                done.value.wrappingAdd(1, ordering: .relaxed)
            }
        }
        run(loop, for: .milliseconds(20))
        let before = loop.counters.taskJobs
        for round in 1...rounds {
            #expect(cepoll_send(far, [7], 1) == 1)
            #expect(run(loop) { done.value.load(ordering: .relaxed) == round && !loop.hasTaskJobs })
        }
        let jobs = Int(loop.counters.taskJobs - before)
        try loop.run { try await task.value }
        return (jobs + rounds / 2) / rounds
    }
}

private func serve(_ listener: AsyncListener, _ waiter: AsyncMixedTests.Waiter, _ keeper: Keeper, _ executor: LoopExecutor) async throws {
    try await withThrowingDiscardingTaskGroup { group in
        for try await socket in listener {
            group.addTask(executorPreference: executor) {
                var turn = 0
                while true {
                    let isActors = waiter == .actor || waiter == .both && turn % 2 == 0
                    let bytes = try await isActors ? keeper.read(socket) : socket.read(upTo: 4_096)
                    executor.checkIsolated()
                    if bytes.isEmpty { break }
                    await keeper.count()
                    executor.checkIsolated()
                    if isActors {
                        try await keeper.write(bytes, to: socket)
                    } else {
                        try await socket.write(bytes)
                    }
                    turn += 1
                }
            }
        }
    }
}

/// Dials, asks once, and waits for the whole answer and the end.
private func ask(
    _ endpoint: Endpoint, _ text: [UInt8], _ waiter: AsyncMixedTests.Waiter, _ keeper: Keeper, _ executor: LoopExecutor
) async throws -> [UInt8] {
    let socket = try await waiter == .task ? executor.connect(to: endpoint) : keeper.connect(to: endpoint)
    executor.checkIsolated()
    try await waiter == .actor ? keeper.write(text, to: socket) : socket.write(text)
    try await waiter == .task ? executor.sleep(for: .zero) : keeper.sleep(for: .zero)
    var answer: [UInt8] = []
    while answer.count < text.count {
        let bytes = try await waiter == .actor ? keeper.read(socket) : socket.read(upTo: 4_096)
        executor.checkIsolated()
        if bytes.isEmpty { break }
        answer += bytes
    }
    return answer
}

/// An actor on the loop that keeps count, and waits for whoever asks it to.
private actor Keeper {
    private let executor: LoopExecutor
    private(set) var messages = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) {
        self.executor = executor
    }

    func count() {
        executor.checkIsolated()
        messages += 1
    }

    func connect(to endpoint: Endpoint) async throws -> AsyncSocket {
        defer { executor.checkIsolated() }
        return try await executor.connect(to: endpoint)
    }

    func read(_ socket: AsyncSocket) async throws -> [UInt8] {
        defer { executor.checkIsolated() }
        return try await socket.read(upTo: 4_096)
    }

    func write(_ bytes: [UInt8], to socket: AsyncSocket) async throws {
        defer { executor.checkIsolated() }
        try await socket.write(bytes)
    }

    func sleep(for span: Nanoseconds) async throws {
        defer { executor.checkIsolated() }
        try await executor.sleep(for: span)
    }
}
