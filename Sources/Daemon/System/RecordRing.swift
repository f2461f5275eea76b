// A ring of plain records from one thread to one other: no lock, no allocation; full means dropped and counted. It wakes
// nobody: whoever writes knows how its reader sleeps.

import Synchronization

/// Single producer, single consumer.
@safe
final class RecordRing<Record: BitwiseCopyable & Sendable>: @unchecked Sendable {
    private let records: UnsafeMutablePointer<Record>
    private let mask: Int
    private let head = Atomic<Int>(0)
    private let tail = Atomic<Int>(0)
    private let droppedCount = Atomic<UInt64>(0)

    /// `capacity` must be a power of two.
    init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        unsafe records = .allocate(capacity: capacity)
        mask = capacity - 1
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
