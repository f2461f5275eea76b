// Scenarios of connections that other projects learnt to test, told again in terms of our sockets (no code of theirs). The
// group's number and where the idea comes from stand in each name; docs/Traps.md has the whole list.

import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Black box: sockets", .ownThread)
struct BlackBoxSocketTests {
    @Test(
        "group 6: a reset by either end, before or after it shut its sending side, is read as ECONNRESET once, then as the end (libuv tcp_close_reset, tcp_rst)",
        arguments: [true, false], [true, false]
    )
    func reset(isByDialler: Bool, isAfterShutdown: Bool) throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = try TCPPair()
        let (mine, other) = isByDialler ? (pair.far, pair.near) : (pair.near, pair.far)
        let slot = try loop.add(mine, interest: .read, source: diary, tag: 0)
        if isAfterShutdown {
            _ = cepoll_shutdown_send(other)
            loop.runOnce(.wait)
            #expect(diary.entries == [.ready(.readable, 0)])
            #expect(receive(mine) == .ended)
            loop.setInterest(slot, .write)
        }
        _ = cepoll_set_linger(other, 1, 0)
        isByDialler ? pair.closeNear() : pair.closeFar()
        let seen = diary.entries.count
        #expect(run(loop) { diary.entries.dropFirst(seen).contains { if case .ready(let r, _) = $0 { r.contains(.hangup) } else { false } } })
        #expect(isAfterShutdown || receive(mine) == .failed(CEPOLL_ECONNRESET))
        if isAfterShutdown { #expect(send(mine, 1) == .failed(CEPOLL_EPIPE) || receive(mine) == .failed(CEPOLL_ECONNRESET)) }
        #expect(receive(mine) == .ended)
        loop.remove(slot, staysOpen: true)
    }

    @Test("group 6: writing to a peer that closed is told by the write after its reset, not by a signal (libuv tcp_write_to_half_open)")
    func writeToClosed() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = try TCPPair()
        let slot = try loop.add(pair.near, interest: .read, source: diary, tag: 0)
        pair.closeFar()
        loop.runOnce(.wait)
        #expect(receive(pair.near) == .ended)
        #expect(send(pair.near, 100) == .bytes(100), "the kernel takes it: it cannot know yet")
        #expect(run(loop) { diary.entries.contains { if case .ready(let r, _) = $0 { r.contains(.hangup) } else { false } } })
        #expect(send(pair.near, 100) == .failed(CEPOLL_EPIPE))
        loop.remove(slot, staysOpen: true)
    }

    @Test("group 6: shutting twice, after the end, and on both sides at once all end the same: both read the end (libuv shutdown_twice, _eof, _simultaneous)")
    func shutdowns() throws {
        let pair = try TCPPair()
        send(pair.near, 10)
        for _ in 0..<2 { _ = cepoll_shutdown_send(pair.near) }
        #expect(receiveAll(pair.far) == (10, .ended))
        _ = cepoll_shutdown_send(pair.far)
        #expect(receiveAll(pair.near) == (0, .ended))
        let both = try TCPPair()
        _ = cepoll_shutdown_send(both.near)
        _ = cepoll_shutdown_send(both.far)
        #expect(receiveAll(both.far) == (0, .ended))
        #expect(receiveAll(both.near) == (0, .ended))
    }

    @Test("group 6: a dial that is given up before its first news tells nobody anything (libuv tcp_close_while_connecting)")
    func closeWhileConnecting() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let listener = try RawListener()
        let dialer = try connect(to: listener.endpoint)
        let slot = try loop.add(dialer, interest: .write, source: diary, tag: 0)
        loop.remove(slot)
        _ = cepoll_close(dialer)
        for _ in 0..<5 { loop.runOnce(.noWait) }
        #expect(diary.entries.isEmpty && loop.counters.events == 0 && loop.descriptorCount == 0)
    }

    /// Who shuts what of its end, and what our end is told when it wants to read.
    static let ways: [(isOwn: Bool, how: Int32, told: Reactor.Readiness?)] = [
        (true, Int32(SHUT_RD), .readable), (true, Int32(SHUT_WR), nil), (true, Int32(SHUT_RDWR), [.readable, .hangup]),
        (false, Int32(SHUT_RD), nil), (false, Int32(SHUT_WR), .readable), (false, Int32(SHUT_RDWR), .readable),
    ]

    @Test("group 7: what is told of each way to shut a socket, for the dialler and the acceptor (mio tcp_shutdown close events)", arguments: ways)
    func shutdownEvents(isOwn: Bool, how: Int32, told: Reactor.Readiness?) throws {
        for isDialler in [true, false] {
            let loop = try EventLoop()
            let diary = Diary()
            let pair = try TCPPair()
            let (mine, other) = isDialler ? (pair.near, pair.far) : (pair.far, pair.near)
            _ = try loop.add(mine, interest: .read, source: diary, tag: 0)
            #expect(shutdown(isOwn ? mine : other, how) == 0)
            // Loopback delivers at once: what is not there now is not coming.
            loop.runOnce(.noWait)
            #expect(diary.entries == (told.map { [.ready($0, 0)] } ?? []), "as the \(isDialler ? "dialler" : "acceptor")")
        }
    }

    @Test("group 7: after a descriptor was taken off the loop nothing of it is told, whatever happens to it (mio no_events_after_deregister)")
    func nothingAfterRemoval() throws {
        let loop = try EventLoop()
        let diary = Diary()
        let pair = try TCPPair()
        let slot = try loop.add(pair.near, interest: [.read, .write], source: diary, tag: 0)
        loop.runOnce(.wait)
        #expect(diary.entries == [.ready(.writable, 0)])
        loop.remove(slot, staysOpen: true)
        send(pair.far, 10)
        pair.resetFar()
        for _ in 0..<5 { loop.runOnce(.noWait) }
        #expect(diary.entries.count == 1 && loop.counters.events == 1)
    }

    @Test("group 7: what was written before the close arrives, then the end (mio write_then_drop)")
    func writeThenClose() throws {
        let pair = try TCPPair()
        #expect(send(pair.near, 100_000) == .bytes(100_000))
        pair.closeNear()
        #expect(receiveAll(pair.far) == (100_000, .ended))
    }

    @Test("group 8: each half of a connection closes by itself, in either order, and the other half works on (SwiftNIO half-closure)", arguments: [true, false])
    func halves(isDiallerFirst: Bool) throws {
        let pair = try TCPPair()
        let (first, second) = isDiallerFirst ? (pair.near, pair.far) : (pair.far, pair.near)
        send(first, 1_000)
        _ = cepoll_shutdown_send(first)
        #expect(receiveAll(second) == (1_000, .ended))
        for _ in 0..<20 { #expect(send(second, 1_000) == .bytes(1_000)) }
        _ = cepoll_shutdown_send(second)
        #expect(receiveAll(first) == (20_000, .ended))
        #expect(send(first, 1) == .failed(CEPOLL_EPIPE))
    }

    @Test("group 8: after a short write the writer is told when there is room, once it asked, and not before there is (SwiftNIO short writes)")
    func shortWrite() throws {
        let loop = try EventLoop()
        let diary = Diary()
        var options = SocketOptions()
        options.sendBuffer = 16_384
        let pair = try TCPPair(options)
        let slot = try loop.add(pair.near, interest: [], source: diary, tag: 0)
        var sent = 0
        while case .bytes(let count) = send(pair.near, 65_536) { sent += count }
        loop.setInterest(slot, .write)
        loop.runOnce(.noWait)
        #expect(diary.entries.isEmpty, "there is no room")
        var received = 0
        #expect(run(loop) {
            if case .bytes(let count) = receive(pair.far) { received += count }
            return !diary.entries.isEmpty
        })
        #expect(diary.entries.first == .ready(.writable, 0))
        loop.setInterest(slot, [])
        loop.runOnce(.noWait)
        let told = diary.entries.count
        #expect(run(loop) {
            if case .bytes(let count) = receive(pair.far) { received += count }
            return received == sent
        })
        #expect(diary.entries.count == told, "nobody asks any more")
        #expect(send(pair.near, 1) == .bytes(1))
    }

    @Test("group 8: an accept that fails in mid-burst costs that connection alone (SwiftNIO: the second accept errors)", .enabled(if: Faults.areBuilt))
    func secondAcceptFails() throws {
        try Faults.with {
            let loop = try EventLoop()
            let owner = Diary()
            let listener = try Listener(loop: loop, on: .loopback(), owner: owner)
            defer { listener.close() }
            Faults.answer(.accept, Int64(-CEPOLL_ECONNABORTED), after: 1, times: 1)
            let dialers = try (0..<10).map { _ in try connect(to: listener.endpoint) }
            defer { for dialer in dialers { _ = cepoll_close(dialer) } }
            #expect(run(loop) { owner.accepted.count == 10 })
            #expect(listener.counters.retries == 1)
        }
    }
}
