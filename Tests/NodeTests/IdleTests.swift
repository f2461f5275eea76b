// What the loop's thread does when there is nothing to do, as the kernel sees it.

import Foundation
import PeerMesh
import Testing

@Suite("an idle node")
struct IdleTests {
    static let seconds = ProcessInfo.processInfo.environment["REACTOR_IDLE_SECONDS"].flatMap(Double.init) ?? 8
    static let links = 50

    /// Whether this machine lets us look into another process.
    static let canTrace: Bool = {
        guard let sleeper = try? Child("sleep", ["20"]),
            let tracer = try? Child("strace", ["-p", "\(sleeper.pid)", "-o", "/dev/null"])
        else { return false }
        defer { sleeper.kill() }
        usleep(300_000)
        let isTracing = tracer.isRunning
        tracer.signal(SIGTERM)
        return isTracing
    }()

    /// All that an idle loop may ask of the kernel: wait, read, and send what is due.
    static let allowed: Set<String> = [
        "epoll_wait", "epoll_pwait", "epoll_pwait2", "recvfrom", "recvmsg", "read", "readv", "sendto", "sendmsg", "write", "writev", "restart_syscall",
    ]

    @Test(
        "with 50 links, the loop's thread waits, pings and reads, and does nothing else", .timeLimit(.minutes(5)),
        .enabled(if: canTrace, "strace is not installed, or may not trace here")
    )
    func waitsAndPings() async throws {
        try await onThread {
            let node = try Node(listen: Ports.endpoint("127.0.9.1"), timings: ["--ping-interval", "2s", "--pong-timeout", "5s", "--regular-per-subnet", "100"])
            let neighbours = try (0..<Self.links).map { try GoodNeighbour(of: node.endpoint, at: "127.0.9.\($0 + 10)") }
            // Past the greetings, and past the first round of pings.
            #expect(Clock.poll(limit: 90) { neighbours.allSatisfy { $0.report.pings >= 1 } })
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("reactor-idle-\(getpid()).trace").path
            defer { try? FileManager.default.removeItem(atPath: file) }
            let before = neighbours.map { $0.report.pings }.reduce(0, +)
            let tracer = try Child("strace", ["-f", "-y", "-p", "\(node.process.pid)", "-o", file])
            usleep(UInt32(Self.seconds * 1e6))
            tracer.signal(SIGINT)
            _ = try? tracer.waitForExit()
            let pings = neighbours.map { $0.report.pings }.reduce(0, +) - before
            #expect(neighbours.allSatisfy { $0.report.failure == nil })
            #expect(Double(pings) > Self.seconds / 2 * Double(Self.links) * 0.5, "\(pings) pings")

            let calls = Trace(try String(contentsOfFile: file, encoding: .utf8))
            // The control API's thread waits in epoll, too, once: nobody asks it anything.
            let waiting = calls.threads.filter { $0.value.keys.contains { $0.hasPrefix("epoll_") } }
            let loop = try #require(waiting.max { $0.value.values.reduce(0, +) < $1.value.values.reduce(0, +) }, "no thread waits in epoll: \(calls.threads)")
            let strange = loop.value.filter { !Self.allowed.contains($0.key) }
            #expect(strange.isEmpty, "the loop's thread called \(loop.value)")
            #expect(!calls.lines(of: loop.key).contains { $0.contains("eventfd") }, "somebody woke the loop")
            // A ping is a wait, a send, a wait and a read or two: no busy loop hides behind allowed calls.
            let sum = loop.value.values.reduce(0, +)
            #expect(sum < pings * 8 + 200, "\(sum) calls for \(pings) pings: \(loop.value)")
            let others = calls.threads.filter { $0.key != loop.key }.values.flatMap(\.values).reduce(0, +)
            #expect(others < 50 + Int(Self.seconds) * 4, "other threads are busy too: \(calls.threads)")
            print("idle for \(Self.seconds) s with \(Self.links) links: \(pings) pings, the loop's thread called \(loop.value)")
        }
    }

    /// `strace -f -o`: a thread's id, then the call.
    private struct Trace {
        private(set) var threads: [String: [String: Int]] = [:]
        private var all: [String: [String]] = [:]

        init(_ text: String) {
            for line in text.split(separator: "\n") {
                let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
                guard parts.count == 2 else { continue }
                let call = parts[1].drop { $0 == " " }
                // Not the second half of a call, nor a signal, nor an end.
                guard let end = call.firstIndex(of: "("), call.first?.isLetter == true else { continue }
                let thread = String(parts[0])
                threads[thread, default: [:]][String(call[..<end]), default: 0] += 1
                all[thread, default: []].append(String(call))
            }
        }

        func lines(of thread: String) -> [String] { all[thread] ?? [] }
    }
}
