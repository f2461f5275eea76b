import Foundation
import PeerMesh
import Testing

@testable import Daemon

/// A directory that ends with the test.
final class TestFolder: Sendable {
    let path: String

    /// In memory where many files are synced and none need survive.
    init(inMemory: Bool = false) {
        let root = inMemory && FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : FileManager.default.temporaryDirectory.path
        path = root + "/files-\(UUID().uuidString)"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult
    func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let file = path + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    @discardableResult
    func write(_ text: String, _ name: String) throws -> String { try write(Array(text.utf8), name) }
}

@Suite("Files of operators are read by one reader")
struct TextFileTests {
    private let folder = TestFolder()

    private func fault(_ file: String, limit: Int = 100) -> FileFault? {
        do throws(FileFault) { _ = try TextFile.text(file, limit: limit) } catch { return error }
        return nil
    }

    @Test("a byte order mark is no part of the text")
    func mark() throws {
        #expect(try TextFile.text(try folder.write([0xef, 0xbb, 0xbf, 0x61, 0x0a], "bom"), limit: 100) == [0x61, 0x0a])
    }

    @Test("what is no whole text is refused with the reason")
    func faults() throws {
        #expect(fault(folder.path + "/none") == .missing)
        #expect(fault(folder.path + "/none/below") == .missing)
        #expect(fault(folder.path) == .notRegular)
        #expect(fault("/dev/zero") == .notRegular)
        for text in ["", "\n\n", " \t\r\n \n"] { #expect(fault(try folder.write(text, "empty")) == .empty) }
        #expect(fault(try folder.write([0xef, 0xbb, 0xbf], "mark")) == .empty)
        #expect(fault(try folder.write([UInt8](repeating: 0x61, count: 101), "large")) == .tooLarge(limit: 100))
        #expect(fault(try folder.write([0x61, 0x0a, 0xff, 0x0a], "latin")) == .notUTF8)
        #expect(fault(try folder.write([0xff, 0xfe, 0x61, 0x00], "wide")) == .utf16)
        #expect(fault(try folder.write([0x61, 0x0a, 0x00, 0x0a], "zero")) == .control(line: 2, 0))
        #expect(fault(try folder.write([0x61, 0x1b, 0x0a], "escape")) == .control(line: 1, 0x1b))
        #expect(fault(try folder.write([0x61, 0x0d, 0x62, 0x0a], "return")) == .control(line: 1, 0x0d))
        #expect(fault(try folder.write("a\r\nb\t\n", "crlf")) == nil)
    }

    @Test("settings that say nothing say so in a comment; what is left of a cut file is not that", arguments: [
        ("# nothing\n", true), ("---\n# nothing\n", true), ("{}", true), ("---\n", false), ("# nothi", false), ("\n\n", false), ("---\n# noth", false),
    ])
    func silence(text: String, isWhole: Bool) throws {
        let path = try folder.write(text, "settings.yaml")
        if isWhole { #expect(try SettingsFile(path: path).entries.isEmpty) } else { #expect(throws: SettingsMistake.self) { try SettingsFile(path: path) } }
    }

    @Test("a pipe without a writer is refused, not waited for")
    func pipe() {
        let path = folder.path + "/pipe"
        #expect(mkfifo(path, 0o600) == 0)
        #expect(fault(path) == .notRegular)
    }
}

@Suite("The settings file is a bounded language")
struct ValueReaderTests {
    private func read(_ text: String) throws(TextMistake) -> [(String, FileValue.Kind)] {
        guard let value = try ValueReader.settings(Array(text.utf8)) else { return [] }
        guard case .object(let members) = value.kind else { throw TextMistake(line: value.line, text: "no object") }
        return members.map { ($0.key, $0.value.kind) }
    }

    private func mistake(_ text: String) -> TextMistake? {
        do throws(TextMistake) { _ = try read(text) } catch { return error }
        return nil
    }

    @Test("lines, lists, quotes and comments as YAML has them")
    func lines() throws {
        let text = """
            # first
            ---
            a: b c # said
            "d": 'it''s'
            e: "x\\u0041\\"#"
            f: [1, "2", '3', # inside
              4,
            ]
            g:
              - 1   # one
              - "2"

            h:
            - [::1]
            i: http://x#y
            j: {}
            k:
            """ + "\n"
        let found = try read(text)
        #expect(found.map(\.0) == ["a", "d", "e", "f", "g", "h", "i", "j", "k"])
        let texts = found.map { $0.1 }
        #expect(texts[0] == .text("b c") && texts[1] == .text("it's") && texts[2] == .text("xA\"#"))
        func list(_ kind: FileValue.Kind) -> [String?] { if case .list(let elements) = kind { elements.map(\.text) } else { [] } }
        #expect(list(texts[3]) == ["1", "2", "3", "4"] && list(texts[4]) == ["1", "2"])
        #expect(texts[6] == .text("http://x#y") && texts[7] == .object([]) && texts[8] == .nothing(""))
        #expect(try read("\r\n\r\na: 1\r\nb:\r\n  - 2\r\n").map(\.0) == ["a", "b"])
        #expect(try read("  a: 1\n  b: 2\n").map(\.0) == ["a", "b"])
        #expect(try read("\n\n{\"a\": 1,\n\t\"b\": [\"x\"]}").map(\.0) == ["a", "b"])
    }

    @Test(
        "what settings have no use for is refused with its line",
        arguments: [
            ("a: &x 1\n", 1, "anchors"), ("\na: *x\n", 2, "anchors"), ("<<: *x\n", 1, "anchors"), ("? a\n: b\n", 1, "'?'"), ("a: !t b\n", 1, "tags"),
            ("a: |\n  b\n", 1, "block text"), ("a: 1\n---\nb: 2\n", 2, "one document"), ("a: 1\n...\n", 2, "one document"),
            ("a:\n  b: 1\n", 2, "do not nest"), ("a: 1\n  2\n", 2, "indentation"), ("\ta: 1\n", 1, "tab"), ("a: 1\na: 2\n", 2, "lines 1 and 2"),
            ("a: \"b\n", 1, "must end on the line"), ("a: [1\n", 2, "half written"), ("a: 1", 1, "half written"), ("# x\na: 1\nb: 2", 3, "half written"),
            ("a: \"b\" c\n", 1, "unexpected text"), ("{\"a\": 1} b", 1, "unexpected data"), ("{\"a\": 1", 1, "half written"), ("{a: 1, a: 2}", 1, "duplicate"),
            ("a b\n", 1, "key: value"), ("a:b\n", 1, "key: value"), ("- 1\n", 1, "key: value"), ("a: [b: c]\n", 1, "':'"), ("a: b: c\n", 1, "': '"),
            ("a: \"\\q\"\n", 1, "escape"), ("{\"a\" 1}", 1, "key: value"), ("%YAML 1.2\n---\na: 1\n", 1, "quotes"),
        ] as [(String, Int, String)]
    )
    func refused(text: String, line: Int, part: String) {
        let found = mistake(text)
        #expect(found?.line == line && found?.text.contains(part) == true, "\(String(describing: found))")
    }

    @Test("an IPv6 endpoint without quotes is answered with the form that is read", arguments: ["peer: [::1]:24200\n", "peer:\n  - [::1]:24200\n", "peer: [[::1]:24200]\n"])
    func endpointWithoutQuotes(text: String) {
        #expect(mistake(text)?.text.contains("\"[::1]:24200\"") == true, "\(String(describing: mistake(text)))")
    }

    @Test("nothing nests deeper than eight levels, and no text costs more than its length", .timeLimit(.minutes(10)))
    func bounded() {
        #expect(mistake("a: " + String(repeating: "[", count: 500_000) + "\n")?.text.contains("levels") == true)
        #expect(mistake(String(repeating: "{\"a\":", count: 200_000))?.text.contains("levels") == true)
        #expect(mistake(String(repeating: "- ", count: 500_000) + "\n") != nil)
        // Each anchor names the one before twice: as many nodes as two to the power of the lines.
        var laughs = "a0: &a0 [x, x]\n"
        for index in 1..<64 { laughs += "a\(index): &a\(index) [*a\(index - 1), *a\(index - 1)]\n" }
        #expect(mistake(laughs)?.text.contains("anchors") == true)
        #expect(mistake("a: [" + String(repeating: "x,", count: ValueReader.most + 1) + "]\n")?.text.contains("values") == true)
        #expect(mistake(String(repeating: "a", count: 1 << 20) + "\n") != nil)
    }

    @Test("a file of unknown keys is answered in bounded time and length", .timeLimit(.minutes(10)))
    func unknownKeys() throws {
        let text = (0..<50_000).map { "key\($0): 1\n" }.joined() + String(repeating: "k", count: 300_000) + ": 1\n"
        let file = try SettingsFile(path: "a.yaml", text: Array(text.utf8))
        #expect(file.mistakes.count == SettingsFile.mostMistakes + 1)
        let long = try SettingsFile(path: "a.yaml", text: Array((String(repeating: "k", count: 300_000) + ": 1\n").utf8))
        #expect(long.mistakes.first.map { $0.description.utf8.count < 300 } == true)
    }

    @Test("any cut or changed byte gives settings or a mistake, never an end", .timeLimit(.minutes(10)))
    func total() {
        let text = Array("# x\r\na: b # c\n\"d\": ['e', \"f\\u00e9\", {g: [h]}]\ni:\n  - 1\n  - [::1]:5\nj: ~\n".utf8)
        var random = SystemRandomNumberGenerator()
        for cut in 0...text.count { _ = try? ValueReader.settings(Array(text[..<cut])) }
        let alphabet = Array("[]{}:,#'\"\\-?&*!|> \t\r\nau0~".utf8)
        for _ in 0..<20_000 {
            var bytes = text
            for _ in 0..<Int.random(in: 1...6, using: &random) { bytes[Int.random(in: 0..<bytes.count, using: &random)] = alphabet.randomElement(using: &random)! }
            _ = try? ValueReader.settings(bytes)
            _ = try? ValueReader.document(bytes)
            _ = try? RegistryFile(bytes, defaultPort: 5)
        }
    }
}
