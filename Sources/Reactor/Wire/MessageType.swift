// What the application calls its frames: a number in TimeWire, a twelve-byte command in BitcoinWire. One plain value for
// both, so that handlers, counters and queues need not know the dialect.

/// Which message of the application a frame is: a number in TimeWire, twelve ASCII bytes in BitcoinWire.
public struct MessageType: Hashable, Sendable, BitwiseCopyable {
    /// The command's first eight bytes, big-endian, zero-padded; 0 for a number.
    public var high: UInt64
    /// The command's last four bytes, big-endian, in the upper half; or the number.
    public var low: UInt64

    /// The type that a number names.
    public init(_ number: UInt32) {
        high = 0
        low = UInt64(number)
    }

    /// The type whose two words are known: see `high` and `low`.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The type that a command names: 1 ... 12 printable ASCII characters.
    public init(command: StaticString) {
        precondition(command.hasPointerRepresentation && 1...12 ~= command.utf8CodeUnitCount, "a command has 1 ... 12 bytes")
        high = 0
        low = 0
        for index in 0..<command.utf8CodeUnitCount {
            let byte = unsafe UInt64(command.utf8Start[index])
            precondition(0x21...0x7e ~= byte, "a command is printable ASCII")
            if index < 8 {
                high |= byte << UInt64(56 - 8 * index)
            } else {
                low |= byte << UInt64(56 - 8 * (index - 8))
            }
        }
    }

    /// Whether this is a number: every command has a first character.
    public var isNumber: Bool { high == 0 }

    /// The number, or nil for a command.
    public var number: UInt32? { isNumber ? UInt32(truncatingIfNeeded: low) : nil }
}

extension MessageType: CustomStringConvertible {
    /// The number in decimal, or the command.
    public var description: String {
        if isNumber { return "\(low)" }
        var text = ""
        for index in 0..<12 {
            let word = index < 8 ? high : low
            let byte = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * (index % 8)))
            if byte == 0 { break }
            text.unicodeScalars.append(0x20...0x7e ~= byte ? Unicode.Scalar(byte) : "?")
        }
        return text
    }
}
