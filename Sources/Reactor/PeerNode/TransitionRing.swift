// The way from the loop's thread to the log's: a bounded ring with one writer and one reader, and no lock. A reader that
// is behind loses records, and their number is told. A busy reader costs the loop no system call: it is woken only if it
// said that it sleeps.

import CEpoll
import Synchronization

/// Records on their way to one reader on another thread.
@safe
public final class TransitionRing: @unchecked Sendable {
    private let records: UnsafeMutablePointer<NodeRecord?>
    private let mask: Int
    /// The next place to write. Only the writer stores it.
    private let tail = Atomic<Int>(0)
    /// The next place to read. Only the reader stores it.
    private let head = Atomic<Int>(0)
    private let lostCount = Atomic<UInt64>(0)
    private let isClosedFlag = Atomic<Bool>(false)
    private let isReaderAsleep = Atomic<Bool>(false)
    private let wakeDescriptor: CInt

    init(capacity: Int) throws(SystemError) {
        precondition(capacity >= 2 && capacity & (capacity - 1) == 0, "a ring holds a power of two of records")
        wakeDescriptor = try SystemError.check(cepoll_eventfd(), .eventfd)
        mask = capacity - 1
        unsafe records = .allocate(capacity: capacity)
        unsafe records.initialize(repeating: nil, count: capacity)
    }

    deinit {
        unsafe records.deinitialize(count: mask + 1)
        unsafe records.deallocate()
        _ = cepoll_close(wakeDescriptor)
    }

    /// Records that found the ring full since it was made. Any thread.
    public var lost: UInt64 { lostCount.load(ordering: .relaxed) }

    /// Whether the node is over: what is in the ring is the last of it. Any thread.
    public var isClosed: Bool { isClosedFlag.load(ordering: .acquiring) }

    // MARK: The loop's side

    /// Never blocks. A full ring drops the record and counts it.
    func push(_ record: NodeRecord) {
        let tail = tail.load(ordering: .relaxed)
        guard tail - head.load(ordering: .acquiring) <= mask else {
            lostCount.wrappingAdd(1, ordering: .relaxed)
            return
        }
        unsafe records[tail & mask] = record
        self.tail.store(tail + 1, ordering: .sequentiallyConsistent)
        wakeReader()
    }

    func close() {
        isClosedFlag.store(true, ordering: .sequentiallyConsistent)
        wakeReader()
    }

    /// Wakes the reader for what came to it another way. Any thread.
    public func wake() {
        wakeReader()
    }

    private func wakeReader() {
        guard isReaderAsleep.load(ordering: .sequentiallyConsistent) else { return }
        isReaderAsleep.store(false, ordering: .sequentiallyConsistent)
        _ = cepoll_eventfd_add(wakeDescriptor)
    }

    // MARK: The reader's side: one thread

    /// The next record, or nil if there is none now.
    public func pop() -> NodeRecord? {
        let head = head.load(ordering: .relaxed)
        guard head < tail.load(ordering: .acquiring) else { return nil }
        let record = unsafe records[head & mask]
        self.head.store(head + 1, ordering: .releasing)
        return record
    }

    /// Sleeps until there is a record, the ring is closed, or `milliseconds` are over; a negative number waits for ever.
    /// `hasOther` tells whether the reader has work from elsewhere, whose writers call `wake` after they wrote.
    public func wait(milliseconds: Int32 = -1, unless hasOther: () -> Bool = { false }) {
        isReaderAsleep.store(true, ordering: .sequentiallyConsistent)
        let isEmpty = head.load(ordering: .relaxed) == tail.load(ordering: .sequentiallyConsistent)
        if isEmpty && !isClosedFlag.load(ordering: .sequentiallyConsistent) && !hasOther() {
            _ = cepoll_poll_readable(wakeDescriptor, milliseconds)
        }
        isReaderAsleep.store(false, ordering: .sequentiallyConsistent)
        _ = cepoll_eventfd_take(wakeDescriptor)
    }
}
