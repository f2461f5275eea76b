// One connected socket with what is underway on it, in and out. It owns the socket and its buffers' blocks; it cuts no
// frames, knows no peer, and decides nothing: whoever drives it reads, writes and closes. One object serves many sockets,
// one after the other. Idle, it holds no memory but itself.

import CEpoll

/// The memory that all streams of a node use together. On the loop's thread.
final class StreamMemory {
    let pool: BufferPool
    let shared: SharedBuffers
    /// Where bytes are received: one place for all streams, as one is read at a time.
    let scratch: Scratch

    init(limit: Int, scratch size: Int = 65_536) {
        pool = BufferPool(limit: limit)
        shared = SharedBuffers(pool: pool)
        scratch = Scratch(capacity: size)
    }
}

/// A buffer that every read of every stream goes through.
@safe
final class Scratch {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    /// A stream is being read and has its bytes here.
    @safe @exclusivity(unchecked) var isTaken = false

    init(capacity: Int) {
        precondition(capacity >= 4_096)
        self.capacity = capacity
        unsafe base = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit {
        unsafe base.deallocate()
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
    var controlLimit = 4 << 10
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

/// A connected socket, its unread bytes and its unsent frames.
@safe
final class Stream {
    let memory: StreamMemory
    let limits: StreamLimits
    @safe @exclusivity(unchecked) var socket: Socket?

    // Reading. See Stream+Reading.swift.

    /// The unread bytes are at `start ..< end` of the scratch while the stream is being read, else of `own`.
    @safe @exclusivity(unchecked) var place = Place.own
    @safe @exclusivity(unchecked) var start = 0
    @safe @exclusivity(unchecked) var end = 0
    @safe @exclusivity(unchecked) var own: Block?
    /// Bytes in all that the frame at `start` needs, as far as the dialect can tell.
    @safe @exclusivity(unchecked) var expected = 0

    // Writing. See Stream+Writing.swift.

    @safe @exclusivity(unchecked) var queue = OutQueue()
    /// The queue went above the mark and has not sunk to the low one since.
    @safe @exclusivity(unchecked) var isAboveMark = false

    enum Place {
        case own
        case scratch
    }

    init(memory: StreamMemory, limits: StreamLimits) {
        precondition(limits.lowWater <= limits.highWater && limits.highWater < limits.hardLimit)
        precondition(limits.hardLimit <= BufferPool.largestBlock && limits.frameLimit <= BufferPool.largestBlock)
        self.memory = memory
        self.limits = limits
    }

    deinit {
        close()
    }

    var isOpen: Bool { socket != nil }

    /// The descriptor, lent; -1 if there is none.
    var descriptor: CInt {
        switch socket {
        case .some(let socket): socket.descriptor
        case .none: -1
        }
    }

    /// What became of a pending dial.
    func dialResult() -> DialResult {
        switch socket {
        case .some(let socket): socket.dialResult()
        case .none: .pending
        }
    }

    /// Ends the sending side.
    func shutdownSending() {
        switch socket {
        case .some(let socket): socket.shutdownSending()
        case .none: break
        }
    }

    /// Takes a socket over. The stream must be closed.
    func open(_ socket: consuming Socket) {
        precondition(self.socket == nil, "a stream has one socket at a time")
        assert(own == nil && queue.isEmpty && start == end)
        self.socket = consume socket
    }

    /// Closes the socket and gives all memory back. Not while it is being read.
    func close() {
        assert(place == .own, "a stream was closed while its bytes were lent out")
        socket = nil
        if let own { memory.pool.give(own) }
        own = nil
        start = 0
        end = 0
        expected = 0
        queue.removeAll(memory.pool, memory.shared)
        isAboveMark = false
    }

    /// Memory that this stream's incoming side holds.
    var inboundMemory: Int { own?.capacity ?? 0 }
}
