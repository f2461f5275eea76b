// A moment as calendars write it. The one place that turns milliseconds into a date: the log and the control API print it.

/// Date and time of day in UTC.
struct CivilTime: BitwiseCopyable {
    let year: UInt64
    let month: UInt64
    let day: UInt64
    let hour: UInt64
    let minute: UInt64
    let second: UInt64
    let millisecond: UInt64

    /// Of milliseconds since 1970. Days to a date after Howard Hinnant's `civil_from_days`.
    init(milliseconds: UInt64) {
        let seconds = milliseconds / 1_000
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let ofEra = days % 146_097
        let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let dayOfYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        hour = seconds / 3_600 % 24
        minute = seconds / 60 % 60
        second = seconds % 60
        millisecond = milliseconds % 1_000
    }
}
