// What our hello says beyond the seed's: appended after its last field, where the seed's decoder ignores it. The format is
// append-only: a later version adds bytes at the end and leaves these as they are. docs/Wire.md has it byte for byte.

import PeerMesh
import Timers

/// Listen endpoint, node nonce, capabilities and, in an acceptor's hello, its verdict; since version 2 the receiver's address.
enum HelloExtension {
    /// `RCTR`: four bytes, so that no integer that the seed may append one day is taken for it.
    static let marker: UInt32 = 0x5243_5452
    static let version: UInt8 = 2

    /// What the sender can do: bits of `Hello.capabilities`. Unknown ones are kept and ignored.
    static let masternode: UInt64 = 1 << 0

    enum Outcome {
        /// The hello ends, or goes on with something else: a peer of the seed's network.
        case absent
        case present(Hello)
        case malformed(StaticString, value: UInt64)
    }

    /// Reads the extension, if it is one. Bytes after it are left alone.
    static func read(_ reader: inout ByteReader, protocolVersion: UInt32, _ peers: PeerList) -> Outcome {
        guard reader.remaining >= 4 else { return .absent }
        guard reader.big(UInt32.self) == marker else { return .absent }
        let version = reader.byte()
        guard version >= 1 || reader.failed else { return .malformed("hello extension: version", value: 0) }
        let (endpoint, family) = readEndpoint(&reader)
        guard family == 0 || family == 4 || family == 6 else {
            return .malformed("hello extension: address family", value: UInt64(family))
        }
        let nonce = reader.little(UInt64.self)
        let capabilities = reader.little(UInt64.self)
        let verdictTag = reader.byte()
        guard verdictTag <= 4 else { return .malformed("hello extension: verdict", value: UInt64(verdictTag)) }
        let verdict = readVerdict(verdictTag, &reader)
        guard !reader.failed else { return .malformed("hello extension: cut short", value: 0) }
        if version >= 2 { peers.seenAs = readAddress(reader.byte(), &reader) }
        guard !reader.failed else { return .malformed("hello extension: cut short", value: 0) }
        return .present(
            Hello(
                isNative: true, endpoint: endpoint, nonce: nonce, capabilities: capabilities, verdict: verdict,
                version: protocolVersion
            )
        )
    }

    static func append(_ identity: OwnIdentity, _ verdict: Verdict?, to frame: FrameBuffer) {
        frame.appendBigEndian(marker)
        frame.append(version)
        appendEndpoint(identity.endpoint, to: frame)
        frame.appendLittleEndian(identity.nonce)
        frame.appendLittleEndian(identity.role == .masternode ? masternode : 0)
        switch verdict {
        case nil: frame.append(0)
        case .accepted: frame.append(1)
        case .duplicate: frame.append(2)
        case .full: frame.append(3)
        case .banned(let span):
            frame.append(4)
            frame.appendLittleEndian(span.count)
        }
        appendAddress(identity.remote.address, to: frame)
    }

    /// The endpoint, nil if the sender states none or one that nobody could dial; and the family byte.
    private static func readEndpoint(_ reader: inout ByteReader) -> (Endpoint?, family: UInt8) {
        let family = reader.byte()
        guard let address = readAddress(family, &reader) else { return (nil, family) }
        let endpoint = Endpoint(address, port: reader.little(UInt16.self))
        return (endpoint.isDialable ? endpoint : nil, family)
    }

    /// The bytes of an address of `family`; nil, and nothing read, if that is none.
    private static func readAddress(_ family: UInt8, _ reader: inout ByteReader) -> IPAddress? {
        switch family {
        case 4: return IPAddress(v4: reader.big(UInt32.self))
        case 6:
            let high = reader.big(UInt64.self)
            return IPAddress(v6High: high, low: reader.big(UInt64.self))
        default: return nil
        }
    }

    private static func appendEndpoint(_ endpoint: Endpoint?, to frame: FrameBuffer) {
        guard let endpoint, endpoint.isDialable else {
            frame.append(0)
            return
        }
        appendAddress(endpoint.address, to: frame)
        frame.appendLittleEndian(endpoint.port)
    }

    private static func appendAddress(_ address: IPAddress, to frame: FrameBuffer) {
        switch address.family {
        case .v4:
            frame.append(4)
            frame.appendBigEndian(address.v4Bits)
        case .v6:
            frame.append(6)
            frame.appendBigEndian(address.high)
            frame.appendBigEndian(address.low)
        }
    }

    private static func readVerdict(_ tag: UInt8, _ reader: inout ByteReader) -> Verdict? {
        switch tag {
        case 1: .accepted
        case 2: .duplicate
        case 3: .full
        case 4: .banned(for: Nanoseconds(reader.little(UInt64.self)))
        default: nil
        }
    }
}
