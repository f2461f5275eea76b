// A ring of plain records from one thread to one other: no lock, no allocation; full means dropped and counted. The reader
// sleeps on an eventfd, which the writer touches only while the reader says that it sleeps.

import CEpoll
import Synchronization

/// Single producer, single consumer. The reader may share one eventfd among several rings.
@safe
final class RecordRing<Record: BitwiseCopyable & Sendable>: @unchecked Sendable {
    private let records: UnsafeMutablePointer<Record>
    private let mask: Int
    private let head = Atomic<Int>(0)
    private let tail = Atomic<Int>(0)
    private let droppedCount = Atomic<UInt64>(0)
    private let doorbell: Doorbell

    /// `capacity` must be a power of two.
    init(capacity: Int, doorbell: Doorbell) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        unsafe records = .allocate(capacity: capacity)
        mask = capacity - 1
        self.doorbell = doorbell
    }

    deinit {
        unsafe records.deallocate()
    }

    /// The producer's side. False if the ring is full: the record is counted as lost.
    @discardableResult
    func push(_ record: Record) -> Bool {
        let end = tail.load(ordering: .relaxed)
        guard end - head.load(ordering: .acquiring) <= mask else {
            droppedCount.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        unsafe (records + (end & mask)).initialize(to: record)
        tail.store(end + 1, ordering: .releasing)
        doorbell.ring()
        return true
    }

    /// The consumer's side.
    func pop() -> Record? {
        let start = head.load(ordering: .relaxed)
        guard start != tail.load(ordering: .acquiring) else { return nil }
        let record = unsafe records[start & mask]
        head.store(start + 1, ordering: .releasing)
        return record
    }

    var isEmpty: Bool { head.load(ordering: .relaxed) == tail.load(ordering: .acquiring) }

    /// Records lost since the ring was made.
    var dropped: UInt64 { droppedCount.load(ordering: .relaxed) }
}

/// What wakes a sleeping reader.
final class Doorbell: Sendable {
    let descriptor: CInt
    private let isAsleep = Atomic<Bool>(false)

    init() throws(DaemonError) {
        descriptor = cepoll_eventfd()
        guard descriptor >= 0 else { throw DaemonError.system("cannot make an eventfd", -descriptor) }
    }

    deinit {
        _ = cepoll_close(descriptor)
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
