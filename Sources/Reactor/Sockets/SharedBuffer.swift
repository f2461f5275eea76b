// Bytes that several links send: written once, referenced by the queue of each. Also how a frame crosses from another
// thread to the loop. Filled before it is shared, never changed while it is.

/// A counted buffer. `uses` counts the queues that still hold it, on the loop's thread; the object itself is Swift's.
@safe
final class SharedBuffer: @unchecked Sendable {
    @exclusivity(unchecked) private var base: UnsafeMutableRawPointer
    @safe @exclusivity(unchecked) private(set) var capacity: Int
    @safe @exclusivity(unchecked) private(set) var count = 0
    /// Queues that hold it, and the one who is handing it out. The loop's thread alone touches it.
    @safe @exclusivity(unchecked) fileprivate var uses = 0
    /// The next spare one, while nobody uses it.
    @safe @exclusivity(unchecked) fileprivate var nextSpare: SharedBuffer?

    init(capacity: Int) {
        self.capacity = max(capacity, 256)
        unsafe base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// A new buffer with a copy of `bytes`: what another thread posts.
    convenience init(copying bytes: RawSpan) {
        self.init(capacity: bytes.byteCount)
        fill(bytes)
    }

    /// Where the bytes are; valid as long as the buffer is held.
    var start: UnsafeRawPointer { unsafe UnsafeRawPointer(base) }

    var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Replaces the content. Only before it is shared.
    fileprivate func fill(_ bytes: RawSpan) {
        assert(uses == 0, "a shared buffer was changed")
        if bytes.byteCount > capacity {
            unsafe base.deallocate()
            capacity = bytes.byteCount
            unsafe base = .allocate(byteCount: capacity, alignment: 16)
        }
        unsafe bytes.withUnsafeBytes { source in
            if let from = source.baseAddress { unsafe base.copyMemory(from: from, byteCount: source.count) }
        }
        count = bytes.byteCount
    }
}

/// The shared buffers of one node: counted once in its pool, however many links hold them; the small ones reused.
final class SharedBuffers {
    /// A larger buffer goes back to the system instead of to the spare ones.
    private static let largestSpare = 65_536
    private static let spareLimit = 16

    private let pool: BufferPool
    @safe @exclusivity(unchecked) private var spare: SharedBuffer?
    @safe @exclusivity(unchecked) private var spareCount = 0

    init(pool: BufferPool) {
        self.pool = pool
    }

    /// A buffer with a copy of `bytes`, held once; nil if the pool's bound refuses. `drop` ends the hold.
    func make(_ bytes: RawSpan) -> SharedBuffer? {
        let buffer: SharedBuffer
        if let reused = spare {
            spare = reused.nextSpare
            reused.nextSpare = nil
            spareCount -= 1
            buffer = reused
        } else {
            buffer = SharedBuffer(capacity: bytes.byteCount)
        }
        buffer.fill(bytes)
        guard pool.charge(buffer.capacity) else {
            keep(buffer)
            return nil
        }
        buffer.uses = 1
        return buffer
    }

    func hold(_ buffer: SharedBuffer) {
        assert(buffer.uses > 0)
        buffer.uses += 1
    }

    func drop(_ buffer: SharedBuffer) {
        assert(buffer.uses > 0, "a shared buffer was dropped twice")
        buffer.uses -= 1
        guard buffer.uses == 0 else { return }
        pool.credit(buffer.capacity)
        keep(buffer)
    }

    private func keep(_ buffer: SharedBuffer) {
        guard spareCount < Self.spareLimit, buffer.capacity <= Self.largestSpare else { return }
        buffer.nextSpare = spare
        spare = buffer
        spareCount += 1
    }
}
