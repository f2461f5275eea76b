import Foundation
import PeerMesh
import Testing
import Timers

@testable import Daemon

@Suite("The demo")
struct DemoTests {
    /// A network of `count` nodes, of which the second one is down and all others are linked.
    private func snapshot(_ count: Int) -> DemoSnapshot {
        var snapshot = DemoSnapshot()
        snapshot.elapsed = .seconds(42)
        snapshot.total = .seconds(60)
        for row in 0..<count {
            var node = DemoSnapshot.Node(endpoint: Endpoint(IPAddress(v4: 127, 0, 1, UInt8(row + 1)), port: 24_200), role: .masternode)
            node.downFor = row == 1 ? .milliseconds(1_200) : nil
            node.hasRun = true
            node.lastReason = .keepaliveTimeout
            snapshot.nodes.append(node)
            for column in 0..<count {
                let isDown = row == 1 || column == 1
                snapshot.cells.append(
                    row == column ? .own : isDown ? (row == 1 ? .down : .backoff(.milliseconds(3_400))) : .linked(row < column ? .outbound : .inbound, age: .seconds(9))
                )
            }
        }
        snapshot.links = 55
        snapshot.wantedLinks = 66
        snapshot.kills = 7
        snapshot.heals = [.milliseconds(300), .milliseconds(900), .milliseconds(600)]
        snapshot.history = Array(repeating: 100, count: 500)
        snapshot.events = (0..<200).map { .init(at: .seconds($0), kind: $0 % 2 == 0 ? .kill : .up, text: "event \($0)") }
        return snapshot
    }

    @Test("any size of terminal and any number of nodes is drawn without a slip", arguments: [2, 3, 12, 30, 99])
    func sizes(count: Int) {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (79, 23), (104, 32), (120, 42), (200, 60), (400, 150)] {
            let canvas = DemoRenderer.frame(snapshot(count), width: width, height: height)
            let lines = canvas.text.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count == height && lines.allSatisfy { $0.count == width })
        }
    }

    @Test("80 × 24 shows matrix, table, legend, what happened and the sum")
    func ordinary() {
        let text = DemoRenderer.frame(snapshot(12), width: 80, height: 24).text
        for part in [
            "11 of 12 nodes", "55/66 links", "00:42 / 01:00", "127.0.1.12", "down, back in 1.20s", "▶", "◀", "3", "their turn", "event 198",
            "kills 7", "healed 3 in 600ms (most 900ms)", "duplicate links 0",
        ] {
            #expect(text.contains(part), "\(part)")
        }
    }

    @Test("a pair that holds two links is shown as such")
    func duplicate() {
        var snapshot = snapshot(4)
        snapshot.cells[2] = .duplicate
        let lines = DemoRenderer.frame(snapshot, width: 80, height: 24).text.split(separator: "\n")
        #expect(lines[3].contains("2 ▶") || lines[3].contains("3 2") || lines[3].contains(" 2 "))
    }

    @Test("without NO_COLOR a frame is coloured, with it it is not; either moves the cursor only where it may")
    func colours() {
        let canvas = DemoRenderer.frame(snapshot(12), width: 80, height: 24)
        var plain = ""
        canvas.append(to: &plain, colours: false)
        var coloured = ""
        canvas.append(to: &coloured, colours: true)
        #expect(!plain.contains("m") || !plain.contains("\u{1b}[38"))
        #expect(coloured.contains("\u{1b}[22;38;5;"))
    }

    @Test("twelve seconds of the demo: formed, killed, healed, no duplicate link")
    func really() throws {
        let process = Process()
        process.executableURL = builtProgram()
        process.arguments = ["demo", "--nodes", "6", "--seconds", "12"]
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("demo-\(UUID().uuidString)")
        try Data().write(to: output)
        defer { try? FileManager.default.removeItem(at: output) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        try process.run()
        process.waitUntilExit()
        let text = try String(contentsOf: output, encoding: .utf8)
        #expect(process.terminationStatus == 0)
        #expect(text.contains("the mesh is whole after"))
        #expect(text.contains("15 of 15 stand"))
        #expect(text.contains("kills            1, healed 1"))
        #expect(text.contains("duplicate links  0\n"))
        #expect(!text.contains("\u{1b}"), "no escape sequence where there is no terminal")
    }

    /// The program beside the test bundle.
    private func builtProgram() -> URL {
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        while folder.path != "/" {
            let candidate = folder.appendingPathComponent("reactor-node")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            folder.deleteLastPathComponent()
        }
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent(".build/debug/reactor-node")
    }
}
