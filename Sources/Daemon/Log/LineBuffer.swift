// Where log lines are put together before they are written: one block of memory, reused for ever, so that a line costs
// no allocation. Owned by one thread. The only file of the log that handles raw memory.

import CEpoll
import PeerMesh

/// A fixed buffer of bytes on their way to a descriptor. What does not fit into the line's room is cut, never grown.
@safe
final class LineBuffer {
    private let base: UnsafeMutablePointer<UInt8>
    let capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        precondition(capacity >= 256)
        self.capacity = capacity
        unsafe base = .allocate(capacity: capacity)
    }

    deinit {
        unsafe base.deallocate()
    }

    var room: Int { capacity - count }

    func removeAll() {
        count = 0
    }

    /// Forgets what was appended since the buffer held `mark` bytes.
    func cut(to mark: Int) {
        precondition(mark >= 0 && mark <= count)
        count = mark
    }

    func append(byte: UInt8) {
        guard count < capacity else { return }
        unsafe base[count] = byte
        count += 1
    }

    func append(_ text: StaticString) {
        guard text.utf8CodeUnitCount <= room else { return }
        unsafe (base + count).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    func append(_ text: String) {
        for byte in text.utf8 { append(byte: byte) }
    }

    /// A number in decimal, with leading zeros up to `width` digits.
    func append(decimal value: UInt64, width: Int = 1) {
        var digits = [20 of UInt8](repeating: UInt8(ascii: "0"))
        var rest = value
        var start = 20
        while rest != 0 || 20 - start < width {
            start -= 1
            digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        for index in start..<20 { append(byte: digits[index]) }
    }

    /// Seconds with three decimals, from nanoseconds.
    func append(seconds nanoseconds: UInt64) {
        let milliseconds = nanoseconds / 1_000_000
        append(decimal: milliseconds / 1_000)
        append(".")
        append(decimal: milliseconds % 1_000, width: 3)
    }

    func append(_ endpoint: Endpoint) {
        guard room >= Endpoint.maximumTextLength else { return }
        var tail = unsafe OutputSpan(buffer: UnsafeMutableBufferPointer(start: base + count, count: room), initializedCount: 0)
        endpoint.write(into: &tail)
        count += unsafe tail.finalize(for: UnsafeMutableBufferPointer(start: base + count, count: room))
    }

    /// Writes everything to `descriptor`, however long that takes: the caller's thread is one that may block. Returns 0, or
    /// the error after which nothing more can be written. The buffer is empty afterwards.
    func write(to descriptor: CInt) -> CInt {
        var offset = 0
        defer { count = 0 }
        while offset < count {
            let n = unsafe cepoll_write(descriptor, base + offset, count - offset)
            if n > 0 {
                offset += n
            } else if n == -Int(CEPOLL_EAGAIN) {
                // Somebody shares the descriptor and has made it non-blocking; we wait as if it were not.
                _ = Descriptors.waitWritable(descriptor, milliseconds: 1_000)
            } else if n != -Int(CEPOLL_EINTR) {
                return CInt(truncatingIfNeeded: -n)
            }
        }
        return 0
    }

    /// The bytes as text, for tests.
    var text: String {
        unsafe String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self)
    }
}
