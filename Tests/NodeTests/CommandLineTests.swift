// The program as an operator meets it: options, limits, signals, a log that nobody reads.

import Foundation
import PeerMesh
import Testing

@Suite("the command line")
struct CommandLineTests {
    @Test(
        "a wrong option ends with status 64 and one line that names it, the value and the accepted form",
        arguments: [
            (["run", "--ping-interval", "5x"], ["--ping-interval", "5x", "500ms"]),
            (["run", "--ping-interval=-1s"], ["--ping-interval", "-1s", "500ms"]),
            (["run", "--listen", "nonsense:0x10"], ["--listen", "nonsense:0x10", "ADDRESS:PORT"]),
            (["run", "--listen", "127.0.0.1:65536"], ["--listen", "127.0.0.1:65536"]),
            (["run", "--advertise", "example"], ["--advertise", "example"]),
            (["run", "--max-peers", "0"], ["--max-peers", "0", "number"]),
            (["run", "--max-peers", "many"], ["--max-peers", "many", "number"]),
            (["run", "--role", "king"], ["--role", "king", "masternode"]),
            (["run", "--network", "mars"], ["--network", "mars", "litecoin-regtest"]),
            (["run", "--network", "bitcoin:fabf"], ["--network", "bitcoin:fabf"]),
            (["run", "--log-level", "loud"], ["--log-level", "loud", "info"]),
            (["run", "--log-format", "xml"], ["--log-format", "xml", "json"]),
            (["run", "--peer", "1.2.3.4:99999"], ["--peer", "1.2.3.4:99999"]),
            (["run", "--masternode", "300.1.1.1:80"], ["--masternode", "300.1.1.1:80"]),
            (["run", "--no-such-option", "7"], ["--no-such-option"]),
        ]
    )
    func wrongOption(arguments: [String], named: [String]) async throws {
        try await onThread {
            let child = try Child(Node.path, arguments)
            #expect(try child.waitForExit(limit: 90) == 64)
            let lines = child.lines().map(\.text).filter { !$0.isEmpty }
            #expect(lines.count == 1, "\(lines)")
            for word in named { #expect(lines.first?.contains(word) == true, "\(word) in \(lines)") }
        }
    }

    @Test("a table that the descriptor limit does not allow is refused, in words that say what to do")
    func descriptorLimit() async throws {
        try await onThread {
            let command = "ulimit -Sn 300 && ulimit -Hn 300 && exec \(Node.path) run --listen \(Ports.endpoint()) --max-peers 1000"
            let child = try Child("/bin/sh", ["-c", command], name: "reactor-node with 300 descriptors")
            let code = try child.waitForExit(limit: 90)
            #expect(code == 78, "\(child.lines())")
            let text = child.lines().map(\.text).joined(separator: " ")
            for word in ["300", "--max-peers", "descriptors", "ulimit"] { #expect(text.contains(word), "\(word) in: \(text)") }
        }
    }

    @Test("a soft descriptor limit is raised, and the limits in force are printed")
    func softLimit() async throws {
        try await onThread {
            let endpoint = Ports.endpoint()
            let command = "ulimit -Sn 64 && exec \(Node.path) run --listen \(endpoint) --log-format json --max-peers 100"
            let child = try Child("/bin/sh", ["-c", command], name: "reactor-node with a low soft limit")
            defer { child.kill() }
            #expect(Clock.poll(limit: 90) { SocketTable.isListening(endpoint) })
            try child.wait(for: "the limits") { line in
                line.fields.contains { $0.key.contains("descriptors") } && line.fields.values.contains("30")
            }
        }
    }

    @Test("SIGTERM and SIGINT drain and end within five seconds, with status 0", arguments: [SIGTERM, SIGINT])
    func signals(signal: Int32) async throws {
        try await onThread {
            let node = try Node(listen: Ports.endpoint("127.0.6.1"))
            // One peer that reads its end and closes, one that never does, one that has not even said hello.
            let polite = try RawPeer.linked(to: node.endpoint)
            let deaf = try RawPeer.linked(to: node.endpoint, from: Endpoint(IPAddress("127.0.6.2")!, port: 0))
            let mute = try RawPeer(to: node.endpoint, from: Endpoint(IPAddress("127.0.6.3")!, port: 0))
            let start = Clock.seconds
            node.process.signal(signal)
            #expect(try polite.waitForEnd(limit: 60) != nil)
            polite.close()
            #expect(try node.process.waitForExit(limit: 90) == 0)
            #expect(Clock.seconds - start < 10, "it took \(Clock.seconds - start) s")
            _ = (deaf.local, mute.local)
        }
    }

    @Test("without any option it runs, on loopback, and says what to type next", .timeLimit(.minutes(2)))
    func noOption() async throws {
        try await onThread {
            // The default port is everybody's: somebody else's node may have it for a while.
            let free = Clock.poll(limit: 60, every: 0.5) { !SocketTable.read().contains { $0.state == .listen && $0.local.port == 24_200 } }
            try #require(free, "port 24200 is taken by another program")
            let child = try Child(Node.path, ["run"])
            defer { child.kill() }
            let listens = Clock.poll(limit: 90) { SocketTable.read().contains { $0.state == .listen && $0.local == Endpoint("127.0.0.1:24200") } }
            #expect(listens, "\(child.lines())")
            try child.wait(for: "what to type next") { $0.text.contains("reactor-node") && $0.text.contains("--peer") }
            child.signal(SIGTERM)
            #expect(try child.waitForExit(limit: 90) == 0)
        }
    }

    @Test("a stderr that nobody reads delays no ping", .timeLimit(.minutes(2)))
    func blockedErrors() async throws {
        try await onThread {
            let node = try Node(
                listen: Ports.endpoint("127.0.7.1"),
                timings: ["--ping-interval", "500ms", "--pong-timeout", "1s", "--log-level", "debug"],
                errors: .blocked
            )
            let neighbour = try GoodNeighbour(of: node.endpoint, at: "127.0.7.2")
            // Far more lines than a pipe holds: each of these is born and dies in the log.
            for index in 0..<900 {
                let peer = try RawPeer.linked(to: node.endpoint, from: Endpoint(IPAddress("127.0.8.\(index % 200 + 1)")!, port: 0))
                peer.close()
            }
            let before = neighbour.report.pings
            #expect(Clock.poll(limit: 90) { neighbour.report.pings >= before + 6 })
            let report = neighbour.report
            #expect(report.failure == nil)
            #expect(report.longestGap < 0.5 * 1.2 + 20, "a ping was late: \(report)")
            // And it still ends as it should.
            node.process.signal(SIGTERM)
            #expect(try node.process.waitForExit(limit: 90) == 0)
        }
    }
}
