// A chat without a server, in tasks: every process is linked with every other one, and says to all what you type.
//
//     chat-mesh 127.0.0.1:7001
//     chat-mesh 127.0.0.1:7002 127.0.0.1:7001
//     chat-mesh 127.0.0.1:7003 127.0.0.1:7001 127.0.0.1:7002
//
// The end of the input ends it.

import Glibc
import PeerMesh
import Reactor

let line = MessageType(1_000)

/// Reads what is typed on a thread of its own, as such reading blocks, and hands it to the node through its port.
func readInput(for port: NodePort) {
    let context = Unmanaged.passRetained(port).toOpaque()
    var thread = pthread_t()
    pthread_create(&thread, nil, { context in
        let port = Unmanaged<NodePort>.fromOpaque(context!).takeRetainedValue()
        while let text = readLine() {
            if port.broadcast(Array(text.utf8), type: line) != .posted { print("not sent: \(text)") }
        }
        _ = port.post(.shutdown)
        return nil
    }, context)
    pthread_detach(thread)
}

func chat(on executor: LoopExecutor, here: Endpoint, peers: [Endpoint]) async throws {
    let node = try PeerNode(on: executor, wire: TimeWire(network: .reactor))
    let endpoint = try node.listen(on: here)
    node.handle(.ownEndpoint(endpoint))
    for peer in peers { node.handle(.connect(peer)) }
    node.start()
    print("listening on \(endpoint)")
    readInput(for: node.port)

    var names: [LinkID: String] = [:]
    for await event in node.events {
        switch event {
        case .linkUp(let link, let info):
            names[link] = "\(info.peer ?? info.remote)"
            print("+ \(names[link]!)")
            try? await node.send(Array("hello from \(endpoint)".utf8), type: line, to: link)
        case .linkDown(let link, _, let reason):
            print("- \(names.removeValue(forKey: link)!) (\(reason))")
        case .received(let link, line, let text):
            print("\(names[link]!): \(String(decoding: text, as: UTF8.self))")
        default: break
        }
    }
    print("ended")
}

let endpoints = CommandLine.arguments.dropFirst().map { ($0, Endpoint($0)) }
for case (let text, nil) in endpoints { print("not an endpoint: \(text)") }
guard let here = endpoints.first?.1, !endpoints.contains(where: { $0.1 == nil }) else {
    print("usage: chat-mesh ADDRESS:PORT [PEER…]")
    exit(64)
}
let loop = try EventLoop()
let executor = loop.executor
let peers = endpoints.dropFirst().compactMap(\.1)
try loop.run { try await chat(on: executor, here: here, peers: peers) }
