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
    func beginReading() {
        assert(!memory.scratch.isTaken, "two streams are read at once")
        assert(place == .own)
        memory.scratch.isTaken = true
        if fitsScratch { moveToScratch() }
    }

    /// Ends a read: what is unread moves to a block of the stream's own.
    func endReading() {
        // A block that a large frame has left behind is not kept for the crumbs of the next one.
        if place == .own && own != nil && fitsScratch { moveToScratch() }
        memory.scratch.isTaken = false
        guard place == .scratch else { return }
        place = .own
        let count = end - start
        if count > 0 {
            let block = memory.pool.takeUrgently(atLeast: count)
            unsafe block.base.copyMemory(from: memory.scratch.base + start, byteCount: count)
            own = block
        }
        start = 0
        end = count
    }

    /// Receives once. Between `beginReading` and `endReading`; no span of `unread` may be in use.
    func receive() -> Received {
        guard memory.pool.hasRoom(for: memory.scratch.capacity) else { return .noMemory }
        return receiveOnce()
    }

    private func receiveOnce() -> Received {
        if place == .own && fitsScratch { moveToScratch() }
        switch makeRoom() {
        case .bytes: break
        case let refused: return refused
        }
        let result: Int
        switch place {
        case .scratch:
            let room = memory.scratch.capacity - end
            result = unsafe cepoll_recv(descriptor, memory.scratch.base + end, room)
        case .own:
            guard let own else { return .noMemory }
            result = unsafe cepoll_recv(descriptor, own.base + end, own.capacity - end)
        }
        switch Transfer(result: result) {
        case .bytes(let count):
            end += count
            return .bytes(count)
        case .wouldBlock: return .wouldBlock
        case .ended: return .ended
        case .failed(let error): return .failed(error)
        }
    }

    /// Whether the last receive could have brought more.
    var hasRoom: Bool {
        switch place {
        case .scratch: end < memory.scratch.capacity
        case .own: end < inboundMemory
        }
    }

    /// How many bytes are unread.
    var unreadCount: Int { end - start }

    /// The unread bytes, from a frame boundary on. Valid until the next `receive`, `endReading` or `close`.
    var unread: RawSpan {
        @_lifetime(borrow self)
        get {
            let base = unsafe place == .scratch ? memory.scratch.base : own?.base
            guard let base = unsafe base, start < end else { return RawSpan() }
            let span = unsafe RawSpan(_unsafeStart: base + start, byteCount: end - start)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// The first `count` unread bytes are done with.
    func consume(_ count: Int) {
        precondition(count >= 0 && count <= end - start, "more was consumed than came")
        start += count
        expected = 0
    }

    /// The frame at the front needs `count` bytes in all, or more.
    func expect(_ count: Int) {
        expected = max(count, end - start + 1)
    }

    /// Drops what is unread, and receives and drops at most `budget` bytes more.
    func discard(budget: Int) -> Received {
        beginReading()
        defer { endReading() }
        var left = budget
        while left > 0 {
            consume(end - start)
            switch receiveOnce() {
            case .bytes(let count): left -= count
            case let other:
                consume(end - start)
                return other
            }
        }
        consume(end - start)
        return .bytes(budget)
    }

    private var fitsScratch: Bool {
        end - start <= memory.scratch.capacity / 2 && expected <= memory.scratch.capacity
    }

    private func moveToScratch() {
        let count = end - start
        if let own {
            unsafe memory.scratch.base.copyMemory(from: own.base + start, byteCount: count)
            memory.pool.give(own)
        }
        own = nil
        place = .scratch
        start = 0
        end = count
    }

    /// Makes at least one byte of room behind `end`; `.bytes(0)` if it could.
    private func makeRoom() -> Received {
        let count = end - start
        switch place {
        case .scratch:
            if expected <= memory.scratch.capacity {
                if start > 0 {
                    unsafe memory.scratch.base.copyMemory(from: memory.scratch.base + start, byteCount: count)
                    start = 0
                    end = count
                }
                // A dialect that does not say what it needs gets twice as much.
                if end == memory.scratch.capacity { return grow(to: count * 2) }
                return .bytes(0)
            }
            return grow(to: min(expected, max(count * 2, memory.scratch.capacity)))
        case .own:
            guard let own else { return grow(to: max(expected, 1)) }
            if end < own.capacity && (start == 0 || own.capacity - start >= expected) { return .bytes(0) }
            if count < own.capacity && expected <= own.capacity {
                unsafe own.base.copyMemory(from: own.base + start, byteCount: count)
                start = 0
                end = count
                return .bytes(0)
            }
            return grow(to: min(max(expected, count + 1), count * 2))
        }
    }

    /// Moves the unread bytes to a block of at least `size` bytes.
    private func grow(to size: Int) -> Received {
        let count = end - start
        guard count < limits.frameLimit else { return .overLimit }
        let wanted = min(max(size, count + 1), BufferPool.largestBlock)
        guard let block = memory.pool.take(atLeast: wanted) else { return .noMemory }
        switch place {
        case .scratch:
            unsafe block.base.copyMemory(from: memory.scratch.base + start, byteCount: count)
        case .own:
            if let own {
                unsafe block.base.copyMemory(from: own.base + start, byteCount: count)
                memory.pool.give(own)
            }
        }
        own = block
        place = .own
        start = 0
        end = count
        return .bytes(0)
    }
}
