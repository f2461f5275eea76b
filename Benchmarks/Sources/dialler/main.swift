// A node that dials, for the outbound side of things.
//
//   dialler cycle PORT CYCLES REFUSED HOLES    links to 64 addresses of 127.0.1.0/24 at PORT, each dialled, greeted, closed
//                                              and dialled again, until there were so many; meanwhile REFUSED targets refuse
//                                              and as many dials go to the HOLES, ports (comma-separated) that never answer
//   dialler storm PORT LINKS RATE              wants so many links to addresses of 127.1.0.0/16 at PORT, dials RATE a second at
//                                              most (0: unbounded); says each time that all of them stand
//
// Says `ready PID` first, then a line of JSON for each result.

import BenchmarkWire
import Glibc
import PeerMesh
import Reactor
import Timers

func number(_ index: Int) -> Int {
    guard CommandLine.arguments.count > index, let value = Int(CommandLine.arguments[index]) else {
        print("usage: dialler cycle PORT CYCLES REFUSED HOLES | dialler storm PORT LINKS RATE")
        exit(64)
    }
    return value
}

var limit = rlimit()
getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
limit.rlim_cur = limit.rlim_max
setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

let port = UInt16(number(2))
switch CommandLine.arguments[1] {
case "cycle":
    let holes = CommandLine.arguments.count > 5 ? CommandLine.arguments[5].split(separator: ",").compactMap { UInt16($0) } : []
    try Cycles(port: port, cycles: number(3), refused: number(4), holes: holes).run()
case "storm":
    try Storm(port: port, links: number(3), rate: number(4)).run()
default:
    _ = number(.max)
}
