// The node under a service manager: a notify socket of the test's own, a watchdog, sockets that were opened before it began.

import Daemon
import Foundation
import PeerMesh
import Testing

@Suite("under a service manager")
struct ServiceTests {
    @Test("it tells that it is ready, feeds the watchdog from its loop, and tells that it ends")
    func notifies() async throws {
        try await onThread {
            let manager = try NotifySocket()
            let endpoint = Ports.endpoint()
            let child = try start(
                "run --listen \(endpoint)", with: ["NOTIFY_SOCKET=\(manager.path)", "WATCHDOG_USEC=300000"]
            )
            defer { child.kill() }
            let ready = try manager.wait(for: "READY=1")
            #expect(ready.contains { $0.hasPrefix("STATUS=0 of 0 masternodes") }, "\(ready)")
            #expect(SocketTable.isListening(endpoint), "ready was told before it listens")
            for _ in 0..<3 { _ = try manager.wait(for: "WATCHDOG=1") }
            child.signal(SIGTERM)
            _ = try manager.wait(for: "STOPPING=1")
            #expect(try child.waitForExit() == 0)
        }
    }

    @Test(
        "a loop that is stuck feeds no watchdog, though its process lives and answers; a loop that is free again does", .timeLimit(.minutes(5)),
        .enabled(if: IdleTests.canTrace, "strace is not installed, or may not trace here")
    )
    func stuckLoop() async throws {
        try await onThread {
            let manager = try NotifySocket()
            let folder = try ControlFolder()
            let child = try start(
                "run --listen \(Ports.endpoint()) --control-socket \(folder.socket)", with: ["NOTIFY_SOCKET=\(manager.path)", "WATCHDOG_USEC=300000"]
            )
            defer { child.kill() }
            _ = try manager.wait(for: "READY=1")
            for _ in 0..<2 { _ = try manager.wait(for: "WATCHDOG=1") }
            // Holds the loop's thread alone, for ten seconds after each of its waits.
            let tracer = try Child("strace", ["-p", "\(child.pid)", "-o", "/dev/null", "-e", "trace=/^epoll", "-e", "inject=/^epoll:delay_exit=10000000"])
            try manager.waitForSilence(of: 3)
            let connection = try ControlConnection(folder.socket)
            connection.send("GET /health/live HTTP/1.0\r\nHost: localhost\r\n\r\n")
            let answer = connection.readAll()
            #expect(answer.hasPrefix("HTTP/1.1 503"), "the control thread says that the loop does not answer: \(answer.prefix(200))")
            tracer.signal(SIGINT)
            _ = try manager.wait(for: "WATCHDOG=1")
        }
    }

    @Test("a reload is told as systemd asks for it: when it begins, on the monotonic clock, and when it is over, refused or not")
    func reload() async throws {
        try await onThread {
            let manager = try NotifySocket()
            let folder = try ControlFolder()
            let file = folder.path + "/node.yaml"
            try "listen: [\(Ports.endpoint())]\n".write(toFile: file, atomically: true, encoding: .utf8)
            let child = try start("run --config \(file) --control-socket \(folder.socket)", with: ["NOTIFY_SOCKET=\(manager.path)"])
            defer { child.kill() }
            _ = try manager.wait(for: "READY=1")
            for text in ["log-level: debug\n", "no-such-setting: 1\n"] {
                try text.write(toFile: file, atomically: true, encoding: .utf8)
                let before = Clock.seconds
                child.signal(SIGHUP)
                let reloading = try manager.wait(for: "RELOADING=1")
                let said = try #require(reloading.first { $0.hasPrefix("MONOTONIC_USEC=") }?.dropFirst(15))
                let began = try #require(Double(said)) / 1e6
                #expect(began >= before - 0.01 && began <= Clock.seconds, "\(reloading)")
                _ = try manager.wait(for: "READY=1")
            }
        }
    }

    @Test("without a watchdog it tells of links that come and go, and of nothing else")
    func status() async throws {
        try await onThread {
            let manager = try NotifySocket()
            let (first, second) = (Ports.endpoint(), Ports.endpoint())
            let child = try start("run --network time-testnet --listen \(first) --masternode \(second)", with: ["NOTIFY_SOCKET=\(manager.path)"])
            defer { child.kill() }
            _ = try manager.wait(for: "READY=1")
            let other = try Node(listen: second, ["--peer", "\(first)"])
            _ = try manager.wait(for: "STATUS=1 of 1 masternodes and 0 regular peers linked, 0 being dialled")
            other.kill()
            _ = try manager.wait { $0.first?.hasPrefix("STATUS=0 of 1 masternodes") == true }
        }
    }

    @Test("a manager that does not read delays nothing")
    func silentManager() async throws {
        try await onThread {
            let manager = try NotifySocket()
            let (first, second) = (Ports.endpoint(), Ports.endpoint())
            // A watchdog that asks for so much that the socket's queue is full at once.
            let child = try start(
                "run --network time-testnet --listen \(first)", with: ["NOTIFY_SOCKET=\(manager.path)", "WATCHDOG_USEC=2000"]
            )
            defer { child.kill() }
            let other = try Node(listen: second, ["--peer", "\(first)"])
            try other.waitForLink()
            child.signal(SIGTERM)
            #expect(try child.waitForExit() == 0)
        }
    }

    @Test("it serves on a socket that it was given, and takes nobody else's")
    func socketActivation() async throws {
        try await onThread {
            let (given, endpoint) = try listeningSocket()
            defer { close(given) }
            let child = try start("run --network time-testnet", with: ["LISTEN_PID=$$", "LISTEN_FDS=1"], passing: given)
            defer { child.kill() }
            let line = try child.wait(for: "where it listens") { $0["event"] == "listening" || $0.text.contains("listening") }
            #expect(line.text.contains("\(endpoint)"), "\(line.text)")
            let other = try Node(listen: Ports.endpoint(), ["--peer", "\(endpoint)"])
            try other.waitForLink(with: endpoint)

            let stranger = try start("run --listen \(Ports.endpoint())", with: ["LISTEN_PID=1", "LISTEN_FDS=1"], passing: given)
            defer { stranger.kill() }
            let own = try stranger.wait(for: "where it listens") { $0.text.contains("listening") }
            #expect(!own.text.contains("\(endpoint)"))
        }
    }

    @Test("what it is given and cannot use is refused in one line", arguments: [
        ("LISTEN_FDS=1", "not an open socket"), ("LISTEN_FDS=many", "LISTEN_FDS is 'many'"), ("LISTEN_FDS=-1", "LISTEN_FDS is '-1'"),
    ])
    func badGift(count: String, word: String) async throws {
        try await onThread {
            let child = try start("run", with: ["LISTEN_PID=$$", count])
            #expect(try child.waitForExit() == 78)
            let lines = child.lines().map(\.text).filter { !$0.isEmpty }
            #expect(lines.count == 1 && lines[0].contains(word), "\(lines)")
        }
    }

    @Test(
        "the unit is well-formed, and exposes little", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze"))
    )
    func unit() async throws {
        try await onThread {
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            let unit = root.appendingPathComponent("packaging/systemd/reactor-node.service").path
            let child = try Child("/usr/bin/systemd-analyze", ["security", "--offline=yes", "--threshold=30", unit])
            #expect(try child.waitForExit(limit: 60) == 0, "\(child.lines().last?.text ?? "")")
            let verified = try Child("/usr/bin/systemd-analyze", ["verify", "--man=no", unit, root.appendingPathComponent("packaging/systemd/reactor-node.socket").path])
            _ = try verified.waitForExit(limit: 60)
            // The program itself is installed by the package.
            let complaints = verified.lines().map(\.text).filter { !$0.contains("/usr/bin/reactor-node is not executable") && !$0.isEmpty }
            #expect(complaints.isEmpty, "\(complaints)")
        }
    }

    @Test("a node that was drained ended well, and the unit starts it again only after a failure; a purge takes what is the service's")
    func endStates() async throws {
        try await onThread {
            let packaging = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("packaging")
            let unit = try String(contentsOf: packaging.appendingPathComponent("systemd/reactor-node.service"), encoding: .utf8).split(separator: "\n")
            #expect(unit.contains("Restart=on-failure"))
            #expect(unit.contains("ExecStart=/usr/bin/reactor-node run --config /etc/reactor-node/reactor-node.yaml"))
            let folder = try ControlFolder()
            let node = try Node(listen: Ports.endpoint(), ["--control-socket", folder.socket])
            #expect(try Clock.poll(limit: 90) { try Node.command(folder.socket, ["drain"]).status == 0 })
            #expect(try node.process.waitForExit() == 0, "which on-failure takes for an end that was asked for")

            // The script as the package runs it, in a root of the test's own.
            for name in ["etc/reactor-node/reactor-node.yaml", "etc/reactor-node/other.yaml", "run/reactor-node/control.sock", "run/reactor-node/other.sock", "var/lib/reactor-node/store"] {
                let url = URL(fileURLWithPath: folder.path).appendingPathComponent(name)
                try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try "".write(to: url, atomically: true, encoding: .utf8)
            }
            let script = try String(contentsOf: packaging.appendingPathComponent("debian/postrm"), encoding: .utf8)
                .replacingOccurrences(of: " /etc/", with: " \(folder.path)/etc/").replacingOccurrences(of: " /run/", with: " \(folder.path)/run/")
                .replacingOccurrences(of: " /var/", with: " \(folder.path)/var/")
                .split(separator: "\n").filter { line in !["systemd", "getent", "deluser", "userdel"].contains { line.contains($0) } }
            // An `if` whose lines are left out ends with it.
            let purge = script.filter { $0 != "    fi" }.joined(separator: "\n")
            let child = try Child("/bin/sh", ["-c", purge, "postrm", "purge"])
            #expect(try child.waitForExit() == 0, "\(child.lines().map(\.text))")
            func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: folder.path + "/" + name) }
            #expect(!exists("etc/reactor-node/reactor-node.yaml") && !exists("run/reactor-node/control.sock") && !exists("var/lib/reactor-node"))
            #expect(exists("etc/reactor-node/other.yaml") && exists("run/reactor-node/other.sock"))
        }
    }

    private func start(_ arguments: String, with environment: [String], passing descriptor: Int32? = nil) throws -> Child {
        let command = "export \(environment.joined(separator: " ")); exec '\(Node.path)' \(arguments)"
        return try Child("/bin/sh", ["-c", command], name: "reactor-node", passing: descriptor)
    }

    /// A socket that listens on a port of the kernel's choice, and where.
    private func listeningSocket() throws -> (Int32, Endpoint) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, length) == 0 && listen(descriptor, 64) == 0 && getsockname(descriptor, raw, &length) == 0
            }
        }
        try #require(result)
        return (descriptor, try #require(Endpoint("127.0.0.1:\(UInt16(bigEndian: address.sin_port))")))
    }
}

/// A service manager's end of the notify protocol.
private final class NotifySocket {
    let path: String
    private let descriptor: Int32

    init() throws {
        path = "/tmp/reactor-notify-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let result = UnixAddress(path).bind(descriptor)
        try #require(result == 0)
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    /// The lines of the first message that satisfies `predicate`.
    func wait(limit: Double = 90, where predicate: ([String]) -> Bool) throws -> [String] {
        let deadline = Clock.seconds + limit
        var seen: [[String]] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while Clock.seconds < deadline {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 100) > 0 else { continue }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { continue }
            let lines = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
            if predicate(lines) { return lines }
            seen.append(lines)
        }
        throw Child.Failure.timeout("the manager was not told of it; it was told \(seen)")
    }

    func wait(for line: String) throws -> [String] {
        try wait { $0.contains(line) }
    }

    /// Waits until nothing has been told for so many seconds.
    func waitForSilence(of seconds: Double, limit: Double = 90) throws {
        let deadline = Clock.seconds + limit
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while Clock.seconds < deadline {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, Int32(seconds * 1_000)) > 0 else { return }
            _ = recv(descriptor, &buffer, buffer.count, 0)
        }
        throw Child.Failure.timeout("the manager is told of something all the time")
    }
}
