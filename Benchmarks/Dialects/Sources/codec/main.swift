// How fast a dialect's decoder is: `codec time|bitcoin BODY CHUNK`. Frames with bodies of BODY bytes, 4 MiB of them in all, come in
// reads of CHUNK bytes (0: all at once) and are cut, checked and understood. Prints a line of JSON.

import BitcoinWire
import Glibc
import PeerMesh
import Reactor

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

let arguments = CommandLine.arguments
guard arguments.count == 4, let body = Int(arguments[2]), let chunk = Int(arguments[3]), body >= 0, chunk >= 0 else {
    print("usage: codec time|bitcoin BODY CHUNK")
    exit(64)
}
let isTime = arguments[1] == "time"
let wire: any Wire = isTime ? TimeWire(network: .reactor) : BitcoinWire(network: .litecoinRegtest)
let type = isTime ? MessageType(1_000) : MessageType(command: "block")

let frames = FrameBuffer(capacity: 8 << 20)
let content = [UInt8](repeating: 7, count: body)
var count = 0
while frames.count < 4 << 20 {
    wire.encode(content.span.bytes, type: type, into: frames)
    count += 1
}

/// Decodes everything once. Returns how many frames there were.
func pass(_ wire: any Wire, _ frames: FrameBuffer, chunk: Int) -> Int {
    let peers = PeerList()
    let reply = FrameBuffer()
    var state = WireState(direction: .inbound)
    // As after a hello: every flag of either dialect that one sets.
    state.flags = 0b1111
    var (start, end, decoded) = (0, 0, 0)
    while start < frames.count {
        end = chunk == 0 ? frames.count : min(end + chunk, frames.count)
        decoding: while start < end {
            switch wire.decode(frames.bytes.extracting(start..<end), state: &state, peers: peers, reply: reply) {
            case .more: break decoding
            case .frame(let length, .application):
                start += length
                decoded += 1
            case .frame(_, let meaning): fatalError("an application's frame was taken for \(meaning)")
            case .broken(let error): fatalError("\(error)")
            }
        }
    }
    return decoded
}

precondition(pass(wire, frames, chunk: chunk) == count, "every frame is decoded")
let begin = now()
var passes = 0
while now() - begin < 0.3 {
    _ = pass(wire, frames, chunk: chunk)
    passes += 1
}
let seconds = now() - begin
print(
    "{\"frames_per_second\": \(Double(passes * count) / seconds), \"bytes_per_second\": \(Double(passes * frames.count) / seconds),"
        + " \"ns_per_frame\": \(seconds * 1e9 / Double(passes * count))}"
)
