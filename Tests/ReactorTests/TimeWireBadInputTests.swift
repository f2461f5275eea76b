// What the native dialect calls each kind of bad input: one row a class, and a storm of mutated frames in a process of its
// own, where a crash or a byte too many would show.

import PeerMesh
import Reactor
import Testing

private let wire = TimeWire(network: .mainnet)
private let handshake = hex("0000001f 0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574 28090000")
private let ack = hex("00000015 0b000000 0900000000000000 48616e647368616b65")

/// One kind of bad input: where it comes, its bytes, and what the link ends of.
private struct BadInput: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var direction = Direction.inbound
    /// The hello was complete before.
    var isGreeted = false
    var bytes: [UInt8]
    var reason: CloseReason
    var value: UInt64 = 0
    var limit: UInt64 = 0
    var offset = 0
}

private func frame(_ body: String) -> [UInt8] {
    let bytes = hex(body)
    return [0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes
}

private let hello = "0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574 28090000"
private let limit = UInt64(TimeWire.maximumFrame)

private let badInputs: [BadInput] = [
    // Lengths.
    BadInput(testDescription: "text of an address (P38)", bytes: Array(".80.".utf8), reason: .desync, value: 775_434_286, limit: limit),
    BadInput(testDescription: "a JSON peer", bytes: Array("{\"Handshake\":".utf8), reason: .desync, value: 0x7b22_4861, limit: limit),
    BadInput(testDescription: "32 read from the wrong end (P38)", bytes: [32, 0, 0, 0], reason: .desync, value: 536_870_912, limit: limit),
    BadInput(testDescription: "19 read from the wrong end (P38)", isGreeted: true, bytes: [19, 0, 0, 0], reason: .desync, value: 318_767_104, limit: limit),
    BadInput(testDescription: "300 read from the wrong end", isGreeted: true, bytes: [0x2c, 1, 0, 0], reason: .desync, value: 0x2c01_0000, limit: limit),
    BadInput(testDescription: "one byte over the limit", bytes: [0, 0x80, 0, 1], reason: .frameTooLarge, value: limit + 1, limit: limit),
    BadInput(testDescription: "9 MiB after the hello", isGreeted: true, bytes: [0, 0x90, 0, 0], reason: .frameTooLarge, value: 9 << 20, limit: limit),
    BadInput(testDescription: "all ones", bytes: [255, 255, 255, 255], reason: .frameTooLarge, value: 0xffff_ffff, limit: limit),
    BadInput(
        testDescription: "a hello of 4097 bytes", bytes: hex("00001001 0a000000"), reason: .frameTooLarge, value: 4_097, limit: 4_096
    ),
    // Before the hello.
    BadInput(testDescription: "a ping first", bytes: hex("0000001d 24000000"), reason: .protocolViolation, value: 36, offset: 4),
    BadInput(testDescription: "an Ack to an acceptor", bytes: ack, reason: .protocolViolation, value: 11, offset: 4),
    BadInput(testDescription: "an unknown message first", direction: .outbound, bytes: frame("65000000"), reason: .protocolViolation, value: 101, offset: 4),
    BadInput(testDescription: "an empty frame first", bytes: [0, 0, 0, 0], reason: .protocolViolation),
    BadInput(testDescription: "three bytes first", bytes: [0, 0, 0, 3], reason: .protocolViolation, value: 3),
    BadInput(testDescription: "an Ack of something else", direction: .outbound, bytes: frame("0b000000 0400000000000000 50696e67"), reason: .protocolViolation, offset: 8),
    BadInput(testDescription: "an Ack cut short", direction: .outbound, bytes: frame("0b000000 0900000000000000 48616e64"), reason: .protocolViolation, offset: 8),
    // The hello.
    BadInput(
        testDescription: "testnet's magic", bytes: frame("0a000000 54494d45 02000000 0700000000000000 6d61696e6e6574 28090000"),
        reason: .wrongNetwork, value: 0x5449_4d45, limit: 0xc01d_7e4d, offset: 8
    ),
    BadInput(
        testDescription: "another network's name", bytes: frame("0a000000 c01d7e4d 02000000 0700000000000000 746573746e6574 28090000"),
        reason: .wrongNetwork, offset: 16
    ),
    BadInput(testDescription: "a hello of nothing", bytes: frame("0a000000"), reason: .protocolViolation, offset: 8),
    BadInput(
        testDescription: "a hello of three fields (P39)", bytes: frame("0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574"),
        reason: .protocolViolation, offset: 31
    ),
    BadInput(
        testDescription: "a name longer than its frame", bytes: frame("0a000000 c01d7e4d 02000000 ffffffffffffffff 6d61"),
        reason: .protocolViolation, value: 2, offset: 24
    ),
    BadInput(testDescription: "extension version 0", bytes: frame(hello + "52435452 00"), reason: .protocolViolation, offset: 35),
    BadInput(testDescription: "extension cut short", bytes: frame(hello + "52435452 01 04 c000"), reason: .protocolViolation, offset: 35),
    BadInput(testDescription: "an unknown family", bytes: frame(hello + "52435452 01 05"), reason: .protocolViolation, value: 5, offset: 35),
    BadInput(
        testDescription: "an unknown verdict", direction: .outbound,
        bytes: frame(hello + "52435452 01 00 0000000000000000 0000000000000000 05"), reason: .protocolViolation, value: 5, offset: 35
    ),
    BadInput(
        testDescription: "a ban without its length", direction: .outbound,
        bytes: frame(hello + "52435452 01 00 0000000000000000 0000000000000000 04 00"), reason: .protocolViolation, offset: 35
    ),
    BadInput(
        testDescription: "a dialler with a verdict", bytes: frame(hello + "52435452 01 00 0000000000000000 0000000000000000 01"),
        reason: .protocolViolation, offset: 35
    ),
    // After the hello.
    BadInput(testDescription: "a frame shorter than its type", isGreeted: true, bytes: [0, 0, 0, 2, 1, 1], reason: .protocolViolation, value: 2, offset: 4),
    BadInput(testDescription: "a ping cut short", isGreeted: true, bytes: frame("24000000 2a00000000000000 d2029649000000"), reason: .protocolViolation, offset: 16),
    BadInput(
        testDescription: "a ping with half a height", isGreeted: true, bytes: frame("24000000 2a00000000000000 d202964900000000 02"),
        reason: .protocolViolation, offset: 25
    ),
    BadInput(
        testDescription: "1001 peers", isGreeted: true, bytes: frame("2b000000 e903000000000000"), reason: .protocolViolation,
        value: 1_001, limit: 1_000, offset: 8
    ),
    BadInput(
        testDescription: "peers without end", isGreeted: true, bytes: frame("2c000000 ffffffffffffffff"), reason: .protocolViolation,
        value: .max, limit: 1_000, offset: 8
    ),
    BadInput(testDescription: "a peer longer than its frame", isGreeted: true, bytes: frame("2b000000 0100000000000000 ffffffffffffff7f 31"), reason: .protocolViolation, offset: 24),
    BadInput(testDescription: "a thousand peers announced, none there", isGreeted: true, bytes: frame("2b000000 e803000000000000"), reason: .protocolViolation, offset: 16),
    BadInput(
        testDescription: "a tier that is none", isGreeted: true,
        bytes: frame("2c000000 0100000000000000 0700000000000000 312e322e332e34 0700 01 01 04000000"), reason: .protocolViolation, offset: 39
    ),
    BadInput(
        testDescription: "a bool that is none", isGreeted: true,
        bytes: frame("2c000000 0100000000000000 0700000000000000 312e322e332e34 0700 02 00"), reason: .protocolViolation, offset: 35
    ),
]

@Suite("TimeWire, bad input")
struct TimeWireBadInputTests {
    @Test("each kind of bad input ends in its own typed reason", arguments: badInputs)
    fileprivate func typedReasons(_ input: BadInput) throws {
        for step in [input.bytes.count, 1] {
            var probe = WireProbe(wire, input.direction)
            if input.isGreeted { probe.receive(input.direction == .inbound ? handshake : ack) }
            probe.seen = []
            for start in stride(from: 0, to: input.bytes.count, by: step) {
                probe.receive(Array(input.bytes[start..<min(start + step, input.bytes.count)]))
            }
            guard case .broken(let error)? = probe.seen.first else {
                Issue.record("\(input.testDescription): \(probe.seen)")
                return
            }
            #expect(error.reason == input.reason)
            #expect(error.value == input.value)
            #expect(error.limit == input.limit)
            #expect(error.offset == input.offset)
            #expect(!error.context.description.isEmpty)
        }
    }

    @Test("a stranger's length alone reserves nothing")
    func strangersLength() {
        var state = WireState(direction: .inbound)
        let decoded = wire.decode(([0, 0x7f, 0, 0] as [UInt8]).span.bytes, state: &state, peers: PeerList(), reply: FrameBuffer())
        guard case .more(atLeast: 8) = decoded else {
            Issue.record("\(decoded)")
            return
        }
    }

    @Test("entries that nobody could dial are skipped, not punished")
    func badEntriesAreSkipped() {
        let entries = [
            "1.2.3.4:24000", "", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:+80", "01.2.3.4:80", "1.2.3:80",
            "1.2.3.4.5:80", "256.1.1.1:80", "0.0.0.0:80", "224.0.0.1:80", "::1:80", "[::1:80", "::1]:80", "[]:80", "[::]:80",
            "[1.2.3.4]:80", "[fe80::1%eth0]:80", "[1::2::3]:80", "[1:2:3:4:5:6:7:8:9]:80", "[1:2:3:4:5:6:7]:80", "[12345::]:80",
            "[:1::2]:80", "[1:]:80", "example.org:80", "\u{0}\u{1}", String(repeating: "1", count: 200), "[2001:db8::1]:24000",
            "[::ffff:9.8.7.6]:1", "[1:2:3:4:5:6:7::]:65535", "[::2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:1.2.3.4]:5",
        ]
        let bytes = written { buffer in
            buffer.appendBigEndian(UInt32(12 + entries.reduce(0) { $0 + 8 + $1.utf8.count }))
            buffer.appendLittleEndian(UInt32(43))
            buffer.appendLittleEndian(UInt64(entries.count))
            for entry in entries {
                buffer.appendLittleEndian(UInt64(entry.utf8.count))
                buffer.append(Array(entry.utf8))
            }
        }
        var probe = WireProbe(wire, .inbound)
        probe.receive(handshake + bytes)
        #expect(
            probe.seen.last
                == .peers([
                    Endpoint(IPAddress(v4: 1, 2, 3, 4), port: 24_000),
                    Endpoint(IPAddress(v6High: 0x2001_0db8_0000_0000, low: 1), port: 24_000),
                    Endpoint(IPAddress(v4: 9, 8, 7, 6), port: 1),
                    Endpoint(IPAddress(v6High: 0x0001_0002_0003_0004, low: 0x0005_0006_0007_0000), port: 65_535),
                    Endpoint(IPAddress(v6High: 0x0000_0002_0003_0004, low: 0x0005_0006_0007_0008), port: 1),
                    Endpoint(IPAddress(v6High: 0x0001_0002_0003_0004, low: 0x0005_0006_0102_0304), port: 5),
                ])
        )
    }

    @Test("addresses are written as RFC 5952 wants them")
    func canonicalText() {
        let cases: [(UInt64, UInt64, String)] = [
            (0x2001_0db8_0000_0000, 1, "[2001:db8::1]:80"), (0, 1, "[::1]:80"), (0x2001_0db8_0000_0000, 0x0001_0000_0000_0001, "[2001:db8::1:0:0:1]:80"),
            (0x2001_0db8_0000_0001, 0x0001_0001_0001_0001, "[2001:db8:0:1:1:1:1:1]:80"), (0x2001_0000_0000_0001, 0x0000_0000_0000_0001, "[2001:0:0:1::1]:80"),
            (0x0001_0002_0003_0004, 0x0005_0006_0007_0008, "[1:2:3:4:5:6:7:8]:80"), (0xfe80 << 48, 0, "[fe80::]:80"),
        ]
        for (high, low, text) in cases {
            var state = WireState(direction: .inbound)
            let peers = list([Endpoint(IPAddress(v6High: high, low: low), port: 80)])
            let frame = written { wire.encodePeers(peers, isNative: true, unixTime: 0, into: $0, state: &state) }
            #expect(String(decoding: frame.dropFirst(24), as: UTF8.self) == text)
        }
    }

    @Test("broken bytes mean the same however they arrive")
    func mutatedSplits() throws {
        try splitStorm(wire, conversation: [handshake] + corpus(of: wire) + [[0, 0, 0, 0]], count: stormSize / 20)
    }

    @Test("a storm of mutated frames neither crashes nor grows the process")
    func mutatedFrames() async {
        // In a process of its own: a trap is a failed expectation, and its memory is nobody else's.
        await #expect(processExitsWith: .success) {
            let wire = TimeWire(network: .mainnet)
            try storm(wire, frames: corpus(of: wire), count: stormSize)
        }
    }
}

/// Valid frames of every kind that the dialect speaks: what the storm mutates.
private func corpus(of wire: TimeWire) -> [[UInt8]] {
    var state = WireState(direction: .inbound)
    var random = SplitMix(state: 1)
    let endpoints = (0..<20).map { _ in Endpoint.random(using: &random) }
    let own = OwnIdentity(endpoint: endpoints[0], nonce: 7, role: .regular, unixTime: 7, remote: endpoints[1])
    return [
        handshake, ack, hex("0000001d 24000000 2a00000000000000 d202964900000000 01 6400000000000000"),
        written { wire.encodeHello(into: $0, state: &state, identity: own) },
        written { wire.encodeAnswer(.banned(for: .seconds(9)), isNative: true, into: $0, state: &state, identity: own) },
        written { wire.encodePong(nonce: 1, unixTime: 1, into: $0, state: &state) },
        written { wire.encodeAsk(into: $0, state: &state) },
        written { wire.encodePeers(list(endpoints), isNative: true, unixTime: 1, into: $0, state: &state) },
        written { wire.encodePeers(list(endpoints.map { Endpoint($0.address, port: 24_000) }), isNative: false, unixTime: 1, into: $0, state: &state) },
        written { wire.encodeReject("no", into: $0, state: &state) },
        written { wire.encode([1, 2, 3].span.bytes, type: MessageType(99), into: $0) },
    ]
}
