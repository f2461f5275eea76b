// The masternode registry as a file: one endpoint or name a line, or JSON. Whoever writes it may be writing still, so that what is not
// whole is not believed: not a file of no bytes, not a last line without its end, not a file with one bad line.

import PeerMesh

/// What one reading of the file says.
struct RegistryFile: Hashable, Sendable {
    struct Entry: Hashable, Sendable {
        var peer: PeerName
        /// The masternode's pinned identity, where the file gives one; kept for transports that prove identities.
        var identity: String?
    }

    var entries: [Entry]

    /// The masternodes that are named by address: each once, in the file's order.
    var endpoints: [Endpoint] {
        var seen: Set<Endpoint> = []
        return entries.compactMap(\.peer.endpoint).filter { seen.insert($0).inserted }
    }

    /// Those that are named by host name, likewise.
    var names: [PeerName] {
        var seen: Set<PeerName> = []
        return entries.map(\.peer).filter { $0.endpoint == nil && seen.insert($0).inserted }
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
        let text: [UInt8]
        do throws(FileFault) { text = try TextFile.text(bytes) } catch { throw Damage(line: 0, text: error.description) }
        entries = RegistryFile.isJSON(text) ? try RegistryFile.entries(json: text, defaultPort) : try RegistryFile.entries(lines: text, defaultPort)
    }

    /// `[` opens a JSON list, but an IPv6 endpoint, too.
    private static func isJSON(_ text: [UInt8]) -> Bool {
        let dense = Array(text.lazy.filter { $0 != 0x20 && $0 != 0x09 && $0 != 0x0a && $0 != 0x0d }.prefix(2))
        switch dense.first {
        case UInt8(ascii: "{"): return true
        case UInt8(ascii: "["): return dense.count < 2 || [UInt8(ascii: "\""), UInt8(ascii: "{"), UInt8(ascii: "]")].contains(dense[1])
        default: return false
        }
    }

    private static func entries(lines text: [UInt8], _ defaultPort: UInt16) throws(Damage) -> [Entry] {
        var entries: [Entry] = []
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.last?.isEmpty ?? true else {
            throw Damage(line: lines.count, text: "the last line has no end: it may be half written; end it with a newline")
        }
        for (index, line) in lines.enumerated() {
            let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
            // Blanks around an endpoint are layout; one within it is a mistake.
            let content = line.prefix { $0 != UInt8(ascii: "#") }.drop(while: isBlank)
            guard let last = content.lastIndex(where: { !isBlank($0) }) else { continue }
            let word = String(decoding: content[...last], as: UTF8.self)
            entries.append(Entry(peer: try peer(word, defaultPort, line: index + 1)))
        }
        return entries
    }

    private static func entries(json text: [UInt8], _ defaultPort: UInt16) throws(Damage) -> [Entry] {
        let root: FileValue
        do throws(TextMistake) { root = try ValueReader.document(text) } catch {
            throw Damage(line: error.line, text: "it is not JSON, or not all of it is there: \(error.text)")
        }
        let list: FileValue?
        if case .object(let members) = root.kind { list = members.first { $0.key == "masternodes" }?.value } else { list = root }
        guard case .list(let elements)? = list?.kind else {
            throw Damage(line: 0, text: "give {\"masternodes\": [\"ADDRESS:PORT\", …]}, or the list alone")
        }
        var entries: [Entry] = []
        for element in elements { entries.append(try entry(element, defaultPort)) }
        return entries
    }

    private static func entry(_ value: FileValue, _ defaultPort: UInt16) throws(Damage) -> Entry {
        switch value.kind {
        case .text(let text):
            return Entry(peer: try peer(text, defaultPort, line: value.line))
        case .object(let members):
            for member in members where member.key != "endpoint" && member.key != "identity" {
                throw Damage(line: member.line, text: "no field of a masternode is named '\(member.key.prefix(80))'; there are endpoint and identity")
            }
            guard let text = members.first(where: { $0.key == "endpoint" })?.value.text else {
                throw Damage(line: value.line, text: "a masternode without \"endpoint\"")
            }
            let identity = members.first { $0.key == "identity" }?.value
            guard identity == nil || identity?.text != nil else { throw Damage(line: value.line, text: "\"identity\" must be a text") }
            return Entry(peer: try peer(text, defaultPort, line: value.line), identity: identity?.text)
        case .list, .nothing:
            throw Damage(line: value.line, text: "give \"ADDRESS:PORT\" or {\"endpoint\": \"ADDRESS:PORT\"}")
        }
    }

    /// A name has its port: otherwise any stray word would be one.
    private static func peer(_ text: String, _ defaultPort: UInt16, line: Int) throws(Damage) -> PeerName {
        let shown = text.prefix(80)
        guard let peer = PeerName(text) ?? PeerName(text, defaultPort: defaultPort).flatMap({ $0.endpoint == nil ? nil : $0 }) else {
            throw Damage(line: line, text: "'\(shown)' is not a masternode's endpoint: give ADDRESS:PORT, [V6ADDRESS]:PORT or HOST:PORT")
        }
        if let why = peer.endpoint?.refusal {
            throw Damage(line: line, text: "'\(shown)' is not a masternode's endpoint: it is \(why)")
        }
        return peer
    }
}
