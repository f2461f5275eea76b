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
        let own = ReadBuffer(account.takeUrgently(atLeast: count + ReadBuffer.headSize))
        own.take(from: scratch)
        buffer = own
    }

    /// Receives once, `most` bytes at most. Between `beginReading` and `endReading`; no span of `unread` may be in use.
    final func receive(atMost most: Int = .max) -> Received {
        let need = receiveNeed
        // A frame's block and the larger one that follows are out together while its bytes are moved. What never fits is not waited for.
        let isCrumb = need <= memory.scratch.capacity
        guard isCrumb || need <= frameBound && inboundMemory + need <= account.limit / 8 * 7 else { return .overLimit }
        guard mayHold(need) else { return .noMemory }
        return receiveOnce(atMost: most)
    }

    /// Receives once, until `bound` bytes are unread at most: what a link may send before it is one. Needs no room in the memory's bound,
    /// as `bound` is small. The stream must hold less.
    final func receive(upTo bound: Int) -> Received {
        receiveOnce(atMost: bound - unreadCount)
    }

    /// Bytes that the next receive may have to take from the account: none if the frame's block has room for more.
    final var receiveNeed: Int {
        guard let buffer, isInScratch ? buffer.expected > memory.scratch.capacity : !fitsScratch else { return memory.scratch.capacity }
        if !isInScratch, hasRoomInPlace(buffer) { return 0 }
        let size = isInScratch ? firstBlock(buffer) : nextSize(buffer)
        return BufferPool.capacity(for: min(size, ReadBuffer.largest) + ReadBuffer.headSize)
    }

    /// Whether its account, and its own bound, have room for `bytes` more of a frame.
    final func mayHold(_ bytes: Int) -> Bool {
        guard account.hasRoom(for: bytes) else { return false }
        // The block that the frame outgrows is given back.
        return isReserved || bytes == 0 || heldMemory - inboundMemory + bytes <= memory.strangerLimit
    }

    /// The largest block that a frame of this stream can ever have.
    private final var frameBound: Int { isReserved ? memory.pool.limit : memory.strangerLimit }

    private final func receiveOnce(atMost most: Int) -> Received {
        if fitsScratch, !isInScratch { moveToScratch() }
        if let refused = makeRoom() { return refused }
        guard let buffer else { return .noMemory }
        let end = buffer.end
        let room = min(buffer.capacity - end, most)
        switch unsafe Transfer(result: cepoll_recv(descriptor, buffer.base + end, room)) {
        case .bytes(let count):
            buffer.end = end + count
            memory.scratch.isDrained = count < room
            return .bytes(count)
        case .wouldBlock: return .wouldBlock
        case .ended: return .ended
        case .failed(let error): return .failed(error)
        }
    }

    /// Whether the last receive took all that there was.
    final var isDrained: Bool { memory.scratch.isDrained }

    /// How many bytes are unread.
    final var unreadCount: Int { buffer?.unread ?? 0 }

    /// Bytes in all that the frame at the front needs, as far as its dialect has said; 0 if it has not.
    final var expectedCount: Int { buffer?.expected ?? 0 }

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
            switch receiveOnce(atMost: left) {
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
            account.give(own.block)
        }
        buffer = scratch
    }

    /// Makes at least one byte of room behind the unread ones; nil if it could.
    private final func makeRoom() -> Received? {
        guard let buffer else { return .noMemory }
        let count = buffer.unread
        guard !isInScratch else {
            if buffer.expected > memory.scratch.capacity { return grow(to: firstBlock(buffer)) }
            if buffer.start > 0 { buffer.compact() }
            // A dialect that does not say what it needs gets twice as much.
            return buffer.end == memory.scratch.capacity ? grow(to: count * 2) : nil
        }
        if buffer.end < buffer.capacity && (buffer.start == 0 || buffer.capacity - buffer.start >= buffer.expected) { return nil }
        if hasRoomInPlace(buffer) {
            buffer.compact()
            return nil
        }
        return grow(to: nextSize(buffer))
    }

    /// What a frame too large for the scratch begins in.
    private final func firstBlock(_ buffer: ReadBuffer) -> Int {
        min(buffer.expected, max(buffer.unread * 2, memory.scratch.capacity))
    }

    /// Whether the frame's own block takes more of it, perhaps after its bytes are moved to the front.
    private final func hasRoomInPlace(_ buffer: ReadBuffer) -> Bool {
        if buffer.end < buffer.capacity && (buffer.start == 0 || buffer.capacity - buffer.start >= buffer.expected) { return true }
        return buffer.unread < buffer.capacity && buffer.expected <= buffer.capacity
    }

    /// How large the block is that a frame which fills its own goes on in.
    private final func nextSize(_ buffer: ReadBuffer) -> Int {
        min(max(buffer.expected, buffer.unread + 1), buffer.unread * 2)
    }

    /// Moves the unread bytes to a block with room for at least `size` of them; nil if it could.
    private final func grow(to size: Int) -> Received? {
        guard let old = buffer else { return .noMemory }
        let count = old.unread
        guard count < limits.frameLimit else { return .overLimit }
        let wanted = min(max(size, count + 1), ReadBuffer.largest)
        // Both are out while the bytes are moved. A stream that holds more than the mark would be slowed for good.
        let held = (isInScratch ? 0 : old.block.capacity) + BufferPool.capacity(for: wanted + ReadBuffer.headSize)
        guard held <= account.limit / 8 * 7 else { return .overLimit }
        if !isInScratch, old.start == 0, let block = account.grow(old.block, toAtLeast: wanted + ReadBuffer.headSize) {
            buffer = ReadBuffer(movedTo: block)
            return nil
        }
        guard let block = account.take(atLeast: wanted + ReadBuffer.headSize) else { return .noMemory }
        let larger = ReadBuffer(block)
        larger.take(from: old)
        if !isInScratch { account.give(old.block) }
        buffer = larger
        return nil
    }
}
