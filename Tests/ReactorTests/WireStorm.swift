// Mutated frames by the million, for any dialect: what comes out must lie in what went in, and memory must stay where it
// was. Deterministic: the same seed gives the same storm.

import Glibc
import PeerMesh
import Reactor

/// A million in release, where the promise is made; fewer in debug, where each costs fifty times as much.
#if DEBUG
let stormSize = 20_000
#else
let stormSize = 1_000_000
#endif

struct StormFailure: Error, CustomStringConvertible {
    var description: String
}

/// Feeds `count` mutations of `frames` to `wire`, in both directions, before and after the hello. `mend` may make a
/// mutation whole again where the dialect would not look at it otherwise.
func storm(_ wire: any Wire, frames: [[UInt8]], count: Int, mend: ((inout [UInt8]) -> Void)? = nil) throws {
    let peers = PeerList()
    let reply = FrameBuffer()
    var random = SplitMix(state: 0x5eed)
    var input: [UInt8] = []
    input.reserveCapacity(16_384)
    var before = 0
    for round in 0..<count {
        // The first rounds touch every page that the decoder needs; what follows must need no more.
        if round == count / 100 { before = residentAnonymousBytes() }
        mutate(frames, into: &input, using: &random)
        mend?(&input)
        var state = WireState(direction: round & 1 == 0 ? .inbound : .outbound)
        if round & 2 == 0 { state.flags = round & 4 == 0 ? .max : UInt32(truncatingIfNeeded: random.next() & 0xff) }
        state.peerVersion = round & 8 == 0 ? 70_016 : 0
        reply.removeAll()
        switch wire.decode(input.span.bytes, state: &state, peers: peers, reply: reply) {
        case .more(let needed):
            guard needed > input.count else { throw StormFailure(description: "round \(round): more(\(needed)) of \(input.count)") }
        case .frame(let length, let meaning):
            guard 1...input.count ~= length else { throw StormFailure(description: "round \(round): length \(length)") }
            if case .application(_, let body) = meaning {
                guard body.lowerBound >= 0, body.upperBound <= length else { throw StormFailure(description: "round \(round): \(body)") }
            }
        case .broken(let error):
            guard error.offset >= 0, error.offset <= input.count else { throw StormFailure(description: "round \(round): \(error)") }
        }
        guard reply.count <= 1_024 else { throw StormFailure(description: "round \(round): a reply of \(reply.count)") }
    }
    // A sanitizer keeps books of its own.
    if isSanitized { return }
    // A sanitizer keeps what is freed, and shadows of it.
    if getenv("REACTOR_SANITIZED") != nil { return }
    // A sanitizer keeps what is freed, and shadows of it.
    if getenv("REACTOR_SANITIZED") != nil { return }
    let grown = residentAnonymousBytes() - before
    guard grown <= 65_536 else { throw StormFailure(description: "memory grew by \(grown) bytes") }
}

/// Feeds mutations of a whole conversation to two links, to one at once and to the other in pieces: both must see the same,
/// up to and with the error that ends it.
func splitStorm(_ wire: any Wire, conversation: [[UInt8]], count: Int, mend: ((inout [UInt8]) -> Void)? = nil) throws {
    var random = SplitMix(state: 0x0dd)
    for round in 0..<count {
        var bytes: [UInt8] = []
        for frame in conversation {
            var frame = frame
            if random.next() & 7 == 0 {
                mutate([frame], into: &frame, using: &random)
                mend?(&frame)
            }
            bytes += frame
        }
        let direction: Direction = round & 1 == 0 ? .inbound : .outbound
        var whole = WireProbe(wire, direction)
        whole.receive(bytes)
        var pieces = WireProbe(wire, direction)
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + Int(random.next() % 60) + 1)
            pieces.receive(Array(bytes[start..<end]))
            start = end
        }
        guard pieces.seen == whole.seen, pieces.state == whole.state, pieces.reply.array == whole.reply.array else {
            throw StormFailure(description: "round \(round): \(whole.seen) at once, \(pieces.seen) in pieces")
        }
    }
}

private func mutate(_ frames: [[UInt8]], into input: inout [UInt8], using random: inout SplitMix) {
    input.removeAll(keepingCapacity: true)
    let first = random.next()
    input.append(contentsOf: frames[Int(first % UInt64(frames.count))])
    if first >> 60 == 0 { input.append(contentsOf: frames[Int(first >> 32) % frames.count]) }
    for _ in 0...(first >> 40 & 3) {
        let choice = random.next()
        guard !input.isEmpty else { return }
        let position = Int(choice >> 8 & 0xffff) % input.count
        switch choice & 7 {
        case 0: input[position] ^= 1 << UInt8(choice >> 56 & 7)
        case 1: input[position] = UInt8(truncatingIfNeeded: choice >> 32)
        case 2: input[position] = [0, 1, 0x7f, 0x80, 0xfd, 0xfe, 0xff, 0x2e][Int(choice >> 56 & 7)]
        case 3: input.removeSubrange(position...)
        case 4: for _ in 0..<(choice >> 56 & 15) { input.append(UInt8(truncatingIfNeeded: random.next())) }
        case 5: input.remove(at: position)
        case 6: input.insert(UInt8(truncatingIfNeeded: choice >> 40), at: position)
        default: for index in position..<min(position + 8, input.count) { input[index] = 0xff }
        }
    }
}

/// Whether this process runs under AddressSanitizer or ThreadSanitizer.
private var isSanitized: Bool {
    let names = ["__asan_init", "__tsan_init"]
    return names.contains { dlsym(nil, $0) != nil }
}

/// Anonymous memory of this process, from the kernel: `RssAnon` of /proc/self/status.
private func residentAnonymousBytes() -> Int {
    guard let file = unsafe fopen("/proc/self/status", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard text.hasPrefix("RssAnon:") else { continue }
        return (Int(text.filter(\.isNumber)) ?? 0) * 1_024
    }
    return 0
}
