// Reads JSON of strangers: total, bounded in depth, with the place of what is wrong.

/// Text that is not JSON, and where it stops being so.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    public let offset: Int
    public let what: String

    public var description: String { "\(what) at byte \(offset)" }
}

extension JSON {
    /// Reads one value, which may be surrounded by white space and by nothing else. Values nest 32
    /// deep and objects have 256 members at most.
    public init(reading bytes: some Collection<UInt8>) throws(JSONError) {
        var reader = JSONReader(bytes: Array(bytes))
        self = try reader.document()
    }
}

private struct JSONReader {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private func error(_ what: String) -> JSONError { JSONError(offset: at, what: what) }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
    }

    mutating func document() throws(JSONError) -> JSON {
        let result = try value(depth: 0)
        skipSpace()
        if next != nil { throw error("something behind the value") }
        return result
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        guard depth < 32 else { throw error("too many levels") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth)
        case UInt8(ascii: "["): return try array(depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case .some: return try number()
        case nil: throw error("the end where a value should be")
        }
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for byte in "\(text)".utf8 {
            guard next == byte else { throw error("no value") }
            at += 1
        }
        return value
    }

    private mutating func object(_ depth: Int) throws(JSONError) -> JSON {
        at += 1
        var members: [JSON.Member] = []
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            return .object([])
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw error("no member's name") }
            let key = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw error("no colon") }
            at += 1
            let value = try value(depth: depth + 1)
            guard members.count < 256 else { throw error("too many members") }
            guard !members.contains(where: { $0.key == key }) else { throw error("the member '\(key)' twice") }
            members.append(JSON.Member(key: key, value: value))
            if try isOver(UInt8(ascii: "}")) { return .object(members) }
        }
    }

    private mutating func array(_ depth: Int) throws(JSONError) -> JSON {
        at += 1
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            return .array([])
        }
        var elements: [JSON] = []
        while true {
            elements.append(try value(depth: depth + 1))
            if try isOver(UInt8(ascii: "]")) { return .array(elements) }
        }
    }

    private mutating func isOver(_ close: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard next == close || next == UInt8(ascii: ",") else { throw error("neither a comma nor an end") }
        defer { at += 1 }
        return next == close
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = at
        while let byte = next, (0x30...0x39).contains(byte) || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains(byte) { at += 1 }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard let first = digits.utf8.first, (0x30...0x39).contains(first), digits.utf8.last.map({ (0x30...0x39).contains($0) }) == true,
            !(digits.hasPrefix("0") && digits.utf8.dropFirst().first.map { (0x30...0x39).contains($0) } == true)
        else {
            at = start
            throw error("no value")
        }
        if let whole = Int64(text) { return .integer(whole) }
        guard let real = Double(text), real.isFinite else {
            at = start
            throw error("no number that fits")
        }
        return .number(real)
    }

    private mutating func string() throws(JSONError) -> String {
        at += 1
        var result: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                at += 1
                guard let text = String(validating: result, as: UTF8.self) else { throw error("text that is not UTF-8") }
                return text
            case UInt8(ascii: "\\"):
                at += 1
                try escape(into: &result)
            case 0..<0x20: throw error("a control character in a text")
            default:
                result.append(byte)
                at += 1
            }
        }
        throw error("the end within a text")
    }

    private mutating func escape(into result: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw error("the end within a text") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
        case UInt8(ascii: "b"): result.append(8)
        case UInt8(ascii: "f"): result.append(12)
        case UInt8(ascii: "n"): result.append(10)
        case UInt8(ascii: "r"): result.append(13)
        case UInt8(ascii: "t"): result.append(9)
        case UInt8(ascii: "u"):
            var code = UInt32(try unit())
            if (0xd800..<0xdc00).contains(code), next == UInt8(ascii: "\\") {
                at += 1
                guard next == UInt8(ascii: "u") else { throw error("half a surrogate pair") }
                at += 1
                let low = UInt32(try unit())
                guard (0xdc00..<0xe000).contains(low) else { throw error("half a surrogate pair") }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
            result.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw error("an escape that JSON does not know")
        }
    }

    private mutating func unit() throws(JSONError) -> UInt16 {
        guard at + 4 <= bytes.count, let code = UInt16(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16),
            bytes[at] != UInt8(ascii: "+")
        else { throw error("no four hex digits") }
        at += 4
        return code
    }
}
