// Addresses and their texts: one endpoint, one key, one spelling (incidents P13).

import Testing
import PeerMesh

@Suite("Endpoints as text")
struct EndpointTests {
    @Test(
        "an IPv6 address is written as RFC 5952 wants it, however it was spelt",
        arguments: [
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("0:0:0:0:0:0:0:0", "::"), ("2001:DB8::00A", "2001:db8::a"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("fe80::ffff:1", "fe80::ffff:1"), ("64:ff9b::1.2.3.4", "64:ff9b::102:304"), ("1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("0:0:1::", "0:0:1::"), ("::1:0:0", "::1:0:0"), ("::1.2.3.4", "::102:304"),
        ]
    )
    func canonical(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.family == .v6)
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
    }

    @Test("a mapped address is the IPv4 address", arguments: ["::ffff:1.2.3.4", "::FFFF:102:304", "0:0:0:0:0:ffff:1.2.3.4"])
    func mapped(text: String) {
        #expect(IPAddress(text) == IPAddress(v4: 1, 2, 3, 4))
        #expect(IPAddress(text)?.description == "1.2.3.4")
        #expect(Endpoint("[\(text)]:80") == Endpoint("1.2.3.4:80"))
    }

    @Test(
        "what is not strictly an address is refused",
        arguments: [
            "", ".", ":", ":::", "1", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.04", "00.0.0.0",
            "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4", "-1.2.3.4", "0x1.2.3.4", "1.2.3.4:", "1..2.3", "1.2.3.x", "localhost", "1.2.3.4\0",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8", "1::2::3", "1:2:", ":1", "12345::", "g::",
            "::1%lo", "fe80::1%1", "1::2:3:4:5:6:7:8", "::1:2:3:4:5:6:7:8", "[::1]", "::1.2.3", "::1.2.3.4.5", "::256.1.1.1", "::01.1.1.1",
            "1:2:3:4:5:6:7:1.2.3.4", "1::2:3:4:5:6:1.2.3.4", "::1.2.3.4:5", "::1 ", "::ffff:1.2.3.4/", "１.2.3.4", "::é",
        ]
    )
    func refusedAddress(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test("an endpoint is written back as it was read", arguments: ["1.2.3.4:0", "255.255.255.255:65535", "0.0.0.0:1", "[::1]:24000", "[2001:db8::1:0:0:1]:65535"])
    func endpoint(text: String) throws {
        #expect(try #require(Endpoint(text)).description == text)
    }

    @Test(
        "what is not strictly an endpoint is refused",
        arguments: [
            "", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:99999999999999999999", "1.2.3.4:080", "1.2.3.4:+1", "1.2.3.4:1 ", "1.2.3.4:1:2",
            "::1:80", "[::1]", "[::1]:", "[::1]80", "[1.2.3.4]:80", "[::1:80", "::1]:80", "[]:80", "[[::1]]:80", "localhost:80", ":80", "[::1]:-1",
        ]
    )
    func refusedEndpoint(text: String) {
        #expect(Endpoint(text) == nil)
    }

    @Test(
        "a range keeps the bits of its prefix only",
        arguments: [
            ("10.1.2.3/8", "10.0.0.0/8"), ("1.2.3.4", "1.2.3.4/32"), ("1.2.3.4/32", "1.2.3.4/32"), ("1.2.3.4/0", "0.0.0.0/0"), ("1.2.3.255/31", "1.2.3.254/31"),
            ("::1", "::1/128"), ("2001:db8:ffff::/33", "2001:db8:8000::/33"), ("2001:db8::1/64", "2001:db8::/64"), ("2001:db8::ff:1/112", "2001:db8::ff:0/112"),
            ("ffff::1/0", "::/0"), ("::ffff:10.1.2.3/104", "10.0.0.0/8"), ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ]
    )
    func subnet(text: String, canonical: String) throws {
        let subnet = try #require(Subnet(text))
        #expect(subnet.description == canonical)
        #expect(Subnet(canonical) == subnet)
        #expect(subnet.contains(try #require(IPAddress(text.split(separator: "/").first.map(String.init) ?? ""))))
    }

    @Test("what is not strictly a range is refused", arguments: ["1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/08", "::/129", "/8", "1.2.3.4/8/8", "::ffff:1.2.3.4/95", "1.2.3.4/8 "])
    func refusedSubnet(text: String) {
        #expect(Subnet(text) == nil)
    }

    @Test("reading back what was written gives the same address, for any address")
    func roundTrip() throws {
        var state: UInt64 = 7
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
        for _ in 0..<20_000 {
            // Groups of zeros often enough that every kind of run occurs.
            var (high, low): (UInt64, UInt64) = (next(), next())
            for index in 0..<4 {
                if next() % 2 == 0 { high &= ~(0xffff << UInt64(index * 16)) }
                if next() % 2 == 0 { low &= ~(0xffff << UInt64(index * 16)) }
            }
            let address = next() % 3 == 0 ? IPAddress(v4: UInt32(truncatingIfNeeded: next())) : IPAddress(v6High: high, low: low)
            let endpoint = Endpoint(address, port: UInt16(truncatingIfNeeded: next()))
            let text = endpoint.description
            try #require(Endpoint(text) == endpoint, "\(text)")
            try #require(text.utf8.count <= Endpoint.maximumTextLength)
        }
    }

    @Test("no bytes whatever crash the readers")
    func total() {
        let alphabet = Array("0123456789abcdefABCDEF:::::....[]/%x \u{0}\u{ff}".utf8)
        var state: UInt64 = 99
        var understood = 0
        for _ in 0..<50_000 {
            var bytes: [UInt8] = []
            for _ in 0..<(state >> 33) % 24 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(alphabet[Int(state >> 33) % alphabet.count])
            }
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            if IPAddress(ascii: bytes.span.bytes) != nil { understood += 1 }
            if Endpoint(ascii: bytes.span.bytes) != nil { understood += 1 }
            if Subnet(ascii: bytes.span.bytes) != nil { understood += 1 }
        }
        #expect(understood > 0)
    }
}
