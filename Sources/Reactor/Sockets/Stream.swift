// One connected socket with what is underway on it, in and out. It owns the socket and its buffers' blocks; it cuts no
// frames, knows no peer, and decides nothing: whoever drives it reads, writes and closes. One object serves many sockets,
// one after the other. Idle, it holds no memory but itself.

import CEpoll

/// The memory that all streams of a node use together, and its limits. On the loop's thread.
final class StreamMemory {
    /// All of it.
    let pool: BufferPool
    /// The share of it that strangers have together: the rest is for masternodes, for the operator's peers and for hellos.
    let strangers: BufferPool
    /// What one stranger may hold, in and out.
    let strangerLimit: Int
    let shared: SharedBuffers
    /// Where bytes are received: one place for all streams, as one is read at a time.
    let scratch: Scratch
    let limits: StreamLimits

    init(
        limit: Int, strangers share: Int? = nil, stranger: Int = .max, limits: StreamLimits = StreamLimits(), scratch size: Int = 65_536
    ) {
        precondition(limits.lowWater <= limits.highWater && limits.highWater < limits.hardLimit)
        precondition(limits.hardLimit <= BufferPool.largestBlock && limits.frameLimit <= ReadBuffer.largest)
        pool = BufferPool(limit: limit)
        strangers = BufferPool(limit: max(1, min(share ?? limit, limit)), within: pool)
        strangerLimit = min(stranger, strangers.limit)
        shared = SharedBuffers(pool: pool)
        // A read needs as much room in the pool as the scratch has: more than the bound would never be read.
        scratch = Scratch(capacity: max(Scratch.smallest, min(size, limit / 4)))
        self.limits = limits
    }

    /// Whether an empty queue would take a frame of so many bytes if nothing else were out. What it would not take, no waiting
    /// makes it take.
    func canQueue(_ count: Int) -> Bool {
        let queue = BufferPool.capacity(for: MemoryLayout<OutQueue>.size) + BufferPool.capacity(for: OutQueue.entrySize)
        return count <= limits.hardLimit && queue + BufferPool.capacity(for: count) <= pool.limit
    }

    static let queueSize = BufferPool.capacity(for: MemoryLayout<OutQueue>.size)

    /// A place for a queue, until `give`: there for as long as something waits to be sent.
    func makeQueue(_ pool: BufferPool) -> UnsafeMutablePointer<OutQueue> {
        let block = pool.takeUrgently(atLeast: MemoryLayout<OutQueue>.size)
        let queue = unsafe block.base.bindMemory(to: OutQueue.self, capacity: 1)
        unsafe queue.initialize(to: OutQueue())
        return unsafe queue
    }

    func give(_ queue: UnsafeMutablePointer<OutQueue>, _ pool: BufferPool) {
        unsafe queue.deinitialize(count: 1)
        pool.give(unsafe Block(base: UnsafeMutableRawPointer(queue), capacity: Self.queueSize))
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
    /// The same, beyond the memory's bound if need be: for the small frames of the dialect itself, which nobody can send later.
    case must
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
    /// It may use all of the memory, not only the strangers' share. See `setReserved`.
    @safe @exclusivity(unchecked) private(set) final var isReserved = true

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
        if let buffer { account.give(buffer.block) }
        buffer = nil
        if let queue = unsafe queue {
            unsafe queue.pointee.removeAll(account, memory.shared)
            unsafe memory.give(queue, account)
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

    /// What its memory is counted by.
    final var account: BufferPool { isReserved ? memory.pool : memory.strangers }

    /// Memory that it holds, in and out; what it shares with other streams is not counted.
    final var heldMemory: Int {
        guard let queue = unsafe queue else { return inboundMemory }
        return unsafe inboundMemory + StreamMemory.queueSize + queue.pointee.memory
    }

    /// Moves what it holds to the account of strangers, or from there. `besides` is what its owner holds for it.
    final func setReserved(_ isReserved: Bool, besides: Int = 0) {
        guard isReserved != self.isReserved else { return }
        self.isReserved = isReserved
        let held = heldMemory + besides
        if isReserved { memory.strangers.exclude(held) } else { memory.strangers.include(held) }
    }

    /// Bulk bytes that wait to be sent.
    final var bulkCount: Int { unsafe queue?.pointee.bulkCount ?? 0 }

    /// Bytes of pings and pongs that wait to be sent.
    final var controlCount: Int { unsafe queue?.pointee.controlCount ?? 0 }

    /// All that waits to be sent.
    final var queuedCount: Int { bulkCount + controlCount }
}
