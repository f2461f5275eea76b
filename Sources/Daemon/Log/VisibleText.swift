// What of a text may be shown as it is. A peer, a file or a client may have chosen it: no character of it may command a terminal, begin a
// line, or turn the reading order of what follows. One rule for the log, for JSON and for tables.

public enum VisibleText {
    /// Whether a scalar is written as an escape: C0, DEL and C1, line and paragraph separators, marks that turn the direction of text,
    /// and those that have no width.
    static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0xad, 0x61c, 0x180e, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff, 0xfff9...0xfffb,
            0xe0000...0xe0fff:
            true
        default: false
        }
    }

    /// The UTF-16 units of a hidden scalar: what follows each `\u`.
    static func units(_ scalar: Unicode.Scalar) -> (first: UInt16, second: UInt16?) {
        guard scalar.value > 0xffff else { return (UInt16(truncatingIfNeeded: scalar.value), nil) }
        let rest = scalar.value - 0x10000
        return (UInt16(truncatingIfNeeded: 0xd800 + rest >> 10), UInt16(truncatingIfNeeded: 0xdc00 + rest & 0x3ff))
    }

    /// `text` with every hidden scalar as `\uXXXX`.
    public static func escape(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if isHidden(scalar) { append(scalar, to: &result) } else { result.unicodeScalars.append(scalar) }
        }
        return result
    }

    /// Appends the escape of one scalar.
    static func append(_ scalar: Unicode.Scalar, to text: inout String) {
        let (first, second) = units(scalar)
        for unit in [first, second].compactMap({ $0 }) {
            let hex = String(unit, radix: 16)
            text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        }
    }
}

extension JSON {
    /// The same value with every text of it escaped: for tables. Not for `--json`, whose writer escapes by itself.
    public var visible: JSON {
        switch self {
        case .string(let text): .string(VisibleText.escape(text))
        case .array(let elements): .array(elements.map(\.visible))
        case .object(let members): .object(members.map { Member(key: VisibleText.escape($0.key), value: $0.value.visible) })
        case .null, .bool, .integer, .number: self
        }
    }
}
