// How every dialect reads bytes that it does not trust: a cursor that cannot leave its range. A read past the end gives
// zero and fails the reader for good, so that a decoder reads its fields in a row and asks once. Never allocates.

/// A bounds-checked cursor over a part of a span.
package struct ByteReader: ~Escapable {
    private let bytes: RawSpan
    /// Where the next read starts, in the span. After a read past the end: where that read would have started.
    package private(set) var offset: Int
    /// The first byte of the span that is not ours.
    package let end: Int
    /// A read went past the end, or the decoder found what cannot be. All later reads give zero.
    package private(set) var failed = false

    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.byteCount, "the range lies in the span")
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    package var remaining: Int { end - offset }

    /// Makes all later reads give zero: what was read cannot be.
    @_lifetime(self: copy self)
    package mutating func fail() { failed = true }

    /// A little-endian integer, or 0 past the end.
    @_lifetime(self: copy self)
    package mutating func little<Integer: FixedWidthInteger & BitwiseCopyable>(_: Integer.Type) -> Integer {
        Integer(littleEndian: raw())
    }

    /// A big-endian integer, or 0 past the end.
    @_lifetime(self: copy self)
    package mutating func big<Integer: FixedWidthInteger & BitwiseCopyable>(_: Integer.Type) -> Integer {
        Integer(bigEndian: raw())
    }

    @_lifetime(self: copy self)
    package mutating func byte() -> UInt8 { raw() }

    /// The range of the next `count` bytes, or an empty one past the end. `count` may be any number.
    @_lifetime(self: copy self)
    package mutating func take(_ count: UInt64) -> Range<Int> {
        guard !failed, count <= UInt64(remaining) else {
            failed = true
            return offset..<offset
        }
        let start = offset
        offset += Int(count)
        return start..<offset
    }

    @_lifetime(self: copy self)
    private mutating func raw<Integer: FixedWidthInteger & BitwiseCopyable>() -> Integer {
        let size = MemoryLayout<Integer>.size
        guard !failed, remaining >= size else {
            failed = true
            return 0
        }
        let value = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Integer.self)
        offset += size
        return value
    }
}

extension RawSpan {
    /// The byte at `offset`, which must lie in the span.
    package func byte(_ offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < byteCount, "the offset lies in the span")
        return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// Whether the bytes in `range` are those of `other`.
    package func matches(_ other: [UInt8], at range: Range<Int>) -> Bool {
        guard range.count == other.count else { return false }
        for index in 0..<other.count where byte(range.lowerBound + index) != other[index] { return false }
        return true
    }

    /// Whether the bytes in `range` are those of `text`.
    package func matches(_ text: StaticString, at range: Range<Int>) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count where unsafe byte(range.lowerBound + index) != text.utf8Start[index] { return false }
        return true
    }
}
