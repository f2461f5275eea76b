// Links that are dialled, greeted, closed by us, and dialled again, with targets among them that refuse or never answer.

import Glibc
import PeerMesh
import Reactor
import Timers

final class Cycles: PeerHandler {
    static let targets = 64
    private let cycles: Int
    private let bad: [Endpoint]
    private let good: [Endpoint]
    private let loop: EventLoop
    private var node: PeerNode?
    private var done = 0
    private var over: [Endpoint] = []
    private var up: [Endpoint] = []

    init(port: UInt16, cycles: Int, refused: Int, holes: [UInt16]) throws {
        self.cycles = cycles
        good = (1...Self.targets).map { Endpoint(IPAddress(v4: 127, 0, 1, UInt8($0)), port: port) }
        bad = (0..<refused).map { Endpoint(IPAddress(v4: 127, 0, 2, UInt8(1 + $0 % 250)), port: 9) }
            + holes.map { Endpoint(IPAddress(v4: 127, 0, 0, 1), port: $0) }
        loop = try EventLoop()
        super.init()
        over.reserveCapacity(Self.targets * 2)
        up.reserveCapacity(Self.targets * 2)
        var policies = MeshSettings(nonce: 7, seed: 7)
        policies.maxPeers = 256
        policies.reservedSlots = 0
        policies.dialRate = 1_000_000
        policies.dialBurst = 256
        policies.dialLimit = 256
        policies.dialTimeout = .milliseconds(500)
        node = try makeNode(loop, policies, self)
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        if let peer = info.peer { up.append(peer) }
    }

    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        if let peer = info.peer { over.append(peer) }
    }

    func run() throws {
        guard let node else { return }
        say("ready \(getpid())")
        // The harness looks at the clock and says go.
        _ = readLine()
        let (begin, beginCPU) = (wall(), cpu())
        node.start()
        for endpoint in good + bad { node.handle(.connect(endpoint)) }
        var nextNudge = begin
        while done < cycles {
            loop.runOnce(.wait)
            while let peer = up.popLast() { node.handle(.disconnect(peer)) }
            while let peer = over.popLast() {
                done += 1
                node.handle(.connect(peer))
            }
            // A bad target is dialled again and again, ten times a second.
            if !bad.isEmpty, wall() > nextNudge {
                nextNudge += 0.1
                for endpoint in bad { node.handle(.redial(endpoint)) }
            }
        }
        let counters = node.counters
        say(
            "{\"cycles\": \(done), \"seconds\": \(wall() - begin), \"cpu\": \(cpu() - beginCPU), \"dials\": \(counters.dials),"
                + " \"failed\": \(counters.dialsFailed)}"
        )
    }
}
