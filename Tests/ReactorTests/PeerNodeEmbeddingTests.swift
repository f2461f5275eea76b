// The example of docs/Embedding.md, as it stands there, and what it does.

import CEpoll
import PeerMesh
import Reactor
import Testing

/// Your application: what it hears of its links. All on the loop's thread.
private final class Echo: PeerHandler {
    weak var node: PeerNode?
    var answers = 0

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        node?.send(Array("hello".utf8), type: MessageType(1_000), to: link)
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        if type == MessageType(1_001) { answers += 1 }
        // `body` is borrowed: copy what you keep.
        guard type == MessageType(1_000) else { return }
        node?.send(body, type: MessageType(1_001), to: link)
    }
}

private func serve(
    on here: Endpoint, peers: [Endpoint], loop: EventLoop
) throws -> (PeerNode, Echo) {
    let echo = Echo()
    let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(), handler: echo)
    echo.node = node
    let endpoint = try node.listen(on: here)
    node.handle(.ownEndpoint(endpoint))  // where others can dial us; leave it out behind NAT
    for peer in peers { node.handle(.connect(peer)) }  // wanted for ever; `.registered` for masternodes
    node.start()
    return (node, echo)
}

@Suite("Embedding", .ownThread)
struct EmbeddingTests {
    @Test("the guide's example links, sends and answers, with public symbols only, nested in a loop of one's own")
    func example() throws {
        let loop = try EventLoop()
        let here = Endpoint(IPAddress(v4: 127, 0, 6, 1), port: 0)
        let (first, firstEcho) = try serve(on: here, peers: [], loop: loop)
        let there = Endpoint(IPAddress(v4: 127, 0, 6, 2), port: 0)
        let (second, secondEcho) = try serve(on: there, peers: first.endpoints, loop: loop)
        let deadline = cepoll_monotonic() + 120_000_000_000
        /// Somebody else's loop: polls ours, and runs it when it is due.
        func turn(until condition: () -> Bool) -> Bool {
            while !condition() && cepoll_monotonic() < deadline {
                let now = cepoll_monotonic()
                let due = loop.nextDeadline?.nanoseconds ?? now + 100_000_000
                let wait = due > now ? (due - now) / 1_000_000 : 0
                _ = cepoll_poll_readable(loop.backendFD, Int32(clamping: min(wait, 100)))
                loop.runOnce(.noWait)
            }
            return condition()
        }
        #expect(turn { firstEcho.answers == 1 && secondEcho.answers == 1 })
        first.shutdown()
        second.shutdown()
        #expect(turn { first.isStopped && second.isStopped })
        #expect(loop.descriptorCount == 0)
    }
}
