// Addresses as people write them, both ways. Reading is total and strict: numbers only, no names, no zones, no leading zeros
// in IPv4 (octal to some, decimal to others), nothing before or behind. Writing is canonical (RFC 5952), so that one
// endpoint has one text. Both work on bytes and allocate nothing; the `String` faces are for the border.

extension IPAddress {
    /// The address that `text` spells: a dotted quad, or IPv6 after RFC 4291 (`::ffff:a.b.c.d` is a.b.c.d). Nil for all else.
    public init?(_ text: String) {
        unsafe self.init(ascii: text.utf8.span.bytes)
    }

    /// The same from bytes; allocates nothing.
    public init?(ascii: RawSpan) {
        var reader = AddressReader(ascii)
        guard let address = reader.address(), reader.isAtEnd else { return nil }
        self = address
    }
}

extension Endpoint {
    /// The endpoint that `text` spells: `a.b.c.d:port` or `[v6]:port`, the port 0 ... 65535 in decimal. Nil for all else.
    public init?(_ text: String) {
        unsafe self.init(ascii: text.utf8.span.bytes)
    }

    /// The same from bytes; allocates nothing.
    public init?(ascii: RawSpan) {
        var reader = AddressReader(ascii)
        let address: IPAddress
        if reader.take("[") {
            guard let inside = reader.v6(), reader.take("]") else { return nil }
            address = inside
        } else {
            guard let bits = reader.v4() else { return nil }
            address = IPAddress(v4: bits)
        }
        guard reader.take(":"), let port = reader.decimal(upTo: 65_535), reader.isAtEnd else { return nil }
        self.init(address, port: UInt16(truncatingIfNeeded: port))
    }
}

extension Subnet {
    /// The range that `text` spells: `address/bits`, or one address alone. Bits beyond the prefix are dropped. Nil for all else.
    public init?(_ text: String) {
        unsafe self.init(ascii: text.utf8.span.bytes)
    }

    /// The same from bytes; allocates nothing.
    public init?(ascii: RawSpan) {
        var reader = AddressReader(ascii)
        let mark = reader.position
        guard let address = reader.address() else { return nil }
        guard reader.take("/") else {
            guard reader.isAtEnd else { return nil }
            self.init(address)
            return
        }
        guard let bits = reader.decimal(upTo: 128), reader.isAtEnd else { return nil }
        // A mapped address became an IPv4 one; its prefix counts from there too.
        let isMapped = address.family == .v4 && reader.hasColon(from: mark)
        let prefix = isMapped ? Int(bits) - 96 : Int(bits)
        guard prefix >= 0, prefix <= (address.family == .v4 ? 32 : 128) else { return nil }
        self.init(address.keeping(prefix: prefix), prefix: UInt8(truncatingIfNeeded: prefix))
    }
}

extension IPAddress {
    /// The address with all bits behind the first `bits` cleared.
    fileprivate func keeping(prefix bits: Int) -> IPAddress {
        switch family {
        case .v4: IPAddress(v4: v4Bits & ~(UInt32.max >> UInt32(bits)))
        case .v6:
            IPAddress(
                v6High: high & ~(UInt64.max >> UInt64(min(bits, 64))),
                low: low & ~(UInt64.max >> UInt64(max(bits - 64, 0)))
            )
        }
    }
}

// MARK: Writing

extension IPAddress: CustomStringConvertible {
    /// The longest text of an address, in bytes.
    public static var maximumTextLength: Int { 39 }

    /// The canonical text: RFC 5952 for IPv6.
    public var description: String {
        let bytes = [UInt8](capacity: IPAddress.maximumTextLength) { write(into: &$0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the canonical text; `output` has room for `maximumTextLength` bytes.
    public func write(into output: inout OutputSpan<UInt8>) {
        switch family {
        case .v4:
            for index in 0..<4 {
                if index > 0 { output.append(".") }
                output.append(decimal: low >> UInt64(24 - index * 8) & 0xff)
            }
        case .v6:
            writeGroups(into: &output)
        }
    }

    /// Eight groups of hexadecimal digits, the first of the longest runs of two or more zeros as `::`.
    private func writeGroups(into output: inout OutputSpan<UInt8>) {
        let run = longestZeroRun
        var index = 0
        while index < 8 {
            if index == run.lowerBound, !run.isEmpty {
                output.append(":")
                output.append(":")
                index = run.upperBound
                continue
            }
            if index > 0, index != run.upperBound || run.isEmpty { output.append(":") }
            output.append(hexadecimal: group(index))
            index += 1
        }
    }

    private func group(_ index: Int) -> UInt64 {
        let half = index < 4 ? high : low
        return half >> UInt64(48 - index % 4 * 16) & 0xffff
    }

    private var longestZeroRun: Range<Int> {
        var best = 0..<0
        var start = 0
        for index in 0..<8 {
            if group(index) != 0 {
                start = index + 1
            } else if index + 1 - start > max(best.count, 1) {
                best = start..<index + 1
            }
        }
        return best
    }
}

extension Endpoint: CustomStringConvertible {
    /// The longest text of an endpoint, in bytes.
    public static var maximumTextLength: Int { IPAddress.maximumTextLength + 8 }

    /// The canonical text: `a.b.c.d:port` or `[v6]:port`.
    public var description: String {
        let bytes = [UInt8](capacity: Endpoint.maximumTextLength) { write(into: &$0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the canonical text; `output` has room for `maximumTextLength` bytes.
    public func write(into output: inout OutputSpan<UInt8>) {
        if address.family == .v6 { output.append("[") }
        address.write(into: &output)
        if address.family == .v6 { output.append("]") }
        output.append(":")
        output.append(decimal: UInt64(port))
    }
}

extension Subnet: CustomStringConvertible {
    /// The longest text of a range, in bytes.
    public static var maximumTextLength: Int { IPAddress.maximumTextLength + 4 }

    /// The canonical text: `address/bits`.
    public var description: String {
        let bytes = [UInt8](capacity: Subnet.maximumTextLength) { write(into: &$0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the canonical text; `output` has room for `maximumTextLength` bytes.
    public func write(into output: inout OutputSpan<UInt8>) {
        address.write(into: &output)
        output.append("/")
        output.append(decimal: UInt64(prefix))
    }
}

extension OutputSpan<UInt8> {
    fileprivate mutating func append(_ character: Unicode.Scalar) {
        append(UInt8(truncatingIfNeeded: character.value))
    }

    fileprivate mutating func append(decimal value: UInt64) {
        if value >= 10 { append(decimal: value / 10) }
        append(UInt8(truncatingIfNeeded: 48 + value % 10))
    }

    fileprivate mutating func append(hexadecimal value: UInt64) {
        if value >= 16 { append(hexadecimal: value >> 4) }
        let digit = UInt8(truncatingIfNeeded: value & 15)
        append(digit < 10 ? 48 + digit : 87 + digit)
    }
}

// MARK: Reading

/// A cursor over the text. Each function takes what it understands, or says nil, after which the text is refused.
private struct AddressReader: ~Escapable {
    private let bytes: RawSpan
    private(set) var position = 0

    @_lifetime(copy bytes)
    init(_ bytes: RawSpan) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { position == bytes.byteCount }

    /// The byte at the cursor; 0, which no address contains, at the end.
    private var next: UInt8 {
        position < bytes.byteCount ? bytes.byte(at: position) : 0
    }

    /// Whether what was read since `mark` had a colon in it.
    func hasColon(from mark: Int) -> Bool {
        for offset in mark..<position where bytes.byte(at: offset) == UInt8(ascii: ":") { return true }
        return false
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard !isAtEnd, next == UInt8(truncatingIfNeeded: character.value) else { return false }
        position += 1
        return true
    }

    /// A number without sign and without leading zeros.
    mutating func decimal(upTo limit: UInt32) -> UInt32? {
        let start = position
        var value: UInt32 = 0
        while next >= UInt8(ascii: "0"), next <= UInt8(ascii: "9") {
            if position > start, value == 0 { return nil }
            value = value * 10 + UInt32(next - UInt8(ascii: "0"))
            if value > limit { return nil }
            position += 1
        }
        return position > start ? value : nil
    }

    /// One to four hexadecimal digits.
    private mutating func hexadecimal() -> UInt64? {
        var value: UInt64 = 0
        var digits = 0
        while let digit = hexadecimalDigit(next) {
            digits += 1
            if digits > 4 { return nil }
            value = value << 4 | digit
            position += 1
        }
        return digits > 0 ? value : nil
    }

    private func hexadecimalDigit(_ byte: UInt8) -> UInt64? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - 48)
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - 87)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - 55)
        default: nil
        }
    }

    /// Four decimal bytes.
    mutating func v4() -> UInt32? {
        var bits: UInt32 = 0
        for index in 0..<4 {
            if index > 0, !take(".") { return nil }
            guard let byte = decimal(upTo: 255) else { return nil }
            bits = bits << 8 | byte
        }
        return bits
    }

    /// Eight groups, or fewer around one `::`, the last two perhaps as a dotted quad.
    mutating func v6() -> IPAddress? {
        var groups = [8 of UInt16](repeating: 0)
        var count = 0
        var gap: Int?
        if take(":") {
            guard take(":") else { return nil }
            gap = 0
        }
        while count < 8 {
            let start = position
            guard let group = hexadecimal() else {
                // Only a `::` may be the end.
                guard gap == count else { return nil }
                break
            }
            if next == UInt8(ascii: ".") {
                position = start
                guard count <= 6, let bits = v4() else { return nil }
                groups[count] = UInt16(truncatingIfNeeded: bits >> 16)
                groups[count + 1] = UInt16(truncatingIfNeeded: bits)
                count += 2
                break
            }
            groups[count] = UInt16(truncatingIfNeeded: group)
            count += 1
            guard count < 8, take(":") else { break }
            if take(":") {
                if gap != nil { return nil }
                gap = count
            }
        }
        return assembled(groups, count: count, gap: gap)
    }

    private func assembled(_ groups: [8 of UInt16], count: Int, gap: Int?) -> IPAddress? {
        // A `::` stands for one group at least.
        guard gap == nil ? count == 8 : count < 8 else { return nil }
        let head = gap ?? 8
        var (high, low): (UInt64, UInt64) = (0, 0)
        for index in 0..<8 {
            let behind = index - (8 - count)
            let group = index < min(head, count) ? groups[index] : behind >= head ? groups[behind] : 0
            high = high << 16 | low >> 48
            low = low << 16 | UInt64(group)
        }
        return IPAddress(v6High: high, low: low)
    }

    /// Either family, told apart by what ends the first run of digits.
    mutating func address() -> IPAddress? {
        let start = position
        if let bits = v4() { return IPAddress(v4: bits) }
        position = start
        return v6()
    }
}

extension RawSpan {
    /// One byte; the offset is checked.
    fileprivate func byte(at offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < byteCount)
        return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}
