// How the native dialect writes its frames. Everything goes into the caller's buffer; a frame's length is filled in when
// its end is known.

public import PeerMesh

extension TimeWire {
    /// What our hello states for the seed's own checks: its protocol version, and the count of its software's commits,
    /// which it requires to be at least 2062.
    static let protocolVersion: UInt32 = 2
    static let commitCount: UInt32 = 2_344

    public func encodeHello(into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) {
        encodeHandshake(identity, verdict: nil, into: frame)
    }

    public func encodeAnswer(
        _ verdict: Verdict, isNative: Bool, into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity
    ) {
        if isNative {
            encodeHandshake(identity, verdict: verdict, into: frame)
            return
        }
        switch verdict {
        case .accepted: encodeAck(into: frame)
        case .duplicate: encodeReject("a link to you stands already", into: frame, state: &state)
        case .full: encodeReject("no free slot, try again later", into: frame, state: &state)
        case .banned: encodeReject("your address is banned here", into: frame, state: &state)
        }
    }

    public func encodePing(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        encodeProbe(TimeMessage.ping, nonce: nonce, unixTime: unixTime, into: frame)
    }

    public func encodePong(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        encodeProbe(TimeMessage.pong, nonce: nonce, unixTime: unixTime, into: frame)
    }

    public func encodeAsk(into frame: FrameBuffer, state: inout WireState) {
        let start = begin(TimeMessage.getPeers, in: frame)
        finish(start, in: frame)
    }

    /// To our own kind PeersResponse, which states ports. To the seed's kind PeerExchange, which does not: there, only
    /// peers on the network's default port can be named.
    public func encodePeers(
        _ peers: PeerList, isNative: Bool, unixTime: Int64, into frame: FrameBuffer, state: inout WireState
    ) {
        let start = begin(isNative ? TimeMessage.peersResponse : TimeMessage.peerExchange, in: frame)
        let countOffset = frame.count
        frame.appendLittleEndian(UInt64(0))
        var count: UInt64 = 0
        for index in 0..<peers.count {
            let endpoint = peers[index]
            if !isNative, endpoint.port != defaultPort { continue }
            let textOffset = frame.count
            frame.appendLittleEndian(UInt64(0))
            frame.append(atMost: Endpoint.maximumTextLength) {
                if isNative { endpoint.write(into: &$0) } else { endpoint.address.write(into: &$0) }
            }
            frame.setLittleEndian(UInt64(frame.count - textOffset - 8), at: textOffset)
            if !isNative {
                frame.appendLittleEndian(UInt16.max)  // how many links it has: unknown
                frame.append(0)  // is_masternode: the registry's word, not ours
                frame.append(0)  // tier: none
            }
            count += 1
        }
        frame.setLittleEndian(count, at: countOffset)
        finish(start, in: frame)
    }

    public func encode(_ body: RawSpan, type: MessageType, into frame: FrameBuffer) {
        precondition(body.byteCount <= maximumBody, "the body is within maximumBody")
        precondition(type.isNumber, "messages of this dialect are numbers")
        let start = begin(UInt32(truncatingIfNeeded: type.low), in: frame)
        frame.append(body)
        finish(start, in: frame)
    }

    public func encodeReject(_ text: StaticString, into frame: FrameBuffer, state: inout WireState) {
        guard state.flags & Flag.rejected == 0 else { return }
        state.flags |= Flag.rejected
        let start = begin(TimeMessage.forkAlert, in: frame)
        // Both heights and hashes and the count of peers: this is a refusal, not a fork.
        frame.appendZeros(8 + 32 + 8 + 32 + 8)
        append(text, to: frame)
        finish(start, in: frame)
    }

    /// The seed's hello, as its own software writes it, and our extension.
    private func encodeHandshake(_ identity: OwnIdentity, verdict: Verdict?, into frame: FrameBuffer) {
        let start = begin(TimeMessage.handshake, in: frame)
        frame.appendBigEndian(network.magic)
        frame.appendLittleEndian(Self.protocolVersion)
        frame.appendLittleEndian(UInt64(networkName.count))
        frame.append(networkName)
        frame.appendLittleEndian(Self.commitCount)
        HelloExtension.append(identity, verdict, to: frame)
        finish(start, in: frame)
    }

    private func encodeProbe(_ variant: UInt32, nonce: UInt64, unixTime: Int64, into frame: FrameBuffer) {
        let start = begin(variant, in: frame)
        frame.appendLittleEndian(nonce)
        frame.appendLittleEndian(unixTime)
        frame.append(0)  // height: none, we keep no chain
        finish(start, in: frame)
    }

    private func encodeAck(into frame: FrameBuffer) {
        let start = begin(TimeMessage.ack, in: frame)
        append("Handshake", to: frame)
        finish(start, in: frame)
    }

    private func append(_ text: StaticString, to frame: FrameBuffer) {
        frame.appendLittleEndian(UInt64(text.utf8CodeUnitCount))
        frame.append(text)
    }

    /// Starts a frame: a length to be filled in, and the variant. Gives the frame's offset to `finish`.
    private func begin(_ variant: UInt32, in frame: FrameBuffer) -> Int {
        let start = frame.count
        frame.appendBigEndian(UInt32(0))
        frame.appendLittleEndian(variant)
        return start
    }

    private func finish(_ start: Int, in frame: FrameBuffer) {
        frame.setBigEndian(UInt32(frame.count - start - Self.headerSize), at: start)
    }
}
