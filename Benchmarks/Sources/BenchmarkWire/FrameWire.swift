// The compared protocol as a dialect of the node: hello, ping and pong are the mesh's, data is the application's.

public import PeerMesh
public import Reactor

/// Frames of four bytes of big-endian length and a body whose first byte is its kind. See Benchmarks/README.md.
public final class FrameWire: Wire {
    private static let header = 4
    private static let helloLength = 32
    private static let pingLength = 8
    private static let kindHello: UInt8 = 1
    private static let kindPing: UInt8 = 2
    private static let kindData: UInt8 = 3
    private static let answer: UInt8 = 0x80
    private static let greeted: UInt32 = 1

    public init() {}

    public var name: String { "frames" }
    public var isNative: Bool { false }
    public var maximumBody: Int { 8 << 20 }
    public var defaultPort: UInt16 { 24_900 }

    public func decode(_ bytes: RawSpan, state: inout WireState, peers: PeerList, reply: FrameBuffer) -> Decoded {
        guard bytes.byteCount >= Self.header else { return .more(atLeast: Self.header) }
        let length = Int(UInt32(bigEndian: bytes.unsafeLoadUnaligned(as: UInt32.self)))
        let isGreeted = state.flags & Self.greeted != 0
        guard length > 0, length <= maximumBody, isGreeted || length == Self.helloLength else {
            return .broken(WireError(.frameTooLarge, "frame length", value: UInt64(length), limit: UInt64(maximumBody)))
        }
        let end = Self.header + length
        guard bytes.byteCount > Self.header else { return .more(atLeast: Self.header + 1) }
        let kind = bytes.unsafeLoad(fromByteOffset: Self.header, as: UInt8.self)
        guard isAllowed(kind, isGreeted: isGreeted, state.direction) else {
            return .broken(WireError(.protocolViolation, "kind", offset: Self.header, value: UInt64(kind)))
        }
        guard bytes.byteCount >= end else { return .more(atLeast: end) }
        guard isGreeted else {
            state.flags |= Self.greeted
            // The answer to a hello is the hello: the mesh's own answer says nothing more.
            if state.direction == .inbound { appendAnswer(bytes.extracting(0..<end), to: reply) }
            return .frame(length: end, .hello(Hello(isNative: false)))
        }
        if kind & ~Self.answer == Self.kindPing, length == Self.pingLength {
            let nonce = UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: Self.header, as: UInt64.self)) << 8
            return .frame(length: end, kind == Self.kindPing ? .ping(nonce: nonce) : .pong(nonce: nonce))
        }
        return .frame(length: end, .application(MessageType(UInt32(kind)), body: Self.header + 1..<end))
    }

    private func isAllowed(_ kind: UInt8, isGreeted: Bool, _ direction: Direction) -> Bool {
        if isGreeted { return kind == Self.kindPing || kind == Self.kindData || kind == Self.kindPing | Self.answer }
        switch direction {
        case .inbound: return kind == Self.kindHello
        case .outbound: return kind == Self.kindHello | Self.answer
        }
    }

    private func appendAnswer(_ frame: RawSpan, to buffer: FrameBuffer) {
        buffer.append(frame.extracting(0..<Self.header))
        buffer.append(frame.unsafeLoad(fromByteOffset: Self.header, as: UInt8.self) | Self.answer)
        buffer.append(frame.extracting((Self.header + 1)..<frame.byteCount))
    }

    /// A probe's nonce is seven bytes of the mesh's eight: its highest.
    private func appendProbe(_ kind: UInt8, _ nonce: UInt64, to frame: FrameBuffer) {
        frame.appendBigEndian(UInt32(Self.pingLength))
        frame.appendBigEndian(UInt64(kind) << 56 | nonce >> 8)
    }

    public func encodePing(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        appendProbe(Self.kindPing, nonce, to: frame)
    }

    public func encodePong(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        appendProbe(Self.kindPing | Self.answer, nonce, to: frame)
    }

    /// The handler's data is an answer by its kind.
    public func encode(_ body: RawSpan, type: MessageType, into frame: FrameBuffer) {
        frame.appendBigEndian(UInt32(body.byteCount + 1))
        frame.append(UInt8(truncatingIfNeeded: type.low) | Self.answer)
        frame.append(body)
    }

    /// What a node says when it dials: the compared protocol's hello.
    public func encodeHello(into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) {
        frame.appendBigEndian(UInt32(Self.helloLength))
        frame.append(Self.kindHello)
        frame.appendZeros(Self.helloLength - 1)
    }

    // Messages that the protocol has not.

    public func encodeAnswer(
        _ verdict: Verdict, isNative: Bool, into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity
    ) {}

    public func encodeAsk(into frame: FrameBuffer, state: inout WireState) {}

    public func encodePeers(
        _ peers: PeerList, isNative: Bool, unixTime: Int64, into frame: FrameBuffer, state: inout WireState
    ) {}

    public func encodeReject(_ text: StaticString, into frame: FrameBuffer, state: inout WireState) {}
}
