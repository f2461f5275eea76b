// Strangers that want a node's memory: what they may have is bounded, and what masternodes need is not theirs to take.

import CEpoll
import Foundation
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Reactor

/// The header of an application frame of `length` bytes.
private func header(_ length: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt32(length).bigEndian) { Array($0) } + [84, 0, 0, 0]
}

private let chunk = [UInt8](repeating: 0, count: 256 << 10)

/// Strangers that begin frames of 8 MB and send up to `bytes` of each, as fast as they are read, on a thread of their own.
private final class Flood: Sendable {
    private let isOver = Atomic(false)
    private let hasStopped = DispatchSemaphore(value: 0)

    init(_ bytes: Int, _ strangers: [RawPeer]) {
        let descriptors = strangers.map(\.descriptor)
        Thread.detachNewThread { [self] in
            func say(_ bytes: [UInt8], _ descriptor: CInt) -> Int {
                max(0, bytes.withUnsafeBytes { cepoll_send(descriptor, $0.baseAddress, $0.count) })
            }
            var sent = descriptors.map { say(header(8_000_000), $0) }
            while !isOver.load(ordering: .relaxed) {
                for index in sent.indices where sent[index] < bytes { sent[index] += say(chunk, descriptors[index]) }
                usleep(200)
            }
            hasStopped.signal()
        }
    }

    func stop() {
        isOver.store(true, ordering: .relaxed)
        hasStopped.wait()
    }
}

@Suite("Attacks on memory", .serialized, .ownThread)
struct MemoryAttackTests {
    @Test("strangers that hold unfinished frames take no masternode's link, its frames or its memory", arguments: [64, 128])
    func unfinishedFrames(mebibytes: Int) throws {
        let rig = try AttackRig { $0.memoryLimit = mebibytes << 20 }
        let calm = rig.pings(milliseconds: 1_000)
        let strangers = try rig.addStrangers(40)
        let pool = rig.victim.node.memory
        // Each holds nearly a whole frame; all of them would be six times the limit. They are strangers: they have a thread of their own.
        let flood = Flood(7_000_000, strangers)
        let flooded = rig.pings(milliseconds: 1_000) {
            pool.strangers.peak > pool.strangers.limit / 8 * 7 && rig.victim.node.counters.memoryPauses > 0
        }
        flood.stop()
        rig.tell("frames that come, \(mebibytes) MiB", calm: calm, during: flooded)
        var during = rig.pings(milliseconds: 300)
        // A masternode's largest frame is read meanwhile.
        let body = [UInt8](repeating: 1, count: 8_000_000)
        let link = try #require(rig.masternodes[0].application.live.first)
        let result = rig.masternodes[0].node.send(body.span.bytes, type: MessageType(84), to: link)
        #expect(result == .queued)
        during = during.larger(rig.pings(milliseconds: 300) { rig.victim.application.frames == 1 })
        let isLinked = try rig.newcomerIsLinked()
        #expect(isLinked, "a masternode that calls meanwhile is linked")
        // Those that hold are closed one after the other, as long as others wait; then an honest stranger is read.
        #expect(rig.world.run { rig.victim.node.starvedCount == 0 })
        let honest = try rig.addStrangers(1)[0]
        var left = Array([UInt8](header(1_000_000)) + [UInt8](repeating: 2, count: 1_000_000 - 4))
        #expect(rig.world.run {
            left.removeFirst(honest.say(left))
            return rig.victim.application.frames == 2
        })
        rig.tell("unfinished frames, \(mebibytes) MiB", calm: calm, during: during)
        #expect(rig.lost.isEmpty, "\(rig.lost)")
        #expect(rig.linked == AttackRig.masternodeCount)
        #expect(pool.strangers.peak <= pool.strangers.limit + 65_536 * 2)
        #expect(pool.pool.peak <= pool.pool.limit)
        #expect(during.count > UInt64(AttackRig.masternodeCount), "pings went on")
    }

    @Test("a stranger that does not read what is queued for it makes room when others need it")
    func unreadQueues() throws {
        let rig = try AttackRig {
            $0.memoryLimit = 64 << 20
            $0.socket.sendBuffer = 16_384
        }
        let calm = rig.pings(milliseconds: 300)
        let strangers = try rig.addStrangers(12, receiveBuffer: 4_096)
        let body = [UInt8](repeating: 1, count: 6_000_000)
        var refused = 0
        for up in rig.victim.application.ups where up.info.role == .regular {
            if rig.victim.node.send(body.span.bytes, type: MessageType(84), to: up.link) != .queued { refused += 1 }
        }
        #expect(refused > 0, "their share is smaller than that")
        let during = rig.pings(milliseconds: 2_500)
        // One that is well behaved needs room for a frame of its own: the largest idle one gives it.
        let honest = try rig.addStrangers(1)[0]
        var left = Array([UInt8](header(4_000_000)) + [UInt8](repeating: 2, count: 4_000_000 - 4))
        #expect(rig.world.run {
            left.removeFirst(honest.say(left))
            return rig.victim.application.frames == 1
        })
        rig.tell("unread queues", calm: calm, during: during)
        #expect(rig.lost.isEmpty, "\(rig.lost)")
        #expect(rig.peaks.strangers <= rig.victim.node.memory.strangers.limit + 65_536)
        for stranger in strangers { stranger.close() }
        let pool = rig.victim.node.memory
        #expect(rig.world.run { pool.strangers.inUse == 0 })
    }

    @Test("a link that is not established buffers a hello and no more, whatever it sends")
    func beforeTheHello() throws {
        let rig = try AttackRig { $0.mesh.probeTimeout = .seconds(6) }
        let pool = rig.victim.node.memory.pool
        #expect(rig.world.run { pool.inUse == 0 })
        // Sixteen that send all of a hello but its last byte.
        var pending: [RawPeer] = []
        for index in 0..<16 {
            let stranger = try RawPeer(to: rig.victim.endpoint, source: IPAddress(v4: 127, 100, UInt8(index), 1))
            stranger.say(Array([0, 0, 0x10, 0, 10, 0, 0, 0, 0xc0, 0x1d, 0x7e, 0x4d] + [UInt8](repeating: 0, count: 4_087)))
            pending.append(stranger)
        }
        rig.world.run(milliseconds: 200)
        #expect(pool.peak <= 16 * 8_192 + 65_536)

        // One that is held while the older link of the same claim is probed, and sends a frame of 8 MB meanwhile.
        let source = IPAddress(v4: 127, 101, 0, 1)
        let claim = Endpoint(source, port: 24_000)
        func hello(_ nonce: UInt64) -> [UInt8] {
            let frame = FrameBuffer()
            var state = WireState(direction: .outbound)
            let identity = OwnIdentity(endpoint: claim, nonce: nonce, role: .regular, unixTime: 0, remote: rig.victim.endpoint)
            TimeWire(network: .mainnet).encodeHello(into: frame, state: &state, identity: identity)
            return frame.bytes.withUnsafeBytes { Array($0) }
        }
        func held() -> LinkReport? {
            var found: LinkReport?
            rig.victim.node.forEachLink { if $0.state == .held { found = $0 } }
            return found
        }
        let older = try RawPeer(to: rig.victim.endpoint, source: source)
        older.say(hello(1))
        let ups = rig.victim.application.ups.count
        #expect(rig.world.run { rig.victim.application.ups.count > ups })
        let newer = try RawPeer(to: rig.victim.endpoint, source: source)
        newer.say(hello(2))
        #expect(rig.world.run { held() != nil })
        newer.say(header(8_000_000))
        var sent = 0
        for _ in 0..<40 {
            sent += newer.say(chunk)
            rig.world.run(milliseconds: 2)
        }
        #expect(sent > 65_536)
        let link = try #require(held())
        let driven = try #require(rig.victim.node.current(link.link))
        #expect(driven.heldMemory <= 8_192)
        #expect(rig.lost.isEmpty)
        pending.removeAll()
    }

    @Test("a link that the application does not read outlives the keepalive's bound, and is judged again when it is read")
    func pausedReading() throws {
        let (world, node, _) = try makeSeedWorld(150) {
            $0.mesh.pingInterval = .milliseconds(200)
            $0.mesh.pongTimeout = .milliseconds(100)
        }
        let peer = try RawPeer(to: node.endpoint, from: 32)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        let link = node.application.live[1]
        #expect(node.node.pauseReading(of: link))
        let pings = node.node.counters.pingsOut
        // The bound is half a second, and more than that passes until the other link had so many pings.
        #expect(world.run { node.node.counters.pingsOut > pings + 20 })
        #expect(node.application.downs.isEmpty, "\(node.application.downs.map(\.reason))")
        #expect(node.node.link(link)?.misses == 0)
        #expect(node.node.resumeReading(of: link))
        #expect(world.run { node.application.downs.count == 1 })
        #expect(node.application.downs.map(\.reason) == [.keepaliveTimeout], "its own silence is judged as ever")
    }

    @Test("a body that a stranger's share never has room for is too large, not blocked for ever")
    func neverFits() throws {
        let (world, node, neighbour) = try makeSeedWorld(152) { $0.memoryLimit = 8 << 20 }
        let stranger = try RawPeer(to: node.endpoint, from: 30)
        stranger.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 2 })
        let large = [UInt8](repeating: 0, count: 5_000_000)
        let half = [UInt8](repeating: 0, count: 2_500_000)
        let toStranger = node.node.send(half.span.bytes, type: MessageType(84), to: node.application.live[1])
        #expect(toStranger == .tooLarge)
        let toMasternode = node.node.send(large.span.bytes, type: MessageType(84), to: node.application.live[0])
        #expect(toMasternode == .tooLarge)
        #expect(node.node.send(half.span.bytes, type: MessageType(84), to: node.application.live[0]) == .queued)
        #expect(world.run { neighbour.application.frames == 1 })
        // And a frame that never fits is refused, not waited for.
        stranger.say(header(4_000_000))
        #expect(world.run {
            stranger.say(chunk)
            return node.application.downs.count == 1
        })
        #expect(node.application.downs.map(\.reason) == [.frameTooLarge])
    }

    @Test("a dial from an address that this machine does not have is no failure of the peer")
    func sourceAddressGone() throws {
        // No packet leaves: the address of these examples (RFC 5737) is not ours, so that the bind is refused.
        let (world, node, _) = try makeSeedWorld(154) { $0.dialFrom = IPAddress(v4: 192, 0, 2, 77) }
        let wanted = Endpoint(IPAddress(v4: 192, 0, 2, 9), port: 24_000)
        node.node.handle(.registered(wanted))
        #expect(world.run { node.node.counters.dialsImpossible >= 4 })
        let report = try #require(node.node.peer(at: wanted))
        #expect(report.failures == 0)
        #expect(report.lastReason == .local(CEPOLL_EADDRNOTAVAIL))
        #expect(node.node.counters.dialsImpossible == node.node.counters.dialsFailed)
    }
}

extension TimeHistogram {
    /// The one with more samples.
    fileprivate func larger(_ other: TimeHistogram) -> TimeHistogram { other.count > count ? other : self }
}

/// A dialect that says nonsense of its frames.
private final class LyingWire: Wire {
    let inner = TimeWire(network: .mainnet)
    let lie: Decoded
    init(_ lie: Decoded) { self.lie = lie }

    var name: String { inner.name }
    var isNative: Bool { true }
    var maximumBody: Int { inner.maximumBody }
    var defaultPort: UInt16 { inner.defaultPort }

    func decode(_ bytes: RawSpan, state: inout WireState, peers: PeerList, reply: FrameBuffer) -> Decoded {
        let decoded = inner.decode(bytes, state: &state, peers: peers, reply: reply)
        if case .frame(_, .application(let type, _)) = decoded, type == MessageType(84) { return lie }
        return decoded
    }
    func encodeHello(into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) {
        inner.encodeHello(into: frame, state: &state, identity: identity)
    }
    func encodeAnswer(_ verdict: Verdict, isNative: Bool, into frame: FrameBuffer, state: inout WireState, identity: OwnIdentity) {
        inner.encodeAnswer(verdict, isNative: isNative, into: frame, state: &state, identity: identity)
    }
    func encodePing(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        inner.encodePing(nonce: nonce, unixTime: unixTime, into: frame, state: &state)
    }
    func encodePong(nonce: UInt64, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        inner.encodePong(nonce: nonce, unixTime: unixTime, into: frame, state: &state)
    }
    func encodeAsk(into frame: FrameBuffer, state: inout WireState) { inner.encodeAsk(into: frame, state: &state) }
    func encodePeers(_ peers: PeerList, isNative: Bool, unixTime: Int64, into frame: FrameBuffer, state: inout WireState) {
        inner.encodePeers(peers, isNative: isNative, unixTime: unixTime, into: frame, state: &state)
    }
    func encode(_ body: RawSpan, type: MessageType, into frame: FrameBuffer) { inner.encode(body, type: type, into: frame) }
    func encodeReject(_ text: StaticString, into frame: FrameBuffer, state: inout WireState) {
        inner.encodeReject(text, into: frame, state: &state)
    }
}

@Suite("A dialect that contradicts itself", .serialized, .ownThread)
struct LyingWireTests {
    enum Lie: CaseIterable {
        case frameOfNoBytes, frameBeyondWhatCame, bodyBeyondItsFrame

        var decoded: Decoded {
            switch self {
            case .frameOfNoBytes: .frame(length: 0, .housekeeping)
            case .frameBeyondWhatCame: .frame(length: 1 << 20, .housekeeping)
            case .bodyBeyondItsFrame: .frame(length: 8, .application(MessageType(84), body: 4..<64))
            }
        }
    }

    @Test("its link ends as internalError, which is counted, and the node goes on", arguments: Lie.allCases)
    func lies(_ lie: Lie) throws {
        let world = try TestWorld()
        let node = try TestNode(world: world, address: 156, wire: LyingWire(lie.decoded))
        node.node.start()
        let peer = try RawPeer(to: node.endpoint, from: 31)
        peer.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 1 })
        peer.say(RawPeer.frame([84, 0, 0, 0, 1, 2, 3, 4]))
        #expect(world.run { node.application.downs.count == 1 })
        #expect(node.application.downs.map(\.reason) == [.internalError])
        #expect(node.node.counters.contradictions == 1)
        let second = try RawPeer(to: node.endpoint, from: 31)
        second.say(RawPeer.hello())
        #expect(world.run { node.application.live.count == 1 })
    }
}
