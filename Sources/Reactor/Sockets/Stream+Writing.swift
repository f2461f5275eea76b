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
    func enqueue(_ frame: RawSpan, _ insistence: Insistence) -> Queued {
        let verdict = mayQueue(frame.byteCount, insistence)
        guard verdict == .queued else { return verdict }
        return queue.append(frame, memory.pool) ? .queued : .wouldBlock
    }

    /// Queues a bulk frame that other streams send, too.
    func enqueue(shared buffer: SharedBuffer, _ insistence: Insistence) -> Queued {
        let verdict = mayQueue(buffer.count, insistence)
        guard verdict == .queued else { return verdict }
        return queue.append(shared: buffer, memory.pool, memory.shared) ? .queued : .wouldBlock
    }

    /// Queues a ping or pong, ahead of all bulk frames that are not begun.
    func enqueue(control frame: RawSpan) -> Queued {
        guard queue.controlCount + frame.byteCount <= limits.controlLimit else { return .overLimit }
        queue.append(control: frame, memory.pool)
        return .queued
    }

    private func mayQueue(_ count: Int, _ insistence: Insistence) -> Queued {
        let queued = queue.bulkCount
        switch insistence {
        case .yields:
            // A frame may be larger than the mark: it is taken if nothing much waits, so that it is ever sent at all.
            return queued >= limits.highWater || queued + count > limits.hardLimit ? .wouldBlock : .queued
        case .insists:
            return queued + count > limits.hardLimit ? .overLimit : .queued
        }
    }

    /// Whether the queue has just risen above its high-water mark.
    func hasRisen() -> Bool {
        guard !isAboveMark, queue.bulkCount >= limits.highWater else { return false }
        isAboveMark = true
        return true
    }

    /// Whether the queue has just sunk to its low-water mark.
    func hasSunk() -> Bool {
        guard isAboveMark, queue.bulkCount <= limits.lowWater else { return false }
        isAboveMark = false
        return true
    }

    /// Writes what the kernel takes, until nothing is left, it is full, or `budget` bytes are gone.
    func write(budget: Int) -> Written {
        var written = Written(outcome: .empty, bytes: 0)
        while !queue.isEmpty {
            guard written.bytes < budget else {
                written.outcome = .budget
                break
            }
            let (offered, result) = sendOnce()
            switch Transfer(result: result) {
            case .bytes(let count):
                queue.take(count, memory.pool, memory.shared)
                written.bytes += count
                guard count < offered else { continue }
                written.outcome = .blocked
            case .wouldBlock, .ended:
                written.outcome = .blocked
            case .failed(let error):
                written.outcome = .failed(error)
            }
            break
        }
        return written
    }

    private func sendOnce() -> (offered: Int, result: Int) {
        let descriptor = self.descriptor
        return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.pieceCount) { pieces in
            let (count, bytes) = unsafe queue.gather(into: pieces)
            return (bytes, unsafe cepoll_send_pieces(descriptor, pieces.baseAddress, count))
        }
    }
}
