// A node that speaks lines of text (LineWire.swift), and answers each of them.
//
//     own-dialect 127.0.0.1:7001
//     own-dialect 127.0.0.1:7002 127.0.0.1:7001
//     printf 'HELLO - 1 0\nSAY 1000 who is there?\n' | nc 127.0.0.1 7001

import Glibc
import PeerMesh
import Reactor

final class Answering: PeerHandler {
    static let question = MessageType(1_000)
    static let answer = MessageType(1_001)
    weak var node: PeerNode?

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        print("up \(info.direction == .outbound ? "->" : "<-") \(info.peer ?? info.remote)")
        if info.direction == .outbound { node?.send(Array("who is there?".utf8), type: Self.question, to: link) }
    }

    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        print("down \(info.peer ?? info.remote) \(reason)")
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        print("\(type): \(body.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })")
        if type == Self.question { node?.send(Array("a node that speaks in lines".utf8), type: Self.answer, to: link) }
    }
}

let endpoints = CommandLine.arguments.dropFirst().compactMap { Endpoint($0) }
guard let here = endpoints.first, endpoints.count == CommandLine.arguments.count - 1 else {
    print("usage: own-dialect ADDRESS:PORT [PEER…]")
    exit(64)
}
let loop = try EventLoop()
let handler = Answering()
let node = try PeerNode(loop: loop, wire: LineWire(), settings: NodeSettings(), handler: handler)
handler.node = node
let endpoint = try node.listen(on: here)
node.handle(.ownEndpoint(endpoint))
for peer in endpoints.dropFirst() { node.handle(.connect(peer)) }
print("listening on \(endpoint)")
node.start()
loop.run()
