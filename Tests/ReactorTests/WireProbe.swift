// How the wire tests speak to a dialect: as a link does, from a growing buffer, writing down everything that comes out.

import PeerMesh
import Reactor

/// One thing that a dialect made of bytes.
enum Seen: Equatable {
    case hello(Hello)
    case greet
    case ping(UInt64)
    case pong(UInt64)
    case ask
    case peers([Endpoint])
    case housekeeping
    case spoilt(UInt32)
    case application(MessageType, [UInt8])
    case broken(WireError)
}

/// One link's view of a dialect.
struct WireProbe {
    let wire: any Wire
    var state: WireState
    let peers = PeerList()
    let reply = FrameBuffer()
    /// Bytes that came and are not decoded yet.
    var pending: [UInt8] = []
    var seen: [Seen] = []
    var isBroken = false
    /// The address that the last hello said we have.
    var seenAs: IPAddress?

    init(_ wire: any Wire, _ direction: Direction) {
        self.wire = wire
        state = WireState(direction: direction)
    }

    /// Takes bytes as a read would give them, and decodes what is complete.
    mutating func receive(_ bytes: [UInt8]) {
        pending += bytes
        var start = 0
        while !isBroken {
            let rest = Array(pending[start...])
            switch wire.decode(rest.span.bytes, state: &state, peers: peers, reply: reply) {
            case .more(let needed):
                precondition(needed > rest.count, "more must ask for more than there is")
                pending.removeFirst(start)
                return
            case .frame(let length, let meaning):
                precondition(length > 0 && length <= rest.count, "a frame lies in its input")
                start += length
                seenAs = peers.seenAs ?? seenAs
                seen.append(note(meaning, rest))
            case .broken(let error):
                isBroken = true
                seen.append(.broken(error))
            }
        }
    }

    private func note(_ meaning: Meaning, _ bytes: [UInt8]) -> Seen {
        switch meaning {
        case .hello(let hello): .hello(hello)
        case .greet: .greet
        case .ping(let nonce): .ping(nonce)
        case .pong(let nonce): .pong(nonce)
        case .ask: .ask
        case .peers: .peers((0..<peers.count).map { peers[$0] })
        case .housekeeping: .housekeeping
        case .spoilt(let points): .spoilt(points)
        case .application(let type, let body): .application(type, Array(bytes[body]))
        }
    }
}

extension FrameBuffer {
    var array: [UInt8] {
        let span = bytes
        return (0..<span.byteCount).map { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
}

/// The bytes that `write` encodes.
func written(_ write: (FrameBuffer) -> Void) -> [UInt8] {
    let frame = FrameBuffer(capacity: 16)
    write(frame)
    return frame.array
}

/// Bytes from hexadecimal text; spaces are for the reader.
func hex(_ text: String) -> [UInt8] {
    let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
    precondition(digits.count % 2 == 0)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

func list(_ endpoints: [Endpoint]) -> PeerList {
    let list = PeerList()
    for endpoint in endpoints { precondition(list.append(endpoint)) }
    return list
}

/// A small generator, so that every run of a seed is the same.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

extension Endpoint {
    static func random(using random: inout SplitMix) -> Endpoint {
        let port = UInt16.random(in: 1...65_535, using: &random)
        if Bool.random(using: &random) {
            let bits = UInt32.random(in: 0x0100_0000...0xdfff_ffff, using: &random)
            return Endpoint(IPAddress(v4: bits), port: port)
        }
        var high = UInt64.random(in: 0x2000_0000_0000_0000...0x3fff_ffff_ffff_ffff, using: &random)
        var low = random.next()
        // Runs of zeros, so that every form of `::` occurs.
        if Bool.random(using: &random) { high &= 0xffff_ffff_0000_0000 }
        if Bool.random(using: &random) { low &= 0x0000_ffff_0000_ffff }
        if Bool.random(using: &random) { low &= 0x0000_0000_0000_ffff }
        return Endpoint(IPAddress(v6High: high, low: low), port: port)
    }
}
