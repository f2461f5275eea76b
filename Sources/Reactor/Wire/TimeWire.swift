// The native dialect: the seed network's frames, a big-endian length and a bincode 1.3 body, with our extension at the end
// of the hello. Here: how frames are cut and what they mean. How they are written is in TimeWire+Encode.swift.
// Reads bytes of strangers: no allocation, no loop longer than the frame, an answer for every input.

import PeerMesh

/// The native dialect. One instance serves every link of a node, on the loop's thread.
public final class TimeWire: Wire, Sendable {
    /// The largest frame after its length field, in bytes; the seed's own limit.
    public static let maximumFrame = 8_388_608
    /// The largest frame before the hello is complete: strangers get no big buffers.
    public static let maximumGreeting = 4_096
    /// Bytes of the length field.
    static let headerSize = 4

    /// The network that hellos must name.
    public let network: TimeNetwork
    let networkName: [UInt8]

    /// A dialect for `network`.
    public init(network: TimeNetwork) {
        self.network = network
        networkName = Array(network.name.utf8)
    }

    public var name: String { "time" }
    public var isNative: Bool { true }
    public var maximumBody: Int { Self.maximumFrame - 4 }
    public var maximumHello: Int { Self.headerSize + Self.maximumGreeting }
    public var defaultPort: UInt16 { network.defaultPort }

    /// The dialect's bits of `WireState.flags`.
    enum Flag {
        /// The peer's hello is complete.
        static let greeted: UInt32 = 1 << 0
        /// A text that refuses the peer was written.
        static let rejected: UInt32 = 1 << 1
    }

    public func decode(
        _ bytes: RawSpan, state: inout WireState, peers: PeerList, reply: FrameBuffer
    ) -> Decoded {
        peers.removeAll()
        guard bytes.byteCount >= Self.headerSize else { return .more(atLeast: Self.headerSize) }
        let length = unsafe UInt32(bigEndian: bytes.unsafeLoadUnaligned(as: UInt32.self))
        guard length <= Self.maximumFrame else { return .broken(Self.badLength(length)) }
        let end = Self.headerSize + Int(length)
        let isGreeted = state.flags & Flag.greeted != 0
        if !isGreeted, let error = refusalBeforeHello(bytes, length: length, direction: state.direction) {
            return .broken(error)
        }
        guard bytes.byteCount >= end else {
            // A stranger's length alone reserves nothing: its next four bytes come first.
            return .more(atLeast: isGreeted || bytes.byteCount >= 8 ? end : 8)
        }
        if length == 0 {
            return .frame(length: end, .application(MessageType(TimeMessage.unknown), body: end..<end))
        }
        var reader = ByteReader(bytes, Self.headerSize..<end)
        let variant = reader.little(UInt32.self)
        guard !reader.failed else {
            return .broken(WireError(.protocolViolation, "a frame too short for its type", offset: 4, value: UInt64(length)))
        }
        return isGreeted
            ? message(variant, bytes, &reader, peers: peers, end: end)
            : greeting(variant, bytes, &reader, state: &state, peers: peers, end: end)
    }

    // MARK: The length

    /// A length over the limit is first taken for a lost frame boundary (incidents P38: 775434286 was ".80." of an
    /// address, 536870912 the length 32 read from the wrong end); only then for a frame that is too large.
    static func badLength(_ length: UInt32) -> WireError {
        let first = UInt8(truncatingIfNeeded: length >> 24)
        let second = UInt8(truncatingIfNeeded: length >> 16)
        if isText(first), isText(second) {
            return WireError(.desync, "text where a length should be", value: UInt64(length), limit: UInt64(maximumFrame))
        }
        if first != 0, length & 0xffff == 0 {
            return WireError(.desync, "a little-endian length", value: UInt64(length), limit: UInt64(maximumFrame))
        }
        return WireError(.frameTooLarge, "frame length", value: UInt64(length), limit: UInt64(maximumFrame))
    }

    private static func isText(_ byte: UInt8) -> Bool {
        0x20...0x7e ~= byte || byte == 0x0a || byte == 0x0d || byte == 0x09
    }

    // MARK: Before the hello

    /// What a stranger may not say, refused from the frame's first eight bytes, before its body is waited for.
    private func refusalBeforeHello(_ bytes: RawSpan, length: UInt32, direction: Direction) -> WireError? {
        guard length >= 4 else {
            return WireError(.protocolViolation, "bytes before the hello", value: UInt64(length))
        }
        guard bytes.byteCount >= 8 else { return nil }
        let variant = unsafe UInt32(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard mayComeFirst(variant, direction) else {
            return WireError(.protocolViolation, "bytes before the hello", offset: 4, value: UInt64(variant))
        }
        guard length <= Self.maximumGreeting else {
            return WireError(
                .frameTooLarge, "frame length before the hello", value: UInt64(length), limit: UInt64(Self.maximumGreeting)
            )
        }
        return nil
    }

    /// A dialler says Handshake. An acceptor says Handshake, or, of the seed's kind, Ack, or why it refuses us.
    private func mayComeFirst(_ variant: UInt32, _ direction: Direction) -> Bool {
        switch direction {
        case .inbound: variant == TimeMessage.handshake
        case .outbound:
            variant == TimeMessage.handshake || variant == TimeMessage.ack || variant == TimeMessage.forkAlert
        }
    }

    private func greeting(
        _ variant: UInt32, _ bytes: RawSpan, _ reader: inout ByteReader, state: inout WireState, peers: PeerList, end: Int
    ) -> Decoded {
        switch variant {
        case TimeMessage.handshake:
            switch handshake(bytes, &reader, direction: state.direction, peers: peers) {
            case .success(let hello): return complete(hello, state: &state, end: end)
            case .failure(let error): return .broken(error)
            }
        case TimeMessage.ack:
            let text = reader.take(reader.little(UInt64.self))
            guard !reader.failed, bytes.matches("Handshake", at: text) else {
                return .broken(WireError(.protocolViolation, "an Ack of something else than our hello", offset: 8))
            }
            return complete(Hello(isNative: false), state: &state, end: end)
        default:
            // A ForkAlert: the peer closes next, and that is what the link ends of.
            return .frame(length: end, .housekeeping)
        }
    }

    private func complete(_ hello: Hello, state: inout WireState, end: Int) -> Decoded {
        state.flags |= Flag.greeted
        state.hello = hello
        state.peerVersion = hello.version
        return .frame(length: end, .hello(hello))
    }

    // MARK: After the hello

    private func message(
        _ variant: UInt32, _ bytes: RawSpan, _ reader: inout ByteReader, peers: PeerList, end: Int
    ) -> Decoded {
        switch variant {
        case TimeMessage.handshake, TimeMessage.ack:
            return .frame(length: end, .housekeeping)
        case TimeMessage.ping, TimeMessage.pong:
            let nonce = reader.little(UInt64.self)
            _ = reader.little(Int64.self)  // the sender's clock: never used
            let hasHeight = reader.byte()
            if hasHeight == 1 { _ = reader.little(UInt64.self) }
            guard !reader.failed, hasHeight <= 1 else { return .broken(malformed("ping or pong", reader)) }
            return .frame(length: end, variant == TimeMessage.ping ? .ping(nonce: nonce) : .pong(nonce: nonce))
        case TimeMessage.getPeers:
            return .frame(length: end, .ask)
        case TimeMessage.peersResponse:
            return peersResponse(bytes, &reader, into: peers, end: end)
        case TimeMessage.peerExchange:
            return peerExchange(bytes, &reader, into: peers, end: end)
        default:
            return .frame(length: end, .application(MessageType(variant), body: reader.offset..<end))
        }
    }
}
