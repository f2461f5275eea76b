// `churn CYCLES [PORT]`: serves that many connections, then ends. Prints its port first, its counters last.

import Glibc
import PeerMesh
import Reactor

let arguments = CommandLine.arguments
guard arguments.count >= 2, let cycles = Int(arguments[1]), cycles > 0,
    let port = arguments.count > 2 ? UInt16(arguments[2]) : 0
else {
    print("usage: churn CYCLES [PORT]")
    throw Usage()
}

struct Usage: Error {}

let loop = try EventLoop()
let server = ChurnServer(loop: loop, cycles: cycles, capacity: 1_024)
let here = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port)
let listener = try Listener(loop: loop, on: here, owner: server)
print("port \(listener.endpoint.port)")
fflush(nil)
loop.run()
let counters = loop.counters
print(
    "cycles \(server.finished) failed \(server.failed) iterations \(counters.iterations) events \(counters.events)",
    "accepts \(listener.counters.calls) controls \(counters.controls) timers \(counters.timers) stale \(counters.staleEvents)"
)
