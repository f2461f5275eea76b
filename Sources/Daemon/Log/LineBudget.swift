// How many lines of one kind a log writes a second. What is above is counted and left out: a disk fills at a rate that its
// operator can reckon with, whatever strangers do.

import Timers

/// A token bucket of lines. Owned by the log's thread.
struct LineBudget {
    private let rate: UInt64
    private let burst: UInt64
    /// Thousandths of a line.
    private var tokens: UInt64
    private var refilledAt: Instant

    /// Lines that are about regular peers and strangers.
    static func strangers(at now: Instant) -> LineBudget { LineBudget(rate: 100, burst: 1_000, at: now) }
    /// Lines that are about masternodes and the node itself.
    static func own(at now: Instant) -> LineBudget { LineBudget(rate: 1_000, burst: 10_000, at: now) }

    /// `rate` lines a second, and `burst` at once.
    init(rate: UInt64, burst: UInt64, at now: Instant) {
        self.rate = rate
        self.burst = burst
        tokens = burst * 1_000
        refilledAt = now
    }

    /// Whether one more line may be written.
    mutating func takes(at now: Instant) -> Bool {
        if now > refilledAt {
            let milliseconds = (now - refilledAt).count / 1_000_000
            if milliseconds > 0 {
                let (gained, overflow) = milliseconds.multipliedReportingOverflow(by: rate)
                tokens = overflow || gained > burst * 1_000 - tokens ? burst * 1_000 : tokens + gained
                refilledAt = refilledAt + .milliseconds(milliseconds)
            }
        }
        guard tokens >= 1_000 else { return false }
        tokens -= 1_000
        return true
    }
}
