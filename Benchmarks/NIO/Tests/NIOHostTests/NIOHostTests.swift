// Our loop on the thread of a SwiftNIO event loop. SwiftNIO polls no descriptor that it does not know, so a watcher thread polls
// ours and hands each turn to the event loop; deadlines become its scheduled tasks. docs/Embedding.md explains it.

import Glibc
import NIOCore
import NIOPosix
import PeerMesh
import Reactor
import Testing

/// Runs a reactor by a SwiftNIO event loop.
final class Host: @unchecked Sendable {
    let eventLoop: any NIOCore.EventLoop
    private let turns: DispatchTurn
    /// The event loop's thread only.
    private(set) var reactor: Reactor.EventLoop!
    private var scheduled: Scheduled<Void>?

    init(_ eventLoop: any NIOCore.EventLoop) throws {
        self.eventLoop = eventLoop
        turns = DispatchTurn()
        let descriptor = try eventLoop.submit {
            self.reactor = try Reactor.EventLoop()
            self.turn()
            return self.reactor.backendFD
        }.wait()
        turns.start(descriptor) { eventLoop.execute { self.turn(); self.turns.done() } }
    }

    /// One iteration, and the next deadline told to the host.
    func turn() {
        reactor.runOnce(.noWait)
        scheduled?.cancel()
        scheduled = nil
        guard let deadline = reactor.nextDeadline else { return }
        let now = NIODeadline.now().uptimeNanoseconds
        let left = deadline.nanoseconds > now ? deadline.nanoseconds - now : 0
        scheduled = eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: left))) { self.turn() }
    }

    func stop() throws {
        turns.stop()
        try eventLoop.submit {
            self.scheduled?.cancel()
            self.reactor = nil
        }.wait()
    }
}

/// A thread that waits for the descriptor, asks for a turn, and waits until it was taken.
final class DispatchTurn: @unchecked Sendable {
    private let taken = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    private var thread = pthread_t()
    private var stopPipe: [CInt] = [-1, -1]
    private var descriptor: CInt = -1
    private var ask: () -> Void = {}

    init() {
        sem_init(taken, 0, 0)
        pipe(&stopPipe)
    }

    func start(_ descriptor: CInt, _ ask: @escaping () -> Void) {
        self.descriptor = descriptor
        self.ask = ask
        pthread_create(&thread, nil, { argument in
            Unmanaged<DispatchTurn>.fromOpaque(argument!).takeRetainedValue().watch()
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
    }

    private func watch() {
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: stopPipe[0], events: Int16(POLLIN), revents: 0),
            ]
            poll(&entries, 2, -1)
            if entries[1].revents != 0 { return }
            if entries[0].revents == 0 { continue }
            ask()
            sem_wait(taken)
        }
    }

    func done() { sem_post(taken) }

    func stop() {
        var byte: UInt8 = 0
        write(stopPipe[1], &byte, 1)
        pthread_join(thread, nil)
        close(stopPipe[0])
        close(stopPipe[1])
    }
}

@Suite("A SwiftNIO event loop hosts ours")
struct NIOHostTests {
    @Test("sockets, timers and tasks of the reactor live on SwiftNIO's thread, beside SwiftNIO's own work")
    func hosted() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let host = try Host(group.next())
        let executor = try await host.eventLoop.submit { host.reactor.executor }.get()
        let (answer, isOnHost) = try await Task.detached(executorPreference: executor) {
            let listener = try executor.listen(on: Endpoint("127.0.0.1:0")!)
            async let accepted = listener.accept()
            let client = try await executor.connect(to: listener.endpoint)
            let server = try await accepted
            try await client.write(Array("over".utf8))
            let bytes = try await server.read(upTo: 100)
            try await executor.sleep(for: .milliseconds(5))
            listener.close()
            return (String(decoding: bytes, as: UTF8.self), host.eventLoop.inEventLoop)
        }.value
        #expect(answer == "over")
        #expect(isOnHost)
        #expect(try await host.eventLoop.submit { 7 }.get() == 7)
        try await Task.detached { try host.stop() }.value
        try await group.shutdownGracefully()
    }
}
