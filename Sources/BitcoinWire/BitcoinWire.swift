// Bitcoin's v1 messages, for Bitcoin, Litecoin, Dash and private networks. Here: how frames are cut and what they mean. How
// they are written is in BitcoinWire+Encode.swift, the bodies of hello and addresses in BitcoinWire+Bodies.swift.
// Reads bytes of strangers: no allocation, no loop longer than the frame, an answer for every input.

import COpenSSL
import PeerMesh
public import Reactor

/// The dialect of the Bitcoin family. One instance serves every link of a node, on the loop's thread.
public final class BitcoinWire: Wire, Sendable {
    /// Bytes of a message's header: magic, command, length, checksum.
    public static let headerSize = 24
    /// The largest body, in bytes; Bitcoin Core's own limit.
    public static let maximumMessage = 4_000_000
    /// The largest body before the hello is complete: strangers get no big buffers.
    public static let maximumGreeting = 4_096
    /// A message with a wrong checksum costs its sender a point, and one more for this many bytes: two of the largest reach the default
    /// `MeshSettings.banScore`.
    static let bytesPerPoint: UInt32 = 65_536
    /// Peers with an older protocol are refused, as Bitcoin Core refuses them.
    public static let minimumPeerVersion: Int32 = 31_800
    /// From this version on a peer knows wtxidrelay and sendaddrv2.
    static let featureVersion: UInt32 = 70_016

    /// The network that hellos must name.
    public let network: BitcoinNetwork
    let userAgent: [UInt8]

    /// A dialect for `network`.
    public init(network: BitcoinNetwork) {
        self.network = network
        userAgent = Array("/Reactor:0.1.0\(network.comment.isEmpty ? "" : "(\(network.comment))")/".utf8)
    }

    public var name: String { "bitcoin" }
    public var isNative: Bool { false }
    public var maximumBody: Int { Self.maximumMessage }
    public var maximumHello: Int { Self.headerSize + Self.maximumGreeting }
    public var defaultPort: UInt16 { network.defaultPort }

    /// The dialect's bits of `WireState.flags`.
    enum Flag {
        /// A whole message came: the peer is on our network.
        static let framed: UInt32 = 1 << 0
        /// The peer's version came.
        static let version: UInt32 = 1 << 1
        /// The peer's verack came too: its hello is complete.
        static let greeted: UInt32 = 1 << 2
        /// The peer asked for addrv2 instead of addr.
        static let addrv2: UInt32 = 1 << 3
    }

    public func decode(
        _ bytes: RawSpan, state: inout WireState, peers: PeerList, reply: FrameBuffer
    ) -> Decoded {
        peers.removeAll()
        guard bytes.byteCount >= 4 else { return .more(atLeast: Self.headerSize) }
        let magic = unsafe UInt32(bigEndian: bytes.unsafeLoadUnaligned(as: UInt32.self))
        guard magic == network.magic else {
            let isFirst = state.flags & Flag.framed == 0
            return .broken(
                WireError(isFirst ? .wrongNetwork : .desync, "magic", value: UInt64(magic), limit: UInt64(network.magic))
            )
        }
        guard bytes.byteCount >= Self.headerSize else { return .more(atLeast: Self.headerSize) }
        var header = ByteReader(bytes, 4..<Self.headerSize)
        let type = MessageType(high: header.big(UInt64.self), low: UInt64(header.big(UInt32.self)) << 32)
        let length = header.little(UInt32.self)
        if let error = refusal(type, length: length, state: state) { return .broken(error) }
        let end = Self.headerSize + Int(length)
        guard bytes.byteCount >= end else { return .more(atLeast: end) }
        state.flags |= Flag.framed
        let stated = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 20, as: UInt32.self)
        guard stated == Self.checksum(bytes.extracting(0..<end)) else {
            // As Bitcoin Core does: the message is lost, the link is not. It costs what its checksum cost us.
            return .frame(length: end, .spoilt(points: 1 + length / Self.bytesPerPoint))
        }
        var body = ByteReader(bytes, Self.headerSize..<end)
        let result =
            state.flags & Flag.greeted == 0
            ? greeting(type, bytes, &body, state: &state, peers: peers, reply: reply)
            : message(type, bytes, &body, peers: peers)
        switch result {
        case .success(let meaning): return .frame(length: end, meaning)
        case .failure(let error): return .broken(error)
        }
    }

    // MARK: The header

    /// What is wrong with a header, before its body is waited for.
    private func refusal(_ type: MessageType, length: UInt32, state: WireState) -> WireError? {
        guard isCommand(type) else {
            return WireError(.protocolViolation, "command", offset: 4, value: type.high)
        }
        guard length <= Self.maximumMessage else {
            return WireError(
                .frameTooLarge, "message length", offset: 16, value: UInt64(length), limit: UInt64(Self.maximumMessage)
            )
        }
        if state.flags & Flag.version == 0, type != BitcoinMessage.version {
            return WireError(.protocolViolation, "bytes before the hello", offset: 4, value: type.high)
        }
        if state.flags & Flag.greeted == 0, length > Self.maximumGreeting {
            return WireError(
                .frameTooLarge, "message length before the hello", offset: 16, value: UInt64(length),
                limit: UInt64(Self.maximumGreeting)
            )
        }
        return nil
    }

    /// Printable ASCII, then nothing but NULs.
    private func isCommand(_ type: MessageType) -> Bool {
        var hasEnded = false
        for index in 0..<12 {
            let word = index < 8 ? type.high : type.low
            let byte = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * (index & 7)))
            if byte == 0 {
                hasEnded = true
            } else if hasEnded || !(0x20...0x7e ~= byte) {
                return false
            }
        }
        return type.high != 0
    }

    /// What a header's checksum field holds, as it lies in memory, for the body of `message`: a whole one, header and all.
    package static func checksum(_ message: RawSpan) -> UInt32 {
        unsafe message.withUnsafeBytes { raw in
            unsafe copenssl_sha256d_prefix(raw.baseAddress.map { unsafe $0 + headerSize }, raw.count - headerSize)
        }
    }

    // MARK: Before the hello is complete

    /// version, then verack; in between what both may have to say of themselves. Anything else there is not ours to judge
    /// and not ours to answer: Bitcoin Core ignores a ping before verack, too.
    private func greeting(
        _ type: MessageType, _ bytes: RawSpan, _ body: inout ByteReader, state: inout WireState, peers: PeerList, reply: FrameBuffer
    ) -> Result<Meaning, WireError> {
        switch type {
        case BitcoinMessage.version where state.flags & Flag.version == 0:
            switch version(bytes, &body, peers) {
            case .failure(let error): return .failure(error)
            case .success(let hello):
                state.flags |= Flag.version
                state.hello = hello
                state.peerVersion = hello.version
            }
            guard state.direction == .outbound else { return .success(.greet) }
            encodeReady(into: reply, state: state)
            return .success(.housekeeping)
        case BitcoinMessage.sendaddrv2:
            state.flags |= Flag.addrv2
            return .success(.housekeeping)
        case BitcoinMessage.verack:
            state.flags |= Flag.greeted
            return .success(.hello(state.hello))
        default:
            return .success(.housekeeping)
        }
    }

    // MARK: After the hello

    private func message(
        _ type: MessageType, _ bytes: RawSpan, _ body: inout ByteReader, peers: PeerList
    ) -> Result<Meaning, WireError> {
        switch type {
        case BitcoinMessage.ping, BitcoinMessage.pong:
            let nonce = body.little(UInt64.self)
            // Too short for a nonce: ignored, as by Bitcoin Core, whose first pings had none.
            if body.failed { return .success(.housekeeping) }
            return .success(type == BitcoinMessage.ping ? .ping(nonce: nonce) : .pong(nonce: nonce))
        case BitcoinMessage.getaddr:
            return .success(.ask)
        case BitcoinMessage.addr:
            return addr(&body, into: peers)
        case BitcoinMessage.addrv2:
            return addrv2(bytes, &body, into: peers)
        case BitcoinMessage.version, BitcoinMessage.verack, BitcoinMessage.wtxidrelay, BitcoinMessage.sendaddrv2:
            return .success(.housekeeping)
        default:
            return .success(.application(type, body: body.offset..<body.end))
        }
    }
}
