// The compared protocol's frames, and a piece of memory with bytes of one.

/// Four bytes of big-endian length, then a body whose first byte is its kind. See Benchmarks/README.md.
enum Frames {
    static let header = 4
    private static let limit: UInt32 = 8 << 20
    private static let helloLength: UInt32 = 32

    struct Answered {
        /// The whole frames, which are answers now.
        var length: Int
        /// What the frame behind them takes as a whole, as far as is known.
        var needed: Int
    }

    /// Answers all whole frames at the front, in place; nil if the stream is broken.
    @inline(__always)
    static func answer(_ bytes: UnsafeMutableRawPointer, _ count: Int, isGreeted: inout Bool) -> Answered? {
        var done = 0
        while count &- done >= header {
            let frame = bytes + done
            let length = UInt32(bigEndian: frame.loadUnaligned(as: UInt32.self))
            let whole = header &+ Int(length)
            // A length of zero becomes the largest of all.
            guard isGreeted ? length &- 1 < limit : length == helloLength else { return nil }
            if count &- done > header {
                let kind = frame.load(fromByteOffset: header, as: UInt8.self)
                guard isGreeted ? kind == 2 || kind == 3 : kind == 1 else { return nil }
                guard count &- done >= whole else { return Answered(length: done, needed: whole) }
                frame.storeBytes(of: kind | 0x80, toByteOffset: header, as: UInt8.self)
                isGreeted = true
                done &+= whole
            } else {
                return Answered(length: done, needed: whole)
            }
        }
        return Answered(length: done, needed: header)
    }

    /// What the frame that begins here takes as a whole, as far as is known. It was looked at before.
    static func needed(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        count < header ? header : header + Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
    }
}

/// Bytes in memory of their own, behind a head that says how many: one pointer, as nearly all connections have none.
/// Whoever holds the value frees it.
struct Bytes {
    private struct Head {
        var capacity: Int
        var start: Int
        var count: Int
    }

    private let head: UnsafeMutablePointer<Head>

    init(copying bytes: UnsafeMutableRawPointer, _ count: Int, room: Int) {
        let capacity = max(room, count)
        let block = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<Head>.stride + capacity, alignment: 16)
        head = block.bindMemory(to: Head.self, capacity: 1)
        head.initialize(to: Head(capacity: capacity, start: 0, count: count))
        base.copyMemory(from: bytes, byteCount: count)
    }

    var base: UnsafeMutableRawPointer { UnsafeMutableRawPointer(head) + MemoryLayout<Head>.stride }
    var capacity: Int { head.pointee.capacity }
    var start: Int {
        get { head.pointee.start }
        nonmutating set { head.pointee.start = newValue }
    }
    var count: Int {
        get { head.pointee.count }
        nonmutating set { head.pointee.count = newValue }
    }

    /// Room for a frame of `needed` bytes of which `count` came: grows with what really came, not with what was announced.
    static func room(_ count: Int, of needed: Int) -> Int {
        max(count + 1, min(needed, 2 * count + 4_096))
    }

    /// The same bytes with more room; these are freed.
    consuming func grown(room: Int) -> Bytes {
        let larger = Bytes(copying: base, count, room: room)
        free()
        return larger
    }

    func free() {
        UnsafeMutableRawPointer(head).deallocate()
    }
}
