// A dialect of one's own in less than a hundred lines: every frame is a line of text, so that a person can take part with `nc`.
//
//     HELLO 93.184.215.14:7000 1a2b 0      where I can be dialled (- if nowhere), my nonce in hexadecimal, and in an answer my verdict
//     PING 1a2b · PONG 1a2b · ASK          what keeps links alive, and asks for peers
//     PEERS 127.0.0.1:7001 127.0.0.1:7002
//     SAY 1000 anything                    the application's: a message's number and its bytes

import PeerMesh
import Reactor

final class LineWire: Wire {
    static let greeted: UInt32 = 1
    let name = "lines"
    let isNative = true
    let maximumBody = 4_000
    let defaultPort: UInt16 = 7_000

    func decode(_ bytes: RawSpan, state: inout WireState, peers: PeerList, reply: FrameBuffer) -> Decoded {
        peers.removeAll()
        let text = bytes.withUnsafeBytes { Array($0.prefix(maximumBody + 20)) }
        guard let end = text.firstIndex(of: UInt8(ascii: "\n")) else {
            let isTooLong = text.count > maximumBody + 19
            return isTooLong ? .broken(WireError(.frameTooLarge, "a line", value: UInt64(text.count))) : .more(atLeast: text.count + 1)
        }
        let words = String(decoding: text[..<end], as: UTF8.self).split(separator: " ")
        guard let meaning = meaning(words, text[..<end], &state, peers) else {
            return .broken(WireError(.protocolViolation, "a line that is none of ours"))
        }
        return .frame(length: end + 1, meaning)
    }

    private func meaning(_ words: [Substring], _ line: ArraySlice<UInt8>, _ state: inout WireState, _ peers: PeerList) -> Meaning? {
        let isGreeted = state.flags & Self.greeted != 0
        let number = words.count > 1 ? UInt64(words[1], radix: 16) : nil
        switch (words.first, isGreeted) {
        case ("HELLO", false):
            guard words.count == 4, let nonce = UInt64(words[2], radix: 16), let verdict = verdict(words[3]) else { return nil }
            state.flags |= Self.greeted
            state.hello = Hello(
                isNative: true, endpoint: Endpoint(String(words[1])), nonce: nonce, verdict: state.direction == .outbound ? verdict : nil
            )
            return .hello(state.hello)
        case ("PING", true): return number.map { .ping(nonce: $0) }
        case ("PONG", true): return number.map { .pong(nonce: $0) }
        case ("ASK", true): return .ask
        case ("PEERS", true):
            for word in words.dropFirst() { if let endpoint = Endpoint(String(word)) { _ = peers.append(endpoint) } }
            return .peers
        case ("SAY", true):
            guard words.count > 1, let type = UInt32(words[1]) else { return nil }
            let start = min(line.count, 5 + words[1].count)
            return .application(MessageType(type), body: start..<line.count)
        default: return nil
        }
    }

    private func verdict(_ word: Substring) -> Verdict? {
        switch word {
        case "0": .accepted
        case "1": .duplicate
        case "2": .full
        case "3": .banned(for: .seconds(3_600))
        default: nil
        }
    }

    private func hello(_ identity: OwnIdentity, _ verdict: Int, _ frame: FrameBuffer) {
        write("HELLO \(identity.endpoint.map { "\($0)" } ?? "-") \(String(identity.nonce, radix: 16)) \(verdict)", frame)
    }

    private func write(_ line: String, _ frame: FrameBuffer) { frame.append(Array("\(line)\n".utf8)) }

    func encodeHello(into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) { hello(identity, 0, frame) }

    func encodeAnswer(_ verdict: Verdict, isNative: Bool, into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) {
        switch verdict {
        case .accepted: hello(identity, 0, frame)
        case .duplicate: hello(identity, 1, frame)
        case .full: hello(identity, 2, frame)
        case .banned: hello(identity, 3, frame)
        }
    }

    func encodePing(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) { write("PING \(String(nonce, radix: 16))", frame) }
    func encodePong(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) { write("PONG \(String(nonce, radix: 16))", frame) }
    func encodeAsk(into frame: FrameBuffer, state: inout WireState) { write("ASK", frame) }

    func encodePeers(_ peers: PeerList, isNative: Bool, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        write((["PEERS"] + (0..<min(peers.count, 60)).map { "\(peers[$0])" }).joined(separator: " "), frame)
    }

    func encode(_ body: RawSpan, type: MessageType, into frame: FrameBuffer) {
        frame.append(Array("SAY \(type) ".utf8))
        frame.append(body)
        frame.append(UInt8(ascii: "\n"))
    }

    func encodeReject(_ text: StaticString, into frame: FrameBuffer, state: inout WireState) {}
}
