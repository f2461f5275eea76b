// How a thread sleeps until another has something for it: an eventfd, written only while the reader says that it sleeps.

import CEpoll
import Synchronization

/// What wakes a sleeping reader.
final class Doorbell: Sendable {
    let descriptor: CInt
    private let isAsleep = Atomic<Bool>(false)

    init() throws(DaemonError) {
        let descriptor = cepoll_eventfd()
        guard descriptor >= 0 else { throw DaemonError.system("cannot make an eventfd", -descriptor) }
        self.descriptor = descriptor
    }

    deinit {
        Descriptors.close(descriptor)
    }

    /// Wakes the reader if it sleeps. Any thread.
    func ring() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if isAsleep.load(ordering: .relaxed), isAsleep.exchange(false, ordering: .acquiringAndReleasing) {
            _ = cepoll_eventfd_add(descriptor)
        }
    }

    /// The reader is about to sleep: from here on a ring writes. It must look at its rings once more before it waits.
    func willSleep() {
        isAsleep.store(true, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The reader is awake again.
    func didWake() {
        isAsleep.store(false, ordering: .relaxed)
        Descriptors.drain(eventfd: descriptor)
    }
}
