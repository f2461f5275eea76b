// docs/Promises.md names the test of each promise; a name that no test has is a promise that nobody keeps.

import Foundation
import Testing

@Suite("docs/Promises.md")
struct PromisesTests {
    private static let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test("every test that the page names exists")
    func namesExist() throws {
        let page = try String(contentsOf: Self.root.appendingPathComponent("docs/Promises.md"), encoding: .utf8)
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
