// Settings and the registry changed while a node runs: what is live takes effect, what is not is said, and no link notices.

import Foundation
import PeerMesh
import Testing

@Suite("A node whose files change")
struct ReloadTests {
    private func write(_ text: String, _ path: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }

    @Test("SIGHUP puts live settings in force, names those that need a restart, refuses wrong ones, and drops no link", .timeLimit(.minutes(2)))
    func reload() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let file = folder.path + "/reactor-node.yaml"
            let (first, second) = (try Node(listen: Ports.endpoint("127.0.46.2")), try Node(listen: Ports.endpoint("127.0.46.3")))
            try write("peer: [\"\(first.endpoint)\"]\nlog-level: info\nping-interval: 30s\n", file)
            let node = try Node(listen: Ports.endpoint("127.0.46.1"), timings: [], ["--config", file, "--control-socket", "none"])
            let link = try node.waitForLink(with: first.endpoint)
            var mark = node.mark

            try write("peer: [\"\(first.endpoint)\", \"\(second.endpoint)\"]\nlog-level: debug\nping-interval: 1s\nmax-peers: 200\n", file)
            node.process.signal(SIGHUP)
            try node.process.wait(for: "the restart that max-peers needs", from: mark) { $0["event"] == "needs-restart" && $0["setting"] == "max-peers" }
            try node.waitForLink(with: second.endpoint, from: mark)
            let reloaded = node.process.lines().filter { $0["event"] == "reloaded" }.compactMap { $0["setting"] }
            #expect(Set(reloaded) == ["peer", "log-level", "ping-interval"])

            mark = node.mark
            try write("peer: []\nlog-level: loud\nping-intervall: 1s\n", file)
            node.process.signal(SIGHUP)
            try node.process.wait(for: "a refusal", from: mark) { $0["event"] == "reload-refused" && $0.text.contains("ping-interval") }
            // Nothing of it holds, and the first link is the one it was.
            let ended = node.process.lines().contains { $0.isEndOfLink && $0["peer"] == "\(first.endpoint)" && $0["generation"] == link["generation"] }
            #expect(!ended)
        }
    }

    @Test("a line that is added to the registry is linked at once, one that is removed is wanted no longer; half a file is not believed", .timeLimit(.minutes(2)))
    func registry() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let file = folder.path + "/masternodes"
            let others = try (2...4).map { try Node(listen: Ports.endpoint("127.0.47.\($0)"), ["--control-socket", "none"]) }
            try write("# ours\n\(others[0].endpoint)\n", file)
            let node = try Node(listen: Ports.endpoint("127.0.47.1"), ["--registry", file, "--control-socket", "none"])
            try node.waitForLink(with: others[0].endpoint)

            // Appended in place, by a writer that closes.
            var mark = node.mark
            let handle = try #require(FileHandle(forWritingAtPath: file))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("\(others[1].endpoint)\n".utf8))
            try handle.close()
            try node.waitForLink(with: others[1].endpoint, from: mark)

            // Truncated and written in two halves: nobody is missed meanwhile.
            mark = node.mark
            let all = others.map { "\($0.endpoint)\n" }.joined()
            let slow = try #require(FileHandle(forWritingAtPath: file))
            try slow.truncate(atOffset: 0)
            try slow.write(contentsOf: Data(all.utf8.prefix(20)))
            // A slow writer; nothing is waited for.
            usleep(200_000)
            try slow.write(contentsOf: Data(all.utf8.dropFirst(20)))
            try slow.close()
            try node.waitForLink(with: others[2].endpoint, from: mark)
            let removed = node.process.lines().filter { $0["event"] == "registry" }.compactMap { $0["removed"] }
            #expect(removed.allSatisfy { $0 == "0" }, "\(removed)")

            // Damaged, then deleted: the last good one holds.
            mark = node.mark
            try write(all + "nonsense\n", file)
            try node.process.wait(for: "the damage", from: mark) { $0["event"] == "registry-not-believed" && $0.text.contains("line 4") }
            mark = node.mark
            try FileManager.default.removeItem(atPath: file)
            try node.process.wait(for: "the loss", from: mark) { $0["event"] == "registry-not-believed" && $0.text.contains("does not exist") }

            // Renamed over, with one fewer.
            mark = node.mark
            try write(others.dropFirst().map { "\($0.endpoint)\n" }.joined(), file)
            try node.process.wait(for: "the removal", from: mark) { $0["event"] == "registry" && $0["removed"] == "1" }
            let closed = node.process.lines().contains { $0.isEndOfLink && $0["reason"] == "operator" }
            #expect(!closed, "a removal closes no link")
        }
    }
}
