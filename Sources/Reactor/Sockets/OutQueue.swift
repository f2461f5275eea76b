// What waits to be sent on one link, as whole frames: bulk, whose bytes are here or in a buffer that other links share, and
// a small control lane (pings and pongs) that overtakes it at the next frame boundary, never inside a frame. It holds no
// memory while it is empty. It makes no system call and knows no limit but the pool's: the stream decides.

import CEpoll

/// The frames that one link still has to send.
struct OutQueue: ~Copyable {
    /// Of a bulk frame's length: its bytes are in a shared buffer.
    private static let sharedBit: UInt32 = 1 << 31
    static let entrySize = MemoryLayout<UInt32>.size
    private static let shareSize = MemoryLayout<UInt>.size

    /// The bulk frames' bytes, but for the shared ones.
    private var bytes = ByteRing()
    /// One length for each bulk frame, front first: what is a frame boundary.
    private var lengths = ByteRing()
    /// A retained reference for each shared frame, in order.
    private var shares = ByteRing()
    private var control = ByteRing()
    /// How much of the front bulk frame the kernel has taken.
    private var frontTaken = 0
    /// Bulk bytes that the kernel has not taken, shared ones included.
    private(set) var bulkCount = 0

    init() {}

    var controlCount: Int { control.count }
    var isEmpty: Bool { bulkCount == 0 && control.isEmpty }
    /// Bulk frames that the kernel has not taken to their end.
    var frameCount: Int { lengths.count / Self.entrySize }

    /// Bytes of the pool's blocks that it holds.
    var memory: Int { bytes.memory + lengths.memory + shares.memory + control.memory }

    /// Queues a frame; false if the pool's bound refuses. `isUrgent` goes beyond it.
    mutating func append(_ frame: RawSpan, _ pool: BufferPool, isUrgent: Bool = false) -> Bool {
        let length = UInt32(frame.byteCount)
        precondition(length > 0 && length & Self.sharedBit == 0, "a frame has a length")
        guard lengths.reserve(Self.entrySize, pool, isUrgent: isUrgent) else { return false }
        guard bytes.reserve(frame.byteCount, pool, isUrgent: isUrgent) else {
            lengths.drop(0, pool)
            return false
        }
        bytes.append(frame)
        lengths.append(number: length)
        bulkCount += frame.byteCount
        return true
    }

    /// Queues a frame that other links send, too, and holds it until the kernel has taken it.
    mutating func append(shared buffer: SharedBuffer, _ pool: BufferPool, _ owner: SharedBuffers) -> Bool {
        let length = UInt32(buffer.count)
        precondition(length > 0 && length & Self.sharedBit == 0, "a frame has a length")
        guard lengths.reserve(Self.entrySize, pool) else { return false }
        guard shares.reserve(Self.shareSize, pool) else {
            lengths.drop(0, pool)
            return false
        }
        owner.hold(buffer)
        unsafe shares.append(number: UInt(bitPattern: Unmanaged.passRetained(buffer).toOpaque()))
        lengths.append(number: length | Self.sharedBit)
        bulkCount += buffer.count
        return true
    }

    /// Queues a ping or a pong. There is always room: the lane is small, and its size is the stream's to bound.
    mutating func append(control frame: RawSpan, _ pool: BufferPool) {
        let reserved = control.reserve(frame.byteCount, pool, isUrgent: true)
        precondition(reserved, "the control lane has outgrown the largest block")
        control.append(frame)
    }

    /// Fills `pieces` with what is to be sent next, in order: the rest of a frame that is begun, the control lane, bulk.
    /// Returns how many pieces, and their bytes.
    func gather(into pieces: UnsafeMutableBufferPointer<iovec>) -> (pieces: Int, bytes: Int) {
        var gathered = unsafe Gathered(pieces)
        var entry = 0
        var offset = 0
        var share = 0
        if frontTaken > 0 {
            let front = lengths.number(at: 0, as: UInt32.self)
            offset += addFront(front, to: &gathered)
            share = front & Self.sharedBit != 0 ? 1 : 0
            entry = 1
        }
        unsafe control.withPieces(from: 0, length: control.count) { unsafe gathered.add($0) }
        guard shares.count > share * Self.shareSize else {
            unsafe bytes.withPieces(from: offset, length: bytes.count - offset) { unsafe gathered.add($0) }
            return (gathered.count, gathered.bytes)
        }
        // Runs of our own frames between shared ones. Two pieces of the table must be left for a run, one for a share.
        var run = 0
        while entry < frameCount, gathered.hasRoom {
            let length = lengths.number(at: entry * Self.entrySize, as: UInt32.self)
            entry += 1
            guard length & Self.sharedBit != 0 else {
                run += Int(length)
                continue
            }
            unsafe bytes.withPieces(from: offset, length: run) { unsafe gathered.add($0) }
            offset += run
            run = 0
            let buffer = shared(share)
            share += 1
            unsafe gathered.add(UnsafeRawBufferPointer(start: buffer.start, count: buffer.count))
        }
        unsafe bytes.withPieces(from: offset, length: run) { unsafe gathered.add($0) }
        return (gathered.count, gathered.bytes)
    }

    /// Adds the rest of the front frame; returns how many bytes of it are in `bytes`.
    private func addFront(_ front: UInt32, to gathered: inout Gathered) -> Int {
        let rest = Int(front & ~Self.sharedBit) - frontTaken
        guard front & Self.sharedBit != 0 else {
            unsafe bytes.withPieces(from: 0, length: rest) { unsafe gathered.add($0) }
            return rest
        }
        unsafe gathered.add(UnsafeRawBufferPointer(start: shared(0).start + frontTaken, count: rest))
        return 0
    }

    private func shared(_ index: Int) -> SharedBuffer {
        let bits = shares.number(at: index * Self.shareSize, as: UInt.self)
        guard let opaque = unsafe UnsafeRawPointer(bitPattern: bits) else { preconditionFailure("a share is never nil") }
        return unsafe Unmanaged<SharedBuffer>.fromOpaque(opaque).takeUnretainedValue()
    }

    /// Drops `count` bytes that the kernel took, in the order in which `gather` gave them.
    mutating func take(_ count: Int, _ pool: BufferPool, _ owner: SharedBuffers) {
        var left = count
        if frontTaken > 0 { left -= takeFront(left, pool, owner) }
        let first = frontTaken > 0 ? 0 : min(left, control.count)
        if first > 0 { control.drop(first, pool) }
        left -= first
        while left > 0 { left -= takeFront(left, pool, owner) }
    }

    /// Takes at most `limit` bytes of the front frame; returns how many.
    private mutating func takeFront(_ limit: Int, _ pool: BufferPool, _ owner: SharedBuffers) -> Int {
        let front = lengths.number(at: 0, as: UInt32.self)
        let isShared = front & Self.sharedBit != 0
        let length = Int(front & ~Self.sharedBit)
        let taken = min(limit, length - frontTaken)
        frontTaken += taken
        bulkCount -= taken
        if !isShared { bytes.drop(taken, pool) }
        guard frontTaken == length else { return taken }
        frontTaken = 0
        lengths.drop(Self.entrySize, pool)
        if isShared { dropShare(pool, owner) }
        return taken
    }

    private mutating func dropShare(_ pool: BufferPool, _ owner: SharedBuffers) {
        let buffer = shared(0)
        owner.drop(buffer)
        shares.drop(Self.shareSize, pool)
        unsafe Unmanaged.passUnretained(buffer).release()
    }

    /// Drops everything and gives all memory back.
    mutating func removeAll(_ pool: BufferPool, _ owner: SharedBuffers) {
        while !shares.isEmpty { dropShare(pool, owner) }
        bytes.drop(bytes.count, pool)
        lengths.drop(lengths.count, pool)
        control.drop(control.count, pool)
        frontTaken = 0
        bulkCount = 0
    }
}

/// The table of pieces for one system call, while it is filled.
@safe
private struct Gathered {
    private let table: UnsafeMutableBufferPointer<iovec>
    private(set) var count = 0
    private(set) var bytes = 0

    init(_ table: UnsafeMutableBufferPointer<iovec>) {
        unsafe self.table = table
    }

    /// Whether a run of our own bytes (two pieces) and what follows it (three) would fit.
    var hasRoom: Bool { unsafe count + 5 <= table.count }

    mutating func add(_ piece: UnsafeRawBufferPointer) {
        precondition(unsafe count < table.count, "the table of pieces is too small")
        unsafe table[count] = unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: piece.baseAddress), iov_len: piece.count)
        count += 1
        bytes += piece.count
    }
}
