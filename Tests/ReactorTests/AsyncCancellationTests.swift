// A cancelled task goes on at once, and leaves nothing behind: no descriptor, no timer, no waiter, no connection lost.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Async cancellation", .ownThread)
struct AsyncCancellationTests {
    /// Where the cancellation comes from.
    enum Origin: CaseIterable, CustomTestStringConvertible {
        case loop, elsewhere, before
        var testDescription: String { "\(self)" }
    }

    /// Starts `body` on the loop, cancels it once it waits, and says whether it ended by `CancellationError`.
    static func isCancelled(
        _ executor: LoopExecutor, _ origin: Origin, _ body: @escaping @Sendable () async throws -> Void
    ) async -> Bool {
        let task = Task.detached(executorPreference: executor) {
            if origin == .before { withUnsafeCurrentTask { $0?.cancel() } }
            try await body()
        }
        switch origin {
        case .before: break
        case .loop:
            for _ in 0..<5 { await Task.yield() }
            task.cancel()
        case .elsewhere:
            for _ in 0..<5 { await Task.yield() }
            await Task.detached { task.cancel() }.value
        }
        do {
            try await task.value
            return false
        } catch {
            return error is CancellationError
        }
    }

    /// Runs `body`, then expects that the loop holds nothing more than before.
    func leavingNothing(_ body: @escaping @Sendable (LoopExecutor) async throws -> Void) throws {
        let loop = try EventLoop()
        let executor = loop.executor
        try loop.run { try await body(executor) }
        #expect(run(loop) { executor.state.places.live == 0 && loop.descriptorCount == 0 && !loop.hasTaskJobs })
        #expect(loop.nextDeadline == nil, "a timer is left")
    }

    @Test("a sleep", arguments: Origin.allCases)
    func sleep(origin: Origin) throws {
        try leavingNothing { executor in
            for _ in 0..<20 {
                #expect(await Self.isCancelled(executor, origin) { try await executor.sleep(for: .seconds(3_600)) })
            }
        }
    }

    @Test("a read, after which another read gets what came", arguments: Origin.allCases)
    func read(origin: Origin) throws {
        try leavingNothing { executor in
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            for round in 0..<20 {
                #expect(await Self.isCancelled(executor, origin) { _ = try await server.read(upTo: 10) })
                try await client.write([UInt8(round)])
                #expect(try await server.read(upTo: 10) == [UInt8(round)])
            }
        }
    }

    @Test("a write that waits for room", arguments: Origin.allCases)
    func write(origin: Origin) throws {
        try leavingNothing { executor in
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            #expect(await Self.isCancelled(executor, origin) { try await client.write([UInt8](repeating: 1, count: 64 << 20)) })
            withExtendedLifetime(server) {}
        }
    }

    @Test("a dial that nobody answers: its descriptor is closed", arguments: Origin.allCases)
    func connect(origin: Origin) throws {
        try leavingNothing { executor in
            // A full backlog leaves further dials unanswered.
            let deaf = try Socket.listening(on: .loopback(), backlog: 0, options: SocketOptions())
            let endpoint = try deaf.localEndpoint()
            let fillers = Holder<[AsyncSocket]>([])
            #expect(
                await Self.isCancelled(executor, origin) {
                    while true { fillers.value?.append(try await executor.connect(to: endpoint)) }
                }
            )
            fillers.value = nil
            withExtendedLifetime(deaf.descriptor) {}
        }
    }

    @Test("an accept, and no connection is lost: each of a hundred dials is taken, though most accepts were cancelled", arguments: Origin.allCases)
    func accept(origin: Origin) throws {
        try leavingNothing { executor in
            let listener = try executor.listen(on: .loopback(), waiting: 4)
            let dials = Task.detached(executorPreference: executor) {
                var sockets: [AsyncSocket] = []
                for _ in 0..<100 {
                    sockets.append(try await executor.connect(to: listener.endpoint))
                    await Task.yield()
                }
                return sockets
            }
            let taken = Holder<[AsyncSocket]>([])
            var cancelled = 0
            while (taken.value?.count ?? 0) < 100 {
                let wasCancelled = await Self.isCancelled(executor, origin) { taken.value?.append(try await listener.accept()) }
                if wasCancelled { cancelled += 1 }
                // Cancelled before it began, it takes none: another has its turn.
                if origin == .before { taken.value?.append(try await listener.accept()) }
            }
            let dialled = try await dials.value
            #expect(Set(try dialled.map { try $0.localEndpoint() }) == Set(taken.value?.map(\.remote) ?? []))
            #expect(origin != .before || cancelled == 100)
            taken.value = nil
        }
    }

    @Test("a cancellation that comes when the wait is over ends nothing else")
    func late() throws {
        try leavingNothing { executor in
            let listener = try executor.listen(on: .loopback())
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            for _ in 0..<200 {
                let reading = Task.detached(executorPreference: executor) { try? await server.read(upTo: 10) }
                await Task.yield()
                let canceller = Task.detached { reading.cancel() }
                try await client.write([1])
                let first = await reading.value
                // Whichever came first: the byte is read once, here or there, and this read is not the cancelled one.
                if first == nil { #expect(try await server.read(upTo: 10) == [1]) }
                await canceller.value
            }
        }
    }
}
