// What outlives a node: killed at any moment, restarted, on a full disk, twice on one directory.

import Foundation
import PeerMesh
import Testing

@testable import Daemon

@Suite("What a node keeps")
struct KeepingTests {
    /// A directory of the test's own, which ends with it.
    final class Folder: Sendable {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("keep-\(UUID().uuidString.prefix(8))").path

        init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func options(_ more: String...) -> [String] { ["--state-dir", path + "/state", "--control-socket", path + "/control.sock"] + more }
        var socket: String { path + "/control.sock" }
    }

    /// How often the node is killed: `REACTOR_STORE_KILLS`, or 20.
    private static let kills = Int(ProcessInfo.processInfo.environment["REACTOR_STORE_KILLS"] ?? "") ?? 20

    @Test("killed at random moments under churn: the store opens, every answered action is there, and what was learnt is seconds old at most", .timeLimit(.minutes(20)))
    func kill() async throws {
        try await onThread {
            let folder = Folder()
            var answered: Set<String> = []
            var staleness = 0.0
            for round in 0..<KeepingTests.kills {
                let node = try Node(listen: Ports.endpoint("127.0.41.1"), folder.options("--dial-rate", "1000"))
                try #require(Clock.poll(limit: 90, every: 0.01) { (try? Node.ask(folder.socket, "GET", "/health/live")) != nil })
                let deadline = Clock.seconds + Double.random(in: 0.05...2.0)
                let killer = Thread { while Clock.seconds < deadline { usleep(500) }; node.process.signal(SIGKILL) }
                killer.start()
                // Peers that refuse: each is an operator's action on the disk, and a dial that is learnt.
                var learnt: [(Endpoint, Double)] = []
                for index in 0..<100_000 {
                    let endpoint = Endpoint(IPAddress(v4: 127, 42, UInt8(round), UInt8(1 + index % 250)), port: UInt16(1_000 + index / 250))
                    guard let answer = try? Node.ask(folder.socket, "POST", "/connect", "{\"peer\": \"\(endpoint)\"}") else { break }
                    guard answer.status < 300 else { Issue.record("\(answer)"); break }
                    answered.insert("\(endpoint)")
                    learnt.append((endpoint, Clock.seconds))
                    if index % 20 == 19 { _ = try? Node.ask(folder.socket, "POST", "/disconnect", "{\"peer\": \"\(endpoint)\"}") }
                    if index % 20 == 19 { answered.remove("\(endpoint)") }
                }
                try #require(node.process.waitForExit(limit: 90) != 0)
                let memory: (wanted: Set<String>, tried: Set<Endpoint>) = try {
                    let store = try Store(directory: folder.path + "/state")
                    let trouble = store.status.trouble
                    #expect(trouble == nil, "round \(round): \(trouble ?? "")")
                    let all = store.recollect(limit: .max)
                    return (Set(all.wanted.map { "\($0.endpoint)" }), Set(all.addresses.filter { $0.lastTry != nil }.map(\.endpoint)))
                }()
                #expect(memory.wanted.isSuperset(of: answered), "round \(round): \(answered.subtracting(memory.wanted))")
                // The last moment before which everything learnt is there.
                let missing = learnt.filter { !memory.tried.contains($0.0) }
                if let first = missing.first { staleness = max(staleness, deadline - first.1) }
            }
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/state")
            #expect(names.allSatisfy { !$0.contains("damaged") })
            print("killed \(KeepingTests.kills) times: \(answered.count) actions kept, learnt state at most \(Int(staleness * 1_000)) ms old")
            // A second is the promise; the rest is for a machine that is busy with other tests.
            #expect(staleness < 4)
        }
    }

    @Test("a restart brings the same peers back, those that were linked first; bans, trust and masternodes with them", .timeLimit(.minutes(3)))
    func restart() async throws {
        try await onThread {
            let folder = Folder()
            // One masternode and one peer that only the operator names, at run time.
            let masternode = try Node(listen: Ports.endpoint("127.0.43.2"), ["--control-socket", "none"])
            let friend = try Node(listen: Ports.endpoint("127.0.43.3"), ["--control-socket", "none"])
            let node = try Node(listen: Ports.endpoint("127.0.43.1"), folder.options())
            for (target, body) in [
                ("/masternodes", "{\"peer\": \"\(masternode.endpoint)\"}"), ("/connect", "{\"peer\": \"\(friend.endpoint)\"}"),
                ("/ban", "{\"subject\": \"10.9.0.0/16\", \"reason\": \"spam\"}"), ("/trust", "{\"subject\": \"10.8.0.0/16\"}"),
            ] {
                let answer = try Node.ask(folder.socket, "POST", target, body)
                #expect(answer.status < 300, "\(target): \(answer)")
            }
            try node.waitForLink(with: masternode.endpoint)
            try node.waitForLink(with: friend.endpoint)
            node.process.signal(SIGTERM)
            #expect(try node.process.waitForExit(limit: 90) == 0)
            try node.restart()
            try node.waitForLink(with: masternode.endpoint)
            try node.waitForLink(with: friend.endpoint)
            let bans = try Node.ask(folder.socket, "GET", "/bans").body
            #expect(bans.contains("10.9.0.0/16") && bans.contains("10.8.0.0/16"), "\(bans)")
            // What is taken back stays away.
            for (target, body) in [("/disconnect", "{\"peer\": \"\(friend.endpoint)\"}"), ("/unban", "{\"subject\": \"10.9.0.0/16\"}")] {
                #expect(try Node.ask(folder.socket, "POST", target, body).status < 300)
            }
            node.kill()
            try node.restart()
            try node.waitForLink(with: masternode.endpoint)
            #expect(try !Node.ask(folder.socket, "GET", "/bans").body.contains("10.9.0.0/16"))
            let rows = try Node.ask(folder.socket, "GET", "/peers").json().elements
            let wanting = rows.first { $0["id"]?.text == "\(friend.endpoint)" }?["wantedBy"]?.elements ?? []
            #expect(!wanting.contains(.string("operator")), "\(wanting)")
            #expect(rows.first { $0["id"]?.text == "\(masternode.endpoint)" }?["wantedBy"]?.elements.isEmpty == false)
        }
    }

    @Test("a second node on the same state directory refuses to start, and says which process has it")
    func second() async throws {
        try await onThread {
            let folder = Folder()
            let node = try Node(listen: Ports.endpoint("127.0.44.1"), folder.options())
            let other = try Child(Node.path, ["run", "--listen", "\(Ports.endpoint("127.0.44.2"))", "--state-dir", folder.path + "/state", "--control-socket", "none"])
            #expect(try other.waitForExit(limit: 90) == 69)
            let text = other.lines().map(\.text).joined()
            #expect(text.contains("process \(node.process.pid)") && text.contains("state"), "\(text)")
        }
    }

    @Test("a file that may not grow is a full disk: the node goes on, says so, and every action is answered with a warning", .timeLimit(.minutes(2)))
    func full() async throws {
        try await onThread {
            let folder = Folder()
            let endpoint = Ports.endpoint("127.0.45.1")
            let options = (["--listen", "\(endpoint)", "--log-format", "json"] + folder.options()).joined(separator: " ")
            // 64 KiB a file.
            let child = try Child("/bin/bash", ["-c", "ulimit -f 64 && exec \(Node.path) run \(options)"], name: "reactor-node on a full disk")
            defer { child.kill() }
            try #require(Clock.poll(limit: 90) { (try? Node.ask(folder.socket, "GET", "/health/live")) != nil })
            var warned = false
            for index in 0..<2_000 where !warned {
                let body = "{\"subject\": \"10.\(index / 250).\(index % 250).0/24\", \"reason\": \"\(String(repeating: "x", count: 200))\"}"
                let answer = try Node.ask(folder.socket, "POST", "/ban", body)
                #expect(answer.status < 300, "\(answer)")
                warned = answer.body.contains("not written down")
            }
            #expect(warned, "the disk was never full")
            try child.wait(for: "the store's trouble") { $0["event"] == "store-degraded" }
            #expect(try Node.ask(folder.socket, "GET", "/bans").body.contains("10.0.0.0/24"))
            child.signal(SIGTERM)
            #expect(try child.waitForExit(limit: 90) == 0)
        }
    }
}
