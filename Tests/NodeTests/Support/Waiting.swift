// How tests wait: by the monotonic clock, for a condition, on a thread that is theirs.

import Foundation

/// The monotonic clock, for tests.
enum Clock {
    static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Asks every `interval` seconds until `condition` holds; false if it never did within `limit` seconds.
    static func poll(limit: Double, every interval: Double = 0.05, _ condition: () throws -> Bool) rethrows -> Bool {
        let deadline = seconds + limit
        while true {
            if try condition() { return true }
            if seconds >= deadline { return false }
            usleep(UInt32(interval * 1e6))
        }
    }
}

/// Runs blocking test code on a thread of its own: the tests' two pool threads stay free for other tests. It stays the
/// same task, so that what it finds is told of the right test.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withTaskExecutorPreference(ThreadExecutor.shared) { try body() }
}

/// A thread for each job.
private final class ThreadExecutor: TaskExecutor {
    static let shared = ThreadExecutor()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let thread = Thread { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
        thread.stackSize = 1 << 21
        thread.start()
    }
}
