// How the dialect writes its messages. Everything goes into the caller's buffer; length and checksum are filled in when the
// body's end is known.

public import PeerMesh
public import Reactor

extension BitcoinWire {
    /// A dialler's version; an acceptor's version with all that follows the peer's: the peer waits for it.
    public func encodeHello(into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) {
        let start = begin(BitcoinMessage.version, in: frame)
        frame.appendLittleEndian(network.advertisedVersion)
        frame.appendLittleEndian(UInt64(0))  // services: none
        frame.appendLittleEndian(identity.unixTime)
        append(identity.remote, to: frame)
        append(identity.endpoint, to: frame)
        frame.appendLittleEndian(identity.nonce)
        frame.appendCompactSize(userAgent.count)
        frame.append(userAgent)
        frame.appendLittleEndian(Int32(0))  // start height: we keep no chain
        frame.append(0)  // relay: no transactions, please
        finish(start, in: frame)
        if state.flags & Flag.version != 0 { encodeReady(into: frame, state: state) }
    }

    /// What follows the peer's version: what we can do, then verack. Only in this window may the former be said.
    func encodeReady(into frame: FrameBuffer, state: WireState) {
        if state.peerVersion >= Self.featureVersion {
            if network.hasWitnessRelay { encodeEmpty(BitcoinMessage.wtxidrelay, into: frame) }
            encodeEmpty(BitcoinMessage.sendaddrv2, into: frame)
        }
        encodeEmpty(BitcoinMessage.verack, into: frame)
    }

    /// Nothing: this dialect has no verdict. A refused peer is closed.
    public func encodeAnswer(
        _ verdict: Verdict, isNative: Bool, into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity
    ) {}

    public func encodePing(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        encodeProbe(BitcoinMessage.ping, nonce: nonce, into: frame)
    }

    public func encodePong(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        encodeProbe(BitcoinMessage.pong, nonce: nonce, into: frame)
    }

    public func encodeAsk(into frame: FrameBuffer, state: inout WireState) {
        encodeEmpty(BitcoinMessage.getaddr, into: frame)
    }

    /// addrv2 to a peer that asked for it, else addr. Services are stated as none: the book does not keep them.
    public func encodePeers(
        _ peers: PeerList, isNative: Bool, unixTime: Int64, into frame: FrameBuffer, state: inout WireState
    ) {
        let isV2 = state.flags & Flag.addrv2 != 0
        let start = begin(isV2 ? BitcoinMessage.addrv2 : BitcoinMessage.addr, in: frame)
        frame.appendCompactSize(peers.count)
        for index in 0..<peers.count {
            frame.appendLittleEndian(UInt32(truncatingIfNeeded: unixTime))
            if isV2 {
                appendBIP155(peers[index], to: frame)
            } else {
                append(peers[index], to: frame)
            }
        }
        finish(start, in: frame)
    }

    public func encode(_ body: RawSpan, type: MessageType, into frame: FrameBuffer) {
        precondition(body.byteCount <= maximumBody, "the body is within maximumBody")
        precondition(!type.isNumber, "messages of this dialect are commands")
        let start = begin(type, in: frame)
        frame.append(body)
        finish(start, in: frame)
    }

    /// Nothing: Bitcoin's own `reject` is gone from its protocol.
    public func encodeReject(_ text: StaticString, into frame: FrameBuffer, state: inout WireState) {}

    // MARK: Parts

    private func encodeEmpty(_ type: MessageType, into frame: FrameBuffer) {
        finish(begin(type, in: frame), in: frame)
    }

    private func encodeProbe(_ type: MessageType, nonce: UInt64, into frame: FrameBuffer) {
        let start = begin(type, in: frame)
        frame.appendLittleEndian(nonce)
        finish(start, in: frame)
    }

    /// Services, sixteen bytes and a big-endian port; all zeros for no endpoint.
    private func append(_ endpoint: Endpoint?, to frame: FrameBuffer) {
        frame.appendLittleEndian(UInt64(0))
        guard let endpoint else {
            frame.appendZeros(18)
            return
        }
        switch endpoint.address.family {
        case .v4:
            frame.appendBigEndian(UInt64(0))
            frame.appendBigEndian(0xffff << 32 | UInt64(endpoint.address.v4Bits))
        case .v6:
            frame.appendBigEndian(endpoint.address.high)
            frame.appendBigEndian(endpoint.address.low)
        }
        frame.appendBigEndian(endpoint.port)
    }

    /// Services, network, length, address and a big-endian port.
    private func appendBIP155(_ endpoint: Endpoint, to frame: FrameBuffer) {
        frame.append(0)
        switch endpoint.address.family {
        case .v4:
            frame.append(1)
            frame.append(4)
            frame.appendBigEndian(endpoint.address.v4Bits)
        case .v6:
            frame.append(2)
            frame.append(16)
            frame.appendBigEndian(endpoint.address.high)
            frame.appendBigEndian(endpoint.address.low)
        }
        frame.appendBigEndian(endpoint.port)
    }

    /// Starts a message; gives its offset to `finish`.
    private func begin(_ type: MessageType, in frame: FrameBuffer) -> Int {
        let start = frame.count
        frame.appendBigEndian(network.magic)
        frame.appendBigEndian(type.high)
        frame.appendBigEndian(UInt32(truncatingIfNeeded: type.low >> 32))
        frame.appendZeros(8)
        return start
    }

    private func finish(_ start: Int, in frame: FrameBuffer) {
        let body = start + Self.headerSize
        frame.setLittleEndian(UInt32(frame.count - body), at: start + 16)
        let checksum = Self.checksum(frame.bytes.extracting(start..<frame.count))
        frame.setLittleEndian(UInt32(littleEndian: checksum), at: start + 20)
    }
}
