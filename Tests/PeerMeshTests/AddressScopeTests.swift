// How far addresses reach, at the edges of every range, and what that lets one peer tell another.

import Testing

@testable import PeerMesh

@Suite("The scope of an address")
struct AddressScopeTests {
    @Test(
        "every special range has its scope from its first to its last address, and its neighbours do not",
        arguments: [
            ("0.0.0.0", AddressScope.nowhere), ("0.0.0.1", .reserved), ("0.255.255.255", .reserved), ("1.0.0.0", .global),
            ("9.255.255.255", .global), ("10.0.0.0", .private), ("10.255.255.255", .private), ("11.0.0.0", .global),
            ("100.63.255.255", .global), ("100.64.0.0", .shared), ("100.127.255.255", .shared), ("100.128.0.0", .global),
            ("126.255.255.255", .global), ("127.0.0.0", .loopback), ("127.255.255.255", .loopback), ("128.0.0.0", .global),
            ("169.253.255.255", .global), ("169.254.0.0", .linkLocal), ("169.254.169.254", .linkLocal), ("169.255.0.0", .global),
            ("172.15.255.255", .global), ("172.16.0.0", .private), ("172.31.255.255", .private), ("172.32.0.0", .global),
            ("192.0.0.0", .reserved), ("192.0.1.0", .global), ("192.0.2.255", .reserved), ("192.0.3.0", .global),
            ("192.88.99.1", .reserved), ("192.167.255.255", .global), ("192.168.0.0", .private), ("192.169.0.0", .global),
            ("198.17.255.255", .global), ("198.18.0.0", .reserved), ("198.19.255.255", .reserved), ("198.20.0.0", .global),
            ("198.51.100.7", .reserved), ("203.0.113.9", .reserved), ("203.0.114.0", .global), ("223.255.255.255", .global),
            ("224.0.0.0", .nowhere), ("239.255.255.255", .nowhere), ("240.1.2.3", .reserved), ("255.255.255.254", .reserved),
            ("255.255.255.255", .nowhere),
            ("::", .nowhere), ("::1", .loopback), ("::2", .reserved), ("::10.0.0.5", .reserved), ("::ffff:10.0.0.5", .private),
            ("::ffff:8.8.8.8", .global), ("64:ff9b::8.8.8.8", .global), ("64:ff9b::169.254.169.254", .linkLocal),
            ("64:ff9b::1:0:0", .reserved), ("64:ff9b:1::1", .private), ("100::1", .reserved), ("1fff::1", .reserved),
            ("2000::1", .global), ("2001::1", .reserved), ("2001:1ff::1", .reserved), ("2001:200::1", .global),
            ("2001:db8::1", .reserved), ("2001:db9::1", .global), ("2002:808:808::1", .global), ("2002:a00:5::1", .private),
            ("2002:7f00:1::1", .loopback), ("3ffe::1", .global), ("3fff::1", .reserved), ("3fff:1000::1", .global),
            ("4000::1", .reserved), ("5f00::1", .reserved), ("fbff::1", .reserved), ("fc00::1", .private), ("fd00::5", .private),
            ("fe00::1", .reserved), ("fe80::1", .linkLocal), ("febf::1", .linkLocal), ("fec0::1", .private), ("ff02::1", .nowhere),
        ]
    )
    func scopes(text: String, scope: AddressScope) throws {
        #expect(try #require(IPAddress(text)).scope == scope)
    }

    @Test("a global address is known to everyone, any other only within its own scope, and nowhere to nobody")
    func known() {
        for mine in AddressScope.allCases {
            for other in AddressScope.allCases {
                let expected = mine == .global || (mine == other && mine != .nowhere)
                #expect(mine.isKnown(at: other) == expected, "\(mine) at \(other)")
            }
        }
        #expect(Set(AddressScope.allCases.map(\.name)).count == AddressScope.allCases.count)
    }

    @Test("one IPv4 address and one IPv6 /64 are a block")
    func blocks() throws {
        let four = try #require(IPAddress("8.8.8.8"))
        #expect(four.block == Subnet(four))
        let six = try #require(IPAddress("2a00:1:2:3:4:5:6:7"))
        #expect(six.block == Subnet("2a00:1:2:3::/64"))
        #expect(six.block == (try #require(IPAddress("2a00:1:2:3:ffff::1"))).block)
        #expect(six.block != (try #require(IPAddress("2a00:1:2:4::1"))).block)
    }
}
