// Reads values from the text of a file: JSON, and the part of YAML that flat settings need (`ValueReader+Lines.swift`). Total and
// bounded: one pass over the bytes, eight levels, no anchors and aliases, so that no text costs more than its length.

/// One value of a file, and the line where it begins.
struct FileValue: Hashable, Sendable {
    struct Member: Hashable, Sendable {
        var key: String
        var line: Int
        var value: FileValue
    }

    enum Kind: Hashable, Sendable {
        case text(String)
        /// No value where one belongs: nothing, `null` or `~`. The text is what stands there.
        case nothing(String)
        case list([FileValue])
        case object([Member])
    }

    var line: Int
    var kind: Kind

    /// The text, if this is one.
    var text: String? { if case .text(let text) = kind { text } else { nil } }
}

/// What is wrong with a text, and in which line.
struct TextMistake: Error, Hashable, Sendable {
    var line: Int
    var text: String
}

/// A cursor over a text that `TextFile.text` has accepted.
struct ValueReader {
    let bytes: [UInt8]
    var at = 0
    var line = 1
    private var values = 0

    /// Levels of lists and objects, and values in all: what a file of the largest size that is read can need.
    static let deepest = 8
    static let most = 1 << 20

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    func byte(_ ahead: Int) -> UInt8? { bytes.indices.contains(at + ahead) ? bytes[at + ahead] : nil }

    func mistake(_ text: String) -> TextMistake { TextMistake(line: line, text: text) }

    /// Whether the byte `ahead` of the cursor is a blank, a line's end or the end.
    func isGap(_ ahead: Int) -> Bool {
        guard let byte = byte(ahead) else { return true }
        return byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
    }

    /// The whole text as one value, and nothing after it.
    static func document(_ bytes: [UInt8]) throws(TextMistake) -> FileValue {
        var reader = ValueReader(bytes)
        reader.skipSpace()
        let value = try reader.value(depth: 0)
        try reader.end()
        return value
    }

    /// Skips what may follow the last value, and refuses anything else.
    mutating func end() throws(TextMistake) {
        skipSpace()
        if next != nil { throw mistake("unexpected data after the value") }
    }

    /// Blanks, line ends and comments.
    mutating func skipSpace() {
        while let byte = next {
            switch byte {
            case 0x0a:
                line += 1
                at += 1
            case 0x20, 0x09, 0x0d: at += 1
            case UInt8(ascii: "#"): skipLine()
            default: return
            }
        }
    }

    /// To the line's end, which is not taken.
    mutating func skipLine() {
        while let byte = next, byte != 0x0a { at += 1 }
    }

    /// A value between brackets: JSON, or YAML's flow form with texts that need no quotes.
    mutating func value(depth: Int) throws(TextMistake) -> FileValue {
        guard depth < ValueReader.deepest else { throw mistake("more than \(ValueReader.deepest) levels of lists and objects") }
        values += 1
        guard values <= ValueReader.most else { throw mistake("more than \(ValueReader.most) values") }
        let start = line
        switch next {
        case nil: throw mistake("the file ends where a value is expected: it may be half written")
        case UInt8(ascii: "["): return FileValue(line: start, kind: .list(try list(depth)))
        case UInt8(ascii: "{"): return FileValue(line: start, kind: .object(try object(depth)))
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return FileValue(line: start, kind: .text(try quoted()))
        case .some:
            try refuseIndicator()
            let text = plain(isInside: true)
            guard !text.isEmpty else { throw mistake("a value is expected here") }
            return FileValue(line: start, kind: ValueReader.kind(of: text))
        }
    }

    /// What a text without quotes is.
    static func kind(of text: String) -> FileValue.Kind {
        ["", "~", "null", "Null", "NULL"].contains(text) ? .nothing(text) : .text(text)
    }

    /// What YAML gives another meaning at the start of a text.
    func refuseIndicator() throws(TextMistake) {
        guard let byte = next else { return }
        switch byte {
        case UInt8(ascii: "&"), UInt8(ascii: "*"), UInt8(ascii: "!"):
            throw mistake("anchors, aliases and tags are not supported; write the value itself, in quotes if it begins with this character")
        case UInt8(ascii: "|"), UInt8(ascii: ">"): throw mistake("block text is not supported; write the value on one line")
        case UInt8(ascii: "%"), UInt8(ascii: "@"), UInt8(ascii: "`"): throw mistake("put a value that begins with this character in quotes")
        case UInt8(ascii: "?"), UInt8(ascii: "-"):
            if isGap(1) { throw mistake("a value is expected here, not '\(Character(Unicode.Scalar(byte)))'") }
        default: break
        }
    }

    /// A text without quotes, up to what ends it. `isInside` brackets a comma and a bracket end it, too.
    mutating func plain(isInside: Bool) -> String {
        let start = at
        var end = at
        while let byte = next, byte != 0x0a {
            if byte == UInt8(ascii: "#"), at == start || isGap(-1) { break }
            if byte == UInt8(ascii: ":"), isGap(1) || isInside && ValueReader.isBracket(self.byte(1)) { break }
            if isInside, ValueReader.isBracket(byte) { break }
            at += 1
            if byte != 0x20, byte != 0x09, byte != 0x0d { end = at }
        }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    private static func isBracket(_ byte: UInt8?) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"), UInt8(ascii: "}"): true
        default: false
        }
    }

    private mutating func list(_ depth: Int) throws(TextMistake) -> [FileValue] {
        at += 1
        var elements: [FileValue] = []
        while true {
            skipSpace()
            if next == UInt8(ascii: "]") {
                at += 1
                return elements
            }
            elements.append(try value(depth: depth + 1))
            try separator(UInt8(ascii: "]"))
        }
    }

    private mutating func object(_ depth: Int) throws(TextMistake) -> [FileValue.Member] {
        at += 1
        var members: [FileValue.Member] = []
        var lines: [String: Int] = [:]
        while true {
            skipSpace()
            if next == UInt8(ascii: "}") {
                at += 1
                return members
            }
            let start = line
            let key = try key(isInside: true)
            try ValueReader.refuseSecond(key, start, &lines)
            skipSpace()
            members.append(FileValue.Member(key: key, line: start, value: try value(depth: depth + 1)))
            try separator(UInt8(ascii: "}"))
        }
    }

    /// A key and its colon.
    mutating func key(isInside: Bool) throws(TextMistake) -> String {
        let isQuoted = next == UInt8(ascii: "\"") || next == UInt8(ascii: "'")
        if !isQuoted { try refuseIndicator() }
        let key = isQuoted ? try quoted() : plain(isInside: isInside)
        while next == 0x20 || next == 0x09 { at += 1 }
        guard next == UInt8(ascii: ":"), !key.isEmpty, isInside && isQuoted || isGap(1) || isInside && ValueReader.isBracket(byte(1)) else {
            if next == nil, isInside { throw mistake("the file ends within an object: it may be half written") }
            throw mistake("give one `key: value` a line, such as `max-peers: 100`")
        }
        at += 1
        return key
    }

    static func refuseSecond(_ key: String, _ line: Int, _ lines: inout [String: Int]) throws(TextMistake) {
        if let first = lines.updateValue(line, forKey: key) {
            throw TextMistake(line: line, text: "duplicate key '\(key.prefix(80))' (lines \(first) and \(line))")
        }
    }

    /// A comma, or the end, which is not taken.
    private mutating func separator(_ close: UInt8) throws(TextMistake) {
        skipSpace()
        if next == close { return }
        if next == UInt8(ascii: ",") {
            at += 1
            return
        }
        if next == nil { throw mistake("the file ends within a list or an object: it may be half written") }
        throw mistake(unexpected())
    }

    /// What to say of text behind a value: most often an IPv6 endpoint without its quotes.
    func unexpected() -> String {
        guard next == UInt8(ascii: ":") else { return "unexpected text after the value" }
        return "unexpected ':' after the value: put an IPv6 address or endpoint in quotes, such as \"[::1]:24200\""
    }

    /// A text in quotes, on one line.
    mutating func quoted() throws(TextMistake) -> String {
        let quote = bytes[at]
        at += 1
        var result: [UInt8] = []
        while let byte = next {
            at += 1
            if byte == quote {
                if quote == UInt8(ascii: "'"), next == quote {
                    at += 1
                    result.append(quote)
                    continue
                }
                return String(decoding: result, as: UTF8.self)
            }
            switch byte {
            case 0x0a, 0x0d: throw mistake("a quoted text must end on the line where it begins")
            case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""): try escape(into: &result)
            default: result.append(byte)
            }
        }
        throw mistake("the file ends within a quoted text: it may be half written")
    }

    private mutating func escape(into result: inout [UInt8]) throws(TextMistake) {
        let byte = next
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte ?? 0)
        case UInt8(ascii: "b"): result.append(8)
        case UInt8(ascii: "f"): result.append(12)
        case UInt8(ascii: "n"): result.append(10)
        case UInt8(ascii: "r"): result.append(13)
        case UInt8(ascii: "t"): result.append(9)
        case UInt8(ascii: "u"):
            var code = try unit()
            if (0xd800..<0xdc00).contains(code), next == UInt8(ascii: "\\"), self.byte(1) == UInt8(ascii: "u") {
                at += 2
                let low = try unit()
                guard (0xdc00..<0xe000).contains(low) else { throw mistake("invalid surrogate pair in a quoted text") }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw mistake("invalid surrogate pair in a quoted text") }
            result.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw mistake("unknown escape in a quoted text; in 'single quotes' a backslash is a backslash")
        }
    }

    private mutating func unit() throws(TextMistake) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw mistake("\\u needs four hex digits") }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }
}
