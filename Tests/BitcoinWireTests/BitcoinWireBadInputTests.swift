// What the Bitcoin dialect calls each kind of bad input: one row a class, and a storm of mutated messages in a process of
// its own, where a crash or a byte too many would show.

import BitcoinWire
import PeerMesh
import Reactor
import Testing

private let wire = BitcoinWire(network: .bitcoinRegtest)

/// One kind of bad input: what came before, its bytes, and what the link ends of.
private struct BadInput: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// The hello was complete before.
    var isGreeted = false
    var bytes: [UInt8]
    var reason: CloseReason
    var value: UInt64 = 0
    var limit: UInt64 = 0
    var offset = 0
}

/// A header with any bytes for a command.
private func header(_ command: String, length: UInt32 = 0) -> [UInt8] {
    hex("fabfb5da" + command) + withUnsafeBytes(of: length.littleEndian) { Array($0) } + hex("5df6e0e2")
}

private let entry = "00f15365 0000000000000000 00000000000000000000ffffc0000201 480c"
private let word: UInt64 = 0x7069_6e67_0000_0000

private let badInputs: [BadInput] = [
    // Headers.
    BadInput(testDescription: "another network's magic", bytes: hex("f9beb4d9"), reason: .wrongNetwork, value: 0xf9be_b4d9, limit: 0xfabf_b5da),
    BadInput(testDescription: "a web browser", bytes: Array("GET / HTTP/1.1\r\n".utf8), reason: .wrongNetwork, value: 0x4745_5420, limit: 0xfabf_b5da),
    BadInput(testDescription: "no magic where the next message begins", isGreeted: true, bytes: hex("00fabfb5"), reason: .desync, value: 0x00fa_bfb5, limit: 0xfabf_b5da),
    BadInput(testDescription: "4,000,001 bytes", isGreeted: true, bytes: header("626c6f636b00000000000000", length: 4_000_001), reason: .frameTooLarge, value: 4_000_001, limit: 4_000_000, offset: 16),
    BadInput(testDescription: "a version of 4,097 bytes", bytes: header("76657273696f6e0000000000", length: 4_097), reason: .frameTooLarge, value: 4_097, limit: 4_096, offset: 16),
    BadInput(testDescription: "a command that goes on after its end", isGreeted: true, bytes: header("70696e670000000000000001"), reason: .protocolViolation, value: word, offset: 4),
    BadInput(testDescription: "a command of control characters", isGreeted: true, bytes: header("07696e670000000000000000"), reason: .protocolViolation, value: 0x0769_6e67_0000_0000, offset: 4),
    BadInput(testDescription: "a command beyond ASCII", isGreeted: true, bytes: header("70696e678000000000000000"), reason: .protocolViolation, value: word | 0x8000_0000, offset: 4),
    BadInput(testDescription: "no command at all", isGreeted: true, bytes: header("000000000000000000000000"), reason: .protocolViolation, offset: 4),
    // The hello.
    BadInput(testDescription: "a ping first", bytes: message("ping", [1, 2, 3, 4, 5, 6, 7, 8]), reason: .protocolViolation, value: word, offset: 4),
    BadInput(testDescription: "a verack first", bytes: message("verack", []), reason: .protocolViolation, value: 0x7665_7261_636b_0000, offset: 4),
    BadInput(testDescription: "version 31799", bytes: message("version", versionBody(31_799)), reason: .protocolViolation, value: 31_799, limit: 31_800, offset: 24),
    BadInput(testDescription: "a negative version", bytes: message("version", versionBody(-1)), reason: .protocolViolation, value: 0xffff_ffff, limit: 31_800, offset: 24),
    BadInput(testDescription: "an empty version", bytes: message("version", []), reason: .protocolViolation, offset: 24),
    BadInput(testDescription: "a version of 45 bytes", bytes: message("version", versionBody(70_016)[..<45]), reason: .protocolViolation, offset: 28),
    BadInput(testDescription: "a version that ends in its nonce", bytes: message("version", versionBody(70_016)[..<79]), reason: .protocolViolation, offset: 96),
    BadInput(testDescription: "a user agent that is not there", bytes: message("version", versionBody(70_016)[..<81]), reason: .protocolViolation, offset: 105),
    BadInput(
        testDescription: "a user agent of 257 bytes", bytes: message("version", versionBody(70_016)[..<80] + [0xfd, 1, 1] + [UInt8](repeating: 65, count: 257)),
        reason: .protocolViolation, value: 257, limit: 256, offset: 104
    ),
    BadInput(
        testDescription: "a user agent's length in three bytes for one", bytes: message("version", versionBody(70_016)[..<80] + [0xfd, 3, 0, 65, 65, 65]),
        reason: .protocolViolation, offset: 107
    ),
    // After the hello.
    BadInput(testDescription: "1001 addresses", isGreeted: true, bytes: message("addr", hex("fde903")), reason: .protocolViolation, value: 1_001, limit: 1_000, offset: 24),
    BadInput(testDescription: "addresses without end", isGreeted: true, bytes: message("addrv2", hex("ffffffffffffffffff")), reason: .protocolViolation, value: .max, limit: 1_000, offset: 24),
    BadInput(testDescription: "an addr of nothing", isGreeted: true, bytes: message("addr", []), reason: .protocolViolation, offset: 24),
    BadInput(testDescription: "two addresses announced, one there", isGreeted: true, bytes: message("addr", hex("02" + entry)), reason: .protocolViolation, offset: 55),
    BadInput(testDescription: "a count in three bytes for one", isGreeted: true, bytes: message("addr", hex("fd0100" + entry)), reason: .protocolViolation, offset: 27),
    BadInput(testDescription: "an IPv4 address of five bytes", isGreeted: true, bytes: message("addrv2", hex("01 00f15365 00 01 05 0102030405 0050")), reason: .protocolViolation, value: 5, limit: 512, offset: 30),
    BadInput(testDescription: "an IPv6 address of four bytes", isGreeted: true, bytes: message("addrv2", hex("01 00f15365 00 02 04 01020304 0050")), reason: .protocolViolation, value: 4, limit: 512, offset: 30),
    BadInput(testDescription: "an address of 513 bytes", isGreeted: true, bytes: message("addrv2", hex("01 00f15365 00 63 fd0102")), reason: .protocolViolation, value: 513, limit: 512, offset: 30),
    BadInput(testDescription: "an addrv2 cut short", isGreeted: true, bytes: message("addrv2", hex("01 00f15365 00 01 04 010203")), reason: .protocolViolation, offset: 32),
]

@Suite("BitcoinWire, bad input")
struct BitcoinWireBadInputTests {
    @Test("each kind of bad input ends in its own typed reason", arguments: badInputs)
    fileprivate func typedReasons(_ input: BadInput) throws {
        for step in [input.bytes.count, 1] {
            var probe = WireProbe(wire, .inbound)
            if input.isGreeted { probe.receive(message("version", versionBody(70_016)) + message("verack", [])) }
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

    @Test("a length at the limit is waited for")
    func longestMessage() {
        var probe = WireProbe(wire, .inbound)
        probe.receive(message("version", versionBody(70_016)) + message("verack", []))
        probe.seen = []
        probe.receive(header("626c6f636b00000000000000", length: 4_000_000))
        #expect(probe.seen.isEmpty)
    }

    @Test("broken bytes mean the same however they arrive", arguments: [false, true])
    func mutatedSplits(mended: Bool) throws {
        let hello = [message("version", versionBody(70_016)), message("sendaddrv2", []), message("verack", [])]
        try splitStorm(wire, conversation: hello + corpus(of: wire), count: stormSize / 40) { message in
            if mended { mendChecksum(&message) }
        }
    }

    @Test("a storm of mutated messages neither crashes nor grows the process")
    func mutatedMessages() async {
        // In a process of its own: a trap is a failed expectation, and its memory is nobody else's.
        await #expect(processExitsWith: .success) {
            let wire = BitcoinWire(network: .bitcoinRegtest)
            try storm(wire, frames: corpus(of: wire), count: stormSize)
            try storm(wire, frames: corpus(of: wire), count: stormSize, mend: mendChecksum)
        }
    }
}

/// Makes a mutated message's length and checksum true again, so that its body is read.
private func mendChecksum(_ message: inout [UInt8]) {
    guard message.count >= 24 else { return }
    withUnsafeBytes(of: UInt32(message.count - 24).littleEndian) { message.replaceSubrange(16..<20, with: $0) }
    withUnsafeBytes(of: BitcoinWire.checksum(message.span.bytes)) { message.replaceSubrange(20..<24, with: $0) }
}

/// Valid messages of every kind that the dialect speaks: what the storm mutates.
private func corpus(of wire: BitcoinWire) -> [[UInt8]] {
    var v1 = WireState(direction: .inbound)
    var v2 = v1
    v2.flags = .max
    var random = SplitMix(state: 1)
    let endpoints = (0..<20).map { _ in Endpoint.random(using: &random) }
    return [
        message("version", versionBody(70_016)), message("version", versionBody(70_016)[..<80]), message("verack", []),
        message("wtxidrelay", []), message("sendaddrv2", []), message("block", [1, 2, 3]),
        written { wire.encodePing(nonce: 1, unixTime: 1, into: $0, state: &v1) },
        written { wire.encodePong(nonce: 1, unixTime: 1, into: $0, state: &v1) },
        written { wire.encodeAsk(into: $0, state: &v1) },
        written { wire.encodePeers(list(endpoints), isNative: false, unixTime: 1, into: $0, state: &v1) },
        written { wire.encodePeers(list(endpoints), isNative: false, unixTime: 1, into: $0, state: &v2) },
    ]
}
