// A loop at rest among ten thousand dead descriptors, and a listener that has none left: neither may cost a core. Each runs in
// a process of its own, as the limit of descriptors and the time of the processor are a process's.

import CEpoll
import Foundation
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Rest and starvation", .serialized, .ownThread)
struct StarvationTests {
    /// Reads to the end of the stream and then wants nothing, as a link does whose peer is gone.
    private final class Idler: Source {
        let loop: EventLoop
        var slots: [SlotID] = []
        var descriptors: [CInt] = []

        init(loop: EventLoop) { self.loop = loop }

        func add(_ descriptor: CInt) throws {
            slots.append(try loop.add(descriptor, interest: .read, source: self, tag: UInt32(slots.count)))
            descriptors.append(descriptor)
        }

        func end() {
            for slot in slots { loop.remove(slot) }
        }

        override func ready(_ readiness: Reactor.Readiness, tag: UInt32) {
            if receive(descriptors[Int(tag)], 16) == .ended { loop.setInterest(slots[Int(tag)], []) }
        }
    }

    /// Passes on what the child measured.
    private static func pass(_ child: ExitTest.Result?) {
        for line in String(decoding: child?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n") where line.contains("descriptors") {
            print(line)
        }
    }

    /// Processor time of this thread, in nanoseconds.
    private static var threadTime: UInt64 { cepoll_clock(CLOCK_THREAD_CPUTIME_ID) }

    @Test("trap 5: among ten thousand half-closed, hung-up and silent descriptors a loop is woken by its timers and nothing else")
    func rest() async {
        let child = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            let environment = ProcessInfo.processInfo.environment
            let seconds = environment["REACTOR_REST_SECONDS"].flatMap(UInt64.init) ?? 1
            var (soft, hard): (UInt64, UInt64) = (0, 0)
            try #require(cepoll_descriptor_limit(&soft, &hard) == 0)
            try #require(cepoll_set_descriptor_limit(min(hard, 20_000)) == 0)
            let pairs = (Int(min(hard, 20_000)) - 100) / 2 >= 5_000 ? 5_000 : 400
            let loop = try EventLoop()
            let idler = Idler(loop: loop)
            for index in 0..<pairs {
                var (a, b): (CInt, CInt) = (-1, -1)
                try #require(cepoll_pair(&a, &b) == 0)
                try idler.add(a)
                try idler.add(b)
                switch index % 3 {
                case 0: try #require(cepoll_shutdown_send(a) == 0)
                case 1: try #require(cepoll_shutdown_both(a) == 0)
                default: break
                }
            }
            // Everyone learns of his end.
            while loop.backendFD >= 0, cepoll_poll_readable(loop.backendFD, 0) == 1 { loop.runOnce(.noWait) }
            loop.runOnce(.noWait)
            try #require(loop.descriptorCount == pairs * 2)
            try #require(loop.counters.latchedHangups >= UInt64(pairs / 3 * 2))
            let diary = Diary()
            let timer = loop.makeTimer(source: diary, tag: 0)
            loop.arm(timer, after: .seconds(seconds))
            let (before, began) = (loop.counters, Self.threadTime)
            while diary.entries.isEmpty {
                let due = try #require(loop.nextDeadline)
                loop.runOnce(.wait)
                try #require(loop.now >= due, "a wake that no timer was due for")
            }
            let spent = Self.threadTime - began
            let waits = loop.counters.iterations - before.iterations
            try #require(loop.counters.events == before.events)
            try #require(loop.counters.timers == before.timers + 1)
            // One a level of the wheel, on the way to the one deadline.
            try #require(waits <= 8)
            idler.end()
            print("\(pairs * 2) descriptors at rest for \(seconds) s: 0 events, \(waits) waits, \(spent / 1_000) µs of processor time")
        }
        Self.pass(child)
    }

    /// Takes questions of a byte and answers each with one, once it is told to; then closes.
    private final class SlowServer: Source {
        let loop: EventLoop
        private var slots: [UInt32: SlotID] = [:]
        private var asked: [UInt32] = []
        private var isAnswering = false

        init(loop: EventLoop) { self.loop = loop }

        var held: Int { slots.count }

        override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
            let descriptor = socket.release()
            slots[UInt32(descriptor)] = try? loop.add(descriptor, interest: .read, source: self, tag: UInt32(descriptor))
        }

        override func ready(_ readiness: Reactor.Readiness, tag: UInt32) {
            if case .bytes = receive(CInt(tag), 16) {
                if isAnswering { answer(tag) } else { asked.append(tag) }
            } else {
                end(tag)
            }
        }

        func answerAll() {
            isAnswering = true
            for tag in asked { answer(tag) }
            asked = []
        }

        private func answer(_ tag: UInt32) {
            guard slots[tag] != nil else { return }
            send(CInt(tag), 1)
            end(tag)
        }

        private func end(_ tag: UInt32) {
            guard let slot = slots.removeValue(forKey: tag) else { return }
            loop.remove(slot)
            _ = cepoll_close(CInt(tag))
        }
    }

    /// A client's end as the client saw it.
    private enum Fate { case waits, served, refused }

    /// What became of each client. The kernel closes or resets those that nobody serves.
    private static func look(at clients: [CInt], _ fates: inout [Fate]) {
        for (index, client) in clients.enumerated() where fates[index] == .waits {
            switch receive(client, 16) {
            case .bytes: fates[index] = .served
            case .ended, .failed: fates[index] = .refused
            case .wouldBlock: break
            }
        }
    }

    /// Sockets for clients whose numbers are beyond the limit that comes.
    private static func makeClients(_ count: Int) throws -> [CInt] {
        try (0..<count).map { _ in
            let low = cepoll_tcp(4)
            defer { _ = cepoll_close(low) }
            let high = fcntl(low, F_DUPFD_CLOEXEC, 200)
            try #require(high >= 200)
            return high
        }
    }

    private static func dial(_ clients: [CInt], _ endpoint: Endpoint) {
        for client in clients {
            _ = cepoll_connect(client, endpoint.systemAddress)
            send(client, 1)
        }
    }

    @Test("trap 13: with 32 descriptors and 200 clients nobody is left hanging, the loop does not spin, and then all is as before")
    func exhaustion() async {
        let child = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            let clients = try Self.makeClients(200)
            let loop = try EventLoop()
            let server = SlowServer(loop: loop)
            let listener = try Listener(loop: loop, on: .loopback(), owner: server)
            let second = try Self.makeClients(20)
            // What the process has open below the limit is the loop's, the listener's, and the runtime's own.
            try #require(cepoll_set_descriptor_limit(32) == 0)
            Self.dial(clients, listener.endpoint)
            try #require(run(loop) { listener.isResting })
            // Two seconds of starvation: the places are taken and nobody gives one up.
            let (before, held) = (loop.counters, server.held)
            try #require((4...28).contains(held))
            let timer = loop.makeTimer(source: Diary(), tag: 0)
            loop.arm(timer, after: .seconds(2))
            while loop.isArmed(timer) { loop.runOnce(.wait) }
            let wakes = loop.counters.iterations - before.iterations
            let rests = listener.counters.rests
            try #require(wakes <= 40, "\(wakes) wakes in 2 s")
            // The held ones are answered: their places come free for whoever still waits.
            server.answerAll()
            var fates = [Fate](repeating: .waits, count: clients.count)
            try #require(run(loop, limit: .seconds(60)) {
                Self.look(at: clients, &fates)
                return !fates.contains(.waits)
            })
            let served = fates.filter { $0 == .served }.count
            try #require(served >= held)
            try #require(served + Int(listener.counters.shed) >= 200)
            // Full recovery: nobody of the second wave is refused.
            try #require(run(loop) { !listener.isResting && server.held == 0 })
            let shed = listener.counters.shed
            for client in second {
                Self.dial([client], listener.endpoint)
                var fate = [Fate.waits]
                try #require(run(loop) {
                    Self.look(at: [client], &fate)
                    return fate != [.waits]
                })
                try #require(fate == [.served])
            }
            try #require(listener.counters.shed == shed)
            listener.close()
            print("32 descriptors, 200 clients: \(wakes) wakes in 2 s of starvation (\(rests) rests), \(served) served, \(200 - served) refused, 20 of 20 afterwards")
        }
        Self.pass(child)
    }
}
