// Small texts of the demo: spans, clocks, medians.

import Glibc
import Timers

enum DemoText {
    /// `85µs`, `1.2ms`, `0.84s`, `12.3s`.
    static func span(_ span: Nanoseconds) -> String {
        switch span.count {
        case ..<1_000_000: "\(span.count / 1_000)µs"
        case ..<10_000_000: "\(fixed(span.count / 10_000, 2))ms"
        case ..<1_000_000_000: "\(span.count / 1_000_000)ms"
        case ..<10_000_000_000: "\(fixed(span.count / 10_000_000, 2))s"
        default: "\(fixed(span.count / 100_000_000, 1))s"
        }
    }

    /// `value` hundredths (or tenths) as a decimal number.
    private static func fixed(_ value: UInt64, _ places: Int) -> String {
        let scale: UInt64 = places == 2 ? 100 : 10
        let rest = value % scale
        return "\(value / scale).\(places == 2 && rest < 10 ? "0" : "")\(rest)"
    }

    /// `12.34`, with spaces in front up to `width`.
    static func seconds(_ span: Nanoseconds, width: Int) -> String {
        let text = fixed(span.count / 10_000_000, 2)
        return String(repeating: " ", count: max(width - text.count, 0)) + text
    }

    /// `01:23`.
    static func clock(_ span: Nanoseconds) -> String {
        let seconds = span.count / 1_000_000_000
        let (minutes, rest) = (seconds / 60, seconds % 60)
        return "\(minutes < 10 ? "0" : "")\(minutes):\(rest < 10 ? "0" : "")\(rest)"
    }

    /// What is left, in one character: tenths below a second, whole seconds up to nine.
    static func digit(_ span: Nanoseconds) -> Character {
        let seconds = span.count / 1_000_000_000
        if seconds > 9 { return "+" }
        return Character("\(seconds)")
    }

    static func median(_ spans: [Nanoseconds]) -> Nanoseconds? {
        guard !spans.isEmpty else { return nil }
        return spans.sorted()[spans.count / 2]
    }

    /// Sine and cosine of a part of a full turn.
    static func circle(_ turn: Double) -> (sine: Double, cosine: Double) {
        (sin(turn * 2 * .pi), cos(turn * 2 * .pi))
    }
}
