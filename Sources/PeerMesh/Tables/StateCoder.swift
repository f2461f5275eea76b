// A mesh as bytes: little-endian, field by field, so that padding never shows and the same state gives the same bytes.

import Timers

/// Appends plain values.
struct StateWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ value: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
    }

    mutating func put(_ value: Int32) { put(UInt64(bitPattern: Int64(value))) }
    mutating func put(_ value: UInt32) { put(UInt64(value)) }
    mutating func put(_ value: Bool) { put(UInt64(value ? 1 : 0)) }
    mutating func put(_ value: Instant) { put(value.nanoseconds) }
    mutating func put(_ value: Nanoseconds) { put(value.count) }

    mutating func put(_ value: UInt64?) {
        put(value != nil)
        put(value ?? 0)
    }

    mutating func put(_ value: Instant?) { put(value.map { $0.nanoseconds }) }

    mutating func put(_ address: IPAddress) {
        put(UInt64(address.family.rawValue))
        put(address.high)
        put(address.low)
    }

    mutating func put(_ endpoint: Endpoint) {
        put(endpoint.address)
        put(UInt64(endpoint.port))
    }

    mutating func put(_ endpoint: Endpoint?) {
        put(endpoint != nil)
        put(endpoint ?? Endpoint(IPAddress(v4: 0), port: 0))
    }

    mutating func put(_ reason: CloseReason?) {
        put(reason.map { UInt64($0.code) })
        switch reason {
        case .io(let errno), .local(let errno): put(errno)
        default: put(Int32(0))
        }
    }
}

/// Reads them back. After the first bad value `isBad` stays true and zeros come: total over any bytes.
struct StateReader {
    private let bytes: [UInt8]
    private var offset = 0
    var isBad = false

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { offset == bytes.count }

    mutating func word() -> UInt64 {
        guard offset + 8 <= bytes.count else {
            isBad = true
            return 0
        }
        var value: UInt64 = 0
        for index in (0..<8).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
        offset += 8
        return value
    }

    /// A number below `limit`.
    mutating func number(below limit: Int) -> Int {
        let value = word()
        guard value < UInt64(limit) else {
            isBad = true
            return 0
        }
        return Int(value)
    }

    /// An index below `limit`, or -1.
    mutating func index(below limit: Int) -> Int32 {
        let value = Int64(bitPattern: word())
        guard value >= -1, value < Int64(limit) else {
            isBad = true
            return -1
        }
        return Int32(value)
    }

    mutating func uint32() -> UInt32 {
        let value = word()
        if value > UInt64(UInt32.max) { isBad = true }
        return UInt32(truncatingIfNeeded: value)
    }

    mutating func flag() -> Bool { number(below: 2) == 1 }
    mutating func instant() -> Instant { Instant(nanoseconds: word()) }
    mutating func span() -> Nanoseconds { Nanoseconds(word()) }

    mutating func optionalWord() -> UInt64? {
        let isPresent = flag()
        let value = word()
        return isPresent ? value : nil
    }

    mutating func optionalInstant() -> Instant? { optionalWord().map { Instant(nanoseconds: $0) } }

    mutating func address() -> IPAddress {
        let family = word()
        let high = word()
        let low = word()
        switch family {
        case UInt64(IPAddress.Family.v4.rawValue) where high == 0 && low <= UInt64(UInt32.max):
            return IPAddress(v4: UInt32(low))
        case UInt64(IPAddress.Family.v6.rawValue):
            return IPAddress(v6High: high, low: low)
        default:
            isBad = true
            return IPAddress(v4: 0)
        }
    }

    mutating func endpoint() -> Endpoint {
        let address = address()
        return Endpoint(address, port: UInt16(number(below: 65_536)))
    }

    mutating func optionalEndpoint() -> Endpoint? {
        let isPresent = flag()
        let endpoint = endpoint()
        return isPresent ? endpoint : nil
    }

    mutating func reason() -> CloseReason? {
        let code = optionalWord()
        let errno = Int32(truncatingIfNeeded: Int64(bitPattern: word()))
        guard let code else { return nil }
        guard let reason = CloseReason(code: code, errno: errno) else {
            isBad = true
            return nil
        }
        return reason
    }

    /// A value of an enum by its raw number.
    mutating func value<Value: RawRepresentable>(_ fallback: Value) -> Value where Value.RawValue == UInt8 {
        guard let value = Value(rawValue: UInt8(number(below: 256))) else {
            isBad = true
            return fallback
        }
        return value
    }
}

extension CloseReason {
    private static let ordered: [CloseReason] = [
        .remoteClosed, .refused, .dialTimeout, .greetingTimeout, .frameTimeout, .keepaliveTimeout, .protocolViolation,
        .desync, .frameTooLarge, .slowConsumer, .superseded, .duplicate, .full, .evicted, .banned, .operator, .shutdown,
        .selfConnection, .wrongNetwork, .internalError, .crowded,
    ]

    /// A stable number for storage; `.io` is 255 and `.local` 254, with their errno beside it.
    var code: UInt8 {
        switch self {
        case .remoteClosed: 0
        case .refused: 1
        case .dialTimeout: 2
        case .greetingTimeout: 3
        case .frameTimeout: 4
        case .keepaliveTimeout: 5
        case .protocolViolation: 6
        case .desync: 7
        case .frameTooLarge: 8
        case .slowConsumer: 9
        case .superseded: 10
        case .duplicate: 11
        case .full: 12
        case .evicted: 13
        case .banned: 14
        case .operator: 15
        case .shutdown: 16
        case .selfConnection: 17
        case .wrongNetwork: 18
        case .internalError: 19
        case .crowded: 20
        case .local: 254
        case .io: 255
        }
    }

    init?(code: UInt64, errno: Int32) {
        if code == 255 {
            self = .io(errno)
        } else if code == 254 {
            self = .local(errno)
        } else if code < UInt64(Self.ordered.count) {
            self = Self.ordered[Int(code)]
        } else {
            return nil
        }
    }
}
