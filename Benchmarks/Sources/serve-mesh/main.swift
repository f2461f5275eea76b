// A whole node as one of the compared servers: `serve-mesh PORT [IDLE_MILLISECONDS] [CAPACITY]`.
// Each client is a peer with a row of the tables, a verdict, a keepalive; the compared protocol is its dialect.

import BenchmarkWire
import Glibc
import PeerMesh
import Reactor
import Timers

/// Answers data with data; a client that does not read is not read from.
final class Echo: PeerHandler {
    var node: PeerNode?

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        node?.send(body, type: type, to: link, policy: .insists)
    }

    override func highWater(_ link: LinkID) { node?.pauseReading(of: link) }
    override func lowWater(_ link: LinkID) { node?.resumeReading(of: link) }
}

let arguments = CommandLine.arguments
guard (2...4).contains(arguments.count), let port = UInt16(arguments[1]),
    let idle = arguments.count > 2 ? UInt64(arguments[2]) : 120_000,
    let capacity = arguments.count > 3 ? UInt32(arguments[3]) : 1_024
else {
    print("usage: serve-mesh PORT [IDLE_MILLISECONDS] [CAPACITY]")
    exit(64)
}
var limit = rlimit()
getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
limit.rlim_cur = limit.rlim_max
setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

var policies = MeshSettings(nonce: 0x5eed, seed: 0x5eed)
policies.maxPeers = capacity
policies.reservedSlots = 0
policies.pendingLimit = 128
policies.pendingPerAddress = 128
policies.outboundSlots = 0
policies.regularPerAddress = policies.maxPeers
policies.regularPerSubnet = policies.maxPeers
policies.pendingPerSubnet = 128
if idle != 120_000 {
    policies.pingInterval = .milliseconds(idle / 2)
    policies.pongTimeout = .milliseconds(idle / 4 * 3)
    policies.regularMisses = 1
}
let loop = try EventLoop()
let echo = Echo()
var settings = NodeSettings(mesh: policies)
// Nobody reads the records here.
settings.recordCapacity = 0
let node = try PeerNode(loop: loop, wire: FrameWire(), settings: settings, handler: echo)
echo.node = node
try node.listen(on: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port))
node.start()
print("ready \(getpid())")
fflush(nil)
loop.run()
