// A node as one service among others of a swift-service-lifecycle group: SIGTERM drains it, and the group ends when it is over.
//
//     service 127.0.0.1:7001 [PEER…]

import Glibc
import Logging
import PeerMesh
import Reactor
import ReactorService
import ServiceLifecycle

final class Greeter: PeerHandler {
    override func linkUp(_ link: LinkID, _ info: LinkInfo) { print("up \(info.peer ?? info.remote)") }
    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) { print("down \(info.peer ?? info.remote) \(reason)") }
    override func stopped() { print("the node is over") }
}

let endpoints = CommandLine.arguments.dropFirst().compactMap { Endpoint($0) }
guard let here = endpoints.first, endpoints.count == CommandLine.arguments.count - 1 else {
    print("usage: service ADDRESS:PORT [PEER…]")
    exit(64)
}
let service = NodeService { [peers = endpoints.dropFirst()] loop in
    let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(), handler: Greeter())
    let endpoint = try node.listen(on: here)
    node.handle(.ownEndpoint(endpoint))
    for peer in peers { node.handle(.connect(peer)) }
    node.start()
    print("listening on \(endpoint)")
    return node
}
let group = ServiceGroup(services: [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: Logger(label: "service"))
try await group.run()
print("ended")
