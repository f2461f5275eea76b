// The Bitcoin dialect, byte for byte: messages as another implementation of SHA-256 and of the format wrote them, both
// handshakes, both ways of every message, and splits.

import BitcoinWire
import PeerMesh
import Reactor
import Testing

private let wire = BitcoinWire(network: .bitcoinRegtest)
private let nonce: UInt64 = 0x1122_3344_5566_7788
private let listen = Endpoint(IPAddress(v4: 192, 0, 2, 1), port: 18_444)
private let listenV6 = Endpoint(IPAddress(v6High: 0x2001_0db8_0000_0000, low: 1), port: 18_444)
private let identity = OwnIdentity(
    endpoint: listen, nonce: nonce, role: .regular, unixTime: 1_700_000_000,
    remote: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 9)
)

private let version = hex(
    """
    fabfb5da76657273696f6e0000000000650000003c96a7eb80110100000000000000000000f15365000000000000000000000000000000000000000\
    00000ffff7f0000010009000000000000000000000000000000000000ffffc0000201480c88776655443322110f2f52656163746f723a302e312e30\
    2f0000000000
    """
)
private let verack = hex("fabfb5da 76657261636b000000000000 00000000 5df6e0e2")
private let wtxidrelay = hex("fabfb5da 777478696472656c61790000 00000000 5df6e0e2")
private let sendaddrv2 = hex("fabfb5da 73656e646164647276320000 00000000 5df6e0e2")
private let getaddr = hex("fabfb5da 676574616464720000000000 00000000 5df6e0e2")
private let ping = hex("fabfb5da 70696e670000000000000000 08000000 f2716278 2a00000000000000")
private let pong = hex("fabfb5da 706f6e670000000000000000 08000000 f2716278 2a00000000000000")
private let addr = hex(
    "fabfb5da6164647200000000000000003d000000 02485d9b 02"
        + "00f15365 0000000000000000 00000000000000000000ffffc0000201 480c"
        + "00f15365 0000000000000000 20010db8000000000000000000000001 480c"
)
private let addrv2 = hex(
    "fabfb5da61646472763200000000000027000000 28fe1e16 02"
        + "00f15365 00 01 04 c0000201 480c" + "00f15365 00 02 10 20010db8000000000000000000000001 480c"
)

/// A link of ours whose peer's hello is complete.
private func greeted(_ direction: Direction = .outbound, addrv2: Bool = false) -> WireProbe {
    var probe = WireProbe(wire, direction)
    probe.receive(version + (addrv2 ? sendaddrv2 : []) + verack)
    probe.seen = []
    return probe
}

@Suite("BitcoinWire")
struct BitcoinWireTests {
    // MARK: Golden messages

    @Test("a version says by which address its receiver is seen, to either side")
    func seenAs() {
        for direction in [Direction.inbound, .outbound] {
            var probe = WireProbe(wire, direction)
            probe.receive(version)
            #expect(probe.seenAs == IPAddress(v4: 127, 0, 0, 1))
        }
    }

    @Test("our messages are byte for byte what another implementation writes")
    func goldenMessages() {
        var state = WireState(direction: .outbound)
        #expect(written { wire.encodeHello(into: $0, state: &state, identity: identity) } == version)
        #expect(written { wire.encodePing(nonce: 42, unixTime: 0, into: $0, state: &state) } == ping)
        #expect(written { wire.encodePong(nonce: 42, unixTime: 0, into: $0, state: &state) } == pong)
        #expect(written { wire.encodeAsk(into: $0, state: &state) } == getaddr)
        let peers = list([listen, listenV6])
        #expect(written { wire.encodePeers(peers, isNative: false, unixTime: 1_700_000_000, into: $0, state: &state) } == addr)
        state = greeted(addrv2: true).state
        #expect(written { wire.encodePeers(peers, isNative: false, unixTime: 1_700_000_000, into: $0, state: &state) } == addrv2)
        #expect(written { wire.encode([UInt8]().span.bytes, type: MessageType(command: "getaddr"), into: $0) } == getaddr)
        #expect(written { wire.encodeAnswer(.full, isNative: false, into: $0, state: &state, identity: identity) }.isEmpty)
        #expect(written { wire.encodeReject("full", into: $0, state: &state) }.isEmpty)
    }

    @Test("messages of another implementation mean what they say")
    func goldenMessagesDecode() {
        var probe = greeted()
        let sendcmpct = hex("fabfb5da 73656e64636d706374000000 09000000 e92f5ef8 000200000000000000")
        probe.receive(ping + pong + getaddr + addr + addrv2 + sendcmpct)
        #expect(
            probe.seen == [
                .ping(42), .pong(42), .ask, .peers([listen, listenV6]), .peers([listen, listenV6]),
                .application(MessageType(command: "sendcmpct"), hex("000200000000000000")),
            ]
        )
    }

    @Test("each network's magic, port and version are its own", arguments: [
        (BitcoinNetwork.bitcoinMainnet, "f9beb4d9", 8_333, 70_016), (.bitcoinTestnet3, "0b110907", 18_333, 70_016),
        (.bitcoinTestnet4, "1c163f28", 48_333, 70_016), (.bitcoinSignet, "0a03cf40", 38_333, 70_016),
        (.bitcoinRegtest, "fabfb5da", 18_444, 70_016), (.litecoinMainnet, "fbc0b6db", 9_333, 70_016),
        (.litecoinTestnet, "fdd2c8f1", 19_335, 70_016), (.litecoinRegtest, "fabfb5da", 19_444, 70_016),
        (.dashMainnet, "bf0c6bbd", 9_999, 70_240), (.dashTestnet, "cee2caff", 19_999, 70_240),
        (.dashDevnet, "e2caffce", 19_799, 70_240), (.dashRegtest, "fcc1b7dc", 19_899, 70_240),
        (BitcoinNetwork(magic: 0x0102_0304, defaultPort: 7), "01020304", 7, 70_016),
    ])
    func networks(network: BitcoinNetwork, magic: String, port: UInt16, version: UInt32) {
        let wire = BitcoinWire(network: network)
        var state = WireState(direction: .outbound)
        let hello = written { wire.encodeHello(into: $0, state: &state, identity: identity) }
        #expect(hello.prefix(4) == hex(magic)[...])
        #expect(wire.defaultPort == port)
        var probe = WireProbe(wire, .inbound)
        probe.receive(hello)
        #expect(probe.seen == [.greet])
        #expect(probe.state.peerVersion == version)
    }

    @Test("a hello to a devnet of Dash names it, as Dash wants it")
    func devnets() {
        for (network, agent) in [
            (BitcoinNetwork.dashDevnet, "/Reactor:0.1.0(devnet.devnet)/"),
            (.dashDevnet(named: "west"), "/Reactor:0.1.0(devnet.devnet-west)/"), (.dashMainnet, "/Reactor:0.1.0/"),
        ] {
            var state = WireState(direction: .outbound)
            let wire = BitcoinWire(network: network)
            let hello = written { wire.encodeHello(into: $0, state: &state, identity: identity) }
            #expect(hello[104] == UInt8(agent.utf8.count))
            #expect(String(decoding: hello[105..<(105 + agent.utf8.count)], as: UTF8.self) == agent)
        }
    }

    @Test("the commands that we compare as numbers are spelled right")
    func commands() {
        let spelled: [(MessageType, StaticString)] = [
            (BitcoinMessage.version, "version"), (BitcoinMessage.verack, "verack"), (BitcoinMessage.wtxidrelay, "wtxidrelay"),
            (BitcoinMessage.sendaddrv2, "sendaddrv2"), (BitcoinMessage.ping, "ping"), (BitcoinMessage.pong, "pong"),
            (BitcoinMessage.getaddr, "getaddr"), (BitcoinMessage.addr, "addr"), (BitcoinMessage.addrv2, "addrv2"),
        ]
        for (type, text) in spelled {
            #expect(type == MessageType(command: text))
            #expect(type.description == text.description)
            #expect(!type.isNumber)
        }
        #expect(MessageType(command: "twelve-bytes").description == "twelve-bytes")
        #expect(MessageType(42).description == "42")
    }

    // MARK: Handshakes

    @Test("two nodes shake hands, and each side's hello is complete with the other's verack")
    func handshake() {
        var dialler = WireProbe(wire, .outbound)
        var acceptor = WireProbe(wire, .inbound)
        let first = written { wire.encodeHello(into: $0, state: &dialler.state, identity: identity) }
        #expect(first == version)
        acceptor.receive(first)
        #expect(acceptor.seen == [.greet])
        #expect(acceptor.reply.count == 0)
        let second = written { wire.encodeHello(into: $0, state: &acceptor.state, identity: identity) }
        #expect(second == version + wtxidrelay + sendaddrv2 + verack)
        dialler.receive(second)
        let hello = Hello(isNative: false, endpoint: listen, nonce: nonce, version: 70_016)
        #expect(dialler.seen == [.housekeeping, .housekeeping, .housekeeping, .hello(hello)])
        #expect(dialler.reply.array == wtxidrelay + sendaddrv2 + verack)
        acceptor.receive(dialler.reply.array)
        #expect(acceptor.seen == [.greet, .housekeeping, .housekeeping, .hello(hello)])
        #expect(acceptor.reply.count == 0)
    }

    @Test("features are announced from 70016 on, never wtxidrelay to Dash", arguments: [
        (BitcoinNetwork.bitcoinRegtest, Int32(70_015), ["verack"]), (.bitcoinRegtest, 70_016, ["wtxidrelay", "sendaddrv2", "verack"]),
        (.litecoinRegtest, 99_999, ["wtxidrelay", "sendaddrv2", "verack"]), (.dashRegtest, 70_240, ["sendaddrv2", "verack"]),
    ])
    func features(network: BitcoinNetwork, version number: Int32, expected: [String]) {
        let wire = BitcoinWire(network: network)
        var probe = WireProbe(wire, .outbound)
        probe.receive(message("version", versionBody(number), magic: network.magic))
        #expect(commandsIn(probe.reply.array) == expected)
    }

    @Test("a version may end after any group of its fields", arguments: [46, 80, 96, 100, 101, 134])
    func shortVersions(count: Int) {
        var body = versionBody(70_016) + [UInt8](repeating: 7, count: 33)
        body = Array(body[..<count])
        var probe = WireProbe(wire, .inbound)
        probe.receive(message("version", body) + verack)
        let full = count > 46
        #expect(
            probe.seen == [
                .greet,
                .hello(Hello(isNative: false, endpoint: full ? listen : nil, nonce: full ? nonce : nil, version: 70_016)),
            ]
        )
    }

    @Test("a hello states an endpoint only if it could be dialled")
    func undialableEndpoint() {
        for own: Endpoint? in [nil, Endpoint(IPAddress(v4: 0), port: 8_333), Endpoint(listen.address, port: 0)] {
            var identity = identity
            identity.endpoint = own
            var state = WireState(direction: .outbound)
            var probe = WireProbe(wire, .inbound)
            probe.receive(written { wire.encodeHello(into: $0, state: &state, identity: identity) } + verack)
            #expect(probe.seen.last == .hello(Hello(isNative: false, nonce: nonce, version: 70_016)))
        }
    }

    @Test("before its verack a peer's pings are not answered and its other words are nobody's business")
    func beforeVerack() {
        var probe = WireProbe(wire, .outbound)
        probe.receive(version + ping + getaddr + addr + message("feature", [1, 2]) + version + verack)
        #expect(probe.seen.dropLast() == [.housekeeping, .housekeeping, .housekeeping, .housekeeping, .housekeeping, .housekeeping])
        #expect(commandsIn(probe.reply.array) == ["wtxidrelay", "sendaddrv2", "verack"])
    }

    @Test("what Bitcoin Core ignores we ignore: bad checksums, second hellos, pings without a nonce, late announcements")
    func ignored() {
        var probe = greeted()
        var broken = ping
        broken[20] ^= 1
        probe.receive(
            broken + version + verack + wtxidrelay + sendaddrv2 + message("ping", []) + message("ping", [1, 2, 3])
                + message("pong", []) + message("ping", ping[24...] + [9])
        )
        #expect(probe.seen == [.spoilt(1)] + [Seen](repeating: .housekeeping, count: 7) + [.ping(42)])
        #expect(probe.state == greeted().state, "a late sendaddrv2 is too late")
    }

    @Test("a wrong checksum costs its sender what it cost us: two of the largest messages reach the score that bans")
    func spoiltMessages() {
        var probe = greeted()
        var broken = message("tx", [UInt8](repeating: 7, count: BitcoinWire.maximumMessage))
        broken[20] ^= 1
        probe.receive(broken)
        #expect(probe.seen == [.spoilt(62)])
        #expect(2 * 62 >= MeshSettings(nonce: 1, seed: 1).banScore)
    }

    // MARK: Both ways

    @Test("encode(decode(x)) = x for every message", arguments: 0..<300 as Range<UInt64>)
    func roundTrip(seed: UInt64) {
        var random = SplitMix(state: seed)
        var probe = greeted(seed % 2 == 0 ? .inbound : .outbound, addrv2: seed % 4 < 2)
        let endpoints = (0..<Int.random(in: 0...300, using: &random)).map { _ in Endpoint.random(using: &random) }
        let nonce = random.next()
        let body = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        let bytes = written { frame in
            wire.encodePing(nonce: nonce, unixTime: 5, into: frame, state: &probe.state)
            wire.encodePong(nonce: nonce, unixTime: 5, into: frame, state: &probe.state)
            wire.encodePeers(list(endpoints), isNative: false, unixTime: 5, into: frame, state: &probe.state)
            wire.encode(body.span.bytes, type: MessageType(command: "inv"), into: frame)
        }
        probe.receive(bytes)
        #expect(
            probe.seen == [.ping(nonce), .pong(nonce), .peers(endpoints), .application(MessageType(command: "inv"), body)]
        )
        let again = written { frame in
            for seen in probe.seen {
                switch seen {
                case .ping(let nonce): wire.encodePing(nonce: nonce, unixTime: 5, into: frame, state: &probe.state)
                case .pong(let nonce): wire.encodePong(nonce: nonce, unixTime: 5, into: frame, state: &probe.state)
                case .peers(let entries):
                    wire.encodePeers(list(entries), isNative: false, unixTime: 5, into: frame, state: &probe.state)
                case .application(let type, let body): wire.encode(body.span.bytes, type: type, into: frame)
                default: Issue.record("\(seen)")
                }
            }
        }
        #expect(again == bytes)
    }

    @Test("addrv2 names other networks too: they are skipped, and mapped addresses are the addresses that they map")
    func otherNetworks() {
        var probe = greeted()
        let time = "00f15365"
        let body = hex(
            "08" + time + "fd0904 01 04 01020304 0050"  // services 0x409
                + time + "00 04 20 " + String(repeating: "ab", count: 32) + "0050"  // Tor v3
                + time + "00 05 20 " + String(repeating: "cd", count: 32) + "0000"  // I2P
                + time + "00 06 10 fc000000000000000000000000000001 0050"  // CJDNS
                + time + "00 63 02 ffff 0050"  // a network that nobody knows yet
                + time + "00 02 10 00000000000000000000ffff05060708 0051"  // mapped
                + time + "00 01 04 01020304 0000"  // port 0
                + time + "00 01 04 e0000001 0050"  // multicast
        )
        probe.receive(message("addrv2", body))
        #expect(
            probe.seen == [
                .peers([Endpoint(IPAddress(v4: 1, 2, 3, 4), port: 80), Endpoint(IPAddress(v4: 5, 6, 7, 8), port: 81)])
            ]
        )
        probe.seen = []
        let onion = hex("01" + time + "0000000000000000 fd87d87eeb43 00000000000000000001 0050")
        probe.receive(message("addr", onion))
        #expect(probe.seen == [.peers([])])
    }

    // MARK: Splits

    @Test("a conversation means the same however its bytes arrive", arguments: [Direction.inbound, .outbound])
    func splits(direction: Direction) {
        let body = (0..<700).map { UInt8(truncatingIfNeeded: $0) }
        let conversation =
            version + wtxidrelay + sendaddrv2 + verack + ping + getaddr + addr + addrv2 + pong
            + written { wire.encode(body.span.bytes, type: MessageType(command: "block"), into: $0) } + ping
        var whole = WireProbe(wire, direction)
        whole.receive(conversation)
        #expect(whole.seen.count == 11)
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
            #expect(probe.reply.array == whole.reply.array, "seed \(seed)")
        }
    }
}

// MARK: Parts

/// A message of any command and body, as the dialect itself writes it.
func message(_ command: StaticString, _ body: some Sequence<UInt8>, magic: UInt32 = 0xfabf_b5da) -> [UInt8] {
    let wire = BitcoinWire(network: BitcoinNetwork(magic: magic, defaultPort: 1))
    let bytes = Array(body)
    return written { wire.encode(bytes.span.bytes, type: MessageType(command: command), into: $0) }
}

/// The body of a version message that states `number`: 101 bytes.
func versionBody(_ number: Int32) -> [UInt8] {
    let wire = BitcoinWire(network: .bitcoinRegtest)
    var state = WireState(direction: .outbound)
    let bytes = written { wire.encodeHello(into: $0, state: &state, identity: identity) }
    return withUnsafeBytes(of: number.littleEndian) { Array($0) } + bytes[28...]
}

/// The commands of a run of messages.
private func commandsIn(_ bytes: [UInt8]) -> [String] {
    var commands: [String] = []
    var start = 0
    while start + 24 <= bytes.count {
        commands.append(String(decoding: bytes[(start + 4)..<(start + 16)].prefix { $0 != 0 }, as: UTF8.self))
        start += 24 + Int(bytes[start + 16]) + Int(bytes[start + 17]) << 8
    }
    return commands
}
