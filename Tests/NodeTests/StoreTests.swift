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

    /// Peers that refuse: each is an operator's action on the disk, and a dial that is learnt. Each in a group of addresses of its own,
    /// so that the book has places for all.
    private static func refusing(_ round: Int, _ index: Int) -> Endpoint {
        Endpoint(IPAddress(v4: 127, UInt8(50 + index % 200), UInt8(truncatingIfNeeded: round), UInt8(1 + index / 200 % 250)), port: UInt16(1_000 + index / 50_000))
    }

    /// Connects and disconnects peers as fast as the node answers, until it is gone. Those of whom it said that it keeps them.
    private static func churn(_ socket: String, round: Int) -> Set<String> {
        var answered: Set<String> = []
        for index in 0..<100_000 {
            let endpoint = refusing(round, index)
            guard let answer = try? Node.ask(socket, "POST", "/connect", "{\"peer\": \"\(endpoint)\"}") else { break }
            // A busy machine's loop may not answer within its second: then nothing is promised.
            if answer.status == 503 { continue }
            guard answer.status < 300 else { Issue.record("\(answer)"); break }
            answered.insert("\(endpoint)")
            guard index % 20 == 19 else { continue }
            // Asked for and perhaps not answered: neither outcome is promised.
            answered.remove("\(endpoint)")
            _ = try? Node.ask(socket, "POST", "/disconnect", "{\"peer\": \"\(endpoint)\"}")
        }
        return answered
    }

    /// When each failed dial became known to the loop, by its own clock, in that order.
    private static func failures(of node: Node) -> [Double] {
        node.process.lines().filter {
            $0.isLink && $0["to"] == "closed" && $0["direction"] == "outbound" && !["established", "draining"].contains($0["from"])
        }.compactMap(\.time)
    }

    @Test("killed at random moments under churn: the store opens, every answered action is there, and what was learnt is a second old at most", .timeLimit(.minutes(20)))
    func kill() async throws {
        try await onThread {
            let folder = Folder()
            let machine = MachineWatch(folder.path + "/watch")
            defer { machine.stop() }
            var (answered, oldest, known): (Set<String>, Double, Int) = ([], 0, 0)
            for round in 0..<KeepingTests.kills {
                let node = try Node(listen: Ports.endpoint("127.0.41.1"), folder.options("--dial-rate", "1000", "--book-capacity", "65536"))
                try #require(Clock.poll(limit: 90, every: 0.01) { (try? Node.ask(folder.socket, "GET", "/health/live")) != nil })
                machine.forget()
                let deadline = Clock.seconds + Double.random(in: 0.05...2.0)
                let killed = DispatchSemaphore(value: 0)
                nonisolated(unsafe) var killedAt = 0.0
                Thread.detachNewThread {
                    while Clock.seconds < deadline { usleep(500) }
                    killedAt = Date().timeIntervalSince1970
                    node.process.signal(SIGKILL)
                    killed.signal()
                }
                answered.formUnion(KeepingTests.churn(folder.socket, round: round))
                killed.wait()
                try #require(node.process.waitForExit(limit: 90) != 0)
                let delay = machine.longest
                let store = try Store(directory: folder.path + "/state")
                #expect(store.status.trouble == nil, "round \(round): \(store.status.trouble ?? "")")
                let wanted = Set(store.recollect(limit: .max).wanted.map { "\($0.peer)" })
                #expect(wanted.isSuperset(of: answered), "round \(round): \(answered.subtracting(wanted))")
                // The store counts what it takes, in the order in which the loop said it: the first that is not counted is the oldest lost.
                let learnt = Int(store.status.counters["dials-failed"] ?? 0) - known
                let failures = KeepingTests.failures(of: node)
                let age = learnt < failures.count ? killedAt - failures[learnt] : 0
                oldest = max(oldest, age)
                known += learnt
                // A second is the promise; what the machine kept this test itself from running, or from writing, comes on top.
                #expect(age < 1 + 2 * delay, "round \(round): \(age) s, and the machine stood still for \(delay) s")
            }
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/state")
            #expect(names.allSatisfy { !$0.contains("damaged") })
            print(
                "killed \(KeepingTests.kills) times: \(answered.count) actions kept, \(known) failed dials learnt, what was lost at most \(Int(oldest * 1_000)) ms old; "
                    + "the machine stood still for \(Int(machine.everLongest * 1_000)) ms at most")
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

/// How long the machine keeps a thread that sleeps 20 ms and then writes a page from doing so: what no node can answer for.
private final class MachineWatch: @unchecked Sendable {
    private let lock = NSLock()
    private var isOver = false
    private var since = 0.0
    private var worst = 0.0
    private var worstEver = 0.0

    init(_ path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        let page = [UInt8](repeating: 7, count: 4_096)
        begin()
        Thread.detachNewThread { [self] in
            while !lock.withLock({ isOver }) {
                usleep(20_000)
                _ = pwrite(descriptor, page, page.count, 0)
                end()
                begin()
            }
            close(descriptor)
        }
    }

    private func begin() { lock.withLock { since = Clock.seconds } }

    private func end() {
        lock.withLock { note() }
    }

    private func note() {
        worst = max(worst, Clock.seconds - since - 0.02)
        worstEver = max(worstEver, worst)
    }

    func forget() { lock.withLock { worst = 0 } }
    func stop() { lock.withLock { isOver = true } }

    /// Since it was told to forget, what is under way now included.
    var longest: Double {
        lock.withLock {
            note()
            return worst
        }
    }

    var everLongest: Double { lock.withLock { worstEver } }
}
