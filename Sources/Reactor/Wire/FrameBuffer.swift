// Scratch for frames on their way out and for decoded peer entries: reused for every frame, so that steady state
// allocates nothing. Owned by the loop's thread.

public import PeerMesh

/// A growable byte buffer that frames are encoded into. Emptied and reused, never shrunk below its high mark.
@safe
public final class FrameBuffer {
    @exclusivity(unchecked) private var base: UnsafeMutableRawPointer
    @safe @exclusivity(unchecked) private var capacity: Int
    /// Bytes written so far.
    @safe @exclusivity(unchecked) public private(set) var count = 0

    /// An empty buffer with room for `capacity` bytes before it grows.
    public init(capacity: Int = 4_096) {
        precondition(capacity > 0)
        self.capacity = capacity
        unsafe base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// The bytes written so far.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Forgets the bytes; keeps the memory.
    public func removeAll() {
        count = 0
    }

    /// Appends one byte.
    public func append(_ byte: UInt8) {
        reserve(1)
        unsafe base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    /// Appends an integer, its lowest byte first.
    public func appendLittleEndian<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer) {
        store(value.littleEndian)
    }

    /// Appends an integer, its highest byte first.
    public func appendBigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer) {
        store(value.bigEndian)
    }

    /// Appends a copy of `span`.
    public func append(_ span: RawSpan) {
        reserve(span.byteCount)
        unsafe span.withUnsafeBytes { source in
            if let start = source.baseAddress {
                unsafe (base + count).copyMemory(from: start, byteCount: source.count)
            }
        }
        count += span.byteCount
    }

    /// Appends a copy of `bytes`.
    public func append(_ bytes: [UInt8]) {
        let span = bytes.span
        unsafe append(span.bytes)
    }

    /// Appends the UTF-8 of `text`.
    public func append(_ text: StaticString) {
        reserve(text.utf8CodeUnitCount)
        unsafe (base + count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    /// Appends what `write` writes: `room` bytes at most.
    public func append(atMost room: Int, _ write: (inout OutputSpan<UInt8>) -> Void) {
        reserve(room)
        let free = unsafe UnsafeMutableBufferPointer(
            start: (base + count).assumingMemoryBound(to: UInt8.self), count: room
        )
        var output = unsafe OutputSpan(buffer: free, initializedCount: 0)
        write(&output)
        count += unsafe output.finalize(for: free)
    }

    /// Appends `n` zero bytes.
    public func appendZeros(_ n: Int) {
        reserve(n)
        unsafe (base + count).initializeMemory(as: UInt8.self, repeating: 0, count: n)
        count += n
    }

    /// Overwrites an integer at `offset`, whose bytes must have been written already.
    public func setBigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at offset: Int) {
        overwrite(value.bigEndian, at: offset)
    }

    /// Overwrites an integer at `offset`, whose bytes must have been written already.
    public func setLittleEndian<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at offset: Int) {
        overwrite(value.littleEndian, at: offset)
    }

    private func overwrite<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at offset: Int) {
        precondition(offset >= 0 && offset + MemoryLayout<Integer>.size <= count, "only written bytes are overwritten")
        unsafe base.storeBytes(of: value, toByteOffset: offset, as: Integer.self)
    }

    private func store<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer) {
        reserve(MemoryLayout<Integer>.size)
        unsafe base.storeBytes(of: value, toByteOffset: count, as: Integer.self)
        count += MemoryLayout<Integer>.size
    }

    private func reserve(_ n: Int) {
        if count + n > capacity { grow(to: count + n) }
    }

    private func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        unsafe moved.copyMemory(from: base, byteCount: count)
        unsafe base.deallocate()
        unsafe base = moved
        capacity = larger
    }
}

/// The entries of one peers message: a fixed table of 1,000, reused.
@safe
public final class PeerList {
    /// The entries that a list holds: what one message may name.
    public static let capacity = 1_000
    private let base: UnsafeMutablePointer<Endpoint>
    /// Entries taken so far.
    @safe @exclusivity(unchecked) public private(set) var count = 0
    /// The address by which the sender of a hello sees us, if it says one.
    @safe @exclusivity(unchecked) public var seenAs: IPAddress?

    /// An empty list.
    public init() {
        unsafe base = .allocate(capacity: Self.capacity)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// Forgets the entries.
    public func removeAll() {
        count = 0
        seenAs = nil
    }

    /// Takes one more entry; false if the list is full.
    public func append(_ endpoint: Endpoint) -> Bool {
        guard count < Self.capacity else { return false }
        unsafe (base + count).initialize(to: endpoint)
        count += 1
        return true
    }

    /// The entry at `index`, 0 ..< count.
    public subscript(_ index: Int) -> Endpoint {
        precondition(index >= 0 && index < count)
        return unsafe base[index]
    }
}
