// Clocks, and the node that both kinds of work begin with.

import BenchmarkWire
import Glibc
import PeerMesh
import Reactor
import Timers

func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func wall() -> Double { seconds(CLOCK_MONOTONIC) }
func cpu() -> Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

func say(_ line: String) {
    print(line)
    fflush(nil)
}

func makeNode(_ loop: EventLoop, _ policies: MeshSettings, _ handler: PeerHandler) throws -> PeerNode {
    var settings = NodeSettings(mesh: policies)
    // Nobody reads the records here.
    settings.recordCapacity = 0
    return try PeerNode(loop: loop, wire: FrameWire(), settings: settings, handler: handler)
}
