// Our loop without a node, as one of the compared servers: `serve-loop PORT [IDLE_MILLISECONDS]`.

import Glibc
import PeerMesh
import Reactor
import Timers

let arguments = CommandLine.arguments
guard (2...3).contains(arguments.count), let port = UInt16(arguments[1]),
    let idle = arguments.count == 3 ? UInt64(arguments[2]) : 120_000
else {
    print("usage: serve-loop PORT [IDLE_MILLISECONDS]")
    exit(64)
}
var limit = rlimit()
getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
limit.rlim_cur = limit.rlim_max
setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

let loop = try EventLoop()
let server = FrameServer(loop: loop, idle: .milliseconds(idle))
// As the servers beside it, it does not ask who connects.
var settings = Listener.Settings()
settings.asksForAddress = false
let listener = try Listener(loop: loop, on: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port), owner: server, settings: settings)
print("ready \(getpid())")
fflush(nil)
loop.run()
