// `flood SECONDS FLOODERS [echo]`: what a flood does to others. One node, on a loop and a thread of its own, has so many
// peers that send frames of 4 KB as fast as they can (with `echo` it sends each back, too), and one that sends a frame of 8
// bytes every 2 ms and times its echo. Prints what the peer saw and what the node's loop counted of itself.

import Glibc
import PeerMesh
import Reactor
import Timers

struct Usage: Error {}

let arguments = CommandLine.arguments
guard (3...4).contains(arguments.count), let seconds = UInt64(arguments[1]), let flooders = Int(arguments[2]), flooders >= 0,
    seconds > 0, arguments.count == 3 || arguments[3] == "echo"
else {
    print("usage: flood SECONDS FLOODERS [echo]")
    throw Usage()
}

let victim = try Victim(isEchoing: arguments.count == 4)
startFlood(of: flooders, to: victim.endpoint)
let pinger = try Pinger(to: victim.endpoint)
let pings = pinger.start()
victim.run(seconds: seconds)
pinger.loop.mailbox.stop()
pthread_join(pings, nil)
victim.report()
pinger.report()
exit(0)
