// How far an IP address reaches. One function answers for every door by which addresses come in or go out, so that no two
// doors disagree. Source: the IANA special-purpose address registries (RFC 6890 and its updates).

/// How far an address reaches.
public enum AddressScope: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
    /// The whole internet.
    case global
    /// One organisation's network: 10/8, 172.16/12, 192.168/16, fc00::/7, fec0::/10, 64:ff9b:1::/48.
    case `private`
    /// A provider's network behind its NAT: 100.64/10.
    case shared
    /// One network segment: 169.254/16, fe80::/10. Cloud metadata services answer there.
    case linkLocal
    /// This machine: 127/8, ::1.
    case loopback
    /// Set aside for documentation, benchmarks, protocols or the future. Not routed on the internet.
    case reserved
    /// No host: unspecified, multicast or broadcast.
    case nowhere

    /// The stable name for messages and logs.
    public var name: String {
        switch self {
        case .global: "global"
        case .private: "private"
        case .shared: "shared"
        case .linkLocal: "link-local"
        case .loopback: "loopback"
        case .reserved: "reserved"
        case .nowhere: "nowhere"
        }
    }

    /// Whether an address of this scope, as one peer knows it, means the same host to a peer at an address of `other`: global
    /// addresses do to everyone, others only within one scope. Asked before an address is learnt and before it is told.
    public func isKnown(at other: AddressScope) -> Bool {
        switch self {
        case .global: true
        case .private, .shared, .linkLocal, .loopback, .reserved: self == other
        case .nowhere: false
        }
    }
}

extension IPAddress {
    /// How far this address reaches. An IPv6 address that carries an IPv4 one (6to4, NAT64) reaches as far as that one.
    public var scope: AddressScope {
        switch family {
        case .v4: IPAddress.scope(ofV4: v4Bits)
        case .v6: v6Scope
        }
    }

    /// The block whose peers count as one source: an IPv4 address alone, the /64 of an IPv6 one, because one host has all of
    /// its /64 at hand. What is scored and banned automatically is such a block.
    public var block: Subnet {
        switch family {
        case .v4: Subnet(self)
        case .v6: Subnet(IPAddress(v6High: high, low: 0), prefix: 64)
        }
    }

    private static func scope(ofV4 bits: UInt32) -> AddressScope {
        func lies(in base: UInt32, _ prefix: UInt32) -> Bool { (bits ^ base) >> (32 - prefix) == 0 }
        if bits == 0 || bits == 0xffff_ffff || lies(in: 0xe000_0000, 4) { return .nowhere }  // 224/4
        if lies(in: 0x7f00_0000, 8) { return .loopback }
        if lies(in: 0x0a00_0000, 8) || lies(in: 0xac10_0000, 12) || lies(in: 0xc0a8_0000, 16) { return .private }
        if lies(in: 0x6440_0000, 10) { return .shared }  // 100.64/10
        if lies(in: 0xa9fe_0000, 16) { return .linkLocal }  // 169.254/16
        if lies(in: 0x0000_0000, 8) || lies(in: 0xf000_0000, 4) { return .reserved }  // 0/8, 240/4
        if lies(in: 0xc000_0000, 24) || lies(in: 0xc058_6300, 24) { return .reserved }  // 192.0.0/24, 192.88.99/24
        if lies(in: 0xc612_0000, 15) { return .reserved }  // benchmarks, 198.18/15
        // Documentation: 192.0.2/24, 198.51.100/24, 203.0.113/24.
        if lies(in: 0xc000_0200, 24) || lies(in: 0xc633_6400, 24) || lies(in: 0xcb00_7100, 24) { return .reserved }
        return .global
    }

    private var v6Scope: AddressScope {
        func lies(in base: UInt64, _ prefix: UInt64) -> Bool { (high ^ base) >> (64 - prefix) == 0 }
        if high == 0, low == 0 { return .nowhere }
        if high == 0, low == 1 { return .loopback }
        if lies(in: 0xff00 << 48, 8) { return .nowhere }
        if lies(in: 0xfe80 << 48, 10) { return .linkLocal }
        if lies(in: 0xfc00 << 48, 7) || lies(in: 0xfec0 << 48, 10) { return .private }
        if lies(in: 0x0064_ff9b_0001_0000, 48) { return .private }
        // NAT64's well-known prefix 64:ff9b::/96, and 6to4, 2002::/16.
        if high == 0x0064_ff9b_0000_0000, low >> 32 == 0 { return IPAddress.scope(ofV4: UInt32(truncatingIfNeeded: low)) }
        if lies(in: 0x2002 << 48, 16) { return IPAddress.scope(ofV4: UInt32(truncatingIfNeeded: high >> 16)) }
        // Protocol assignments (Teredo among them) 2001::/23, documentation 2001:db8::/32 and 3fff::/20.
        if lies(in: 0x2001 << 48, 23) || lies(in: 0x2001_0db8 << 32, 32) || lies(in: 0x3fff << 48, 20) { return .reserved }
        // All else that is assigned to the internet is 2000::/3.
        return lies(in: 0x2000 << 48, 3) ? .global : .reserved
    }
}
