// The server side of connection churn.
//
//   churn free CYCLES PORT    serves on 127.0.0.1:PORT until so many connections are over
//   churn step CYCLES         takes turns with `churn-load step`, which starts it: reads from standard input how many
//                             messages and ends to handle, does so, says so on standard output; its first word is its port

import Glibc
import PeerMesh
import Reactor

/// Text for people goes to standard error: standard output belongs to the other side.
func complain(_ text: String) {
    var text = text
    text.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
}

func usage() -> Never {
    complain("usage: churn free CYCLES PORT | churn step CYCLES\n")
    exit(64)
}

/// One word over the pipe to the other side.
func say(_ word: UInt32) {
    var word = word
    guard write(1, &word, 4) == 4 else { exit(1) }
}

func hear() -> UInt32 {
    var word: UInt32 = 0
    guard read(0, &word, 4) == 4 else { exit(1) }
    return word
}

let arguments = CommandLine.arguments
guard arguments.count >= 3, let cycles = Int(arguments[2]), cycles > 0 else { usage() }
let isFree = arguments[1] == "free" && arguments.count == 4
guard isFree || arguments[1] == "step", let port = isFree ? UInt16(arguments[3]) : 0 else { usage() }

let loop = try EventLoop()
let server = ChurnServer(loop: loop, cycles: cycles)
var settings = Listener.Settings()
settings.asksForAddress = false
let listener = try Listener(loop: loop, on: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port), owner: server, settings: settings)
if isFree {
    loop.run()
} else {
    say(UInt32(listener.endpoint.port))
    while server.finished < cycles {
        let goal = server.handled + Int(hear())
        while server.handled < goal { loop.runOnce(.wait) }
        say(0)
    }
}

let counters = loop.counters
complain(
    "cycles \(server.finished) failed \(server.failed) iterations \(counters.iterations) events \(counters.events)"
        + " accepts \(listener.counters.calls) controls \(counters.controls) timers \(counters.timers)"
        + " stale \(counters.staleEvents)\n"
)
exit(server.failed == 0 && counters.timers == 0 ? 0 : 1)
