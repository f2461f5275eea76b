// One connected socket with what is underway on it, in and out. It owns the socket and its buffers' blocks; it cuts no
// frames, knows no peer, and decides nothing: whoever drives it reads, writes and closes. One object serves many sockets,
// one after the other. Idle, it holds no memory but itself.

import CEpoll

/// The memory that all streams of a node use together, and its limits. On the loop's thread.
final class StreamMemory {
    let pool: BufferPool
    let shared: SharedBuffers
    /// Where bytes are received: one place for all streams, as one is read at a time.
    let scratch: Scratch
    let limits: StreamLimits

    init(limit: Int, limits: StreamLimits = StreamLimits(), scratch size: Int = 65_536) {
        precondition(limits.lowWater <= limits.highWater && limits.highWater < limits.hardLimit)
        precondition(limits.hardLimit <= BufferPool.largestBlock && limits.frameLimit <= ReadBuffer.largest)
        pool = BufferPool(limit: limit)
        shared = SharedBuffers(pool: pool)
        // A read needs as much room in the pool as the scratch has: more than the bound would never be read.
        scratch = Scratch(capacity: max(Scratch.smallest, min(size, limit / 4)))
        self.limits = limits
    }

    /// From so many bytes on that are out, a node reads its largest reader no longer.
    var slowingMark: Int { pool.limit / 8 * 7 }

    /// Whether an empty queue would take a frame of so many bytes if nothing else were out. What it would not take, no waiting
    /// makes it take.
    func canQueue(_ count: Int) -> Bool {
        let queue = BufferPool.capacity(for: MemoryLayout<OutQueue>.size) + BufferPool.capacity(for: OutQueue.entrySize)
        return count <= limits.hardLimit && queue + BufferPool.capacity(for: count) <= pool.limit
    }

    /// A place for a queue, until `give`: there for as long as something waits to be sent.
    func makeQueue() -> UnsafeMutablePointer<OutQueue> {
        let block = pool.takeUrgently(atLeast: MemoryLayout<OutQueue>.size)
        let queue = unsafe block.base.bindMemory(to: OutQueue.self, capacity: 1)
        unsafe queue.initialize(to: OutQueue())
        return unsafe queue
    }

    func give(_ queue: UnsafeMutablePointer<OutQueue>) {
        unsafe queue.deinitialize(count: 1)
        let capacity = BufferPool.capacity(for: MemoryLayout<OutQueue>.size)
        pool.give(unsafe Block(base: UnsafeMutableRawPointer(queue), capacity: capacity))
    }
}

/// How much may be underway on one stream.
struct StreamLimits: Hashable, Sendable {
    /// Bulk bytes from which on a yielding sender is told to wait…
    var highWater = 256 << 10
    /// …until so few are left.
    var lowWater = 64 << 10
    /// Bulk bytes at which the peer counts as too slow.
    var hardLimit = 16 << 20
    /// Bytes of pings and pongs at which it does, too: it asks and never reads.
    var controlLimit = 64 << 10
    /// The largest incomplete frame.
    var frameLimit = 8 << 20 + 1_024
}

/// What became of a frame that was to be queued.
enum Queued: Hashable, Sendable {
    case queued
    /// The queue is above its mark, or the node's memory is used up. Nothing was queued.
    case wouldBlock
    /// The queue is at its limit: the peer reads too slowly. Nothing was queued.
    case overLimit
}

/// What a sender does when the queue is above its high-water mark.
enum Insistence: Hashable, Sendable {
    case yields
    /// Queues up to the hard limit.
    case insists
}

/// A connected socket, its unread bytes and its unsent frames. 48 bytes; what holds nothing has no more.
@safe
class Stream {
    final let memory: StreamMemory
    /// The unread bytes: in the scratch while the stream is being read, else in a block of its own. See Stream+Reading.swift.
    @safe @exclusivity(unchecked) final var buffer: ReadBuffer?
    /// In a block of the pool while something waits to be sent. See Stream+Writing.swift.
    @exclusivity(unchecked) final var queue: UnsafeMutablePointer<OutQueue>?
    @safe @exclusivity(unchecked) final var socket: Socket?
    /// The queue went above the mark and has not sunk to the low one since.
    @safe @exclusivity(unchecked) final var isAboveMark = false

    init(memory: StreamMemory) {
        self.memory = memory
    }

    deinit {
        close()
    }

    final var limits: StreamLimits {
        _read { yield memory.limits }
    }

    final var isOpen: Bool { socket != nil }

    /// The descriptor, lent; -1 if there is none.
    final var descriptor: CInt {
        switch socket {
        case .some(let socket): socket.descriptor
        case .none: -1
        }
    }

    /// What became of a pending dial.
    final func dialResult() -> DialResult {
        switch socket {
        case .some(let socket): socket.dialResult()
        case .none: .pending
        }
    }

    /// Ends the sending side.
    final func shutdownSending() {
        switch socket {
        case .some(let socket): socket.shutdownSending()
        case .none: break
        }
    }

    /// Takes a socket over. The stream must be closed.
    final func open(_ socket: consuming Socket) {
        precondition(self.socket == nil, "a stream has one socket at a time")
        assert(unsafe buffer == nil && queue == nil)
        self.socket = consume socket
    }

    /// Closes the socket and gives all memory back. Not while it is being read.
    final func close() {
        assert(!isInScratch, "a stream was closed while its bytes were lent out")
        socket = nil
        if let buffer { memory.pool.give(buffer.block) }
        buffer = nil
        if let queue = unsafe queue {
            unsafe queue.pointee.removeAll(memory.pool, memory.shared)
            unsafe memory.give(queue)
        }
        unsafe queue = nil
        isAboveMark = false
    }

    /// Whether its bytes are in the scratch, where those of one stream may be at a time.
    final var isInScratch: Bool {
        guard let buffer else { return false }
        return buffer == memory.scratch.buffer
    }

    /// Memory that this stream's incoming side holds.
    final var inboundMemory: Int {
        guard let buffer, !isInScratch else { return 0 }
        return buffer.block.capacity
    }

    /// Bulk bytes that wait to be sent.
    final var bulkCount: Int { unsafe queue?.pointee.bulkCount ?? 0 }

    /// Bytes of pings and pongs that wait to be sent.
    final var controlCount: Int { unsafe queue?.pointee.controlCount ?? 0 }

    /// All that waits to be sent.
    final var queuedCount: Int { bulkCount + controlCount }
}
