// The hops that are compared, and what both sides share: a semaphore for the way back to a thread, a clock.

import Glibc

/// One way onto a loop and back. Each is taken so often as asked; what it costs is the difference of two counts.
enum Way: String, CaseIterable {
    /// A thread hands the loop a call, which lets the thread go on.
    case post
    /// The same, 64 calls at once; counted by the call.
    case burst
    /// A task of the global pool has something done on the loop, and awaits it.
    case submit
    /// A task of the global pool awaits a method of an actor that lives on the loop.
    case actor
    /// An actor on the loop awaits a method of another one there.
    case pair

    static let burstSize = 64

    /// How many are timed at a time.
    var sample: Int { self == .pair ? 200_000 : self == .burst ? 64 * 500 : 10_000 }
}

/// One of the two that are compared: a loop on a thread of its own.
protocol Side: Sendable {
    func go(_ way: Way, _ count: Int)
}

/// Where a thread waits for a loop or a task. The same for both sides.
final class Gate: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func open() { sem_post(semaphore) }

    func wait() {
        while sem_wait(semaphore) != 0 {}
    }

    /// Runs a task of the global pool to its end.
    func await(_ body: @escaping @Sendable () async throws -> Void) {
        Task.detached {
            do {
                try await body()
            } catch {
                fatalError("\(error)")
            }
            self.open()
        }
        wait()
    }
}

/// What a task does between two hops, where it came from. Opaque: were there nothing to do, the compiler would leave out the ways back.
@inline(never)
func beBack() {
    errno = 0
}

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
