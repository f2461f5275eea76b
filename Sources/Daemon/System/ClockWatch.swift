// Notices that the system's clock was set: by hand, or by the time service after a boot without a clock. What is dated by it must be
// judged again. Slewing, which is how a clock in order is kept right, is not noticed.

import CEpoll

/// Wakes its reader when the clock is set. One thread.
final class ClockWatch {
    /// Readable when the clock was set; -1 if the system cannot tell, and then only `shift()` does.
    let descriptor: CInt
    /// The calendar's time less the time since boot, sleep included: it changes only when the clock is set.
    private var offset: Int64

    /// Less is slewing, or the time between two readings.
    private static let least: Int64 = 2_000

    init() {
        offset = ClockWatch.offset()
        descriptor = max(cepoll_clock_watch(), -1)
        if descriptor >= 0 { _ = cepoll_clock_watch_again(descriptor) }
    }

    deinit {
        if descriptor >= 0 { Descriptors.close(descriptor) }
    }

    /// By how many milliseconds the clock was set since the last call; nil if it was not.
    func shift() -> Int64? {
        if descriptor >= 0 { _ = cepoll_clock_watch_again(descriptor) }
        let now = ClockWatch.offset()
        let moved = now - offset
        guard abs(moved) >= ClockWatch.least else { return nil }
        offset = now
        return moved
    }

    private static func offset() -> Int64 {
        Int64(cepoll_realtime() / 1_000_000) - Int64(cepoll_boottime() / 1_000_000)
    }
}
