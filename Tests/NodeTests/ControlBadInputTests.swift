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

    @Test("without descriptors the control listener rests and comes back, and no link notices", .timeLimit(.minutes(5)), arguments: [0, 4])
    func noDescriptors(spinners: Int) async throws {
        try await onThread {
            // Beside programs that want every processor, too: a node that spins then only seems to rest.
            let busy = try (0..<spinners).map { _ in try Child("sh", ["-c", "while :; do :; done"], name: "spinner") }
            defer { for one in busy { one.kill() } }
            let stage = try Stage("127.0.94.\(15 + spinners)", "127.0.94.\(16 + spinners)")
            try stage.node.process.wait(for: "the budget") { $0["event"] == "limits" && Int($0["control"] ?? "") == 78 }
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
            try stage.node.process.wait(for: "the first rest") { $0["event"] == "control-rests" }
            let (used, began) = (try cpu(pid), Clock.seconds)
            stage.check()
            sleep(2)
            let span = Clock.seconds - began
            let share = (try cpu(pid) - used) / span
            #expect(share < 0.1, "a listener that rests costs nothing: \(share) of a processor")
            try limit(String(before))
            for one in waiting { #expect(try ControlReply(one.readAll(limit: 90)).status == 200) }
            try stage.node.process.wait(for: "the end of the rests") { $0["event"] == "control-resumes" }
            // Failed calls of accept are few whatever share of a processor was to be had.
            let rests = try stage.ask("GET", "/loop").json()["control"]?["rests"]?.whole ?? -1
            #expect(rests >= 1 && Double(rests) <= Clock.seconds - began + 4, "\(rests) rests")
            #expect(stage.node.process.lines().count { $0["event"] == "control-rests" } == 1, "one line, however long it lasts")
            stage.check()
        }
    }

    @Test("readers of the loopback port and followers never lock an operator out", .timeLimit(.minutes(3)))
    func ownPlaces() async throws {
        try await onThread {
            let port = Ports.endpoint("127.0.0.1")
            let stage = try Stage("127.0.94.21", "127.0.94.22", ["--control-tcp", "\(port)"])
            let request = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            /// 64 clients that ask for events, and how many of them were let in.
            func follow(_ connect: () throws -> ControlConnection) throws -> (all: [ControlConnection], accepted: Int) {
                let all = try (0..<64).map { _ in
                    let one = try connect()
                    one.send(request)
                    return one
                }
                let heads = all.map { $0.readHead() }
                #expect(heads.allSatisfy { $0.contains(" 200 ") || $0.contains(" 503 ") || $0.isEmpty }, "\(heads)")
                return (all, heads.count { $0.contains(" 200 ") })
            }
            let readers = try follow { try ControlConnection(port) }
            #expect(readers.accepted == 16)
            #expect(try stage.ask("GET", "/status").status == 200)
            let followers = try follow { try ControlConnection(stage.folder.socket) }
            #expect(followers.accepted == 24)
            #expect(try stage.ask("POST", "/ban", "{\"subject\":\"192.0.2.1\"}").status == 200)
            #expect(try Node.command(stage.folder.socket, ["status"]).status == 0)
            #expect(try Node.command(stage.folder.socket, ["health"]).status == 0)
            let control = try stage.ask("GET", "/loop").json()["control"]
            #expect(control?["followers"]?.whole == 40)
            // Those who gave their place to a newcomer before they were answered are counted as evicted.
            #expect((control?["refusedFollowers"]?.whole ?? 0) > 0)
            let metrics = try stage.ask("GET", "/metrics").body
            #expect(metrics.contains("reactor_event_followers{door=\"tcp\"} 16"), "\(metrics)")
            #expect(metrics.contains("reactor_control_refused_followers_total{door=\"unix\"} "), "\(metrics)")
            stage.check()
            withExtendedLifetime((readers, followers)) {}
        }
    }

    @Test("clients that never read, or send half a request, make room for others", .timeLimit(.minutes(3)))
    func stubborn() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.23", "127.0.94.24")
            for text in [
                "POST /ban HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{", "GET /\(String(repeating: "a", count: 100_000)) HTTP/1.1\r\n\r\n",
                String(repeating: "GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 64), "nonsense\r\n\r\n",
            ] {
                var crowd: [ControlConnection] = []
                for _ in 0..<200 {
                    let one = try ControlConnection(stage.folder.socket)
                    one.send(text)
                    crowd.append(one)
                }
                #expect(try stage.ask("GET", "/status").status == 200)
                let control = try stage.ask("GET", "/loop").json()["control"]
                #expect(control?["connections"]?.whole ?? .max <= 36)
                // Counted where the kernel counts them: what is being told why it was refused holds a descriptor, too.
                let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(stage.node.process.pid)/fd").count
                #expect(open < 36 + 40, "\(open) descriptors")
                withExtendedLifetime(crowd) {}
            }
            stage.check()
        }
    }

    @Test("a control socket whose file is gone is bound again", .timeLimit(.minutes(3)))
    func socketGone() async throws {
        try await onThread {
            let stage = try Stage("127.0.94.25", "127.0.94.26")
            let (socket, process) = (stage.folder.socket, stage.node.process)
            let before = try ControlConnection(socket)
            unlink(socket)
            var mark = process.mark
            // By itself.
            try process.wait(for: "the new socket") { $0["event"] == "control-rebound" }
            #expect(try stage.ask("GET", "/status").status == 200)
            before.send("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            #expect(try ControlReply(before.readAll()).status == 200, "whoever was connected stays so")
            // With its lock, at a signal.
            unlink(socket)
            unlink(socket + ".lock")
            mark = process.mark
            process.signal(SIGHUP)
            try process.wait(for: "the new socket", from: mark) { $0["event"] == "control-rebound" }
            #expect(try stage.ask("GET", "/status").status == 200)
            let second = try Child(Node.path, ["run", "--listen", "127.0.94.27:0", "--control-socket", socket])
            #expect(try second.waitForExit(limit: 90) == 69, "the lock is held again")
            // Where a file of somebody's lies, it is left alone, and said.
            unlink(socket)
            try "mine".write(toFile: socket, atomically: true, encoding: .utf8)
            mark = process.mark
            try process.wait(for: "what is in the way", from: mark) { $0["event"] == "control-unreachable" }
            #expect(try String(contentsOfFile: socket, encoding: .utf8) == "mine")
            unlink(socket)
            try process.wait(for: "the new socket", from: mark) { $0["event"] == "control-rebound" }
            #expect(try stage.ask("GET", "/status").status == 200)
            stage.check()
        }
    }

    @Test("a request has one Host, and on the loopback port it names this machine")
    func hosts() async throws {
        try await onThread {
            let port = Ports.endpoint("127.0.0.1")
            let stage = try Stage("127.0.94.28", "127.0.94.29", ["--control-tcp", "\(port)"])
            func status(_ connection: ControlConnection, _ version: String, _ hosts: [String]) throws -> Int {
                connection.send("GET /status HTTP/\(version)\r\n\(hosts.map { "Host: \($0)\r\n" }.joined())Connection: close\r\n\r\n")
                return try ControlReply(connection.readAll()).status
            }
            for host in ["127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example", "127.0.0.1:evil", "[::1].evil", "", "127.0.0.1@evil.example"] {
                #expect(try status(ControlConnection(port), "1.1", [host]) == 403, "\(host)")
            }
            for host in ["localhost", "LOCALHOST:9200", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:80"] {
                #expect(try status(ControlConnection(port), "1.1", [host]) == 200, "\(host)")
            }
            for socket in [true, false] {
                func connect() throws -> ControlConnection { try socket ? ControlConnection(stage.folder.socket) : ControlConnection(port) }
                #expect(try status(connect(), "1.1", []) == 400)
                #expect(try status(connect(), "1.1", ["localhost", "localhost"]) == 400)
                #expect(try status(connect(), "1.0", []) == 200)
                #expect(try status(connect(), "1.0", ["localhost", "evil.example"]) == 400)
            }
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
            let host = "Host: localhost\r\n"
            connection.send(
                "GET /slots HTTP/1.1\r\n\(host)\r\nGET /nope HTTP/1.1\r\n\(host)\r\nGET /bans HTTP/1.1\r\n\(host)Connection: close\r\n\r\n")
            let text = connection.readAll()
            let statuses = text.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
            #expect(statuses == ["200", "404", "200"], "\(text)")
        }
    }
}
