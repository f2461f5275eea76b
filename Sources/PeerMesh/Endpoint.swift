// Addresses as values: what a peer is keyed by. Never a string: the same bug five times over (incidents P13).
// `::ffff:a.b.c.d` is a.b.c.d, from birth, so that one host has one key.

/// An IPv4 or IPv6 address. Ordered by family, then numerically by its bytes.
public struct IPAddress: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// The two kinds of addresses; IPv4 comes first in every order.
    public enum Family: UInt8, Hashable, Comparable, Sendable, BitwiseCopyable {
        /// IPv4.
        case v4 = 4
        /// IPv6.
        case v6 = 6

        /// IPv4 before IPv6.
        public static func < (a: Family, b: Family) -> Bool { a.rawValue < b.rawValue }
    }

    // The family comes last, so that an endpoint's port takes the room beside it: 24 bytes each in a table, not 32.

    /// The first eight bytes of an IPv6 address, big-endian; 0 for IPv4.
    public let high: UInt64
    /// The last eight bytes of an IPv6 address, or the four of an IPv4 one, big-endian.
    public let low: UInt64
    /// Which kind it is.
    public let family: Family

    /// The IPv4 address whose four bytes, big-endian, are `bits`.
    public init(v4 bits: UInt32) {
        self.init(family: .v4, high: 0, low: UInt64(bits))
    }

    private init(family: Family, high: UInt64, low: UInt64) {
        self.family = family
        self.high = high
        self.low = low
    }

    /// The IPv4 address a.b.c.d.
    public init(v4 a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        self.init(v4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
    }

    /// An IPv6 address from its two halves; one that maps an IPv4 address becomes that address.
    public init(v6High high: UInt64, low: UInt64) {
        if high == 0, low >> 32 == 0xffff {
            self.init(v4: UInt32(truncatingIfNeeded: low))
        } else {
            self.init(family: .v6, high: high, low: low)
        }
    }

    /// By family, then numerically by bytes.
    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        if a.family != b.family { return a.family < b.family }
        if a.high != b.high { return a.high < b.high }
        return a.low < b.low
    }

    /// The four bytes of an IPv4 address, big-endian; 0 for IPv6.
    public var v4Bits: UInt32 { family == .v4 ? UInt32(truncatingIfNeeded: low) : 0 }

    /// 0.0.0.0 or `::`: "any address" to a listener, and nobody's.
    public var isUnspecified: Bool { high == 0 && low == 0 }

    /// 127/8 or ::1.
    public var isLoopback: Bool {
        family == .v4 ? low >> 24 == 127 : high == 0 && low == 1
    }

    /// 224/4 or ff00::/8, and the IPv4 broadcast address: nobody's.
    public var isMulticast: Bool {
        family == .v4 ? low >> 28 == 0xe || low == 0xffff_ffff : high >> 56 == 0xff
    }

    /// Whether the first `bits` bits of both are the same; false across families.
    public func shares(prefix bits: Int, with other: IPAddress) -> Bool {
        guard family == other.family else { return false }
        // A shift by all bits leaves none.
        switch family {
        case .v4:
            let kept = UInt64(min(max(bits, 0), 32))
            return (low ^ other.low) >> (32 - kept) == 0
        case .v6:
            let kept = min(max(bits, 0), 128)
            if kept <= 64 { return (high ^ other.high) >> UInt64(64 - kept) == 0 }
            return high == other.high && (low ^ other.low) >> UInt64(128 - kept) == 0
        }
    }
}

/// Where a peer can be reached: an address and a port. The key of the peer table.
/// Ordered by family, address bytes, port: numerically, as the direction rule wants it.
public struct Endpoint: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// The host.
    public let address: IPAddress
    /// The TCP port; 0 to a listener means any.
    public let port: UInt16

    /// An address and a port. Nothing is checked: see `isDialable`.
    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// By family, address bytes, port: numerically.
    public static func < (a: Endpoint, b: Endpoint) -> Bool {
        a.address == b.address ? a.port < b.port : a.address < b.address
    }

    /// Whether somebody could be dialled there: a real address and a port.
    public var isDialable: Bool {
        port != 0 && address.scope != .nowhere
    }
}
