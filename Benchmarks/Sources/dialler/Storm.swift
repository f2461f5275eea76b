// Many links that are wanted for ever: how long until all stand, what that costs, and how fast it dials.

import Glibc
import PeerMesh
import Reactor
import Timers

final class Storm: PeerHandler {
    private let loop: EventLoop
    private let endpoints: [Endpoint]
    private var node: PeerNode?
    private var standing = 0

    init(port: UInt16, links: Int, rate: Int) throws {
        var configuration = EventLoop.Configuration()
        configuration.eventsPerIteration = 1_024
        loop = try EventLoop(configuration)
        endpoints = (0..<links).map {
            Endpoint(IPAddress(v4: 127, 1, UInt8($0 / 250), UInt8(1 + $0 % 250)), port: port)
        }
        super.init()
        var policies = MeshSettings(nonce: 9, seed: 9)
        policies.maxPeers = UInt32(links)
        policies.bookCapacity = UInt32(links + 64)
        policies.reservedSlots = 0
        if rate == 0 {
            policies.dialRate = 1_000_000
            policies.dialBurst = UInt32(links)
            policies.dialLimit = 512
        } else {
            policies.dialRate = UInt32(rate)
        }
        // The wait after the cut is not what is measured.
        policies.backoffInitial = .milliseconds(100)
        node = try makeNode(loop, policies, self)
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) { standing += 1 }
    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) { standing -= 1 }

    func run() throws {
        guard let node else { return }
        say("ready \(getpid())")
        var (begin, beginCPU, beginDials) = (wall(), cpu(), UInt64(0))
        node.start()
        for endpoint in endpoints { node.handle(.connect(endpoint)) }
        var window = (start: begin, dials: UInt64(0))
        var peak: UInt64 = 0
        var isWhole = false
        while true {
            loop.runOnce(.wait)
            let time = wall()
            let dials = node.counters.dials
            if time - window.start >= 1 || standing == endpoints.count {
                let share = max(time - window.start, 1)
                peak = max(peak, UInt64(Double(dials - window.dials) / share))
                window = (time, dials)
            }
            if isWhole, standing < endpoints.count {
                isWhole = false
                (begin, beginCPU, beginDials, peak, window) = (time, cpu(), dials, 0, (time, dials))
            } else if !isWhole, standing == endpoints.count {
                isWhole = true
                say(
                    "{\"seconds\": \(time - begin), \"cpu\": \(cpu() - beginCPU), \"dials\": \(dials - beginDials),"
                        + " \"peak\": \(peak)}"
                )
            }
        }
    }
}
