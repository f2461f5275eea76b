// Times for people: the loop counts from the machine's start, operators in UTC. One value translates for one answer.

import CEpoll
import Timers

/// The two clocks, read at once.
struct Moments {
    let now: Instant
    /// Where the monotonic clock's zero lies, in nanoseconds since 1970.
    let epoch: UInt64

    init() {
        let now = Instant(nanoseconds: cepoll_monotonic())
        self.init(now: now, epoch: cepoll_realtime() &- now.nanoseconds)
    }

    init(now: Instant, epoch: UInt64) {
        self.now = now
        self.epoch = epoch
    }

    /// RFC 3339 in UTC with milliseconds; nil for an instant that never comes.
    func text(_ instant: Instant) -> String? {
        instant == .never ? nil : Moments.text(nanoseconds: epoch &+ instant.nanoseconds)
    }

    /// The same as JSON; null for never.
    func json(_ instant: Instant?) -> JSON {
        instant.flatMap(text).map(JSON.string) ?? .null
    }

    /// Seconds until `instant`, not below zero; null for never.
    func seconds(until instant: Instant) -> JSON {
        instant == .never ? .null : Moments.seconds(instant > now ? instant - now : .zero)
    }

    /// Seconds since `instant`, not below zero.
    func seconds(since instant: Instant) -> JSON {
        Moments.seconds(now > instant ? now - instant : .zero)
    }

    /// Seconds with microseconds.
    static func seconds(_ span: Nanoseconds) -> JSON {
        .number(Double(span.count / 1_000) / 1e6)
    }

    /// RFC 3339 in UTC with milliseconds. Days to a date after Howard Hinnant's `civil_from_days`.
    static func text(nanoseconds: UInt64) -> String {
        let milliseconds = nanoseconds / 1_000_000
        let seconds = milliseconds / 1_000
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let day = days % 146_097
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let date = [pad(year + era * 400 + (month <= 2 ? 1 : 0), 4), pad(month, 2), pad(dayOfYear - (153 * shifted + 2) / 5 + 1, 2)]
        let time = [pad(seconds / 3_600 % 24, 2), pad(seconds / 60 % 60, 2), pad(seconds % 60, 2)]
        return date.joined(separator: "-") + "T" + time.joined(separator: ":") + "." + pad(milliseconds % 1_000, 3) + "Z"
    }

    private static func pad(_ number: UInt64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(width - digits.count, 0)) + digits
    }
}
