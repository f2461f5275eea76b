// What a run has cost this process so far: its own CPU time, so that a busy machine does not change the figures, and memory.

import Glibc

enum Cost {
    private static var usage: rusage {
        var usage = rusage()
        _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage
    }

    static var seconds: Double { Double(usage.ru_utime.tv_sec) + Double(usage.ru_utime.tv_usec) / 1e6 }

    /// The most that was resident at once.
    static var peakMiB: Int { usage.ru_maxrss / 1_024 }

    /// A line that is out is out, whatever follows.
    static func flush() {
        _ = fflush(nil)
    }
}
