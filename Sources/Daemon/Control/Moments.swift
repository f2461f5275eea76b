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
        instant == .never ? nil : Moments.text(milliseconds: (epoch &+ instant.nanoseconds) / 1_000_000)
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

    /// A time of the calendar as JSON; null for none.
    static func json(_ time: WallTime?) -> JSON {
        time.map { .string(text(milliseconds: UInt64(max($0.milliseconds, 0)))) } ?? .null
    }

    /// RFC 3339 in UTC with milliseconds.
    private static func text(milliseconds: UInt64) -> String {
        let time = CivilTime(milliseconds: milliseconds)
        let date = [pad(time.year, 4), pad(time.month, 2), pad(time.day, 2)]
        let clock = [pad(time.hour, 2), pad(time.minute, 2), pad(time.second, 2)]
        return date.joined(separator: "-") + "T" + clock.joined(separator: ":") + "." + pad(time.millisecond, 3) + "Z"
    }

    private static func pad(_ number: UInt64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(width - digits.count, 0)) + digits
    }
}
