// Clients that a control API meets on a bad day. Whatever they do: a clear answer, and no link notices.

import Daemon
import Foundation
import PeerMesh
import Testing

@Suite("rude clients of the control API")
struct ControlBadInputTests {
    /// A node, its socket, and a neighbour whose pings are watched all the while.
    private final class Stage {
        let folder: ControlFolder
        let node: Node
        let neighbour: GoodNeighbour

        init(_ address: String, _ neighbourAddress: String, _ more: [String] = []) throws {
            folder = try ControlFolder()
            node = try Node(
                listen: Ports.endpoint(address), timings: ["--ping-interval", "500ms", "--pong-timeout", "1s"],
                ["--control-socket", folder.socket] + more)
            neighbour = try GoodNeighbour(of: node.endpoint, at: neighbourAddress)
        }

        func ask(_ method: String, _ target: String, _ body: String = "") throws -> ControlReply {
            try Node.ask(folder.socket, method, target, body)
        }

        /// The neighbour's link stands, and no ping of it was late.
        func check() {
            let before = neighbour.report.pings
            #expect(Clock.poll(limit: 90) { neighbour.report.pings >= before + 3 })
            #expect(neighbour.report.failure == nil)
        }
    }

    @Test("what is not HTTP gets a problem object and is closed", .timeLimit(.minutes(2)))
    func notHTTP() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.1", "127.0.94.2")
            for text in ["hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nbroken header\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n"] {
                let connection = try ControlConnection(stage.folder.socket)
                connection.send(text)
                let reply = try ControlReply(connection.readAll())
                #expect(reply.status == 400, "\(text): \(reply.head)")
                #expect(reply.head.contains("application/problem+json"))
                #expect(try reply.json()["detail"]?.text?.isEmpty == false)
            }
            stage.check()
        }
    }

    @Test("a head of more than 64 KiB and a body of 10 MB are refused", .timeLimit(.minutes(2)))
    func tooLarge() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.3", "127.0.94.4")
            let long = try ControlConnection(stage.folder.socket)
            long.send("GET /\(String(repeating: "a", count: 100_000)) HTTP/1.1\r\n\r\n")
            #expect(try ControlReply(long.readAll()).status == 431)
            let headers = try ControlConnection(stage.folder.socket)
            headers.send("GET / HTTP/1.1\r\n" + String(repeating: "x: 0123456789\r\n", count: 6_000) + "\r\n")
            #expect(try ControlReply(headers.readAll()).status == 431)

            let announced = try ControlConnection(stage.folder.socket)
            announced.send("POST /connect HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n")
            #expect(try ControlReply(announced.readAll()).status == 413)
            let chunked = try ControlConnection(stage.folder.socket)
            chunked.send("POST /connect HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = Array("10000\r\n".utf8) + [UInt8](repeating: 0x20, count: 65_536) + Array("\r\n".utf8)
            for _ in 0..<160 where !chunked.send(chunk) { break }
            #expect(try ControlReply(chunked.readAll()).status == 413)
            stage.check()
        }
    }

    @Test("a thousand idle clients lock nobody out", .timeLimit(.minutes(3)))
    func idle() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.5", "127.0.94.6")
            var clients: [ControlConnection] = []
            for index in 0..<1_000 {
                clients.append(try ControlConnection(stage.folder.socket))
                if index % 100 == 99 { #expect(try stage.ask("GET", "/peers").status == 200) }
            }
            let open = try stage.ask("GET", "/loop").json()["control"]?["connections"]?.whole ?? 0
            #expect(open <= 64)
            stage.check()
        }
    }

    /// Seconds of CPU that a process has used.
    private func cpu(_ pid: pid_t) throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        let words = text.split(separator: ")").last.map { $0.split(separator: " ") } ?? []
        // utime and stime, the 14th and 15th of all.
        return (Double(words[11])! + Double(words[12])!) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    @Test("without descriptors the control listener rests and comes back, and no link notices", .timeLimit(.minutes(3)))
    func noDescriptors() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.15", "127.0.94.16")
            try stage.node.process.wait(for: "the budget") { $0["event"] == "limits" && Int($0["control"] ?? "") == 76 }
            #expect(try stage.ask("GET", "/slots").status == 200)
            let pid = stage.node.process.pid
            func limit(_ count: String) throws {
                #expect(try Child("/usr/bin/prlimit", ["--pid", "\(pid)", "--nofile=\(count):"]).waitForExit(limit: 90) == 0)
            }
            let before = try String(contentsOfFile: "/proc/\(pid)/limits", encoding: .utf8).split(separator: "\n")
                .first { $0.hasPrefix("Max open files") }?.split(separator: " ")[3] ?? ""
            // What is open stays open, and nothing more can be opened.
            try limit("4")
            let waiting = try (0..<3).map { _ in try ControlConnection(stage.folder.socket) }
            for one in waiting { one.send("GET /slots HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") }
            let (used, began) = (try cpu(pid), Clock.seconds)
            stage.check()
            sleep(2)
            let share = (try cpu(pid) - used) / (Clock.seconds - began)
            #expect(share < 0.5, "a listener that rests costs nothing: \(share) of a processor")
            try limit(String(before))
            for one in waiting { #expect(try ControlReply(one.readAll(limit: 90)).status == 200) }
            #expect(try stage.ask("GET", "/peers").status == 200)
            stage.check()
        }
    }

    @Test("a follower that never reads misses events, and nobody waits for it", .timeLimit(.minutes(3)))
    func deafFollower() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.7", "127.0.94.8")
            let deaf = try ControlConnection(stage.folder.socket)
            deaf.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try Clock.poll(limit: 90) { try stage.ask("GET", "/loop").json()["control"]?["followers"]?.whole == 1 })
            // More events than the socket's buffers and the server's queue hold together.
            for round in 0..<8 {
                for index in 1...60 { _ = try stage.ask("POST", "/connect", "{\"peer\":\"127.0.95.\(index):9\"}") }
                for index in 1...60 { _ = try stage.ask("POST", "/disconnect?peer=127.0.95.\(index):9") }
                if round % 4 == 3 { #expect(try stage.ask("GET", "/status").status == 200) }
            }
            stage.check()
            // It is closed for not reading, or told what it missed when it reads at last.
            let text = deaf.readAll(limit: 2)
            #expect(text.contains("event: missed") || text.contains("event: peer"))
        }
    }

    @Test("a client that sends its head by the byte has ten seconds", .timeLimit(.minutes(2)))
    func slowHead() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.9", "127.0.94.10")
            let slow = try ControlConnection(stage.folder.socket)
            slow.send("GET /peers HTTP/1.1\r\n")
            let reply = try ControlReply(slow.readAll(limit: 90))
            #expect(reply.status == 408)
            stage.check()
        }
    }

    @Test("the loopback port reads everything and changes nothing")
    func readOnly() async throws {
        try await onThread {
            let port = Ports.endpoint("127.0.0.1")
            let stage = try Stage("127.0.94.11", "127.0.94.12", ["--control-tcp", "\(port)"])
            func ask(_ method: String, _ target: String, host: String = "localhost") throws -> ControlReply {
                let connection = try ControlConnection(port)
                connection.send("\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return try ControlReply(connection.readAll())
            }
            #expect(try ask("GET", "/peers").status == 200)
            #expect(try ask("GET", "/metrics").status == 200)
            for operation in ["/connect?peer=127.0.95.1:9", "/ban?subject=127.0.94.12", "/drain", "/reload", "/log-level?level=debug", "/redial?all=true"] {
                let reply = try ask("POST", operation)
                #expect(reply.status == 403, "\(operation): \(reply.body)")
            }
            #expect(try ask("DELETE", "/masternodes/127.0.95.1:9").status == 403)
            #expect(try ask("GET", "/peers", host: "evil.example").status == 403, "a name that was bound to loopback is nobody's")
            stage.check()
        }
    }

    @Test("several requests in one connection, and several at once, are answered in order")
    func pipelined() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.13", "127.0.94.14")
            let connection = try ControlConnection(stage.folder.socket)
            connection.send("GET /slots HTTP/1.1\r\n\r\nGET /nope HTTP/1.1\r\n\r\nGET /bans HTTP/1.1\r\nConnection: close\r\n\r\n")
            let text = connection.readAll()
            let statuses = text.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
            #expect(statuses == ["200", "404", "200"], "\(text)")
        }
    }
}
