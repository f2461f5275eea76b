// What becomes of tasks, sockets and listeners when their loop ends, and of what other threads let go meanwhile.

import CEpoll
import Glibc
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Reactor

@Suite("The end of a loop that tasks live on", .ownThread)
struct AsyncLifeTests {
    /// What a task left behind when it ended.
    final class Ending: @unchecked Sendable {
        var endpoint: Endpoint?
        var error: (any Error)?
        var calls = 0
    }

    static func dial(_ endpoint: Endpoint) -> CInt {
        let descriptor = cepoll_tcp(4)
        defer { _ = cepoll_close(descriptor) }
        let begun = cepoll_connect(descriptor, endpoint.systemAddress)
        guard begun == -CEPOLL_EINPROGRESS else { return begun }
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&entry, 1, -1)
        return cepoll_socket_error(descriptor)
    }

    /// Whether nobody listens there any more, at once or soon: a process that another test is just starting may have a copy of the
    /// socket for a moment.
    static func isClosed(_ endpoint: Endpoint) -> Bool {
        let end = cepoll_monotonic() + 60_000_000_000
        while cepoll_monotonic() < end {
            if dial(endpoint) == -CEPOLL_ECONNREFUSED { return true }
            _ = poll(nil, 0, 1)
        }
        return false
    }

    /// The same of the other end of a connection. Closes this one.
    static func hasEnded(_ descriptor: CInt) -> Bool {
        defer { _ = cepoll_close(descriptor) }
        var byte: UInt8 = 0
        return cepoll_poll_readable(descriptor, 60_000) == 1 && cepoll_recv(descriptor, &byte, 1) <= 0
    }

    /// Begins a task on a loop of its own, runs it until it listens, and drops the loop. Returns what the task came to.
    static func drop(
        serves: Bool, connects: Int = 0, _ work: @escaping @Sendable (AsyncListener, Ending) async throws -> Void
    ) throws -> Ending {
        let ending = Ending()
        weak var gone: EventLoop?
        var clients: [CInt] = []
        do {
            let loop = try EventLoop()
            gone = loop
            let executor = loop.executor
            Task.detached(executorPreference: executor) {
                do {
                    let listener = try executor.listen(on: .loopback())
                    ending.endpoint = listener.endpoint
                    try await work(listener, ending)
                } catch {
                    ending.error = error
                }
            }
            #expect(run(loop) { ending.endpoint != nil && loop.descriptorCount == 1 })
            for _ in 0..<connects {
                let client = cepoll_tcp(4)
                _ = cepoll_connect(client, try #require(ending.endpoint).systemAddress)
                clients.append(client)
            }
            if serves { #expect(run(loop) { ending.calls == connects }) }
        }
        #expect(gone == nil, "the loop is kept alive by what it holds")
        #expect(isClosed(try #require(ending.endpoint)), "the listening socket is still open")
        for client in clients { #expect(hasEnded(client), "a connection is still open") }
        return ending
    }

    @Test("a task that accepts when its loop is dropped gets an error, and the socket listens no more")
    func accepting() throws {
        let ending = try Self.drop(serves: false) { listener, _ in _ = try await listener.accept() }
        #expect((ending.error as? SystemError)?.code == CEPOLL_ECANCELED)
    }

    @Test("a task that serves when its loop is dropped gets an error, its calls too, and every socket is closed")
    func serving() throws {
        let ending = try Self.drop(serves: true, connects: 5) { listener, ending in
            try await listener.serve { socket in
                ending.calls += 1
                _ = try await socket.read(upTo: 1)
            }
        }
        #expect((ending.error as? SystemError)?.call == .closedLoop)
    }

    @Test("a listener that outlives its loop is over: to close it, to pause it and to let it go do nothing")
    func listenerOutlives() throws {
        let owner = Diary()
        var listener: Listener?
        weak var gone: EventLoop?
        do {
            let loop = try EventLoop()
            gone = loop
            listener = try Listener(loop: loop, on: .loopback(), owner: owner)
        }
        #expect(gone == nil)
        let kept = try #require(listener)
        #expect(Self.isClosed(kept.endpoint))
        kept.pause()
        kept.resume()
        #expect(!kept.isResting)
        kept.close()
    }

    @Test("idle sockets that another thread lets go while their loop is dropped are closed, every one")
    func releasedMeanwhile() throws {
        final class Held: @unchecked Sendable {
            var sockets: [AsyncSocket] = []
            let released = Atomic<Int>(0)
        }
        for _ in 0..<8 {
            let held = Held()
            var far: [CInt] = []
            var thread: TestThread?
            do {
                let loop = try EventLoop()
                let executor = loop.executor
                loop.runOnce(.noWait)
                for _ in 0..<1_500 {
                    let (near, other) = try Self.pair()
                    far.append(other)
                    held.sockets.append(AsyncSocket(Socket(taking: near), remote: .loopback(), on: executor))
                }
                thread = TestThread {
                    while held.sockets.popLast() != nil { held.released.add(1, ordering: .releasing) }
                }
                // In the middle of it the loop goes.
                while held.released.load(ordering: .acquiring) < 100 {}
            }
            if let thread = thread.take() { thread.join() }
            #expect(far.allSatisfy(Self.hasEnded), "a socket is still open")
        }
    }

    @Test("what four threads push while the stack is closed is either taken or refused, and nothing comes after the close")
    func closingTheStack() throws {
        final class Shared: Sendable {
            let stack = JobStack()
            let pushed = Atomic<Int>(0)
            let refused = Atomic<Int>(0)
            let ended = Atomic<Int>(0)
            let taken = Atomic<Int>(0)
        }
        for round in 0..<50 {
            let shared = Shared()
            for _ in 0..<4 {
                TestThread {
                    while true {
                        // Never so far ahead that it cannot be caught up with.
                        while shared.pushed.load(ordering: .relaxed) - shared.taken.load(ordering: .relaxed) > 64, !shared.stack.isClosed {
                            sched_yield()
                        }
                        let job = TaskJob(Errand(.wake(place: 0)))
                        guard case .refused = shared.stack.push(job) else {
                            shared.pushed.add(1, ordering: .relaxed)
                            continue
                        }
                        _ = job.takeErrand()
                        break
                    }
                    shared.refused.add(1, ordering: .relaxed)
                    shared.ended.add(1, ordering: .releasing)
                }.detach()
            }
            var ring = JobRing()
            func take(_ top: UInt) {
                ring.append(stack: top)
                while let job = ring.popFirst() {
                    _ = job.takeErrand()
                    shared.taken.add(1, ordering: .relaxed)
                }
            }
            while shared.taken.load(ordering: .relaxed) < round * 10 { take(shared.stack.takeAll()) }
            // Those who push may never leave it empty: then it is closed with what it has, as for tasks that never rest.
            var tries = 0
            while !shared.stack.closeIfEmpty() {
                tries += 1
                if tries == 1_000 {
                    take(shared.stack.close())
                    break
                }
                take(shared.stack.takeAll())
            }
            while shared.ended.load(ordering: .acquiring) < 4 { sched_yield() }
            let isClosed = shared.stack.isClosed
            #expect(isClosed)
            #expect(shared.taken.load(ordering: .relaxed) == shared.pushed.load(ordering: .relaxed))
            #expect(shared.refused.load(ordering: .relaxed) == 4)
        }
    }

    @Test("listeners and cancellations of another thread that come while the loop is dropped end nothing else")
    func otherThreads() throws {
        for _ in 0..<20 {
            final class Held: @unchecked Sendable {
                var listeners: [AsyncListener] = []
                var tasks: [Task<Void, Never>] = []
                let hasBegun = Atomic<Bool>(false)
            }
            let held = Held()
            var endpoints: [Endpoint] = []
            var thread: TestThread?
            do {
                let loop = try EventLoop()
                let executor = loop.executor
                loop.runOnce(.noWait)
                for _ in 0..<20 {
                    held.listeners.append(try executor.listen(on: .loopback()))
                    held.tasks.append(Task.detached(executorPreference: executor) { try? await executor.sleep(for: .seconds(3_600)) })
                }
                endpoints = held.listeners.map(\.endpoint)
                loop.runOnce(.noWait)
                thread = TestThread {
                    held.hasBegun.store(true, ordering: .releasing)
                    for task in held.tasks { task.cancel() }
                    while held.listeners.popLast() != nil {}
                }
                while !held.hasBegun.load(ordering: .acquiring) {}
            }
            if let thread = thread.take() { thread.join() }
            for endpoint in endpoints { #expect(Self.isClosed(endpoint)) }
        }
    }

    static func pair() throws -> (CInt, CInt) {
        var (near, far): (CInt, CInt) = (-1, -1)
        try #require(cepoll_pair(&near, &far) == 0)
        return (near, far)
    }
}
