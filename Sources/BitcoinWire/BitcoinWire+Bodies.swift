// The bodies that the dialect reads: version, addr and addrv2 (BIP155). Addresses become canonical endpoints; entries that
// nobody could dial, and networks that are not IP, are skipped; only what cannot be parsed breaks the link.

import PeerMesh
import Reactor

extension BitcoinWire {
    /// No user agent is longer.
    static let maximumUserAgent: UInt64 = 256
    /// No address of BIP155 is longer.
    static let maximumAddress: UInt64 = 512

    /// A version body. Everything from the sender's address on may be missing, as it was in the first versions; what
    /// follows the fields that we know is a later version's.
    func version(_ bytes: RawSpan, _ body: inout ByteReader, _ peers: PeerList) -> Result<Hello, WireError> {
        let start = body.offset
        let version = body.little(Int32.self)
        let ours = body.take(8 + 8 + 26)  // services, time, and our own address as the peer sees it
        guard !body.failed else { return .failure(WireError(.protocolViolation, "version: cut short", offset: body.offset)) }
        guard version >= Self.minimumPeerVersion else {
            return .failure(
                WireError(
                    .protocolViolation, "version: too old", offset: start,
                    value: UInt64(UInt32(bitPattern: version)), limit: UInt64(Self.minimumPeerVersion)
                )
            )
        }
        // Behind services, time and services once more.
        var address = ByteReader(bytes, ours.lowerBound + 24..<ours.upperBound)
        peers.seenAs = endpoint(&address)?.address
        var hello = Hello(isNative: false, version: UInt32(version))
        guard body.remaining > 0 else { return .success(hello) }
        _ = body.take(8)  // the sender's services, once more
        hello.endpoint = endpoint(&body)
        let nonce = body.little(UInt64.self)
        hello.nonce = nonce
        if body.remaining > 0 {
            let textOffset = body.offset
            let length = body.compactSize()
            guard length <= Self.maximumUserAgent else {
                return .failure(
                    WireError(
                        .protocolViolation, "version: user agent", offset: textOffset, value: length,
                        limit: Self.maximumUserAgent
                    )
                )
            }
            _ = body.take(length)
        }
        guard !body.failed else { return .failure(WireError(.protocolViolation, "version: cut short", offset: body.offset)) }
        return .success(hello)
    }

    /// An addr body: entries of 30 bytes.
    func addr(_ body: inout ByteReader, into peers: PeerList) -> Result<Meaning, WireError> {
        let countOffset = body.offset
        let count = body.compactSize()
        guard count <= PeerList.capacity else { return .failure(tooMany(count, offset: countOffset)) }
        var index: UInt64 = 0
        while index < count, !body.failed {
            _ = body.take(4 + 8)  // time, services
            if let endpoint = endpoint(&body) { _ = peers.append(endpoint) }
            index += 1
        }
        guard !body.failed else { return .failure(WireError(.protocolViolation, "addr: cut short", offset: body.offset)) }
        return .success(.peers)
    }

    /// An addrv2 body: entries of many networks, of which two are ours.
    func addrv2(_ bytes: RawSpan, _ body: inout ByteReader, into peers: PeerList) -> Result<Meaning, WireError> {
        let countOffset = body.offset
        let count = body.compactSize()
        guard count <= PeerList.capacity else { return .failure(tooMany(count, offset: countOffset)) }
        var index: UInt64 = 0
        while index < count, !body.failed {
            _ = body.take(4)  // time
            _ = body.compactSize()  // services
            let networkOffset = body.offset
            let network = body.byte()
            let length = body.compactSize()
            guard length <= Self.maximumAddress, network != 1 || length == 4, network != 2 || length == 16 else {
                return .failure(
                    WireError(
                        .protocolViolation, "addrv2: address length", offset: networkOffset, value: length,
                        limit: Self.maximumAddress
                    )
                )
            }
            let address = body.take(length)
            let port = body.big(UInt16.self)
            if !body.failed, let ip = ipAddress(bytes, address, network: network) {
                let endpoint = Endpoint(ip, port: port)
                if endpoint.isDialable { _ = peers.append(endpoint) }
            }
            index += 1
        }
        guard !body.failed else { return .failure(WireError(.protocolViolation, "addrv2: cut short", offset: body.offset)) }
        return .success(.peers)
    }

    /// Sixteen bytes and a big-endian port; nil if nobody could dial it.
    private func endpoint(_ body: inout ByteReader) -> Endpoint? {
        let high = body.big(UInt64.self)
        let low = body.big(UInt64.self)
        let endpoint = Endpoint(IPAddress(v6High: high, low: low), port: body.big(UInt16.self))
        // fd87:d87e:eb43::/48 is how addr once carried Tor's addresses: no IP network reaches them.
        let isOnion = high >> 16 == 0xfd87_d87e_eb43
        return endpoint.isDialable && !isOnion ? endpoint : nil
    }

    private func ipAddress(_ bytes: RawSpan, _ range: Range<Int>, network: UInt8) -> IPAddress? {
        var reader = ByteReader(bytes, range)
        switch network {
        case 1:
            return IPAddress(v4: reader.big(UInt32.self))
        case 2:
            let high = reader.big(UInt64.self)
            return IPAddress(v6High: high, low: reader.big(UInt64.self))
        default:
            return nil
        }
    }

    private func tooMany(_ count: UInt64, offset: Int) -> WireError {
        WireError(
            .protocolViolation, "too many peers in one message", offset: offset, value: count,
            limit: UInt64(PeerList.capacity)
        )
    }
}
