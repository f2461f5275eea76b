// The masternode registry as a file: one endpoint a line, or JSON. Whoever writes it may be writing still, so that what is not
// whole is not believed: not a file of no bytes, not a last line without its end, not a file with one bad line.

import PeerMesh
import Yams

/// What one reading of the file says.
struct RegistryFile: Hashable, Sendable {
    struct Entry: Hashable, Sendable {
        var endpoint: Endpoint
        /// The masternode's pinned identity, where the file gives one; kept for transports that prove identities.
        var identity: String?
    }

    var entries: [Entry]

    /// Each once, in the file's order.
    var endpoints: [Endpoint] {
        var seen: Set<Endpoint> = []
        return entries.map(\.endpoint).filter { seen.insert($0).inserted }
    }

    /// Why a reading is not believed.
    struct Damage: Error, Hashable, Sendable {
        /// 0 where it is the whole file.
        var line: Int
        var text: String

        var description: String { line > 0 ? "line \(line): \(text)" : text }
    }

    /// Reads `bytes`; a port that is not given is the network's, if that has one.
    init(_ bytes: [UInt8], defaultPort: UInt16) throws(Damage) {
        guard !bytes.isEmpty else { throw Damage(line: 0, text: "it is empty; a registry of nobody has a comment line") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Damage(line: 0, text: "it is not UTF-8 text") }
        let first = bytes.first { $0 != 0x20 && $0 != 0x09 && $0 != 0x0a && $0 != 0x0d }
        // `[` opens a JSON list, but an IPv6 endpoint, too.
        if first == UInt8(ascii: "{") || RegistryFile.opensList(bytes) {
            try self.init(json: text, defaultPort)
        } else {
            try self.init(lines: text, defaultPort)
        }
    }

    private static func opensList(_ bytes: [UInt8]) -> Bool {
        let blanks: Set<UInt8> = [0x20, 0x09, 0x0a, 0x0d]
        let dense = bytes.lazy.filter { !blanks.contains($0) }.prefix(2).map { $0 }
        return dense.first == UInt8(ascii: "[") && (dense.count < 2 || [UInt8(ascii: "\""), UInt8(ascii: "{"), UInt8(ascii: "]")].contains(dense[1]))
    }

    private init(lines text: String, _ defaultPort: UInt16) throws(Damage) {
        entries = []
        var number = 0
        let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        guard lines.last?.isEmpty ?? true else {
            throw Damage(line: lines.count, text: "the last line has no end: it may be half written; end it with a newline")
        }
        for line in lines {
            number += 1
            let content = line.prefix { $0 != "#" }.filter { $0 != " " && $0 != "\t" && $0 != "\r" }
            guard !content.isEmpty else { continue }
            entries.append(Entry(endpoint: try RegistryFile.endpoint(String(content), defaultPort, line: number)))
        }
    }

    private init(json text: String, _ defaultPort: UInt16) throws(Damage) {
        entries = []
        let root: Node?
        do {
            root = try Yams.compose(yaml: text.split(separator: "\t").joined(separator: " "))
        } catch YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _) {
            throw Damage(line: mark.line, text: "it is not JSON, or not all of it is there: \(problem)")
        } catch {
            throw Damage(line: 0, text: "it is not JSON, or not all of it is there")
        }
        let list: Node? = if case .mapping(let mapping)? = root { mapping["masternodes"] } else { root }
        guard case .sequence(let elements)? = list else {
            throw Damage(line: 0, text: "give {\"masternodes\": [\"ADDRESS:PORT\", …]}, or the list alone")
        }
        for element in elements { entries.append(try RegistryFile.entry(element, defaultPort)) }
    }

    private static func entry(_ node: Node, _ defaultPort: UInt16) throws(Damage) -> Entry {
        let line = node.mark?.line ?? 0
        switch node {
        case .scalar(let scalar):
            return Entry(endpoint: try endpoint(scalar.string, defaultPort, line: line))
        case .mapping(let mapping):
            guard let text = mapping["endpoint"]?.string else { throw Damage(line: line, text: "a masternode without \"endpoint\"") }
            for key in mapping.keys where key.string != "endpoint" && key.string != "identity" {
                throw Damage(line: line, text: "no field of a masternode is named '\(key.string ?? "?")'; there are endpoint and identity")
            }
            return Entry(endpoint: try endpoint(text, defaultPort, line: line), identity: mapping["identity"]?.string)
        case .sequence, .alias:
            throw Damage(line: line, text: "give \"ADDRESS:PORT\" or {\"endpoint\": \"ADDRESS:PORT\"}")
        }
    }

    private static func endpoint(_ text: String, _ defaultPort: UInt16, line: Int) throws(Damage) -> Endpoint {
        if let endpoint = PeerName(text, defaultPort: defaultPort)?.endpoint, endpoint.isDialable { return endpoint }
        throw Damage(line: line, text: "'\(text.prefix(80))' is no masternode's endpoint: give ADDRESS:PORT or [V6ADDRESS]:PORT")
    }
}
