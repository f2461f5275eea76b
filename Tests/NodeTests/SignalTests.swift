// What signals and missing standard streams do to a node.

import Daemon
import Foundation
import PeerMesh
import Testing

@Suite("signals and standard streams")
struct SignalTests {
    @Test("a signal that means nothing to a node ends nothing, and those that other programs use are told", .timeLimit(.minutes(3)))
    func ignored() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let node = try Node(listen: Ports.endpoint("127.0.97.1"), ["--control-socket", folder.socket])
            for (signal, name) in [(SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"), (SIGALRM, "SIGALRM")] {
                let mark = node.mark
                node.process.signal(signal)
                try node.process.wait(for: name, from: mark) { $0["event"] == "signal-ignored" && $0["signal"] == name }
            }
            for signal in [SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU, SIGVTALRM, SIGPROF, SIGIO, SIGSTKFLT, SIGWINCH, SIGURG, SIGCHLD, 35, 50, 64] {
                node.process.signal(Int32(signal))
            }
            #expect(try Node.ask(folder.socket, "GET", "/status").status == 200)
            #expect(node.process.isRunning)
        }
    }

    @Test("what asks a node to end drains it and names the signal", arguments: [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGPWR, "SIGPWR"), (SIGXCPU, "SIGXCPU")])
    func ends(signal: Int32, name: String) async throws {
        try await onThread {
            let node = try Node(listen: Ports.endpoint("127.0.97.2"), ["--control-socket", "none"])
            node.process.signal(signal)
            #expect(try node.process.waitForExit() == 0)
            #expect(node.process.lines().contains { $0["event"] == "draining" && $0["signal"] == name })
        }
    }

    @Test("a node without standard streams has /dev/null in their place", .timeLimit(.minutes(3)))
    func closedStreams() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let arguments = "run --listen \(Ports.endpoint("127.0.97.3")) --control-socket \(folder.socket) --state-dir \(folder.path)/state"
            let child = try Child("sh", ["-c", "exec 0<&- 1>&- 2>&-; exec \(Node.path) \(arguments)"], name: "reactor-node without streams")
            defer { child.kill() }
            #expect(Clock.poll(limit: 90) { (try? Node.ask(folder.socket, "GET", "/status").status) == 200 })
            for descriptor in 0...2 {
                let target = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(child.pid)/fd/\(descriptor)")
                #expect(target == "/dev/null", "descriptor \(descriptor) is \(target)")
            }
            #expect(try Node.ask(folder.socket, "POST", "/ban?subject=192.0.2.1").status == 200)
            child.signal(SIGTERM)
            #expect(try child.waitForExit() == 0)
        }
    }

    @Test("a path with quotes leaves the start line one JSON object")
    func quotedPath() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let state = folder.path + "/a \"quoted\" \\ \u{202e}name"
            let node = try Node(listen: Ports.endpoint("127.0.97.4"), ["--control-socket", "none", "--state-dir", state])
            let line = try node.process.wait(for: "the start") { $0.text.contains("\"event\":\"start\"") }
            let object = try JSONSerialization.jsonObject(with: Data(line.text.utf8)) as? [String: Any]
            #expect(object?["state-dir"] as? String == state)
            #expect(!line.text.unicodeScalars.contains("\u{202e}"), "no mark of direction reaches a terminal")
        }
    }
}
