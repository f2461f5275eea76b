// A small world of meshes in virtual time: every node is a shipped `Mesh`, the network is a queue of deliveries. Seeded,
// so that the same seed gives the same trace; checks every invariant after every step.

import Testing
import Timers

@testable import PeerMesh

/// What crosses the world's network.
enum Packet {
    case syn
    case synAck
    case refused
    case hello(Hello)
    case ping(UInt64)
    case pong(UInt64)
    case ask
    case peers([Endpoint])
    case fin
    case reset
}

/// One end of a world's TCP connection.
struct Side: Hashable {
    var node: Int
    var link: LinkID?
    var ticket: UInt32 = 0
    var isOpen = true
}

final class Connection {
    var ends: [Side]  // 0 dialled, 1 accepted
    var isSilent = false
    let to: Endpoint
    let from: Endpoint

    init(dialler: Side, to: Endpoint, from: Endpoint) {
        ends = [dialler, Side(node: -1)]
        self.to = to
        self.from = from
    }
}

final class WorldNode {
    var mesh: Mesh
    let endpoint: Endpoint
    let settings: MeshSettings
    var connections: [LinkID: Int] = [:]
    var isUp = true
    var isFrozen = false
    /// Where its packets come from; its listen address unless it is multi-homed.
    var source: IPAddress
    var states = true
    var log: [Transition] = []
    var ups = 0
    var downs: [CloseReason] = []

    init(mesh: consuming Mesh, endpoint: Endpoint, settings: MeshSettings) {
        self.mesh = mesh
        self.endpoint = endpoint
        self.settings = settings
        source = endpoint.address
    }
}

final class World {
    var now = Instant(nanoseconds: 1_000_000_000)
    var nodes: [WorldNode] = []
    var connections: [Connection] = []
    var queue: [(at: Instant, order: Int, connection: Int, toEnd: Int, packet: Packet)] = []
    var order = 0
    var random: Random
    var latency = Nanoseconds.milliseconds(20)
    /// Pairs (from, to) whose packets are swallowed.
    var walls: Set<[Int]> = []
    var violations: [String] = []
    var maximumLinksPerPair = 0
    /// What was delivered, came due or was told, at all nodes together.
    private(set) var eventCount = 0

    init(seed: UInt64) {
        random = Random(state: seed)
    }

    static func endpoint(_ index: Int) -> Endpoint {
        Endpoint(IPAddress(v4: 10, 0, UInt8(index / 250), UInt8(index % 250 + 1)), port: 9_000)
    }

    @discardableResult
    func add(
        role: Role = .masternode, knowsItself: Bool = true, at endpoint: Endpoint? = nil,
        configure: (inout MeshSettings) -> Void = { _ in }
    ) -> Int {
        let index = nodes.count
        var settings = MeshSettings(nonce: random.next(), seed: random.next())
        settings.role = role
        settings.bookCapacity = 256
        configure(&settings)
        let own = endpoint ?? World.endpoint(index)
        var mesh = Mesh(settings, now: now)
        if knowsItself { mesh.handle(.ownEndpoint(own), at: now) }
        let node = WorldNode(mesh: mesh, endpoint: own, settings: settings)
        node.states = knowsItself
        nodes.append(node)
        return index
    }

    func tell(_ node: Int, _ event: Event) {
        nodes[node].mesh.handle(event, at: now)
        perform(node)
    }

    /// Kill: descriptors close (FIN), the process is gone. A silent kill sends nothing (power loss).
    func kill(_ index: Int, silently: Bool = false) {
        let node = nodes[index]
        node.isUp = false
        for connection in node.connections.values.sorted() {
            let end = connections[connection].ends[0].node == index && connections[connection].ends[0].isOpen ? 0 : 1
            connections[connection].ends[end].isOpen = false
            if !silently { send(.fin, on: connection, from: end) }
        }
        node.connections = [:]
    }

    /// A new process at the same place: new nonce, empty table.
    func restart(_ index: Int, registry: [Endpoint], peers: [Endpoint] = []) {
        let old = nodes[index]
        var settings = old.settings
        settings.nonce = random.next()
        settings.seed = random.next()
        var mesh = Mesh(settings, now: now)
        if old.states { mesh.handle(.ownEndpoint(old.endpoint), at: now) }
        let node = WorldNode(mesh: mesh, endpoint: old.endpoint, settings: settings)
        node.source = old.source
        node.states = old.states
        nodes[index] = node
        for endpoint in registry { tell(index, .registered(endpoint)) }
        for endpoint in peers { tell(index, .connect(endpoint)) }
        tell(index, .start)
    }

    func startAll(registry: [Endpoint]) {
        for index in nodes.indices {
            for endpoint in registry { tell(index, .registered(endpoint)) }
        }
        for index in nodes.indices { tell(index, .start) }
    }

    // Time.

    /// Runs until `until` or until `condition` holds after some step. Returns whether it held.
    @discardableResult
    func run(for span: Nanoseconds, until condition: (() -> Bool)? = nil) -> Bool {
        let end = now + span
        if let condition, condition() { return true }
        while let next = nextStep(), next <= end {
            now = max(now, next)
            step()
            if let condition, condition() { return true }
        }
        now = end
        return condition?() ?? true
    }

    private func nextStep() -> Instant? {
        var next: Instant?
        if let first = queue.first { next = first.at }
        for node in nodes where node.isUp && !node.isFrozen {
            if let deadline = node.mesh.nextDeadline { next = min(next ?? deadline, deadline) }
        }
        return next
    }

    private func step() {
        while let first = queue.first, first.at <= now {
            queue.removeFirst()
            deliver(first.packet, on: first.connection, toEnd: first.toEnd)
        }
        for index in nodes.indices where nodes[index].isUp && !nodes[index].isFrozen {
            if let deadline = nodes[index].mesh.nextDeadline, deadline <= now {
                nodes[index].mesh.advance(to: now)
                perform(index)
            }
        }
    }

    // The network.

    private func send(_ packet: Packet, on connection: Int, from end: Int) {
        let delay = latency + Nanoseconds(random.next(below: latency.count / 4 + 1))
        var at = now + delay
        // A stream keeps its order.
        for item in queue where item.connection == connection && item.toEnd == 1 - end { at = max(at, item.at) }
        order += 1
        let place = queue.firstIndex { $0.at > at } ?? queue.count
        queue.insert((at, order, connection, 1 - end, packet), at: place)
    }

    private func deliver(_ packet: Packet, on index: Int, toEnd end: Int) {
        let connection = connections[index]
        let sender = connection.ends[1 - end].node
        let receiver = end == 1 && connection.ends[1].node < 0 ? listener(at: connection.to) : connection.ends[end].node
        if connection.isSilent || walls.contains([sender, receiver]) { return }
        if case .syn = packet {
            accept(index, at: receiver)
            return
        }
        guard receiver >= 0, connection.ends[end].isOpen, nodes[receiver].isUp else {
            if case .reset = packet { return }
            if receiver < 0 || !nodes[receiver].isUp || !connection.ends[end].isOpen { send(.reset, on: index, from: end) }
            return
        }
        if nodes[receiver].isFrozen { return }
        guard let link = connection.ends[end].link else { return }
        let node = nodes[receiver]
        switch packet {
        case .syn: break
        case .synAck: node.mesh.handle(.connected(link), at: now)
        case .refused: node.mesh.handle(.dialFailed(link, .refused), at: now)
        case .hello(let hello):
            touch(node, link)
            node.mesh.handle(.hello(link, hello), at: now)
        case .ping(let nonce):
            touch(node, link)
            node.mesh.handle(.ping(link, nonce: nonce), at: now)
        case .pong(let nonce):
            touch(node, link)
            node.mesh.handle(.pong(link, nonce: nonce), at: now)
        case .ask:
            touch(node, link)
            node.mesh.handle(.asked(link), at: now)
        case .peers(let list):
            touch(node, link)
            for endpoint in list { node.mesh.handle(.learnt(link, endpoint), at: now) }
        case .fin: node.mesh.handle(.ended(link, .remoteClosed), at: now)
        case .reset: node.mesh.handle(.ended(link, .io(104)), at: now)
        }
        perform(receiver)
    }

    private func touch(_ node: WorldNode, _ link: LinkID) {
        node.mesh.handle(.received(link, frames: 1, partial: 0), at: now)
    }

    private func listener(at endpoint: Endpoint) -> Int {
        nodes.firstIndex { $0.endpoint == endpoint } ?? -1
    }

    private func accept(_ index: Int, at receiver: Int) {
        let connection = connections[index]
        guard receiver >= 0, nodes[receiver].isUp else {
            if receiver >= 0 || walls.isEmpty { send(.refused, on: index, from: 1) }
            return
        }
        if nodes[receiver].isFrozen { return }
        connection.ends[1] = Side(node: receiver, ticket: UInt32(index))
        send(.synAck, on: index, from: 1)
        nodes[receiver].mesh.handle(.accepted(ticket: UInt32(index), from: connection.from), at: now)
        perform(receiver)
    }

    // The driver.

    private func perform(_ index: Int) {
        let node = nodes[index]
        eventCount += 1
        while let action = node.mesh.nextAction() { perform(action, at: index) }
        while let transition = node.mesh.nextTransition() { node.log.append(transition) }
        if let broken = node.mesh.brokenInvariant(at: now) { violations.append("node \(index) at \(now.nanoseconds): \(broken)") }
    }

    private func perform(_ action: Action, at index: Int) {
        let node = nodes[index]
        switch action {
        case .adopt(let ticket, let link):
            connections[Int(ticket)].ends[1].link = link
            node.connections[link] = Int(ticket)
        case .refuse(let ticket, _):
            connections[Int(ticket)].ends[1].isOpen = false
            send(.fin, on: Int(ticket), from: 1)
        case .dial(let link, let endpoint):
            let from = Endpoint(node.source, port: UInt16(40_000 + connections.count % 20_000))
            connections.append(Connection(dialler: Side(node: index, link: link), to: endpoint, from: from))
            node.connections[link] = connections.count - 1
            send(.syn, on: connections.count - 1, from: 0)
        case .greet(let link): send(.hello(hello(of: node, verdict: nil)), link, node, index)
        case .answer(let link, let verdict, _): send(.hello(hello(of: node, verdict: verdict)), link, node, index)
        case .ping(let link, let nonce):
            send(.ping(nonce), link, node, index)
            node.mesh.handle(.sent(link, bytes: 33, controlEmpty: true), at: now)
        case .pong(let link, let nonce): send(.pong(nonce), link, node, index)
        case .ask(let link): send(.ask, link, node, index)
        case .share(let link):
            var list: [Endpoint] = []
            node.mesh.sharePeers(with: link, at: now) { list.append($0); return true }
            send(.peers(list), link, node, index)
        case .up: node.ups += 1
        case .bookFull, .banFull: break
        case .down(_, _, let reason): node.downs.append(reason)
        case .drain(let link, _): send(.fin, link, node, index)
        case .close(let link, _):
            if let connection = node.connections.removeValue(forKey: link) {
                let end = self.end(of: link, index, connection)
                if connections[connection].ends[end].isOpen {
                    connections[connection].ends[end].isOpen = false
                    send(.fin, on: connection, from: end)
                }
            }
        }
    }

    private func end(of link: LinkID, _ node: Int, _ connection: Int) -> Int {
        connections[connection].ends[0].node == node && connections[connection].ends[0].link == link ? 0 : 1
    }

    private func send(_ packet: Packet, _ link: LinkID, _ node: WorldNode, _ index: Int) {
        guard let connection = node.connections[link] else { return }
        send(packet, on: connection, from: end(of: link, index, connection))
    }

    private func hello(of node: WorldNode, verdict: Verdict?) -> Hello {
        Hello(
            isNative: true, endpoint: node.states ? node.endpoint : nil, nonce: node.settings.nonce, capabilities: 0,
            verdict: verdict, version: 2
        )
    }

    // What stands.

    /// Connections that are established at both ends between `a` and `b`.
    func links(_ a: Int, _ b: Int) -> Int {
        connections.count { connection in
            let pair = [connection.ends[0].node, connection.ends[1].node]
            guard pair == [a, b] || pair == [b, a] else { return false }
            return connection.ends.allSatisfy { side in
                guard side.isOpen, side.node >= 0, nodes[side.node].isUp, let link = side.link else { return false }
                return nodes[side.node].mesh.link(link)?.state == .established
            }
        }
    }

    /// Links that `node` believes to be established with the peer at `other`'s endpoint.
    func believes(_ node: Int, in other: Int) -> Bool {
        nodes[node].mesh.peer(at: nodes[other].endpoint, now: now)?.established != nil
    }

    var isWhole: Bool {
        for a in nodes.indices where nodes[a].isUp {
            for b in nodes.indices where b > a && nodes[b].isUp {
                if links(a, b) != 1 || !believes(a, in: b) || !believes(b, in: a) { return false }
            }
        }
        return true
    }
}
