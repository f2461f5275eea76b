// What crosses the model's network, in one byte each.

import PeerMesh
import Timers

/// A packet of the model.
enum Packet: Hashable {
    case syn
    case synAck
    case refused
    /// The dialler's hello, or the acceptor's with its verdict; from which incarnation of the sender.
    case hello(verdict: Verdict?, incarnation: Int)
    case ping
    case pong
    case fin
    case reset

    var code: UInt8 {
        switch self {
        case .syn: 1
        case .synAck: 2
        case .refused: 3
        case .ping: 4
        case .pong: 5
        case .fin: 6
        case .reset: 7
        case .hello(let verdict, let incarnation): UInt8(8 + 5 * incarnation) + Packet.code(verdict)
        }
    }

    private static func code(_ verdict: Verdict?) -> UInt8 {
        switch verdict {
        case nil: 0
        case .accepted?: 1
        case .duplicate?: 2
        case .full?: 3
        case .banned?: 4
        }
    }

    init(code: UInt8) {
        switch code {
        case 1: self = .syn
        case 2: self = .synAck
        case 3: self = .refused
        case 4: self = .ping
        case 5: self = .pong
        case 6: self = .fin
        case 7: self = .reset
        default:
            let verdicts: [Verdict?] = [nil, .accepted, .duplicate, .full, .banned(for: .seconds(4))]
            self = .hello(verdict: verdicts[Int(code - 8) % 5], incarnation: Int(code - 8) / 5)
        }
    }

    var words: String {
        switch self {
        case .syn: "connect"
        case .synAck: "connected"
        case .refused: "refusal"
        case .hello(nil, _): "hello"
        case .hello(let verdict?, _): "hello (\(verdict))"
        case .ping: "ping"
        case .pong: "pong"
        case .fin: "end of stream"
        case .reset: "reset"
        }
    }
}
