// One log line, field by field, as text (`key=value`) or as one JSON object. Both come from the same calls, so they say the
// same. No Foundation and no allocation: the line grows in the thread's one buffer.

import PeerMesh
import Timers

/// How important a line is. A node prints lines of its level and above.
public enum LogLevel: UInt8, Hashable, Comparable, Sendable, CaseIterable {
    case debug, info, warning, error

    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

    /// As the option takes it and JSON lines show it.
    public var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    public init?(_ text: String) {
        guard let level = LogLevel.allCases.first(where: { $0.name == text }) else { return nil }
        self = level
    }
}

extension LogLevel {
    /// The level that the table of close effects gives a reason.
    init(_ level: CloseEffect.Level) {
        switch level {
        case .debug: self = .debug
        case .info: self = .info
        case .warning: self = .warning
        case .error: self = .error
        }
    }
}

/// What a line looks like.
public enum LogFormat: String, Hashable, Sendable, CaseIterable {
    case text
    case json
}

/// Writes the fields of one line into a buffer.
struct LogLine {
    private let buffer: LineBuffer
    private let format: LogFormat

    /// Opens a line. `time` is nanoseconds since 1970.
    init(_ buffer: LineBuffer, _ format: LogFormat, time: UInt64, level: LogLevel, event: StaticString) {
        self.buffer = buffer
        self.format = format
        switch format {
        case .text:
            appendTime(time)
            buffer.append(" ")
            buffer.append(level.name)
            for _ in level.name.utf8.count..<8 { buffer.append(" ") }
            buffer.append(event)
        case .json:
            buffer.append("{\"time\":\"")
            appendTime(time)
            buffer.append("\",\"level\":\"")
            buffer.append(level.name)
            buffer.append("\",\"event\":\"")
            buffer.append(event)
            buffer.append("\"")
        }
    }

    /// Closes the line.
    func end() {
        if format == .json { buffer.append("}") }
        buffer.append("\n")
    }

    private func key(_ key: StaticString) {
        switch format {
        case .text:
            buffer.append(" ")
            buffer.append(key)
            buffer.append("=")
        case .json:
            buffer.append(",\"")
            buffer.append(key)
            buffer.append("\":")
        }
    }

    /// A field whose name is made at run time: of the opening lines only.
    func field(named name: String, word: String, isNumber: Bool) {
        buffer.append(format == .text ? " " : ",\"")
        buffer.append(name)
        buffer.append(format == .text ? "=" : "\":")
        let isQuoted = format == .json && !isNumber
        if isQuoted { buffer.append("\"") }
        buffer.append(word)
        if isQuoted { buffer.append("\"") }
    }

    func field(_ name: StaticString, _ value: UInt64) {
        key(name)
        buffer.append(decimal: value)
    }

    /// Seconds with three decimals.
    func field(_ name: StaticString, _ value: Nanoseconds) {
        key(name)
        buffer.append(seconds: value.count)
        if format == .text { buffer.append("s") }
    }

    func field(_ name: StaticString, _ value: Endpoint) {
        key(name)
        if format == .json { buffer.append("\"") }
        buffer.append(value)
        if format == .json { buffer.append("\"") }
    }

    /// A word of our own: letters, digits, hyphens, brackets.
    func field(_ name: StaticString, word: String) {
        key(name)
        if format == .json { buffer.append("\"") }
        buffer.append(word)
        if format == .json { buffer.append("\"") }
    }

    /// Any text. In text lines it is quoted where it holds more than a word.
    func field(_ name: StaticString, text: String) {
        key(name)
        let isWord = !text.isEmpty && text.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "\\" && !VisibleText.isHidden($0) }
        let isQuoted = format == .json || !isWord
        if isQuoted { buffer.append("\"") }
        let begin = buffer.count
        for scalar in text.unicodeScalars {
            // The line must end within its room, whatever it holds.
            guard buffer.count - begin < LogLine.longestText else {
                buffer.append("...")
                break
            }
            appendEscaped(scalar)
        }
        if isQuoted { buffer.append("\"") }
    }

    /// Bytes of a field's text; what is longer is cut. A path has 4,095 at most, and three such fields fit into a line's room.
    private static let longestText = 2_000

    /// Text of our own source: no quote, no backslash, no control character.
    func field(_ name: StaticString, text: StaticString) {
        key(name)
        buffer.append("\"")
        buffer.append(text)
        buffer.append("\"")
    }

    /// Bytes in hexadecimal.
    func bytes(_ name: StaticString, count: Int, _ byte: (Int) -> UInt8) {
        key(name)
        if format == .json { buffer.append("\"") }
        for index in 0..<count {
            appendHexDigit(byte(index) >> 4)
            appendHexDigit(byte(index) & 0xf)
        }
        if format == .json { buffer.append("\"") }
    }

    /// What JSON demands, and every scalar that a terminal would obey instead of show.
    private func appendEscaped(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\"": buffer.append("\\\"")
        case "\\": buffer.append("\\\\")
        case "\n": buffer.append("\\n")
        case "\r": buffer.append("\\r")
        case "\t": buffer.append("\\t")
        case _ where VisibleText.isHidden(scalar):
            let (first, second) = VisibleText.units(scalar)
            appendUnit(first)
            if let second { appendUnit(second) }
        default:
            for byte in Unicode.UTF8.encode(scalar) ?? Unicode.UTF8.encodedReplacementCharacter { buffer.append(byte: byte) }
        }
    }

    private func appendUnit(_ unit: UInt16) {
        buffer.append("\\u")
        for shift in [12, 8, 4, 0] as [UInt16] { appendHexDigit(UInt8(truncatingIfNeeded: unit >> shift & 0xf)) }
    }

    private func appendHexDigit(_ digit: UInt8) {
        buffer.append(byte: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }

    /// RFC 3339 in UTC with milliseconds.
    private func appendTime(_ nanoseconds: UInt64) {
        let time = CivilTime(milliseconds: nanoseconds / 1_000_000)
        buffer.append(decimal: time.year, width: 4)
        buffer.append("-")
        buffer.append(decimal: time.month, width: 2)
        buffer.append("-")
        buffer.append(decimal: time.day, width: 2)
        buffer.append("T")
        buffer.append(decimal: time.hour, width: 2)
        buffer.append(":")
        buffer.append(decimal: time.minute, width: 2)
        buffer.append(":")
        buffer.append(decimal: time.second, width: 2)
        buffer.append(".")
        buffer.append(decimal: time.millisecond, width: 3)
        buffer.append("Z")
    }
}
