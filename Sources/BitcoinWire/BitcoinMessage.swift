// The commands that the dialect itself speaks, and Bitcoin's variable-length integer. Commands are written as the numbers
// that a header holds, so that telling them apart is a comparison of words; a test holds them to their spelling.

package import Reactor

package enum BitcoinMessage {
    package static let version = MessageType(high: 0x7665_7273_696f_6e00, low: 0)
    package static let verack = MessageType(high: 0x7665_7261_636b_0000, low: 0)
    package static let wtxidrelay = MessageType(high: 0x7774_7869_6472_656c, low: 0x6179_0000_0000_0000)
    package static let sendaddrv2 = MessageType(high: 0x7365_6e64_6164_6472, low: 0x7632_0000_0000_0000)
    package static let ping = MessageType(high: 0x7069_6e67_0000_0000, low: 0)
    package static let pong = MessageType(high: 0x706f_6e67_0000_0000, low: 0)
    package static let getaddr = MessageType(high: 0x6765_7461_6464_7200, low: 0)
    package static let addr = MessageType(high: 0x6164_6472_0000_0000, low: 0)
    package static let addrv2 = MessageType(high: 0x6164_6472_7632_0000, low: 0)
}

extension ByteReader {
    /// A CompactSize, which must be in its shortest form: else the reader fails.
    @_lifetime(self: copy self)
    mutating func compactSize() -> UInt64 {
        let first = byte()
        let value: UInt64
        let least: UInt64
        switch first {
        case 0xfd:
            value = UInt64(little(UInt16.self))
            least = 0xfd
        case 0xfe:
            value = UInt64(little(UInt32.self))
            least = 0x1_0000
        case 0xff:
            value = little(UInt64.self)
            least = 0x1_0000_0000
        default:
            return UInt64(first)
        }
        if value < least { fail() }
        return failed ? 0 : value
    }
}

extension FrameBuffer {
    /// Appends a CompactSize in its shortest form.
    func appendCompactSize(_ value: Int) {
        switch value {
        case ..<0xfd:
            append(UInt8(value))
        case ..<0x1_0000:
            append(0xfd)
            appendLittleEndian(UInt16(value))
        default:
            append(0xfe)
            appendLittleEndian(UInt32(value))
        }
    }
}
