// A node that speaks a real dialect: `serve-dialect time|bitcoin PORT CAPACITY`. The same library as the daemon's, with its
// default policies but for the table's size and the caps on strangers, as all clients come from one machine.

import BitcoinWire
import Glibc
import PeerMesh
import Reactor

let arguments = CommandLine.arguments
guard arguments.count == 4, let port = UInt16(arguments[2]), let capacity = UInt32(arguments[3]) else {
    print("usage: serve-dialect time|bitcoin PORT CAPACITY")
    exit(64)
}
var limit = rlimit()
getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
limit.rlim_cur = limit.rlim_max
setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

var policies = MeshSettings(nonce: 0x5eed, seed: 0x5eed)
policies.maxPeers = capacity
policies.reservedSlots = 0
policies.pendingLimit = 256
policies.pendingPerAddress = 256
policies.outboundSlots = 0
policies.regularPerAddress = policies.maxPeers
policies.regularPerSubnet = policies.maxPeers
policies.pendingPerSubnet = 256
var settings = NodeSettings(mesh: policies)
// Nobody reads the records here.
settings.recordCapacity = 0
let loop = try EventLoop()
let wire: any Wire = arguments[1] == "time" ? TimeWire(network: .reactor) : BitcoinWire(network: .litecoinRegtest)
let node = try PeerNode(loop: loop, wire: wire, settings: settings, handler: PeerHandler())
try node.listen(on: Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port))
node.start()
print("ready \(getpid())")
fflush(nil)
loop.run()
