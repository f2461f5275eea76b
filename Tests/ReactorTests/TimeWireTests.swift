// The native dialect, byte for byte: golden frames, both ways of every message, splits, and what each bad input is called.

import PeerMesh
import Reactor
import Testing
import Timers

private let wire = TimeWire(network: .mainnet)
private let handshake = hex("0000001f 0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574 28090000")
private let ack = hex("00000015 0b000000 0900000000000000 48616e647368616b65")
private let ping = hex("0000001d 24000000 2a00000000000000 d202964900000000 01 6400000000000000")
private let getPeers = hex("00000004 2a000000")
private let peerExchange = hex(
    "00000023 2c000000 0100000000000000 0700000000000000 312e322e332e34 0700 01 01 03000000"
)
/// docs/Wire.md: the extension of 192.0.2.1:24000, nonce 0x1122334455667788, a masternode.
private let dialler = hex(
    "00000041 0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574 28090000"
        + "52435452 02 04 c0000201 c05d 8877665544332211 0100000000000000 00 04 7f000001"
)
private let acceptor = hex(
    "00000055 0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574 28090000"
        + "52435452 02 06 20010db8000000000000000000000001 c05d 8877665544332211 0000000000000000 04 00a0b83046030000 04 7f000001"
)

private func identity(_ endpoint: Endpoint?, role: Role = .regular, nonce: UInt64 = 0x1122_3344_5566_7788) -> OwnIdentity {
    OwnIdentity(
        endpoint: endpoint, nonce: nonce, role: role, unixTime: 1_700_000_000,
        remote: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 9)
    )
}

private func greeted(_ direction: Direction = .inbound) -> WireProbe {
    var probe = WireProbe(wire, direction)
    probe.receive(direction == .inbound ? dialler : acceptor)
    probe.seen = []
    return probe
}

@Suite("TimeWire")
struct TimeWireTests {
    let v4 = Endpoint(IPAddress(v4: 192, 0, 2, 1), port: 24_000)
    let v6 = Endpoint(IPAddress(v6High: 0x2001_0db8_0000_0000, low: 1), port: 24_000)

    // MARK: Golden frames

    @Test("the seed's own frames decode to what they mean")
    func goldenFramesDecode() {
        var probe = WireProbe(wire, .outbound)
        probe.receive(ack + ping + getPeers + peerExchange + handshake)
        #expect(
            probe.seen == [
                .hello(Hello(isNative: false)), .ping(42), .ask,
                .peers([Endpoint(IPAddress(v4: 1, 2, 3, 4), port: 24_000)]), .housekeeping,
            ]
        )
        probe = WireProbe(wire, .inbound)
        probe.receive(handshake)
        #expect(probe.seen == [.hello(Hello(isNative: false, version: 2))])
    }

    @Test("our frames are the seed's, byte for byte")
    func goldenFramesEncode() {
        var state = WireState(direction: .inbound)
        #expect(written { wire.encodeAnswer(.accepted, isNative: false, into: $0, state: &state, identity: identity(nil)) } == ack)
        #expect(written { wire.encodeAsk(into: $0, state: &state) } == getPeers)
        #expect(
            written { wire.encodePing(nonce: 42, unixTime: 1_234_567_890, into: $0, state: &state) }
                == hex("00000015 24000000 2a00000000000000 d202964900000000 00")
        )
        #expect(
            written { wire.encodePong(nonce: 42, unixTime: 1_234_567_890, into: $0, state: &state) }
                == hex("00000015 25000000 2a00000000000000 d202964900000000 00")
        )
    }

    @Test("our hello begins with the seed's golden hello and goes on with the extension of docs/Wire.md")
    func goldenHello() {
        var state = WireState(direction: .outbound)
        let hello = written {
            wire.encodeHello(into: $0, state: &state, identity: identity(v4, role: .masternode))
        }
        #expect(hello == dialler)
        #expect(hello[4..<handshake.count] == handshake[4...])
        let answer = written {
            wire.encodeAnswer(
                .banned(for: .seconds(3_600)), isNative: true, into: $0, state: &state, identity: identity(v6)
            )
        }
        #expect(answer == acceptor)
    }

    @Test("the extension reads as it was written")
    func extensionDecodes() {
        var probe = WireProbe(wire, .inbound)
        probe.receive(dialler)
        let nonce: UInt64 = 0x1122_3344_5566_7788
        #expect(
            probe.seen == [.hello(Hello(isNative: true, endpoint: v4, nonce: nonce, capabilities: 1, version: 2))]
        )
        probe = WireProbe(wire, .outbound)
        probe.receive(acceptor)
        #expect(
            probe.seen == [
                .hello(
                    Hello(
                        isNative: true, endpoint: v6, nonce: nonce, verdict: .banned(for: .seconds(3_600)), version: 2
                    )
                )
            ]
        )
        #expect(probe.state.peerVersion == 2)
    }

    @Test("the extension says by which address its receiver is seen; that of version 1 does not")
    func seenAs() {
        var probe = WireProbe(wire, .inbound)
        probe.receive(dialler)
        #expect(probe.seenAs == IPAddress(v4: 127, 0, 0, 1))
        let first = hex(
            "00000041 0a000000 c01d7e4d 02000000 0700000000000000 6d61696e6e6574 28090000"
                + "52435452 01 04 c0000201 c05d 8877665544332211 0100000000000000 00 04 7f000001")
        probe = WireProbe(wire, .inbound)
        probe.receive(first)
        #expect(probe.seen == [.hello(Hello(isNative: true, endpoint: v4, nonce: 0x1122_3344_5566_7788, capabilities: 1, version: 2))])
        #expect(probe.seenAs == nil)
    }

    @Test("bytes after the extension are a later version's and change nothing; other bytes after the hello mean a foreign peer")
    func trailingBytes() {
        func extended(_ frame: [UInt8], _ extra: [UInt8]) -> [UInt8] {
            [0, 0, 0, UInt8(frame.count - 4 + extra.count)] + frame[4...] + extra
        }
        var plain = WireProbe(wire, .inbound)
        plain.receive(dialler)
        var later = WireProbe(wire, .inbound)
        later.receive(extended(dialler, [1, 2, 3, 4, 5, 6, 7, 8, 9]))
        #expect(later.seen == plain.seen)
        for extra in [[1], hex("01020304"), hex("0102030405060708")] {
            var probe = WireProbe(wire, .inbound)
            probe.receive(extended(handshake, extra))
            #expect(probe.seen == [.hello(Hello(isNative: false, version: 2))])
        }
    }

    // MARK: Both ways

    @Test("encode(decode(x)) = x for hellos", arguments: 0..<300 as Range<UInt64>)
    func hellosRoundTrip(seed: UInt64) {
        var random = SplitMix(state: seed)
        let endpoint = Bool.random(using: &random) ? Endpoint.random(using: &random) : nil
        let verdicts: [Verdict?] = [nil, .accepted, .duplicate, .full, .banned(for: Nanoseconds(random.next()))]
        let verdict = verdicts[Int(seed % 5)]
        let own = identity(endpoint, role: seed % 2 == 0 ? .regular : .masternode, nonce: random.next())
        var state = WireState(direction: .inbound)
        func encode(_ own: OwnIdentity, _ verdict: Verdict?) -> [UInt8] {
            written {
                guard let verdict else { return wire.encodeHello(into: $0, state: &state, identity: own) }
                wire.encodeAnswer(verdict, isNative: true, into: $0, state: &state, identity: own)
            }
        }
        let frame = encode(own, verdict)
        var probe = WireProbe(wire, .outbound)
        probe.receive(frame)
        guard case .hello(let hello)? = probe.seen.first else { return #expect(Bool(false), "no hello") }
        #expect(hello.endpoint == endpoint)
        let again = identity(hello.endpoint, role: hello.capabilities & 1 == 0 ? .regular : .masternode, nonce: hello.nonce ?? 0)
        #expect(encode(again, hello.verdict) == frame)
    }

    @Test("encode(decode(x)) = x for pings, pongs, peers and the application's frames", arguments: 0..<300 as Range<UInt64>)
    func messagesRoundTrip(seed: UInt64) {
        var random = SplitMix(state: seed)
        var probe = greeted()
        var state = probe.state
        let nonce = random.next()
        let ping = written { wire.encodePing(nonce: nonce, unixTime: 7, into: $0, state: &state) }
        let pong = written { wire.encodePong(nonce: nonce, unixTime: 7, into: $0, state: &state) }
        let endpoints = (0..<Int.random(in: 0...40, using: &random)).map { _ in Endpoint.random(using: &random) }
        let peers = written { wire.encodePeers(list(endpoints), isNative: true, unixTime: 7, into: $0, state: &state) }
        let onDefaultPort = endpoints.map { Endpoint($0.address, port: 24_000) }
        let exchange = written {
            wire.encodePeers(list(onDefaultPort), isNative: false, unixTime: 7, into: $0, state: &state)
        }
        let type = MessageType(UInt32.random(in: 52...4_000_000_000, using: &random))
        let body = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        let application = written { wire.encode(body.span.bytes, type: type, into: $0) }
        probe.receive(ping + pong + peers + exchange + application)
        #expect(
            probe.seen == [.ping(nonce), .pong(nonce), .peers(endpoints), .peers(onDefaultPort), .application(type, body)]
        )
    }

    @Test("to a foreign peer only neighbours on the default port are named: its format has no port")
    func foreignPeersHaveNoPort() {
        var probe = greeted()
        let endpoints = [v4, Endpoint(v4.address, port: 1), v6]
        probe.receive(
            written { wire.encodePeers(list(endpoints), isNative: false, unixTime: 0, into: $0, state: &probe.state) }
        )
        #expect(probe.seen == [.peers([v4, v6])])
    }

    @Test("every other message is the application's, whatever its number, and so is a frame of nothing")
    func otherMessagesAreUntouched() {
        var probe = greeted()
        for number: UInt32 in [0, 1, 2, 3, 30, 35, 40, 45, 51, 84, 89, 100, 101, 0x7fff_ffff, .max] {
            let body = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 3)
            let frame = written { wire.encode(body.span.bytes, type: MessageType(number), into: $0) }
            probe.seen = []
            probe.receive(frame)
            #expect(probe.seen == [.application(MessageType(number), body)])
        }
        probe.seen = []
        probe.receive([0, 0, 0, 0])
        #expect(probe.seen == [.application(MessageType(100), [])])
    }

    @Test("a refused foreign peer is told why in words, once")
    func foreignRefusal() {
        var state = WireState(direction: .inbound)
        let answer = written {
            wire.encodeAnswer(.full, isNative: false, into: $0, state: &state, identity: identity(nil))
            wire.encodeReject("not this one", into: $0, state: &state)
        }
        let text = "no free slot, try again later"
        #expect(answer[4..<8] == [51, 0, 0, 0])
        #expect(answer.count == 8 + 88 + 8 + text.utf8.count)
        #expect(answer.suffix(text.utf8.count) == Array(text.utf8)[...])
        // The other end of the dial takes it for what it is, and waits for the close.
        var probe = WireProbe(wire, .outbound)
        probe.receive(answer)
        #expect(probe.seen == [.housekeeping])
    }

    // MARK: Splits

    @Test("a conversation means the same however its bytes arrive", arguments: [Direction.inbound, .outbound])
    func splits(direction: Direction) {
        var state = WireState(direction: direction)
        var random = SplitMix(state: 4)
        let endpoints = (0..<30).map { _ in Endpoint.random(using: &random) }
        let body = (0..<700).map { UInt8(truncatingIfNeeded: $0) }
        let conversation =
            (direction == .inbound ? dialler : acceptor) + ping + getPeers + peerExchange
            + written { wire.encodePeers(list(endpoints), isNative: true, unixTime: 0, into: $0, state: &state) }
            + written { wire.encode(body.span.bytes, type: MessageType(7), into: $0) } + [0, 0, 0, 0] + ping
        var whole = WireProbe(wire, direction)
        whole.receive(conversation)
        #expect(whole.seen.count == 8)
        for seed in 0..<2_000 as Range<UInt64> {
            var random = SplitMix(state: seed)
            var probe = WireProbe(wire, direction)
            var start = 0
            let largest = [1, 3, 17, 400][Int(seed % 4)]
            while start < conversation.count {
                let end = min(conversation.count, start + Int.random(in: 1...largest, using: &random))
                probe.receive(Array(conversation[start..<end]))
                start = end
            }
            #expect(probe.seen == whole.seen && probe.state == whole.state, "seed \(seed)")
        }
    }
}
