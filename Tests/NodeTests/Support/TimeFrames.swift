// Frames of the seed's network, written out by hand: the tests must not borrow the codec that they test.

import Foundation
import PeerMesh

enum TimeFrames {
    static func frame(_ body: [UInt8]) -> [UInt8] {
        big(UInt32(body.count)) + body
    }

    static func big(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    static func string(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }

    static let testnetMagic: [UInt8] = [0x54, 0x49, 0x4d, 0x45]

    /// The hello of a node of the seed's network: no extension, so to us a foreign peer.
    static func handshake(magic: [UInt8] = testnetMagic, network: String = "testnet") -> [UInt8] {
        frame(little(UInt32(10)) + magic + little(UInt32(2)) + string(network) + little(UInt32(2_344)))
    }

    static let acknowledgement = frame(little(UInt32(11)) + string("Handshake"))

    static func ping(_ nonce: UInt64) -> [UInt8] {
        frame(little(UInt32(36)) + little(nonce) + little(Int64(1_700_000_000)) + [0])
    }

    static func pong(_ nonce: UInt64) -> [UInt8] {
        frame(little(UInt32(37)) + little(nonce) + little(Int64(1_700_000_000)) + [0])
    }

    static func application(_ type: UInt32, _ body: [UInt8]) -> [UInt8] { frame(little(type) + body) }
}

extension RawPeer {
    struct TimeFrame {
        var type: UInt32
        var body: [UInt8]
        var nonce: UInt64 { body.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64($1.offset * 8) } }
    }

    /// The next frame of the seed's network.
    func readTimeFrame(limit: Double = 90) throws -> TimeFrame {
        let length = try read(4, limit: limit).reduce(0) { $0 << 8 | Int($1) }
        guard length >= 4, length < 1 << 23 else { throw SocketFailure("a frame of \(length) bytes", EPROTO) }
        let bytes = try read(length, limit: limit)
        let type = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[$1]) << UInt32($1 * 8) }
        return TimeFrame(type: type, body: Array(bytes[4...]))
    }

    /// Reads until a frame of `type`, answering pings on the way.
    @discardableResult
    func readTimeFrame(ofType type: UInt32, limit: Double = 90) throws -> TimeFrame {
        let deadline = Clock.seconds + limit
        while true {
            let frame = try readTimeFrame(limit: deadline - Clock.seconds)
            if frame.type == type { return frame }
            if frame.type == 36 { try send(TimeFrames.pong(frame.nonce)) }
        }
    }

    /// Dials as a node of the seed's network, up to an established link.
    static func linked(to node: Endpoint, from source: Endpoint? = nil) throws -> RawPeer {
        let peer = try RawPeer(to: node, from: source)
        try peer.send(TimeFrames.handshake())
        try peer.readTimeFrame(ofType: 11)
        return peer
    }
}
