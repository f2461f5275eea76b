// A node against peers that break the rules, freeze, crawl or vanish: each ends in its own reason, the record names it,
// and no other link notices.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// A peer that is no node: a socket that says what the test wants.
final class RawPeer {
    var socket: Socket?
    let descriptor: CInt
    var heard: [UInt8] = []
    var isEnded = false

    convenience init(to endpoint: Endpoint, from address: UInt8, receiveBuffer: Int32? = nil) throws {
        try self.init(to: endpoint, source: IPAddress(v4: 127, 0, 8, address), receiveBuffer: receiveBuffer)
    }

    init(to endpoint: Endpoint, source: IPAddress, receiveBuffer: Int32? = nil) throws {
        var options = SocketOptions()
        options.receiveBuffer = receiveBuffer
        switch Socket.dial(endpoint, from: source, options: options) {
        case .connected(let socket):
            descriptor = socket.descriptor
            self.socket = consume socket
        case .pending(let socket):
            descriptor = socket.descriptor
            self.socket = consume socket
        case .failed(let error):
            throw SystemError(.connect, error)
        }
    }

    /// Says what the kernel takes of it; returns how much.
    @discardableResult
    func say(_ bytes: [UInt8]) -> Int {
        max(0, bytes.withUnsafeBytes { cepoll_send(descriptor, $0.baseAddress, $0.count) })
    }

    func listen() {
        guard socket != nil, !isEnded else { return }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = chunk.withUnsafeMutableBytes { cepoll_recv(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { heard += chunk.prefix(count) } else {
                isEnded = count == 0 || count == -Int(CEPOLL_ECONNRESET)
                return
            }
        }
    }

    func close() { socket = nil }
}

extension RawPeer {
    /// Frames of the native dialect, written by hand.
    static func frame(_ body: [UInt8]) -> [UInt8] {
        let length = UInt32(body.count).bigEndian
        return withUnsafeBytes(of: length) { Array($0) } + body
    }

    /// The seed's own hello, of its mainnet; `magic` can be another's.
    static func hello(_ magic: [UInt8] = [0xc0, 0x1d, 0x7e, 0x4d], _ name: String = "mainnet") -> [UInt8] {
        var body: [UInt8] = [10, 0, 0, 0] + magic + [2, 0, 0, 0]
        body += withUnsafeBytes(of: UInt64(name.utf8.count).littleEndian) { Array($0) } + Array(name.utf8)
        return frame(body + [0x28, 0x09, 0, 0])
    }
}

private func takeRecords(_ node: TestNode) -> [NodeRecord] {
    var records: [NodeRecord] = []
    while let record = node.node.transitions?.pop() { records.append(record) }
    return records
}

private func wireErrors(_ records: [NodeRecord]) -> [WireIncident] {
    records.compactMap { if case .wireError(let incident) = $0 { incident } else { nil } }
}

/// Why links were closed, from the diary.
private func closings(_ records: [NodeRecord]) -> [CloseReason] {
    records.compactMap {
        guard case .transition(let transition) = $0, case .link(_, _, .closed, _) = transition.subject else { return nil }
        return transition.reason
    }
}

/// A seed-network node with one good neighbour, which must notice nothing.
func makeSeedWorld(_ address: UInt8, _ adjust: (inout NodeSettings) -> Void = { _ in }) throws
    -> (TestWorld, TestNode, TestNode)
{
    let world = try TestWorld()
    let wire = TimeWire(network: .mainnet)
    let node = try TestNode(world: world, address: address, wire: wire, adjust)
    let neighbour = try TestNode(world: world, address: address + 1, wire: TimeWire(network: .mainnet), adjust)
    node.node.handle(.registered(neighbour.endpoint))
    neighbour.node.handle(.registered(node.endpoint))
    node.node.start()
    neighbour.node.start()
    let isLinked = world.run { node.application.live.count == 1 && neighbour.application.live.count == 1 }
    try #require(isLinked)
    _ = takeRecords(node)
    return (world, node, neighbour)
}

@Suite("PeerNode and bad input", .serialized, .ownThread)
struct PeerNodeBadInputTests {
    struct Case: CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        var reason: CloseReason
    }

    static let cases = [
        Case(testDescription: "a wrong magic", bytes: RawPeer.hello([1, 2, 3, 4]), reason: .wrongNetwork),
        Case(testDescription: "another network's name", bytes: RawPeer.hello([0xc0, 0x1d, 0x7e, 0x4d], "testnet"), reason: .wrongNetwork),
        Case(testDescription: "text of another protocol", bytes: Array("GET / HTTP/1.1\r\n\r\n".utf8), reason: .desync),
        Case(testDescription: "a frame over the limit", bytes: [0x00, 0x80, 0x00, 0x01, 10, 0, 0, 0], reason: .frameTooLarge),
        Case(testDescription: "a message before the hello", bytes: RawPeer.frame([36, 0, 0, 0] + [UInt8](repeating: 0, count: 17)), reason: .protocolViolation),
        Case(testDescription: "a hello cut short", bytes: RawPeer.frame([10, 0, 0, 0, 0xc0, 0x1d]), reason: .protocolViolation),
    ]

    @Test("a stranger that breaks the rules before its hello is closed with its own reason, and the records name it", arguments: cases)
    func strangers(_ example: Case) throws {
        let (world, node, _) = try makeSeedWorld(120)
        let stranger = try RawPeer(to: node.endpoint, from: 1)
        stranger.say(example.bytes)
        var records: [NodeRecord] = []
        let isClosed = world.run {
            stranger.listen()
            records += takeRecords(node)
            return stranger.isEnded
        }
        #expect(isClosed)
        let incidents = wireErrors(records)
        #expect(incidents.count == 1)
        let incident = try #require(incidents.first)
        #expect(incident.error.reason == example.reason)
        #expect(incident.remote.address == IPAddress(v4: 127, 0, 8, 1))
        #expect(Int(incident.count) == min(16, example.bytes.count))
        #expect((0..<Int(incident.count)).map { incident[$0] } == Array(example.bytes.prefix(16)))
        if example.reason == .wrongNetwork { #expect(!stranger.heard.isEmpty, "it is told why") }
        stranger.close()
        #expect(world.run { node.node.linkCount == 1 })
        #expect(node.application.downs.isEmpty, "the neighbour notices nothing")
        #expect(world.run { node.node.memory.pool.inUse == 0 })
    }

    @Test("a stranger that never speaks, and one that crawls, are closed by the greeting deadline")
    func silence() throws {
        let (world, node, _) = try makeSeedWorld(122) { $0.mesh.greetingTimeout = .milliseconds(400); $0.mesh.probeTimeout = .milliseconds(100) }
        let silent = try RawPeer(to: node.endpoint, from: 2)
        let crawler = try RawPeer(to: node.endpoint, from: 3)
        let hello = RawPeer.hello()
        var said = 0
        var records: [NodeRecord] = []
        let areClosed = world.run {
            silent.listen()
            crawler.listen()
            if said < hello.count - 1 {
                crawler.say([hello[said]])
                said += 1
            }
            records += takeRecords(node)
            return silent.isEnded && crawler.isEnded
        }
        #expect(areClosed)
        #expect(closings(records).filter { $0 == .greetingTimeout }.count == 2)
        #expect(node.application.downs.isEmpty)
    }

    @Test("a peer that stops in mid-frame is closed as frameTimeout")
    func halfFrame() throws {
        let (world, node, _) = try makeSeedWorld(124) { $0.mesh.frameTimeout = .milliseconds(300); $0.mesh.pingInterval = .milliseconds(200) }
        let peer = try RawPeer(to: node.endpoint, from: 4)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        peer.say([0, 0, 1, 0, 50, 0, 0, 0])
        #expect(world.run { node.application.downs.count == 1 })
        #expect(node.application.downs.map(\.reason) == [.frameTimeout])
    }

    @Test("a frozen peer is closed as keepaliveTimeout, and not before its misses")
    func frozen() throws {
        let (world, node, _) = try makeSeedWorld(126) {
            $0.mesh.pingInterval = .milliseconds(200)
            $0.mesh.pongTimeout = .milliseconds(100)
        }
        let peer = try RawPeer(to: node.endpoint, from: 5)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        let since = world.loop.now
        #expect(world.run { node.application.downs.count == 1 })
        #expect(node.application.downs.map(\.reason) == [.keepaliveTimeout])
        // Three misses. How late at most is held on a clock of its own, in PeerMeshTests: this one is late with the machine.
        #expect(world.loop.now - since >= .milliseconds(300))
    }

    @Test("a peer that froze while much is queued for it is found, too, and the ping that cannot leave is not repeated")
    func frozenWhileBusy() throws {
        let (world, node, _) = try makeSeedWorld(140) {
            $0.mesh.pingInterval = .milliseconds(200)
            $0.mesh.pongTimeout = .milliseconds(100)
            $0.socket.sendBuffer = 16_384
        }
        let peer = try RawPeer(to: node.endpoint, from: 20, receiveBuffer: 4_096)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        let body = [UInt8](repeating: 1, count: 1 << 20)
        let link = node.application.live[1]
        let result = node.node.send(body.span.bytes, type: MessageType(84), to: link)
        #expect(result == .queued)
        #expect(world.run { (node.node.queuedBytes(of: link) ?? 0) > 1 << 19 })
        var waiting = 0
        #expect(world.run {
            waiting = max(waiting, node.node.current(link)?.controlCount ?? 0)
            return node.application.downs.count == 1
        })
        #expect(node.application.downs.map(\.reason) == [.keepaliveTimeout])
        #expect(waiting == 4 + 4 + 8 + 8 + 1, "one ping, once")
        #expect(world.run { node.node.memory.pool.inUse == 0 })
    }

    @Test("a peer that ends or resets in mid-frame is remoteClosed", arguments: [false, true])
    func vanishes(isReset: Bool) throws {
        let (world, node, _) = try makeSeedWorld(128)
        let peer = try RawPeer(to: node.endpoint, from: 6)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        peer.say([0, 0, 1, 0, 50, 0])
        world.run(milliseconds: 20)
        if isReset { _ = cepoll_set_linger(peer.descriptor, 1, 0) }
        peer.close()
        #expect(world.run { node.application.downs.count == 1 })
        #expect(node.application.downs.map(\.reason) == [.remoteClosed])
        #expect(world.run { node.node.memory.pool.inUse == 0 })
    }

    @Test("the last frames before the end of the stream are delivered")
    func lastWords() throws {
        let (world, node, _) = try makeSeedWorld(130)
        let peer = try RawPeer(to: node.endpoint, from: 7)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        for _ in 0..<100 { peer.say(RawPeer.frame([84, 0, 0, 0] + [UInt8](repeating: 1, count: 1_000))) }
        _ = cepoll_shutdown_send(peer.descriptor)
        #expect(world.run { node.application.downs.count == 1 })
        #expect(node.application.frames == 100)
    }

    @Test("a peer that asks for pongs and never reads them is closed as slowConsumer, in little memory")
    func pingStorm() throws {
        let (world, node, _) = try makeSeedWorld(132) { $0.socket.sendBuffer = 4_096 }
        let peer = try RawPeer(to: node.endpoint, from: 8, receiveBuffer: 4_096)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        let ping = RawPeer.frame([36, 0, 0, 0] + [UInt8](repeating: 7, count: 16) + [0])
        var storm: [UInt8] = []
        for _ in 0..<200 { storm += ping }
        #expect(world.run {
            peer.say(storm)
            return node.application.downs.count == 1
        })
        #expect(node.application.downs.map(\.reason) == [.slowConsumer])
        #expect(node.node.memory.pool.peak < 200_000)
    }

    @Test("thousands of pings in one segment are all answered: what the kernel was not offered is not the peer's fault", arguments: [200, 2_000])
    func pingBurst(count: Int) throws {
        let (world, node, _) = try makeSeedWorld(140) { $0.controlLimit = 1 << 10 }
        let peer = try RawPeer(to: node.endpoint, from: 8)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        world.run(milliseconds: 20)
        peer.listen()
        let mark = peer.heard.count
        let ping = RawPeer.frame([36, 0, 0, 0] + [UInt8](repeating: 7, count: 16) + [0])
        var burst: [UInt8] = []
        for _ in 0..<count { burst += ping }
        peer.say(burst)
        let areAnswered = world.run {
            peer.listen()
            return peer.heard.count - mark >= count * ping.count || peer.isEnded
        }
        #expect(areAnswered)
        #expect(!peer.isEnded)
        #expect(node.application.downs.isEmpty, "\(node.application.downs.map(\.reason))")
        #expect(node.node.counters.pongsOut >= UInt64(count))
    }

    @Test("frames beyond the queue's limit in one go are sent, as long as the kernel takes what is above it", arguments: [false, true])
    func frameBurst(isBroadcast: Bool) throws {
        let (world, node, neighbour) = try makeSeedWorld(142)
        let link = try #require(node.application.live.first)
        let frame = [UInt8](repeating: 9, count: 16_384)
        let count = node.node.settings.queueLimit / frame.count + 4
        var taken = 0
        for _ in 0..<count {
            if isBroadcast {
                taken += node.node.broadcast(frame.span.bytes, type: MessageType(84))
            } else if node.node.send(frame.span.bytes, type: MessageType(84), to: link, policy: .insists) == .queued {
                taken += 1
            }
        }
        #expect(taken == count)
        #expect(world.run { neighbour.application.frames == count })
        #expect(node.application.downs.isEmpty)
    }

    @Test("a dial that gets no descriptor fails as local(EMFILE), is no failure of the peer, and is tried again")
    func noDescriptor() async {
        // In a process of its own: the limit is the whole process's.
        await #expect(processExitsWith: .success) {
            let (world, node, _) = try makeSeedWorld(136)
            let target = try TestNode(world: world, address: 138, wire: TimeWire(network: .mainnet))
            target.node.start()
            // The next descriptor would be above the limit.
            let next = cepoll_reserve()
            _ = cepoll_close(next)
            var soft: UInt64 = 0
            var hard: UInt64 = 0
            #expect(cepoll_descriptor_limit(&soft, &hard) == 0)
            #expect(cepoll_set_descriptor_limit(UInt64(next)) == 0)
            node.node.handle(.registered(target.endpoint))
            var records: [NodeRecord] = []
            let hasFailed = world.run {
                records += takeRecords(node)
                return closings(records).contains(.local(CEPOLL_EMFILE))
            }
            #expect(hasFailed)
            #expect(node.node.peer(at: target.endpoint)?.failures == 0)
            #expect(node.node.counters.dialsImpossible > 0)
            #expect(cepoll_set_descriptor_limit(soft) == 0)
            #expect(world.run { node.application.live.count == 2 })
        }
    }
}
