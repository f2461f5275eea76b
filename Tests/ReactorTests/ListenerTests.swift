import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Listener", .ownThread)
struct ListenerTests {
    @Test("every errno of accept has a class, and only the documented ones rest or retry (trap 14)")
    func classes() {
        let retry: Set<Int32> = [
            EINTR, ECONNABORTED, EPROTO, ENETDOWN, EHOSTDOWN, ENOPROTOOPT, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH,
            EPERM, ETIMEDOUT,
        ]
        let pause: Set<Int32> = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
        for error in Int32(1)...200 {
            let expected: AcceptClass =
                error == EAGAIN ? .drained : retry.contains(error) ? .retry : pause.contains(error) ? .pause : .fatal
            #expect(AcceptClass(error) == expected, "errno \(error)")
        }
    }

    @Test("connections reach the owner with their remote endpoint and the listener's tag", arguments: SocketTests.ends)
    func accepts(_ end: Endpoint) throws {
        let loop = try EventLoop()
        let owner = Diary()
        let listener = try Listener(loop: loop, on: end, owner: owner, tag: 42)
        defer { listener.close() }
        #expect(listener.endpoint.port != 0)
        let dialled = try dial(listener.endpoint)
        #expect(run(loop) { owner.accepted.count == 1 })
        #expect(owner.entries == [.accepted(try dialled.localEndpoint(), 42)])
    }

    @Test("a listener that does not ask for addresses hands over the same connections, and the socket tells who it is")
    func acceptsUnnamed() throws {
        let loop = try EventLoop()
        let owner = Diary()
        var settings = Listener.Settings()
        settings.asksForAddress = false
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner, tag: 7, settings: settings)
        defer { listener.close() }
        let dialled = try dial(listener.endpoint)
        #expect(run(loop) { owner.accepted.count == 1 })
        #expect(owner.entries == [.acceptedUnnamed(7)])
        #expect(listener.counters.accepted == 1 && loop.counters.accepts.accepted == 1)
        let socket = Socket(taking: owner.accepted.removeLast())
        #expect(try socket.remoteEndpoint() == dialled.localEndpoint())
    }

    @Test("an owner that has only the form with the address gets it from a listener that does not ask, too")
    func acceptsUnnamedForOthers() throws {
        final class Named: Source {
            var from: [Endpoint] = []
            override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) { from.append(remote) }
        }
        let loop = try EventLoop()
        let owner = Named()
        var settings = Listener.Settings()
        settings.asksForAddress = false
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner, settings: settings)
        defer { listener.close() }
        let dialled = try dial(listener.endpoint)
        #expect(run(loop) { owner.from.count == 1 })
        #expect(owner.from == [try dialled.localEndpoint()])
    }

    @Test("a hundred connections at once are all accepted, in bursts of at most the setting")
    func bursts() throws {
        let loop = try EventLoop()
        let owner = Diary()
        var settings = Listener.Settings()
        settings.burst = 8
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner, settings: settings)
        defer { listener.close() }
        let dialled = try dial(listener.endpoint, count: 100)
        defer { dialled.forEach { _ = cepoll_close($0) } }
        var largest = 0
        while owner.accepted.count < 100 {
            let before = owner.accepted.count
            loop.runOnce(.wait)
            largest = max(largest, owner.accepted.count - before)
        }
        #expect(largest > 1 && largest <= 8)
    }

    @Test("one connection a wake costs few calls of accept for nothing (libuv pays one each time)")
    func adaptiveBurst() throws {
        let loop = try EventLoop()
        let owner = Diary()
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner)
        defer { listener.close() }
        for n in 1...100 {
            let socket = try dial(listener.endpoint)
            #expect(run(loop) { owner.accepted.count == n })
            _ = consume socket
        }
        #expect(listener.counters.calls <= 126)
    }

    @Test("a connection that its dialer reset before the accept harms no other")
    func resetBeforeAccept() throws {
        let loop = try EventLoop()
        let owner = Diary()
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner)
        defer { listener.close() }
        let dead = try dial(listener.endpoint)
        dead.resetOnClose()
        _ = consume dead
        let alive = try dial(listener.endpoint)
        let local = try alive.localEndpoint()
        #expect(run(loop) { owner.entries.contains(.accepted(local, 0)) })
        #expect(!listener.isResting)
    }

    @Test("the owner may close the listener from within accepted; the rest of the burst is not taken")
    func closedWithin() throws {
        let loop = try EventLoop()
        let owner = Closer()
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner)
        owner.listener = listener
        let dialled = try dial(listener.endpoint, count: 5)
        defer { dialled.forEach { _ = cepoll_close($0) } }
        #expect(run(loop) { owner.count > 0 })
        loop.runOnce(.noWait)
        #expect(owner.count == 1)
        #expect(loop.descriptorCount == 0)
        listener.close()
    }

    @Test("a closed listener lets its owner go, and its port")
    func closes() throws {
        let loop = try EventLoop()
        weak var weakly: Diary?
        let endpoint: Endpoint
        do {
            let owner = Diary()
            weakly = owner
            let listener = try Listener(loop: loop, on: .loopback(), owner: owner)
            endpoint = listener.endpoint
            loop.runOnce(.noWait)
            listener.close()
            loop.runOnce(.noWait)
        }
        #expect(weakly == nil)
        let again = try Listener(loop: loop, on: endpoint, owner: Diary())
        again.close()
    }

    @Test("an address in use is an error that names the call")
    func inUse() throws {
        let loop = try EventLoop()
        let listener = try Listener(loop: loop, on: .loopback(), owner: Diary())
        defer { listener.close() }
        let error = #expect(throws: SystemError.self) {
            try Listener(loop: loop, on: listener.endpoint, owner: Diary())
        }
        #expect(error?.code == EADDRINUSE)
        #expect(cepoll_is_close_on_exec(0) >= 0, "a failed init closes nothing that is not its own")
        #expect(loop.descriptorCount == 1)
    }

    @Test("an error that should not be makes it rest, not end and not spin")
    func fatal() throws {
        let loop = try EventLoop()
        let owner = Diary()
        var settings = Listener.Settings()
        settings.fatalRest = .milliseconds(20)
        settings.longestFatalRest = .milliseconds(40)
        let listener = try Listener(loop: loop, on: .loopback(), owner: owner, settings: settings)
        defer { listener.close() }
        let descriptor = descriptor(of: listener)
        #expect(cepoll_shutdown_both(descriptor) == 0)
        #expect(run(loop) { listener.counters.fatal >= 3 })
        #expect(owner.entries.first == .rests(SystemError(.accept, EINVAL)))
        let iterations = loop.counters.iterations
        run(loop, for: .milliseconds(200))
        #expect(loop.counters.iterations - iterations < 60)
        #expect(listener.counters.fatal < 20)
        // Made whole again, it serves again.
        #expect(cepoll_listen(descriptor, 16) == 0)
        var address = cepoll_address()
        #expect(cepoll_local(descriptor, &address) == 0)
        let socket = try dial(try #require(Endpoint(address)))
        #expect(run(loop) { owner.accepted.count == 1 })
        _ = consume socket
    }

    @Test("with no descriptor left it sheds load by its reserve, rests without spinning, and comes back (trap 13)")
    func descriptorsExhausted() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop()
            let owner = Diary()
            let listener = try Listener(loop: loop, on: .loopback(), owner: owner)
            // Dialers first: sockets whose connect comes later, when the table is full.
            var dialers: [CInt] = (0..<40).map { _ in cepoll_tcp(4) }
            // Two descriptors are left below the limit; the process may have inherited others beyond them.
            let lowest = cepoll_reserve()
            let second = cepoll_reserve()
            _ = cepoll_close(lowest)
            _ = cepoll_close(second)
            try #require(cepoll_set_descriptor_limit(UInt64(second) + 1) == 0)
            for dialer in dialers {
                let result = cepoll_connect(dialer, listener.endpoint.systemAddress)
                try #require(result == 0 || result == -EINPROGRESS)
            }
            // Few fit (how few depends on what the runtime's own threads opened meanwhile); the others find the table full,
            // and are shed 16 at a time.
            try #require(run(loop) { listener.counters.shed >= 16 })
            try #require(owner.entries.contains(.rests(SystemError(.accept, EMFILE))))
            try #require(run(loop) { listener.counters.shed + listener.counters.accepted == 40 })
            try #require(owner.accepted.count <= 4)
            let counted = listener.counters
            let events = loop.counters.events
            run(loop, for: .milliseconds(300))
            try #require(listener.counters.calls == counted.calls)
            try #require(loop.counters.events - events < 3)
            // A storm that goes on is answered twenty times a second at most.
            for index in dialers.indices {
                _ = cepoll_close(dialers[index])
                dialers[index] = cepoll_tcp(4)
            }
            for dialer in dialers where dialer >= 0 { _ = cepoll_connect(dialer, listener.endpoint.systemAddress) }
            let dialled = UInt64(dialers.filter { $0 >= 0 }.count)
            try #require(run(loop) { listener.counters.shed + listener.counters.accepted == 40 + dialled })
            try #require(loop.counters.events < 200)
            let accepts = loop.counters.accepts
            try #require(accepts.shed == listener.counters.shed && accepts.accepted == listener.counters.accepted)
            try #require(accepts.paused == listener.counters.rests && accepts.fatal == 0)
            // Descriptors come free, and so does the listener.
            let before = listener.counters.accepted
            try #require(cepoll_set_descriptor_limit(UInt64(lowest) + 1_000) == 0)
            let late = cepoll_tcp(4)
            try #require(late >= 0)
            _ = cepoll_connect(late, listener.endpoint.systemAddress)
            try #require(run(loop) { listener.counters.accepted == before + 1 && !listener.isResting })
            listener.close()
        }
    }

    // MARK: helpers

    private func dial(_ endpoint: Endpoint) throws -> Socket {
        switch Socket.dial(endpoint) {
        case .connected(let socket): return socket
        case .pending(let socket): return socket
        case .failed(let error): throw SystemError(.connect, error)
        }
    }

    private func dial(_ endpoint: Endpoint, count: Int) throws -> [CInt] {
        try (0..<count).map { _ in try dial(endpoint).release() }
    }

    /// The listening descriptor, found by its address: the listener itself shows it to nobody.
    private func descriptor(of listener: Listener) -> CInt {
        (CInt(3)...1_024).first { descriptor in
            var address = cepoll_address()
            var accepts: CInt = 0
            var length = socklen_t(MemoryLayout<CInt>.size)
            return cepoll_local(descriptor, &address) == 0 && Endpoint(address) == listener.endpoint
                && getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length) == 0 && accepts == 1
        } ?? -1
    }
}

/// Closes its listener at the first connection.
private final class Closer: Source {
    var listener: Listener?
    var count = 0

    override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        count += 1
        listener?.close()
    }
}
