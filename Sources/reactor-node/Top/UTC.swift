// RFC 3339 times as the API writes them, read back.

import Daemon

enum UTC {
    /// Seconds since 1970, now.
    static var now: Double { Double(WallTime.now.milliseconds) / 1_000 }

    /// Seconds since 1970 of `2026-01-31T12:34:56.789Z`; nil for anything else.
    static func seconds(_ text: String) -> Double? {
        let bytes = Array(text.utf8)
        guard bytes.count == 24, bytes[10] == UInt8(ascii: "T"), bytes[23] == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int? { Int(String(decoding: bytes[range], as: UTF8.self)) }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), let milliseconds = number(20..<23), 1...12 ~= month
        else { return nil }
        // Days from a date after Howard Hinnant's `days_from_civil`.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400, ofEra = shifted - era * 400
        let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let days = era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
        return Double(((days * 24 + hour) * 60 + minute) * 60 + second) + Double(milliseconds) / 1_000
    }
}
