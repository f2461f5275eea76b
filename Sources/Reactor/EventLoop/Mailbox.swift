// How other threads reach the loop: a bounded ring of atomics (many writers, one reader) and one eventfd. No lock, so
// that nobody who posts can ever hold the loop up.
//
// The eventfd is registered edge-triggered and never read: each write is an edge of its own, and 2^64 of them do not fit
// into the life of a machine. It is written once a batch: `isSignalled` stays set from the first post until the loop has
// seen the wake and is about to drain. The mailbox outlives its loop (trap 30): a post then answers `.closed`.

import CEpoll
import Synchronization

/// The loop's letter box. Any thread may post; the loop delivers in its own phase, in the order of posting.
@safe
public final class Mailbox: @unchecked Sendable {
    /// One place of the ring. `turn` says whose it is: the ticket number when free for it, ticket + 1 when filled.
    @safe
    struct Cell: ~Copyable {
        let turn: Atomic<Int>
        var target = SourceHandle(index: 0, generation: 0)
        var kind: UInt32 = 0
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var object: Unmanaged<AnyObject>?
    }

    private let cells: UnsafeMutablePointer<Cell>
    private let mask: Int
    private let tickets = Atomic<Int>(0)
    private let isSignalled = Atomic<Bool>(false)
    private let isClosed = Atomic<Bool>(false)
    private let stopRequest = Atomic<Bool>(false)
    /// The reader's next ticket. The loop's thread alone touches it; atomic only to be a constant of the class.
    private let head = Atomic<Int>(0)
    /// For the loop's epoll.
    let eventDescriptor: CInt
    /// Reads 0 in a forked child.
    let forkMark: UnsafeMutablePointer<UInt32>

    /// `capacity` must be a power of two, at least 2.
    init(capacity: Int) throws(SystemError) {
        precondition(capacity >= 2 && capacity & (capacity - 1) == 0, "a mailbox holds a power of two of jobs")
        guard let mark = unsafe cepoll_fork_mark() else { throw SystemError(.forkMark, CEPOLL_ENOMEM) }
        let event = cepoll_eventfd()
        if event < 0 { unsafe cepoll_fork_mark_free(mark) }
        eventDescriptor = try SystemError.check(event, .eventfd)
        unsafe forkMark = mark
        mask = capacity - 1
        unsafe cells = .allocate(capacity: capacity)
        for index in 0..<capacity {
            unsafe (cells + index).initialize(to: Cell(turn: Atomic(index)))
        }
    }

    deinit {
        while take() != nil {}
        unsafe cells.deinitialize(count: mask + 1)
        unsafe cells.deallocate()
        _ = cepoll_close(eventDescriptor)
        unsafe cepoll_fork_mark_free(forkMark)
    }

    /// Posts `job` to the source behind `target`. Any thread; never blocks; allocates nothing.
    public func post(_ job: Job, to target: SourceHandle) -> PostResult {
        guard !isClosed.load(ordering: .acquiring) else { return .closed }
        guard let ticket = takeTicket() else { return .full }
        let cell = unsafe cells + (ticket & mask)
        unsafe cell.pointee.target = target
        unsafe cell.pointee.kind = job.kind
        unsafe cell.pointee.a = job.a
        unsafe cell.pointee.b = job.b
        unsafe cell.pointee.c = job.c
        unsafe cell.pointee.object = job.object.map { unsafe Unmanaged.passRetained($0 as AnyObject) }
        unsafe cell.pointee.turn.store(ticket + 1, ordering: .releasing)
        wake()
        return .posted
    }

    /// Makes the loop's `run` return after the iteration that it is in. Any thread.
    public func stop() {
        stopRequest.store(true, ordering: .releasing)
        wake()
    }

    private func takeTicket() -> Int? {
        var ticket = tickets.load(ordering: .relaxed)
        while true {
            let turn = unsafe cells[ticket & mask].turn.load(ordering: .acquiring)
            if turn == ticket {
                let (won, current) = tickets.weakCompareExchange(
                    expected: ticket, desired: ticket + 1, ordering: .relaxed
                )
                if won { return ticket }
                ticket = current
            } else if turn < ticket {
                return nil
            } else {
                ticket = tickets.load(ordering: .relaxed)
            }
        }
    }

    /// One write a batch: whoever finds the flag down writes, all others rely on that write.
    func wake() {
        if !isSignalled.exchange(true, ordering: .sequentiallyConsistent) {
            // In a child the eventfd is the parent's, too: a write would wake the parent.
            if unsafe forkMark.pointee == 0 { refuseForked() }
            _ = cepoll_eventfd_add(eventDescriptor)
        }
    }
}

// The reader's side: the loop's thread only.
extension Mailbox {
    /// The next job with its target, or nil. The place is free for writers when this returns.
    func take() -> (SourceHandle, Job)? {
        let ticket = head.load(ordering: .relaxed)
        let cell = unsafe cells + (ticket & mask)
        guard unsafe cell.pointee.turn.load(ordering: .acquiring) == ticket + 1 else { return nil }
        var job = unsafe Job(kind: cell.pointee.kind, a: cell.pointee.a, b: cell.pointee.b, c: cell.pointee.c)
        if let object = unsafe cell.pointee.object {
            job.object = unsafe unsafeBitCast(object.takeRetainedValue(), to: (any AnyObject & Sendable).self)
            unsafe cell.pointee.object = nil
        }
        let target = unsafe cell.pointee.target
        unsafe cell.pointee.turn.store(ticket + mask + 1, ordering: .releasing)
        head.store(ticket + 1, ordering: .relaxed)
        return (target, job)
    }

    /// Whether a job waits.
    var hasJobs: Bool {
        let ticket = head.load(ordering: .relaxed)
        return unsafe cells[ticket & mask].turn.load(ordering: .acquiring) == ticket + 1
    }

    /// The wake was seen: from here on a post wakes anew. Must come before the drain, or a post between is slept over.
    func acknowledgeWake() {
        _ = isSignalled.exchange(false, ordering: .sequentiallyConsistent)
    }

    /// Whether `stop` was called.
    var isStopRequested: Bool { stopRequest.load(ordering: .acquiring) }

    func forgetStop() { stopRequest.store(false, ordering: .releasing) }

    /// For a forked child that starts anew: nothing waits, nobody has written. What another thread of the parent was just
    /// writing is left where it is: its half of an object would be nobody's.
    func forgetAll() {
        while take() != nil {}
        for index in 0...mask {
            unsafe cells[index].turn.store(index, ordering: .relaxed)
        }
        tickets.store(0, ordering: .relaxed)
        head.store(0, ordering: .relaxed)
        isSignalled.store(false, ordering: .relaxed)
        stopRequest.store(false, ordering: .relaxed)
    }

    /// The loop is going away.
    func close() {
        #if REACTOR_FAULTS
            if isLeftOut(30) { return }
        #endif
        isClosed.store(true, ordering: .releasing)
    }
}
