// What epoll says of a descriptor in each state that matters to us, measured: docs/Traps.md has the table. If a kernel ever says
// something else, this is where it shows first.

import CEpoll
import Glibc
import PeerMesh
import Testing

@testable import Reactor

@Suite("The truth table of epoll", .ownThread)
struct TruthTableTests {
    /// What epoll reports of `descriptor` now, if `mask` is asked for.
    private static func events(_ descriptor: CInt, _ mask: UInt32) -> UInt32 {
        let epoll = cepoll_create()
        defer { _ = cepoll_close(epoll) }
        guard cepoll_control(epoll, CEPOLL_ADD, descriptor, mask, 0, 0) == 0 else { return .max }
        var event = cepoll_event()
        return cepoll_wait(epoll, &event, 1, 0) == 1 ? event.events : 0
    }

    private static func row(_ descriptor: CInt) -> [UInt32] {
        [events(descriptor, CEPOLL_IN | CEPOLL_OUT | CEPOLL_RDHUP), events(descriptor, 0)]
    }

    @Test("each state of a socket or pipe is reported as the table says, with everything asked for and with nothing")
    func table() throws {
        let (IN, OUT, ERR, HUP, RDHUP) = (CEPOLL_IN, CEPOLL_OUT, CEPOLL_ERR, CEPOLL_HUP, CEPOLL_RDHUP)
        let fresh = cepoll_tcp(4)
        defer { close(fresh) }
        #expect(Self.row(fresh) == [OUT | HUP, HUP], "a fresh socket")

        let nobody = try RawListener().endpoint
        let refused = cepoll_tcp(4)
        defer { close(refused) }
        _ = cepoll_connect(refused, nobody.systemAddress)
        #expect(Self.row(refused) == [IN | OUT | ERR | HUP | RDHUP, ERR | HUP], "a refused connect")
        #expect(cepoll_socket_error(refused) == -CEPOLL_ECONNREFUSED)
        #expect(Self.row(refused) == [IN | OUT | HUP | RDHUP, HUP], "the same, its error taken")

        let pair = try TCPPair()
        #expect(Self.row(pair.near) == [OUT, 0], "an idle connection")
        _ = cepoll_shutdown_send(pair.far)
        #expect(Self.row(pair.near) == [IN | OUT | RDHUP, 0], "the peer sends no more")
        _ = cepoll_shutdown_send(pair.near)
        #expect(Self.row(pair.near) == [IN | OUT | RDHUP | HUP, HUP], "nobody sends any more")

        let reset = try TCPPair()
        reset.resetFar()
        #expect(Self.row(reset.near) == [IN | OUT | ERR | HUP | RDHUP, ERR | HUP], "a reset")
        #expect(receive(reset.near) == .failed(CEPOLL_ECONNRESET))
        #expect(receive(reset.near) == .ended)

        let unread = try TCPPair()
        send(unread.near, 1)
        #expect(cepoll_poll_readable(unread.far, 20_000) == 1)
        unread.closeFar()
        #expect(Self.row(unread.near) == [IN | OUT | ERR | HUP | RDHUP, ERR | HUP], "a peer that closed without reading")

        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        close(ends[1])
        #expect(Self.row(ends[0]) == [HUP, HUP], "a pipe to read that nobody writes: no IN")
        close(ends[0])
        #expect(pipe(&ends) == 0)
        close(ends[0])
        #expect(Self.row(ends[1]) == [OUT | ERR, ERR], "a pipe to write that nobody reads")
        close(ends[1])

        let listener = try RawListener()
        #expect(Self.row(listener.descriptor) == [0, 0], "a listener with nobody waiting")
        _ = cepoll_shutdown_both(listener.descriptor)
        #expect(Self.row(listener.descriptor) == [OUT | HUP, HUP], "a listener that was shut")
    }
}
