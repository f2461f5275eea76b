// JSON as the control API speaks it: a value that keeps its members' order, written and read without Foundation. Used off the
// loop's thread only: it allocates as it likes.

/// One JSON value.
public enum JSON: Hashable, Sendable {
    /// One member of an object.
    public struct Member: Hashable, Sendable {
        public var key: String
        public var value: JSON
    }

    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    /// Members in the order in which they are written.
    case object([Member])

    /// An object of these members. Those that are nil are left out.
    public static func members(_ members: (String, JSON?)...) -> JSON {
        .object(members.compactMap { key, value in value.map { Member(key: key, value: $0) } })
    }

    /// A count that may be too large for the type: no JSON reader keeps such a number anyway.
    public static func count(_ value: some BinaryInteger) -> JSON { .integer(Int64(clamping: value)) }

    /// The member `key` of an object; nil for anything else.
    public subscript(_ key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// The text, if this is one.
    public var text: String? { if case .string(let text) = self { text } else { nil } }
    /// The elements; none if this is no array.
    public var elements: [JSON] { if case .array(let elements) = self { elements } else { [] } }
    /// The members; none if this is no object.
    public var members: [Member] { if case .object(let members) = self { members } else { [] } }
    /// The whole number, if this is one.
    public var whole: Int64? { if case .integer(let value) = self { value } else { nil } }
    /// The number, if this is one.
    public var real: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .null, .bool, .string, .array, .object: nil
        }
    }
    /// True or false, if this is one of them.
    public var truth: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// Whether this is `null`.
    public var isNull: Bool { self == .null }
}

extension JSON {
    /// On one line, without spaces: for programs, and for one line of a stream.
    public var line: String {
        var text = ""
        write(into: &text, indent: nil)
        return text
    }

    /// Indented by two spaces, with a last newline: `curl` alone shows it to people.
    public var page: String {
        var text = ""
        write(into: &text, indent: 0)
        text += "\n"
        return text
    }

    private func write(into text: inout String, indent: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .number(let value): text += value.isFinite ? JSON.text(of: value) : "null"
        case .string(let value): JSON.quote(value, into: &text)
        case .array(let elements):
            JSON.list(elements.count, "[", "]", into: &text, indent: indent) { index, text, deeper in
                elements[index].write(into: &text, indent: deeper)
            }
        case .object(let members):
            JSON.list(members.count, "{", "}", into: &text, indent: indent) { index, text, deeper in
                JSON.quote(members[index].key, into: &text)
                text += deeper == nil ? ":" : ": "
                members[index].value.write(into: &text, indent: deeper)
            }
        }
    }

    private static func text(of value: Double) -> String {
        let whole = value.rounded(.towardZero)
        return whole == value && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    private static func list(
        _ count: Int, _ open: String, _ close: String, into text: inout String, indent: Int?,
        _ element: (Int, inout String, Int?) -> Void
    ) {
        text += open
        let deeper = indent.map { $0 + 1 }
        for index in 0..<count {
            if index > 0 { text += "," }
            if let deeper { text += "\n" + String(repeating: "  ", count: deeper) }
            element(index, &text, deeper)
        }
        if let indent, count > 0 { text += "\n" + String(repeating: "  ", count: indent) }
        text += close
    }

    private static func quote(_ value: String, into text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where VisibleText.isHidden(scalar): VisibleText.append(scalar, to: &text)
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
