// The part of YAML that flat settings need: one `key: value` a line; a list in brackets, or one `- value` a line below its key;
// comments; texts with or without quotes. Nothing nests, so that the reader needs no stack.

extension ValueReader {
    /// An object: of `key: value` lines, or in braces. Nil for a text of blank lines and comments.
    static func settings(_ bytes: [UInt8]) throws(TextMistake) -> FileValue? {
        var reader = ValueReader(bytes)
        return try reader.settings()
    }

    private mutating func settings() throws(TextMistake) -> FileValue? {
        var indent = try skipBlankLines()
        if isMarker("---") {
            at += 3
            try restOfLine()
            indent = try skipBlankLines()
        }
        guard let first = next else {
            // What was cut within its first comment, and a mark without a document, are not "no settings".
            if bytes.last != 0x0a, !bytes.isEmpty { throw unended }
            guard bytes.isEmpty || bytes.contains(UInt8(ascii: "#")) else { throw TextMistake(line: 1, text: FileFault.empty.description) }
            return nil
        }
        if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") {
            let value = try value(depth: 0)
            try end()
            return value
        }
        guard bytes.last == 0x0a else { throw unended }
        return FileValue(line: line, kind: .object(try members(indent)))
    }

    private var unended: TextMistake {
        TextMistake(line: 1 + bytes.count(where: { $0 == 0x0a }), text: "the last line has no end: it may be half written; end it with a newline")
    }

    private mutating func members(_ indent: Int) throws(TextMistake) -> [FileValue.Member] {
        var members: [FileValue.Member] = []
        var lines: [String: Int] = [:]
        var found = indent
        while next != nil {
            if isMarker("---") || isMarker("...") { throw mistake("only one document a file is read") }
            guard found == indent else { throw mistake("unexpected indentation: settings do not nest, and a value ends with its line") }
            guard next != UInt8(ascii: "-") || !isGap(1) else { throw mistake("give one `key: value` a line, such as `max-peers: 100`") }
            let start = line
            let key = try key(isInside: false)
            try ValueReader.refuseSecond(key, start, &lines)
            let value: FileValue
            (value, found) = try lineValue(below: indent)
            members.append(FileValue.Member(key: key, line: start, value: value))
        }
        return members
    }

    /// What follows a key's colon, and the indentation of the line after it.
    private mutating func lineValue(below indent: Int) throws(TextMistake) -> (FileValue, Int) {
        let start = line
        skipBlanks()
        if next != nil, next != 0x0a, next != 0x0d, next != UInt8(ascii: "#") {
            let value = try oneLine()
            return (value, try skipBlankLines())
        }
        skipLine()
        let found = try skipBlankLines()
        guard next == UInt8(ascii: "-"), isGap(1), found >= indent else {
            if next != nil, found > indent { throw mistake("unexpected indentation: settings do not nest") }
            return (FileValue(line: start, kind: .nothing("")), found)
        }
        return try dashes(found, start)
    }

    /// `- value`, one a line.
    private mutating func dashes(_ indent: Int, _ start: Int) throws(TextMistake) -> (FileValue, Int) {
        var elements: [FileValue] = []
        var found = indent
        while next == UInt8(ascii: "-"), isGap(1), found == indent {
            guard elements.count < ValueReader.most else { throw mistake("more than \(ValueReader.most) values") }
            at += 1
            skipBlanks()
            if next == nil || next == 0x0a || next == 0x0d || next == UInt8(ascii: "#") {
                elements.append(FileValue(line: line, kind: .nothing("")))
                skipLine()
            } else {
                elements.append(try oneLine())
            }
            found = try skipBlankLines()
        }
        return (FileValue(line: start, kind: .list(elements)), found)
    }

    /// A value that begins here; what is in brackets may take several lines.
    private mutating func oneLine() throws(TextMistake) -> FileValue {
        let start = line
        switch next {
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            let value = try value(depth: 0)
            try restOfLine()
            return value
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            let text = try quoted()
            try restOfLine()
            return FileValue(line: start, kind: .text(text))
        default:
            try refuseIndicator()
            let text = plain(isInside: false)
            if next == UInt8(ascii: ":") { throw mistake("unexpected ': ' in a value; put a text that contains it in quotes") }
            skipLine()
            return FileValue(line: start, kind: ValueReader.kind(of: text))
        }
    }

    private mutating func skipBlanks() {
        while next == 0x20 || next == 0x09 { at += 1 }
    }

    /// Refuses all but blanks and a comment up to the line's end.
    private mutating func restOfLine() throws(TextMistake) {
        skipBlanks()
        guard next == nil || next == 0x0a || next == 0x0d || next == UInt8(ascii: "#") && isGap(-1) else { throw mistake(unexpected()) }
        skipLine()
    }

    private func isMarker(_ text: StaticString) -> Bool {
        let marker = Array("\(text)".utf8)
        return (at == 0 || bytes[at - 1] == 0x0a) && bytes[at...].starts(with: marker) && isGap(marker.count)
    }

    /// To the next line with content; how far it is indented.
    private mutating func skipBlankLines() throws(TextMistake) -> Int {
        while true {
            if at > 0, next == 0x0a, bytes[at - 1] != 0x0a {
                line += 1
                at += 1
            }
            let start = at
            while next == 0x20 { at += 1 }
            let indent = at - start
            while next == 0x20 || next == 0x09 || next == 0x0d { at += 1 }
            switch next {
            case nil: return 0
            case 0x0a:
                line += 1
                at += 1
            case UInt8(ascii: "#"): skipLine()
            default:
                guard at == start + indent else { throw mistake("a tab indents this line; use spaces") }
                return indent
            }
        }
    }
}
