// Receiving: into the common scratch, so that an idle link holds no buffer; what is left of an incomplete frame is stashed
// in a block of the stream's own. A frame too large for the scratch is received straight into that block, which grows with
// what really came, never with what was announced.

import CEpoll

/// What one receive brought.
enum Received: Hashable, Sendable {
    case bytes(Int)
    case wouldBlock
    /// The other end will send no more.
    case ended
    case failed(Int32)
    /// The node's memory is used up: read again when some was given back.
    case noMemory
    /// The frame is larger than any may be.
    case overLimit
}

extension Stream {
    /// Begins a read: the stashed bytes move to the scratch, if the frame will fit there.
    final func beginReading() {
        assert(!memory.scratch.isTaken, "two streams are read at once")
        memory.scratch.isTaken = true
        if fitsScratch { moveToScratch() }
    }

    /// Ends a read: what is unread moves to a block of the stream's own.
    final func endReading() {
        // A block that a large frame has left behind is not kept for the crumbs of the next one.
        if fitsScratch, !isInScratch { moveToScratch() }
        memory.scratch.isTaken = false
        guard let scratch = buffer, isInScratch else { return }
        buffer = nil
        let count = scratch.unread
        guard count > 0 else { return }
        let own = ReadBuffer(memory.pool.takeUrgently(atLeast: count + ReadBuffer.headSize))
        own.take(from: scratch)
        buffer = own
    }

    /// Receives once. Between `beginReading` and `endReading`; no span of `unread` may be in use.
    final func receive() -> Received {
        guard memory.pool.hasRoom(for: memory.scratch.capacity) else { return .noMemory }
        return receiveOnce()
    }

    private final func receiveOnce() -> Received {
        if fitsScratch, !isInScratch { moveToScratch() }
        if let refused = makeRoom() { return refused }
        guard let buffer else { return .noMemory }
        let end = buffer.end
        switch unsafe Transfer(result: cepoll_recv(descriptor, buffer.base + end, buffer.capacity - end)) {
        case .bytes(let count):
            buffer.end = end + count
            return .bytes(count)
        case .wouldBlock: return .wouldBlock
        case .ended: return .ended
        case .failed(let error): return .failed(error)
        }
    }

    /// Whether the last receive could have brought more.
    final var hasRoom: Bool {
        guard let buffer else { return true }
        return buffer.end < buffer.capacity
    }

    /// How many bytes are unread.
    final var unreadCount: Int { buffer?.unread ?? 0 }

    /// The unread bytes, from a frame boundary on. Valid until the next `receive`, `endReading` or `close`.
    final var unread: RawSpan {
        @_lifetime(borrow self)
        get {
            guard let buffer, buffer.start < buffer.end else { return RawSpan() }
            let span = unsafe RawSpan(_unsafeStart: buffer.base + buffer.start, byteCount: buffer.unread)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// The first `count` unread bytes are done with.
    final func consume(_ count: Int) {
        precondition(count >= 0 && count <= unreadCount, "more was consumed than came")
        guard let buffer else { return }
        buffer.start += count
        buffer.expected = 0
    }

    /// The frame at the front needs `count` bytes in all, or more.
    final func expect(_ count: Int) {
        guard let buffer else { return }
        buffer.expected = min(max(count, buffer.unread + 1), BufferPool.largestBlock)
    }

    /// Drops what is unread, and receives and drops at most `budget` bytes more.
    final func discard(budget: Int) -> Received {
        beginReading()
        defer { endReading() }
        var left = budget
        while left > 0 {
            consume(unreadCount)
            switch receiveOnce() {
            case .bytes(let count): left -= count
            case let other:
                consume(unreadCount)
                return other
            }
        }
        consume(unreadCount)
        return .bytes(budget)
    }

    private final var fitsScratch: Bool {
        guard let buffer else { return true }
        return buffer.unread <= memory.scratch.capacity / 2 && buffer.expected <= memory.scratch.capacity
    }

    private final func moveToScratch() {
        let scratch = memory.scratch.buffer
        scratch.removeAll()
        if let own = buffer {
            scratch.take(from: own)
            memory.pool.give(own.block)
        }
        buffer = scratch
    }

    /// Makes at least one byte of room behind the unread ones; nil if it could.
    private final func makeRoom() -> Received? {
        guard let buffer else { return .noMemory }
        let count = buffer.unread
        guard !isInScratch else {
            if buffer.expected > memory.scratch.capacity {
                return grow(to: min(buffer.expected, max(count * 2, memory.scratch.capacity)))
            }
            if buffer.start > 0 { buffer.compact() }
            // A dialect that does not say what it needs gets twice as much.
            return buffer.end == memory.scratch.capacity ? grow(to: count * 2) : nil
        }
        if buffer.end < buffer.capacity && (buffer.start == 0 || buffer.capacity - buffer.start >= buffer.expected) { return nil }
        if count < buffer.capacity && buffer.expected <= buffer.capacity {
            buffer.compact()
            return nil
        }
        return grow(to: min(max(buffer.expected, count + 1), count * 2))
    }

    /// Moves the unread bytes to a block with room for at least `size` of them; nil if it could.
    private final func grow(to size: Int) -> Received? {
        guard let old = buffer else { return .noMemory }
        let count = old.unread
        guard count < limits.frameLimit else { return .overLimit }
        let wanted = min(max(size, count + 1), ReadBuffer.largest)
        // Both are out while the bytes are moved. A stream that holds more than the mark would be slowed for good.
        let held = (isInScratch ? 0 : old.block.capacity) + BufferPool.capacity(for: wanted + ReadBuffer.headSize)
        guard held <= memory.slowingMark else { return .overLimit }
        guard let block = memory.pool.take(atLeast: wanted + ReadBuffer.headSize) else { return .noMemory }
        let larger = ReadBuffer(block)
        larger.take(from: old)
        if !isInScratch { memory.pool.give(old.block) }
        buffer = larger
        return nil
    }
}
