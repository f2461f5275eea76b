// Addresses as text inside frames, read and written without a string: `1.2.3.4:24000`, `[2001:db8::1]:24000`. Strict on
// reading (no leading zeros, no signs, no scopes), canonical on writing (RFC 5952). Total and free of allocation.

import PeerMesh

enum EndpointText {
    /// The endpoint that the bytes in `range` spell, or nil.
    static func endpoint(_ bytes: RawSpan, _ range: Range<Int>) -> Endpoint? {
        guard let colon = lastIndex(of: colon, in: bytes, range) else { return nil }
        guard let port = decimal(bytes, (colon + 1)..<range.upperBound, limit: 65_535) else { return nil }
        let host = range.lowerBound..<colon
        guard host.count >= 2 else { return nil }
        if bytes.byte(host.lowerBound) == bracketOpen {
            guard bytes.byte(colon - 1) == bracketClose else { return nil }
            guard let address = v6(bytes, (host.lowerBound + 1)..<(colon - 1)) else { return nil }
            return Endpoint(address, port: UInt16(port))
        }
        guard let address = v4(bytes, host) else { return nil }
        return Endpoint(address, port: UInt16(port))
    }

    /// The address that the bytes in `range` spell, without a port and without brackets, or nil.
    static func address(_ bytes: RawSpan, _ range: Range<Int>) -> IPAddress? {
        v4(bytes, range) ?? v6(bytes, range)
    }

    /// Appends `1.2.3.4` or `2001:db8::1`.
    static func append(_ address: IPAddress, to frame: FrameBuffer) {
        switch address.family {
        case .v4:
            for part in 0..<4 {
                if part > 0 { frame.append(dot) }
                appendDecimal(UInt32(truncatingIfNeeded: address.low >> UInt64(24 - 8 * part)) & 0xff, to: frame)
            }
        case .v6:
            appendV6(address, to: frame)
        }
    }

    /// Appends `1.2.3.4:24000` or `[2001:db8::1]:24000`.
    static func append(_ endpoint: Endpoint, to frame: FrameBuffer) {
        let bracketed = endpoint.address.family == .v6
        if bracketed { frame.append(bracketOpen) }
        append(endpoint.address, to: frame)
        if bracketed { frame.append(bracketClose) }
        frame.append(colon)
        appendDecimal(UInt32(endpoint.port), to: frame)
    }

    // MARK: Reading

    private static let colon = UInt8(ascii: ":")
    private static let dot = UInt8(ascii: ".")
    private static let bracketOpen = UInt8(ascii: "[")
    private static let bracketClose = UInt8(ascii: "]")
    /// No address is longer: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`. Longer text is not looked at.
    private static let longest = 45

    private static func lastIndex(of wanted: UInt8, in bytes: RawSpan, _ range: Range<Int>) -> Int? {
        guard range.count <= longest + 8 else { return nil }
        var index = range.upperBound
        while index > range.lowerBound {
            index -= 1
            if bytes.byte(index) == wanted { return index }
        }
        return nil
    }

    private static func decimal(_ bytes: RawSpan, _ range: Range<Int>, limit: UInt32) -> UInt32? {
        guard 1...5 ~= range.count else { return nil }
        if range.count > 1, bytes.byte(range.lowerBound) == UInt8(ascii: "0") { return nil }
        var value: UInt32 = 0
        for index in range {
            let byte = bytes.byte(index)
            guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
            value = value * 10 + UInt32(byte - UInt8(ascii: "0"))
        }
        return value <= limit ? value : nil
    }

    private static func v4(_ bytes: RawSpan, _ range: Range<Int>) -> IPAddress? {
        guard 7...15 ~= range.count else { return nil }
        var bits: UInt32 = 0
        var start = range.lowerBound
        for part in 0..<4 {
            var stop = start
            while stop < range.upperBound, bytes.byte(stop) != dot { stop += 1 }
            guard (stop == range.upperBound) == (part == 3) else { return nil }
            guard let octet = decimal(bytes, start..<stop, limit: 255) else { return nil }
            bits = bits << 8 | octet
            start = stop + 1
        }
        return IPAddress(v4: bits)
    }

    private static func v6(_ bytes: RawSpan, _ range: Range<Int>) -> IPAddress? {
        guard 2...longest ~= range.count else { return nil }
        var words = [8 of UInt16](repeating: 0)
        var count = 0
        /// How many words stand before `::`.
        var gap: Int?
        var index = range.lowerBound
        if bytes.byte(index) == colon {
            guard bytes.byte(index + 1) == colon else { return nil }
            gap = 0
            index += 2
        }
        while index < range.upperBound {
            guard count < 8 else { return nil }
            let start = index
            var word: UInt32 = 0
            while index < range.upperBound, index - start < 4, let digit = hexDigit(bytes.byte(index)) {
                word = word << 4 | digit
                index += 1
            }
            if index < range.upperBound, bytes.byte(index) == dot {
                guard count <= 6, let tail = v4(bytes, start..<range.upperBound) else { return nil }
                words[count] = UInt16(tail.v4Bits >> 16)
                words[count + 1] = UInt16(truncatingIfNeeded: tail.v4Bits)
                count += 2
                break
            }
            guard index > start else { return nil }
            words[count] = UInt16(word)
            count += 1
            guard index < range.upperBound else { break }
            guard bytes.byte(index) == colon, index + 1 < range.upperBound else { return nil }
            index += 1
            if bytes.byte(index) == colon {
                guard gap == nil else { return nil }
                gap = count
                index += 1
            }
        }
        return assemble(words, count: count, gap: gap)
    }

    private static func assemble(_ words: [8 of UInt16], count: Int, gap: Int?) -> IPAddress? {
        guard gap == nil ? count == 8 : count < 8 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for position in 0..<8 {
            let before = gap ?? 8
            let index = position < before ? position : position - (8 - count)
            let word = index >= 0 && (position < before || index >= before) ? UInt64(words[index]) : 0
            if position < 4 { high = high << 16 | word } else { low = low << 16 | word }
        }
        return IPAddress(v6High: high, low: low)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    // MARK: Writing

    private static func appendDecimal(_ value: UInt32, to frame: FrameBuffer) {
        var divisor: UInt32 = 1
        while value / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            frame.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }

    private static func appendV6(_ address: IPAddress, to frame: FrameBuffer) {
        let gap = longestZeros(address)
        var position = 0
        while position < 8 {
            if position == gap.lowerBound, !gap.isEmpty {
                frame.append(colon)
                frame.append(colon)
                position = gap.upperBound
                continue
            }
            if position > 0, position != gap.upperBound || gap.isEmpty { frame.append(colon) }
            appendHex(word(address, position), to: frame)
            position += 1
        }
    }

    /// The first longest run of at least two zero words: what `::` stands for.
    private static func longestZeros(_ address: IPAddress) -> Range<Int> {
        var best = 0..<0
        var start = 0
        for position in 0...8 {
            if position < 8, word(address, position) == 0 { continue }
            if position - start >= 2, position - start > best.count { best = start..<position }
            start = position + 1
        }
        return best
    }

    private static func word(_ address: IPAddress, _ position: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: (position < 4 ? address.high : address.low) >> UInt64(48 - 16 * (position % 4)))
    }

    private static func appendHex(_ word: UInt16, to frame: FrameBuffer) {
        var shift = 12
        while shift > 0, word >> UInt16(shift) == 0 { shift -= 4 }
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: word >> UInt16(shift)) & 0xf
            frame.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            shift -= 4
        }
    }
}
