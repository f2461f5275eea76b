// The alert rules: each has a test of its own, which promtool runs, and asks for metrics that exist.

import Foundation
import Testing

@testable import Daemon

@Suite("alerts")
struct AlertTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("docs/prometheus").path
    private static let promtool = ["/usr/bin/promtool", "/usr/local/bin/promtool", ProcessInfo.processInfo.environment["PROMTOOL"] ?? ""]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    private func text(_ name: String) throws -> String {
        try String(contentsOfFile: Self.folder + "/" + name, encoding: .utf8)
    }

    private func names(_ pattern: String, in text: String) throws -> Set<String> {
        let expression = try NSRegularExpression(pattern: pattern)
        let range = NSRange(text.startIndex..., in: text)
        return Set(expression.matches(in: text, range: range).compactMap { Range($0.range(at: 1), in: text).map { String(text[$0]) } })
    }

    @Test("every alert has a rule test")
    func covered() throws {
        let alerts = try names("- alert: (\\w+)", in: text("alerts.yml"))
        let tested = try names("- alertname: (\\w+)", in: text("alerts_test.yml"))
        #expect(!alerts.isEmpty)
        #expect(alerts == tested)
    }

    @Test("alerts, their tests and the dashboard ask for metrics that the node has", arguments: ["alerts.yml", "alerts_test.yml", "grafana.json"])
    func metrics(file: String) throws {
        let known = Set(NodeMetrics.table.map(\.name))
        for name in try names("\\b(reactor_[a-z_]+)", in: text(file)) {
            let base = name.hasSuffix("_bucket") ? String(name.dropLast(7)) : name
            #expect(known.contains(base), "\(file) asks for \(name)")
        }
    }

    @Test("the rules fire on what they should, and on nothing else", .enabled(if: promtool != nil, "promtool is not installed (apt-get install prometheus)"))
    func rules() throws {
        for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: try #require(Self.promtool))
            process.arguments = arguments
            process.currentDirectoryURL = URL(fileURLWithPath: Self.folder)
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = pipe
            try process.run()
            let said = pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(String(decoding: said, as: UTF8.self))")
        }
    }
}
