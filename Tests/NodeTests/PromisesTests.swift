// docs/Promises.md names the test of each promise, docs/Traps.md that of each trap; a name that no test has is a promise that
// nobody keeps.

import Foundation
import Testing

@Suite("docs/Promises.md and docs/Traps.md")
struct PromisesTests {
    private static let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test("every trap has its row, and names a test or says that it is left out")
    func everyTrap() throws {
        let page = try String(contentsOf: Self.root.appendingPathComponent("docs/Traps.md"), encoding: .utf8)
        let rows = page.split(separator: "\n").compactMap { $0.firstMatch(of: /^\| (\d+) \|/).map { Int($0.output.1) } != nil ? $0 : nil }
        #expect(rows.compactMap { $0.firstMatch(of: /^\| (\d+) \|/).flatMap { Int($0.output.1) } } == Array(1...33))
        for row in rows { #expect(row.contains("*") || row.contains("Left out"), "\(row)") }
    }

    @Test("every test that the page names exists", arguments: ["Promises", "Traps"])
    func namesExist(_ name: String) throws {
        let page = try String(contentsOf: Self.root.appendingPathComponent("docs/\(name).md"), encoding: .utf8)
        // Between single asterisks in table rows; an ellipsis stands for any words.
        let named = page.split(separator: "\n").filter { $0.hasPrefix("|") && !$0.hasPrefix("| **") }.flatMap { row in
            row.matches(of: /\*([^*|]+)\*/).map { String($0.output.1) }
        }
        try #require(named.count > 20)
        let tests = try Self.testNames()
        for name in named {
            let fragments = name.split(separator: "…").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            #expect(tests.contains { test in fragments.allSatisfy { test.contains($0) } }, "no test is named: \(name)")
        }
    }

    private static func testNames() throws -> [String] {
        let folder = root.appendingPathComponent("Tests")
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.compactMap { $0 as? URL } ?? []
        return try files.filter { $0.pathExtension == "swift" }.flatMap { file in
            try String(contentsOf: file, encoding: .utf8).split(separator: "\n").compactMap { line in
                line.firstMatch(of: /"([^"]{12,})"/).map { String($0.output.1) }
            }
        }
    }
}
