// Sending: frames are queued, then written once for all of an iteration's events, in as few calls as the kernel takes.
// Writability is asked for only after a short write (a change of interest costs as much as a receive).

import CEpoll

/// What one round of writing did.
struct Written: Hashable, Sendable {
    enum Outcome: Hashable, Sendable {
        /// Nothing is left.
        case empty
        /// The kernel's buffer is full: wait for writability.
        case blocked
        /// The budget is used up; the kernel would take more.
        case budget
        case failed(Int32)
    }

    var outcome: Outcome
    /// Bytes that the kernel took.
    var bytes: Int
}

extension Stream {
    private static let pieceCount = 64

    /// Queues a bulk frame.
    final func enqueue(_ frame: RawSpan, _ insistence: Insistence) -> Queued {
        let verdict = mayQueue(frame.byteCount, insistence)
        guard verdict == .queued else { return verdict }
        let queue = unsafe openQueue()
        guard unsafe queue.pointee.append(frame, account, isUrgent: insistence == .must) else { return refuse() }
        return .queued
    }

    /// Queues a bulk frame that other streams send, too.
    final func enqueue(shared buffer: SharedBuffer, _ insistence: Insistence) -> Queued {
        let verdict = mayQueue(buffer.count, insistence)
        guard verdict == .queued else { return verdict }
        let queue = unsafe openQueue()
        guard unsafe queue.pointee.append(shared: buffer, account, memory.shared) else { return refuse() }
        return .queued
    }

    /// Queues a ping or pong, ahead of all bulk frames that are not begun.
    final func enqueue(control frame: RawSpan) -> Queued {
        guard controlCount + frame.byteCount <= limits.controlLimit else { return .overLimit }
        let queue = unsafe openQueue()
        unsafe queue.pointee.append(control: frame, account)
        return .queued
    }

    private final func mayQueue(_ count: Int, _ insistence: Insistence) -> Queued {
        let queued = bulkCount
        switch insistence {
        case .yields:
            // A frame may be larger than the mark: it is taken if nothing much waits, so that it is ever sent at all.
            return queued >= limits.highWater || queued + count > hardLimit ? .wouldBlock : .queued
        case .insists:
            return queued + count > hardLimit ? .overLimit : .queued
        case .must:
            return queued + count > limits.hardLimit ? .overLimit : .queued
        }
    }

    /// Whether a frame of `count` bytes could be queued if nothing else held memory.
    final func mayEverQueue(_ count: Int) -> Bool {
        guard count <= limits.hardLimit, isReserved || count <= memory.strangerLimit else { return false }
        // Beside the frame: the queue itself, and the block of its lengths.
        return count <= BufferPool.largestBlock && BufferPool.capacity(for: count) + 2 * StreamMemory.queueSize <= account.limit
    }

    /// A stranger's incoming frame and its queue have one bound together.
    private final var hardLimit: Int {
        isReserved ? limits.hardLimit : min(limits.hardLimit, memory.strangerLimit - inboundMemory)
    }

    private final func openQueue() -> UnsafeMutablePointer<OutQueue> {
        if let queue = unsafe queue { return unsafe queue }
        let made = unsafe memory.makeQueue(account)
        unsafe queue = made
        return unsafe made
    }

    /// The pool refused.
    private final func refuse() -> Queued {
        closeEmptyQueue()
        return .wouldBlock
    }

    private final func closeEmptyQueue() {
        guard let empty = unsafe queue, unsafe empty.pointee.isEmpty else { return }
        unsafe memory.give(empty, account)
        unsafe queue = nil
    }

    /// Whether the queue has just risen above its high-water mark.
    final func hasRisen() -> Bool {
        guard !isAboveMark, bulkCount >= limits.highWater else { return false }
        isAboveMark = true
        return true
    }

    /// Whether the queue has just sunk to its low-water mark.
    final func hasSunk() -> Bool {
        guard isAboveMark, bulkCount <= limits.lowWater else { return false }
        isAboveMark = false
        return true
    }

    /// Writes what the kernel takes, until nothing is left, it is full, or `budget` bytes are gone.
    final func write(budget: Int) -> Written {
        var written = Written(outcome: .empty, bytes: 0)
        guard let queue = unsafe queue else { return written }
        while unsafe !queue.pointee.isEmpty {
            guard written.bytes < budget else {
                written.outcome = .budget
                return written
            }
            let (offered, result) = unsafe sendOnce(queue)
            switch Transfer(result: result) {
            case .bytes(let count):
                unsafe queue.pointee.take(count, account, memory.shared)
                written.bytes += count
                guard count < offered else { continue }
                written.outcome = .blocked
            case .wouldBlock, .ended:
                written.outcome = .blocked
            case .failed(let error):
                written.outcome = .failed(error)
            }
            return written
        }
        closeEmptyQueue()
        return written
    }

    private final func sendOnce(_ queue: UnsafeMutablePointer<OutQueue>) -> (offered: Int, result: Int) {
        let descriptor = self.descriptor
        return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.pieceCount) { pieces in
            let (count, bytes) = unsafe queue.pointee.gather(into: pieces)
            return (bytes, unsafe cepoll_send_pieces(descriptor, pieces.baseAddress, count))
        }
    }
}
