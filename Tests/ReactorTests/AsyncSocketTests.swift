// The async layer over real sockets: bytes, ends, errors, back-pressure, and what a cancelled task leaves behind: nothing.

import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Async sockets", .ownThread)
struct AsyncSocketTests {
    /// A loop, its executor and a listener, for a body that runs on it. Afterwards no descriptor and no place may be left.
    func onLoop<T: Sendable>(_ body: @escaping @Sendable (LoopExecutor, AsyncListener) async throws -> T) throws -> T {
        let loop = try EventLoop()
        let executor = loop.executor
        let result = try loop.run {
            let listener = try executor.listen(on: .loopback())
            let result = try await body(executor, listener)
            listener.close()
            return result
        }
        #expect(run(loop) { executor.state.places.live == 0 && loop.descriptorCount == 0 }, "something is left behind")
        return result
    }

    @Test("connect, accept, write and read move bytes both ways, and an end of stream is an empty read")
    func roundTrip() throws {
        let texts = try onLoop { executor, listener in
            async let accepted = listener.accept()
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await accepted
            #expect(client.remote == listener.endpoint)
            #expect(try client.localEndpoint() == server.remote)
            try await client.write(Array("ping".utf8))
            let first = try await server.read(upTo: 100)
            try await server.write(Array("pong".utf8))
            server.shutdownSending()
            let second = try await client.read(upTo: 100)
            let end = try await client.read(upTo: 100)
            return [first, second, end].map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(texts == ["ping", "pong", ""])
    }

    @Test("an end that comes together with the last bytes is seen after them")
    func endWithBytes() throws {
        let reads = try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            try await client.write([1, 2, 3])
            client.close()
            let server = try await listener.accept()
            // Time for the end to arrive: both are told in one event.
            try await executor.sleep(for: .milliseconds(5))
            return [try await server.read(upTo: 100), try await server.read(upTo: 100)]
        }
        #expect(reads == [[1, 2, 3], []])
    }

    @Test("four megabytes cross in order, though the reader is slow: the writer waits, and is asked for writability once")
    func bulk() throws {
        let size = 4 << 20
        let controls = try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            let before = executor.loop.counters.controls
            async let sent: Void = {
                try await server.write((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 8) })
                server.close()
            }()
            var count = 0
            while true {
                let bytes = try await client.read(upTo: 10_000)
                if bytes.isEmpty { break }
                for byte in bytes {
                    if byte != UInt8(truncatingIfNeeded: count &* 31 >> 8) { throw SystemError(.receive, 0) }
                    count += 1
                }
            }
            try await sent
            #expect(count == size)
            return executor.loop.counters.controls - before
        }
        #expect(controls == 1)
    }

    @Test("bytes behind an urgent one are read at once, not with the next that come")
    func urgent() throws {
        let reads = try onLoop { executor, listener in
            let client = cepoll_tcp(4)
            defer { _ = cepoll_close(client) }
            _ = cepoll_connect(client, listener.endpoint.systemAddress)
            let server = try await listener.accept()
            func send(_ text: String, _ flags: CInt = 0) { #expect(Glibc.send(client, text, text.utf8.count, flags) == text.utf8.count) }
            var reads: [[UInt8]] = []
            // Registered, and not readable: from here on only an edge tells.
            async let first = server.read(upTo: 100)
            while executor.loop.descriptorCount < 2 { await Task.yield() }
            send("0123456789")
            send("!", CInt(MSG_OOB))
            send("abcdefghij")
            reads.append(try await first)
            let limit = Task(executorPreference: executor) {
                try await executor.sleep(for: .seconds(20))
                server.close()
            }
            defer { limit.cancel() }
            while reads.joined().count < 20 { reads.append(try await server.read(upTo: 100)) }
            return reads
        }
        #expect(reads.map { String(decoding: $0, as: UTF8.self) } == ["0123456789", "abcdefghij"])
    }

    @Test("a socket that is drained loses nothing of what it sent, though the other end had sent more than was read")
    func drain() throws {
        let answer = [UInt8](repeating: 7, count: 200_000)
        let (got, ended) = try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            try await client.write([UInt8](repeating: 1, count: 50_000))
            let serving = Task(executorPreference: executor) {
                _ = try await server.read(upTo: 1)
                try await server.write(answer)
                return try await server.drain(within: .seconds(60))
            }
            try await executor.sleep(for: .milliseconds(20))
            var got: [UInt8] = []
            while true {
                let bytes = try await client.read(upTo: 65_536)
                if bytes.isEmpty { break }
                got += bytes
            }
            client.close()
            return (got, try await serving.value)
        }
        #expect(got == answer)
        #expect(ended)
    }

    @Test("a drain ends at its limit, though the other end sends for ever; others have their turn meanwhile, and the socket is closed")
    func drainOfAFlood() throws {
        let (ended, isClosed, turns) = try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            let flood = Task(executorPreference: executor) {
                let bytes = [UInt8](repeating: 1, count: 1 << 20)
                while true { try await client.write(bytes) }
            }
            let ticks = Task(executorPreference: executor) {
                var turns = 0
                while !Task.isCancelled {
                    try? await executor.sleep(for: .milliseconds(1))
                    turns += 1
                }
                return turns
            }
            let ended = try await server.drain(within: .milliseconds(200))
            ticks.cancel()
            flood.cancel()
            client.close()
            return (ended, server.isClosed, await ticks.value)
        }
        #expect(!ended)
        #expect(isClosed)
        #expect(turns > 1)
    }

    @Test("a drain of a silent end closes at its limit; a cancelled one at once; one of a closed socket throws")
    func drainEnds() throws {
        try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await listener.accept()
            #expect(try await server.drain(within: .milliseconds(30)) == false)
            #expect(server.isClosed)
            await #expect(throws: SystemError.self) { try await server.drain() }
            let other = try await executor.connect(to: listener.endpoint)
            let kept = try await listener.accept()
            let draining = Task(executorPreference: executor) { try await kept.drain(within: .seconds(3_600)) }
            try await executor.sleep(for: .milliseconds(5))
            draining.cancel()
            await #expect(throws: CancellationError.self) { try await draining.value }
            #expect(kept.isClosed)
            client.close()
            other.close()
        }
    }

    @Test("what other threads must not ask a listener or a node's events ends the process, in words")
    func offThread() async {
        let counters = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try EventLoop()
            loop.runOnce(.noWait)
            let listener = try loop.executor.listen(on: .loopback())
            TestThread { _ = listener.counters }.join()
        }
        let node = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try EventLoop()
            loop.runOnce(.noWait)
            let events = NodeEvents(on: loop.executor)
            TestThread { _ = events.node }.join()
        }
        for result in [counters, node] {
            let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(text.contains("not on the event loop"), "\(text)")
        }
    }

    @Test("a refused dial throws what the kernel said")
    func refused() throws {
        let error = try onLoop { executor, listener in
            let endpoint = listener.endpoint
            listener.close()
            do {
                _ = try await executor.connect(to: endpoint)
                return SystemError?.none
            } catch let error as SystemError {
                return error
            }
        }
        #expect(error == SystemError(.connect, CEPOLL_ECONNREFUSED))
    }

    @Test("a sleep lasts as long as it says, and many end in the order of their deadlines")
    func sleep() throws {
        let order = try onLoop { executor, _ in
            let start = Instant(nanoseconds: cepoll_monotonic())
            return try await withThrowingTaskGroup(of: Int.self) { group in
                for span in [30, 10, 20] {
                    group.addTask {
                        let end = start + .milliseconds(UInt64(span))
                        try await executor.sleep(until: end)
                        if Instant(nanoseconds: cepoll_monotonic()) < end { throw CancellationError() }
                        return span
                    }
                }
                var order: [Int] = []
                for try await span in group { order.append(span) }
                return order
            }
        }
        #expect(order == [10, 20, 30])
    }

    @Test("closing a socket ends the read that waits for it with an error, and dropping one closes it")
    func closing() throws {
        try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            var server: AsyncSocket? = try await listener.accept()
            let reading = Task(executorPreference: executor) { try await client.read(upTo: 10) }
            await Task.yield()
            client.close()
            #expect(client.isClosed)
            await #expect(throws: SystemError(.closedSocket, CEPOLL_ECANCELED)) { _ = try await reading.value }
            await #expect(throws: SystemError(.closedSocket, CEPOLL_ECANCELED)) { try await client.write([1]) }

            let other = try await executor.connect(to: listener.endpoint)
            server = try await listener.accept()
            #expect(server != nil)
            server = nil
            #expect(try await other.read(upTo: 10) == [])
        }
    }

    @Test("a socket whose last reference goes on another thread is closed on the loop")
    func droppedElsewhere() throws {
        try onLoop { executor, listener in
            let client = try await executor.connect(to: listener.endpoint)
            let box = Holder(try await listener.accept())
            await Task.detached { box.value = nil }.value
            #expect(try await client.read(upTo: 10) == [])
        }
    }

    @Test("a listener is a sequence of connections, which ends when it is closed")
    func sequence() throws {
        let count = try onLoop { executor, listener in
            async let dialling: Void = {
                for _ in 0..<50 { _ = try await executor.connect(to: listener.endpoint) }
                // What is queued is taken before the end.
                while listener.counters.accepted < 50 { try await executor.sleep(for: .milliseconds(1)) }
                try await executor.sleep(for: .milliseconds(1))
                listener.close()
            }()
            var count = 0
            for try await _ in listener { count += 1 }
            try await dialling
            return count
        }
        #expect(count == 50)
    }
}

final class Holder<Value>: @unchecked Sendable {
    var value: Value?
    init(_ value: Value) { self.value = value }
}
