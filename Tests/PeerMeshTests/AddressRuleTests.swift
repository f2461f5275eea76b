// What the policies ask of an address: order, ranges, the kinds that nobody is.

import Testing

@testable import PeerMesh

@Suite("Addresses as the policies see them")
struct AddressRuleTests {
    private static func v4(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) -> IPAddress { IPAddress(v4: a, b, c, d) }
    private static func v6(_ high: UInt64, _ low: UInt64) -> IPAddress { IPAddress(v6High: high, low: low) }

    @Test("addresses are ordered by family, then by their bytes; endpoints by address, then by port; nothing is below itself")
    func order() {
        let ordered = [
            Self.v4(0, 0, 0, 1), Self.v4(9, 255, 255, 255), Self.v4(10, 0, 0, 0), Self.v4(255, 0, 0, 0), Self.v6(0, 1), Self.v6(0, 2),
            Self.v6(1, 0), Self.v6(1, 9), Self.v6(2, 0), Self.v6(.max, .max),
        ]
        for (index, one) in ordered.enumerated() {
            for (place, other) in ordered.enumerated() {
                #expect((one < other) == (index < place))
                #expect((Endpoint(one, port: 5) < Endpoint(other, port: 5)) == (index < place))
                if index != place { #expect((Endpoint(one, port: 9) < Endpoint(other, port: 5)) == (index < place)) }
            }
            #expect(Endpoint(one, port: 5) < Endpoint(one, port: 6))
            #expect(!(Endpoint(one, port: 6) < Endpoint(one, port: 5)))
        }
        #expect(IPAddress.Family.v4 < .v6 && !(IPAddress.Family.v6 < .v4) && !(IPAddress.Family.v4 < .v4))
        let levels: [CloseEffect.Level] = [.debug, .info, .warning, .error]
        for (one, other) in zip(levels, levels.dropFirst()) { #expect(one < other && !(other < one) && !(one < one)) }
    }

    @Test("only ::ffff:a.b.c.d is an IPv4 address")
    func mapped() {
        #expect(Self.v6(0, 0xffff_0a00_0001) == Self.v4(10, 0, 0, 1))
        #expect(Self.v6(5, 0xffff_0a00_0001).family == .v6)
        #expect(Self.v6(0, 0xfffe_0a00_0001).family == .v6)
    }

    @Test("127/8 and ::1 are loopback, and nothing else is")
    func loopback() {
        for address in [Self.v4(127, 0, 0, 1), Self.v4(127, 255, 255, 255), Self.v6(0, 1)] { #expect(address.isLoopback) }
        for address in [Self.v4(126, 255, 255, 255), Self.v4(128, 0, 0, 0), Self.v4(0, 0, 0, 1), Self.v6(0, 2), Self.v6(1, 1), Self.v6(127 << 56, 0)] {
            #expect(!address.isLoopback)
        }
        // The first byte of an IPv6 address's second half is no IPv4 address's.
        #expect(!Self.v6(5, 127 << 24).isLoopback)
    }

    @Test("0.0.0.0, ::, 224/4, ff00::/8, the broadcast address and port 0 are nobody's")
    func nobody() {
        #expect(Self.v4(0, 0, 0, 0).isUnspecified && Self.v6(0, 0).isUnspecified)
        #expect(!Self.v4(0, 0, 0, 1).isUnspecified && !Self.v6(1, 0).isUnspecified && !Self.v6(0, 1).isUnspecified)
        for address in [Self.v4(224, 0, 0, 0), Self.v4(239, 255, 255, 255), Self.v4(255, 255, 255, 255), Self.v6(0xff << 56, 1)] {
            #expect(address.isMulticast && !Endpoint(address, port: 1).isDialable)
        }
        for address in [Self.v4(223, 255, 255, 255), Self.v4(240, 0, 0, 0), Self.v4(255, 255, 255, 254), Self.v6(0xfe << 56, 1), Self.v6(1, 0xe << 28), Self.v6(1, 0xffff_ffff)] {
            #expect(!address.isMulticast && Endpoint(address, port: 1).isDialable && !Endpoint(address, port: 0).isDialable)
        }
        #expect(!Endpoint(Self.v4(0, 0, 0, 0), port: 1).isDialable && !Endpoint(Self.v6(0, 0), port: 1).isDialable)
    }

    @Test("a range holds what agrees in its leading bits, every other address not")
    func ranges() {
        let one = Self.v4(10, 1, 2, 3)
        #expect(one.shares(prefix: 0, with: Self.v4(200, 1, 1, 1)) && one.shares(prefix: -1, with: Self.v4(200, 1, 1, 1)))
        for bits in 1...32 {
            let other = IPAddress(v4: one.v4Bits ^ (1 << UInt32(32 - bits)))
            #expect(!one.shares(prefix: bits, with: other) && one.shares(prefix: bits - 1, with: other))
        }
        #expect(one.shares(prefix: 40, with: one) && !one.shares(prefix: 40, with: Self.v4(10, 1, 2, 2)))
        let six = Self.v6(0x2001_0db8_0000_0001, 0x1234)
        #expect(six.shares(prefix: 0, with: Self.v6(.max, .max)))
        for bits in 1...128 {
            let other = bits <= 64
                ? Self.v6(six.high ^ (1 << UInt64(64 - bits)), six.low) : Self.v6(six.high, six.low ^ (1 << UInt64(128 - bits)))
            #expect(!six.shares(prefix: bits, with: other) && six.shares(prefix: bits - 1, with: other))
            #expect(six.shares(prefix: bits, with: six))
        }
        #expect(!six.shares(prefix: 100, with: Self.v6(six.high ^ 1, six.low)))
        #expect(six.shares(prefix: 64, with: Self.v6(six.high, 99)) && six.shares(prefix: 200, with: six))
        #expect(!one.shares(prefix: 0, with: Self.v6(0, one.low)) && !Self.v6(0, 7).shares(prefix: 128, with: Self.v4(0, 0, 0, 7)))
        #expect(Self.v6(0, 9).v4Bits == 0 && one.v4Bits == 0x0a01_0203)
    }

    @Test("a range of one address is all of its bits, and no range has more bits than its family")
    func prefixes() {
        #expect(Subnet(Self.v4(1, 2, 3, 4)).prefix == 32 && Subnet(Self.v6(1, 2)).prefix == 128)
        #expect(Subnet(Self.v4(1, 2, 3, 4), prefix: 200).prefix == 32 && Subnet(Self.v6(1, 2), prefix: 200).prefix == 128)
        #expect(Subnet(Self.v6(1, 2), prefix: 64).prefix == 64 && Subnet(Self.v4(1, 2, 3, 4), prefix: 24).prefix == 24)
    }
}
