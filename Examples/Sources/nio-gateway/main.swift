// A node inside a SwiftNIO server: what its clients write as lines of text goes to the mesh, and what the mesh says goes to them. Each has
// a thread of its own; they meet in `NodePort` on one side and `EventLoop.execute` on the other.
//
//     nio-gateway PORT 127.0.0.1:7001 [PEER…]

import Glibc
import NIOCore
import NIOPosix
import PeerMesh
import Reactor

let said = MessageType(1_000)

/// Everybody who is connected by SwiftNIO. On its one event loop only.
final class Clients: @unchecked Sendable {
    let eventLoop: any NIOCore.EventLoop
    private var channels: [ObjectIdentifier: any Channel] = [:]

    init(_ eventLoop: any NIOCore.EventLoop) { self.eventLoop = eventLoop }

    func add(_ channel: any Channel) { channels[ObjectIdentifier(channel)] = channel }
    func remove(_ channel: any Channel) { channels[ObjectIdentifier(channel)] = nil }

    /// Any thread.
    func tell(_ text: String) {
        eventLoop.execute { [self] in
            for channel in channels.values { channel.writeAndFlush(ByteBuffer(string: text + "\n"), promise: nil) }
        }
    }
}

/// One client: cuts its lines and posts them to the node.
final class LineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let clients: Clients
    private let port: NodePort
    private var rest = ByteBuffer()

    init(clients: Clients, port: NodePort) {
        self.clients = clients
        self.port = port
    }

    func channelActive(context: ChannelHandlerContext) { clients.add(context.channel) }
    func channelInactive(context: ChannelHandlerContext) { clients.remove(context.channel) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        rest.writeImmutableBuffer(unwrapInboundIn(data))
        while let end = rest.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
            let line = Array(rest.readBytes(length: end - rest.readerIndex + 1)!.dropLast())
            if port.broadcast(line, type: said) != .posted { clients.tell("the mesh is behind: not sent") }
        }
        rest.discardReadBytes()
    }
}

/// What the node tells, on the reactor's thread, handed over to SwiftNIO's.
final class Gateway: PeerHandler {
    private let clients: Clients
    init(clients: Clients) { self.clients = clients }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) { clients.tell("+ \(info.peer ?? info.remote)") }
    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) { clients.tell("- \(info.peer ?? info.remote)") }
    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        clients.tell(body.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
    }
}

let arguments = CommandLine.arguments
let endpoints = arguments.dropFirst(2).compactMap { Endpoint($0) }
guard arguments.count > 2, let port = Int(arguments[1]), let here = endpoints.first, endpoints.count == arguments.count - 2 else {
    print("usage: nio-gateway PORT ADDRESS:PORT [PEER…]")
    exit(64)
}
let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let clients = Clients(group.next())

// The reactor keeps the main thread.
let loop = try Reactor.EventLoop()
let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(), handler: Gateway(clients: clients))
node.handle(.ownEndpoint(try node.listen(on: here)))
for peer in endpoints.dropFirst() { node.handle(.connect(peer)) }
node.start()

let nodePort = node.port
let server = try ServerBootstrap(group: group)
    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(LineHandler(clients: clients, port: nodePort))
        }
    }
    .bind(host: "127.0.0.1", port: port).wait()
print("clients on \(server.localAddress!), peers on \(here)")
loop.run()
