// Spans of time as operators type and read them: `500ms`, `5s`, `2m`, `1h`, `7d`, `2w`. Whole numbers and one unit: no guessing.

public import Timers

extension Nanoseconds {
    /// The form that `init(span:)` accepts, for messages.
    public static let acceptedForm = "a span such as 500ms, 5s, 2m, 1h or 7d"

    /// Reads a span: a whole number followed by `ms`, `s`, `m`, `h`, `d` or `w`. Nil for anything else, overflow included.
    public init?(span text: String) {
        let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard !digits.isEmpty, digits.count <= 18, let number = UInt64(Substring(digits)) else { return nil }
        let unit: UInt64
        switch text.dropFirst(digits.count) {
        case "ms": unit = 1_000_000
        case "s": unit = 1_000_000_000
        case "m": unit = 60_000_000_000
        case "h": unit = 3_600_000_000_000
        case "d": unit = 86_400_000_000_000
        case "w": unit = 604_800_000_000_000
        default: return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        self.init(product)
    }

    /// The shortest form that reads back as the same span; spans finer than a millisecond lose what is below it.
    public var span: String {
        let milliseconds = count / 1_000_000
        if milliseconds == 0 { return "0s" }
        if milliseconds % 3_600_000 == 0 { return "\(milliseconds / 3_600_000)h" }
        if milliseconds % 60_000 == 0 { return "\(milliseconds / 60_000)m" }
        if milliseconds % 1_000 == 0 { return "\(milliseconds / 1_000)s" }
        return "\(milliseconds)ms"
    }
}
