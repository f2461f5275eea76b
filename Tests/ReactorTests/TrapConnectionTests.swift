// Traps of connections: how they begin, half-close, end and fail. Each number is a row of docs/Traps.md.

import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Traps: connections", .serialized, .ownThread)
struct TrapConnectionTests {
    /// An application's frame of that many bytes.
    private static func frame(_ count: Int) -> [UInt8] {
        RawPeer.frame([84, 0, 0, 0] + [UInt8](repeating: 1, count: count))
    }

    @Test("trap 8: what a peer sent before its end is delivered to the last frame, in bounded reads")
    func trap8() throws {
        try trap(8, leftOut: { Faults.leaveOut(7); Faults.leaveOut(8) }) {
            let (world, node, _) = try makeSeedWorld(160) { $0.readBudget = 16 << 10 }
            let peer = try RawPeer(to: node.endpoint, from: 60)
            peer.say(RawPeer.hello())
            guard world.run(until: { node.application.live.count == 2 }) else { return "not linked" }
            for _ in 0..<20 { peer.say(Self.frame(5_000)) }
            _ = cepoll_shutdown_send(peer.descriptor)
            guard world.run(until: { node.application.downs.count == 1 }) else { return "the end was never seen" }
            guard node.application.downs[0].reason == .remoteClosed else { return "\(node.application.downs[0].reason)" }
            return node.application.frames == 20 ? nil : "\(node.application.frames) of 20 frames were delivered before the end"
        }
    }

    @Test("trap 9: a peer that accepts and ends at once was connected: the dial did not fail")
    func trap9() throws {
        try trap(9, leftOut: { Faults.leaveOut(7); Faults.leaveOut(8) }) {
            let world = try TestWorld()
            let node = try TestNode(world: world, address: 162)
            let listener = try RawListener(on: Endpoint(IPAddress(v4: 127, 0, 7, 163), port: 0))
            node.node.start()
            node.node.handle(.connect(listener.endpoint))
            // Over loopback the connection stands before the loop waits for it.
            let far = listener.accept()
            guard far >= 0 else { return "nobody dialled" }
            _ = cepoll_shutdown_send(far)
            let hasGreeted = world.run(seconds: Faults.isLeftOut(8) ? 5 : 120) { cepoll_poll_readable(far, 0) == 1 }
            let (bytes, _) = receiveAll(far, waiting: 50)
            _ = cepoll_close(far)
            guard hasGreeted, bytes > 0 else { return "the dialler said \(bytes) bytes: it took the end of a connected peer for a failed dial" }
            return node.node.counts.dialsFailed == 0 ? nil : "\(node.node.counts.dialsFailed) dials failed"
        }
    }

    @Test("trap 10: a socket is registered after its connect; one that hangs up without error or peer has failed")
    func trap10() throws {
        try trap(10, leftOut: { Faults.leaveOut(10) }) {
            guard Faults.areBuilt else { return nil }
            let world = try TestWorld()
            let node = try TestNode(world: world, address: 164)
            let nobody = try RawListener(on: Endpoint(IPAddress(v4: 127, 0, 7, 165), port: 0))
            node.node.start()
            // A connect that never reached the kernel: the socket hangs up, has no error and no peer.
            Faults.answer(.connect, Int64(-CEPOLL_EINPROGRESS), times: 1)
            let first = Faults.records.count
            node.node.handle(.connect(nobody.endpoint))
            for _ in 0..<100 { world.loop.runOnce(.noWait) }
            let calls = Faults.records.dropFirst(first).filter { [.socket, .connect, .add].contains($0.call) }.map(\.call)
            guard calls == [.socket, .connect, .add] else { return "the order was \(calls)" }
            return node.node.counts.dialsFailed == 1
                ? nil : "\(world.loop.counters.events) wakes in 100 waits, until the dial's deadline 10 s later"
        }
    }

    @Test("trap 25: a link that is drained with unread input still delivers its tail, and ends without a reset")
    func trap25() throws {
        try trap(25, leftOut: { Faults.leaveOut(25) }) {
            let (world, node, neighbour) = try makeSeedWorld(166) { $0.socket.sendBuffer = 1 << 20; $0.mesh.drainTimeout = .milliseconds(700) }
            neighbour.node.abandon()
            let peer = try RawPeer(to: node.endpoint, from: 61, receiveBuffer: 8_192)
            peer.say(RawPeer.hello())
            guard world.run(until: { node.application.live.count == 2 || node.application.ups.count == 2 }) else { return "not linked" }
            let link = node.application.ups[1].link
            for _ in 0..<30 {
                let body = [UInt8](repeating: 1, count: 5_000)
                _ = node.node.send(body.span.bytes, type: MessageType(84), to: link)
            }
            for _ in 0..<20 { peer.say(Self.frame(5_000)) }
            _ = cepoll_shutdown_send(peer.descriptor)
            node.node.shutdown()
            guard world.run(until: { node.application.isStopped }) else { return "the node did not end" }
            // Only now does the peer read: the tail is in the kernel, and a reset would throw it away.
            let (bytes, end) = receiveAll(peer.descriptor)
            guard end == .ended else { return "after \(bytes) of 150,000 bytes the peer read \(end)" }
            return bytes >= 150_000 ? nil : "the peer got \(bytes) of 150,000 bytes"
        }
    }

    @Test("trap 26: a reset after the end of the stream is seen at once, though nothing is read any more")
    func trap26() throws {
        try trap(26, leftOut: { Faults.leaveOut(26) }) {
            let (world, node, neighbour) = try makeSeedWorld(168) { $0.socket.sendBuffer = 16_384; $0.mesh.drainTimeout = .seconds(60) }
            neighbour.node.abandon()
            let peer = try RawPeer(to: node.endpoint, from: 62, receiveBuffer: 4_096)
            peer.say(RawPeer.hello())
            guard world.run(until: { node.application.ups.count == 2 }) else { return "not linked" }
            let link = node.application.ups[1].link
            let body = [UInt8](repeating: 1, count: 1 << 20)
            _ = node.node.send(body.span.bytes, type: MessageType(84), to: link)
            node.node.shutdown()
            _ = cepoll_shutdown_send(peer.descriptor)
            guard world.run(until: { node.node.current(link)?.hasEnded ?? true }) else { return "the end was not read" }
            guard node.node.current(link) != nil else { return "nothing was left to drain" }
            _ = cepoll_set_linger(peer.descriptor, 1, 0)
            peer.close()
            _ = world.run { node.application.isStopped || world.loop.counters.latchedHangups > 0 }
            return node.application.isStopped ? nil : "the reset woke the loop and nobody: the link stays until its deadline, 60 s later"
        }
    }

    // Sends of both kinds into a socket whose peer is gone, with the signal's default disposition. The results.
    private static func sendToNobody() -> (Int, Int) {
        signal(SIGPIPE, SIG_DFL)
        let pair = Pair()
        pair.closeFar()
        let one = [UInt8](repeating: 1, count: 1)
        let sent = cepoll_send(pair.fd, one, 1)
        let pieces = one.withUnsafeBytes { bytes in
            var piece = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: 1)
            return cepoll_send_pieces(pair.fd, &piece, 1)
        }
        return (sent, pieces)
    }

    /// The handler of SIGPIPE, as a number.
    private static var dispositionOfPipe: Int {
        var action = sigaction()
        sigaction(SIGPIPE, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
    }

    @Test("trap 27: writing to a peer that is gone is an error number, never a SIGPIPE, and no disposition is touched")
    func trap27() async {
        await #expect(processExitsWith: .success) {
            let before = Self.dispositionOfPipe
            let world = try TestWorld()
            _ = try TestNode(world: world, address: 170)
            world.run(milliseconds: 10)
            try #require(Self.dispositionOfPipe == before)
            try #require(Self.sendToNobody() == (-Int(CEPOLL_EPIPE), -Int(CEPOLL_EPIPE)))
        }
        #if REACTOR_FAULTS
            await #expect(processExitsWith: .signal(SIGPIPE)) {
                Faults.with {
                    Faults.leaveOut(27)
                    _ = Self.sendToNobody()
                }
            }
        #endif
    }
}
