// Where bytes from a peer wait to be read: the scratch that all streams of a node share while one of them is being read, or a
// block of a stream's own for what is left of an incomplete frame. What is unread, and how much the frame needs, stands at
// the head of that memory itself: an idle stream keeps nothing of it.

/// A piece of memory with the bytes `start ..< end` unread. A plain value, on loan.
@safe
struct ReadBuffer: BitwiseCopyable {
    private struct Head: BitwiseCopyable {
        /// Bytes behind the head.
        var capacity: UInt32
        var start: UInt32
        var end: UInt32
        /// Bytes in all that the frame at `start` needs, as far as the dialect can tell.
        var expected: UInt32
    }

    /// What the head takes of a block.
    static let headSize = MemoryLayout<Head>.stride
    /// The most bytes that a block of the pool has behind its head.
    static let largest = BufferPool.largestBlock - headSize

    private let head: UnsafeMutablePointer<Head>

    /// An empty buffer in memory of `size` bytes, the head included.
    init(_ memory: UnsafeMutableRawPointer, size: Int) {
        unsafe head = memory.bindMemory(to: Head.self, capacity: 1)
        unsafe head.initialize(to: Head(capacity: UInt32(size - Self.headSize), start: 0, end: 0, expected: 0))
    }

    init(_ block: Block) {
        unsafe self.init(block.base, size: block.capacity)
    }

    /// The pool's block that it is in.
    var block: Block { unsafe Block(base: UnsafeMutableRawPointer(head), capacity: capacity + Self.headSize) }

    /// The buffer in the larger block to which its own has moved.
    init(movedTo block: Block) {
        unsafe head = block.base.assumingMemoryBound(to: Head.self)
        unsafe head.pointee.capacity = UInt32(block.capacity - Self.headSize)
    }

    /// Where the bytes are.
    var base: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(head) + Self.headSize }

    var capacity: Int { unsafe Int(head.pointee.capacity) }

    var start: Int {
        get { unsafe Int(head.pointee.start) }
        nonmutating set { unsafe head.pointee.start = UInt32(newValue) }
    }

    var end: Int {
        get { unsafe Int(head.pointee.end) }
        nonmutating set { unsafe head.pointee.end = UInt32(newValue) }
    }

    var expected: Int {
        get { unsafe Int(head.pointee.expected) }
        nonmutating set { unsafe head.pointee.expected = UInt32(newValue) }
    }

    var unread: Int { end - start }

    /// Becomes empty, but for the unread bytes of `other` and what it knows of their frame.
    func take(from other: ReadBuffer) {
        let count = other.unread
        unsafe base.copyMemory(from: other.base + other.start, byteCount: count)
        start = 0
        end = count
        expected = other.expected
    }

    func removeAll() {
        start = 0
        end = 0
        expected = 0
    }

    /// Moves the unread bytes to the front.
    func compact() {
        let count = unread
        unsafe base.copyMemory(from: base + start, byteCount: count)
        start = 0
        end = count
    }

    static func == (a: ReadBuffer, b: ReadBuffer) -> Bool { unsafe a.head == b.head }
}

/// The buffer that every read of every stream goes through.
@safe
final class Scratch {
    /// The smallest capacity.
    static let smallest = 4_096

    private let memory: UnsafeMutableRawPointer
    let buffer: ReadBuffer
    /// Bytes that fit.
    let capacity: Int
    /// A stream is being read and may have its bytes here.
    @safe @exclusivity(unchecked) var isTaken = false
    /// The last receive brought less than it had room for.
    @safe @exclusivity(unchecked) var isDrained = false

    init(capacity: Int) {
        precondition(capacity >= Self.smallest)
        self.capacity = capacity
        let size = capacity + ReadBuffer.headSize
        unsafe memory = .allocate(byteCount: size, alignment: 64)
        buffer = unsafe ReadBuffer(memory, size: size)
    }

    deinit {
        unsafe memory.deallocate()
    }
}
