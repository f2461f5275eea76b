// The two nodes and what they are made to do.

import PeerMesh
import Reactor

enum Kind: String, CaseIterable {
    case ping, frame, bulk, broadcast, transition
}

/// One end's application. All of its storage is there before the first step.
final class End: PeerHandler {
    var link: LinkID?
    var received = 0
    var ups = 0
    var onUp: (() -> Void)?
    var onDown: (() -> Void)?
    var onFrame: ((RawSpan, LinkID) -> Void)?
    var onLow: ((LinkID) -> Void)?

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        self.link = link
        ups += 1
        onUp?()
    }

    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        self.link = nil
        onDown?()
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        received += 1
        onFrame?(body, link)
    }

    override func lowWater(_ link: LinkID) {
        onLow?(link)
    }
}

final class Pair {
    let kind: Kind
    let count: Int
    let loop: EventLoop
    let near = End()
    let far = End()
    let nearNode: PeerNode
    let farNode: PeerNode
    let there: Endpoint
    let body = [UInt8](repeating: 7, count: 100)
    let type = MessageType(1_000)
    var sent = 0
    var records = 0

    init(kind: Kind, count: Int) throws {
        self.kind = kind
        self.count = count
        loop = try EventLoop()
        nearNode = try Self.makeNode(loop, near, kind, address: 1, nonce: 0x1111)
        farNode = try Self.makeNode(loop, far, kind, address: 2, nonce: 0x2222)
        there = try farNode.listen(on: Endpoint(IPAddress(v4: 127, 0, 9, 2), port: 0))
        farNode.handle(.ownEndpoint(there))
        nearNode.handle(.ownEndpoint(try nearNode.listen(on: Endpoint(IPAddress(v4: 127, 0, 9, 1), port: 0))))
    }

    private static func makeNode(
        _ loop: EventLoop, _ end: End, _ kind: Kind, address: UInt8, nonce: UInt64
    ) throws -> PeerNode {
        // Fixed numbers, so that two runs differ in COUNT alone; a real node draws its nonce from the system's entropy.
        var settings = NodeSettings(mesh: MeshSettings(nonce: nonce, seed: nonce))
        settings.dialFrom = IPAddress(v4: 127, 0, 9, address)
        settings.mesh.dialRate = 1_000_000
        if kind == .ping { settings.mesh.pingInterval = .milliseconds(1) }
        return try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings, handler: end)
    }

    /// Links the two, does the steps, and ends.
    func run() {
        farNode.start()
        nearNode.start()
        nearNode.handle(.connect(there))
        turn { near.link != nil && far.link != nil }
        prepare()
        turn { isDone }
        nearNode.shutdown()
        farNode.shutdown()
        turn { nearNode.isStopped && farNode.isStopped }
    }

    private func turn(until condition: () -> Bool) {
        while !condition() {
            loop.runOnce(.wait)
            takeRecords(nearNode)
            takeRecords(farNode)
        }
    }

    private func takeRecords(_ node: PeerNode) {
        while node.transitions?.pop() != nil { records += 1 }
    }

    private var isDone: Bool {
        switch kind {
        case .ping: nearNode.counters.pingsOut >= count
        case .frame, .broadcast, .bulk: (kind == .bulk ? far.received : near.received) >= count
        case .transition: near.ups > count && near.link != nil && far.link != nil
        }
    }

    private func prepare() {
        switch kind {
        case .ping: break
        case .frame:
            far.onFrame = { [unowned self] body, link in farNode.send(body, type: type, to: link) }
            near.onFrame = { [unowned self] _, _ in if near.received < count { sendOne() } }
            sendOne()
        case .bulk:
            near.onLow = { [unowned self] _ in sendMany() }
            sendMany()
        case .broadcast:
            far.onFrame = { [unowned self] body, _ in farNode.broadcast(body, type: type) }
            near.onFrame = { [unowned self] _, _ in if near.received < count { broadcastOne() } }
            broadcastOne()
        case .transition:
            near.onDown = { [unowned self] in nearNode.handle(.connect(there)) }
            near.onUp = { [unowned self] in if near.ups <= count { nearNode.handle(.disconnect(there)) } }
            nearNode.handle(.disconnect(there))
        }
    }

    private func broadcastOne() {
        let body = body
        nearNode.broadcast(body.span.bytes, type: type)
    }

    private func sendOne() {
        let body = body
        if let link = near.link { nearNode.send(body.span.bytes, type: type, to: link) }
    }

    private func sendMany() {
        let body = body
        guard let link = near.link else { return }
        while sent < count, nearNode.send(body.span.bytes, type: type, to: link) == .queued { sent += 1 }
    }

    var summary: String {
        let counters = nearNode.counters
        return "\(kind.rawValue) \(count) links \(near.ups) received \(near.received + far.received)"
            + " pings \(counters.pingsOut) pongs \(counters.pongsOut) records \(records)"
            + " iterations \(loop.counters.iterations) controls \(loop.counters.controls)"
    }
}
