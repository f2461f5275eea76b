// A growable ring of bytes on blocks from the pool. It holds no block while it is empty. Plain numbers may be kept in it,
// too: blocks are multiples of 16 bytes, so a number of 4 or 8 never lies across the end if nothing else is in the ring.

/// First in, first out, over one block. Every call that may take or give a block is told the pool.
struct ByteRing: ~Copyable {
    private var block: Block?
    private var head = 0
    private(set) var count = 0

    init() {}

    var isEmpty: Bool { count == 0 }
    /// Bytes of its block.
    var memory: Int { block?.capacity ?? 0 }

    /// Makes room for `size` bytes more; false if the pool refuses. `isUrgent` goes beyond the pool's bound.
    mutating func reserve(_ size: Int, _ pool: BufferPool, isUrgent: Bool = false) -> Bool {
        let needed = count + size
        if let block, needed <= block.capacity { return true }
        guard needed <= BufferPool.largestBlock else { return false }
        // At least twice the last one, so that growing costs O(1) a byte.
        let wanted = min(max(needed, (block?.capacity ?? 0) * 2), BufferPool.largestBlock)
        guard let larger = isUrgent ? pool.takeUrgently(atLeast: wanted) : pool.take(atLeast: wanted) else { return false }
        if let block {
            let first = min(count, block.capacity - head)
            unsafe larger.base.copyMemory(from: block.base + head, byteCount: first)
            unsafe (larger.base + first).copyMemory(from: block.base, byteCount: count - first)
            pool.give(block)
        }
        block = larger
        head = 0
        return true
    }

    /// Appends bytes for which there is room.
    mutating func append(_ bytes: RawSpan) {
        guard let block, bytes.byteCount > 0 else { return }
        precondition(count + bytes.byteCount <= block.capacity, "room is reserved first")
        let tail = wrapped(count, block)
        unsafe bytes.withUnsafeBytes { source in
            guard let from = source.baseAddress else { return }
            let first = min(source.count, block.capacity - tail)
            unsafe (block.base + tail).copyMemory(from: from, byteCount: first)
            unsafe block.base.copyMemory(from: from + first, byteCount: source.count - first)
        }
        count += bytes.byteCount
    }

    /// Appends a number for which there is room.
    mutating func append<Number: BitwiseCopyable>(number: Number) {
        guard let block else { preconditionFailure("room is reserved first") }
        precondition(count + MemoryLayout<Number>.size <= block.capacity, "room is reserved first")
        unsafe block.base.storeBytes(of: number, toByteOffset: wrapped(count, block), as: Number.self)
        count += MemoryLayout<Number>.size
    }

    /// The number at `offset` bytes from the front.
    func number<Number: BitwiseCopyable>(at offset: Int, as type: Number.Type) -> Number {
        guard let block else { preconditionFailure("an empty ring has no numbers") }
        precondition(offset + MemoryLayout<Number>.size <= count, "beyond the ring's end")
        return unsafe block.base.load(fromByteOffset: wrapped(offset, block), as: Number.self)
    }

    /// Drops bytes from the front, and the block with the last of them.
    mutating func drop(_ size: Int, _ pool: BufferPool) {
        precondition(size <= count, "more was dropped than there is")
        guard let block else { return }
        head = wrapped(size, block)
        count -= size
        guard count == 0 else { return }
        pool.give(block)
        self.block = nil
        head = 0
    }

    /// The pieces of memory that hold `length` bytes from `offset` on: one or two.
    func withPieces(from offset: Int, length: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
        guard let block, length > 0 else { return }
        precondition(offset + length <= count, "beyond the ring's end")
        let start = wrapped(offset, block)
        let first = min(length, block.capacity - start)
        unsafe body(UnsafeRawBufferPointer(start: block.base + start, count: first))
        if first < length { unsafe body(UnsafeRawBufferPointer(start: block.base, count: length - first)) }
    }

    private func wrapped(_ offset: Int, _ block: Block) -> Int {
        let position = head + offset
        return position < block.capacity ? position : position - block.capacity
    }
}
