// `node-pair KIND COUNT`: two nodes, linked over loopback, on one loop, do COUNT times what KIND says, and nothing else
// that grows with COUNT. What one step costs is the difference of two runs: instructions, allocations, system calls.
//
// ping         a ping and its pong, at an interval of a millisecond
// frame        a frame of 100 bytes there, and its echo back, each in an iteration of its own
// bulk         frames of 100 bytes one way, as many as the queue takes at once
// broadcast    a frame of 100 bytes in a shared buffer, and its echo
// transition   a link dialled, greeted, established, drained and closed again; the records are taken from the ring

import PeerMesh
import Reactor

struct Usage: Error {}

guard CommandLine.arguments.count == 3, let kind = Kind(rawValue: CommandLine.arguments[1]),
    let count = Int(CommandLine.arguments[2]), count > 0
else {
    print("usage: node-pair \(Kind.allCases.map(\.rawValue).joined(separator: "|")) COUNT")
    throw Usage()
}

let pair = try Pair(kind: kind, count: count)
pair.run()
print(pair.summary)
