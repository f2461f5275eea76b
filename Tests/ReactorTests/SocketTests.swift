import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Sockets", .ownThread)
struct SocketTests {
    static let ends: [Endpoint] = [.loopback(), .loopbackV6()]

    @Test("a socket closes its descriptor when it goes, unless it was released")
    func ownership() throws {
        var byte: UInt8 = 0
        // Seen from the other end, as numbers are reused by other tests meanwhile.
        var (near, far): (CInt, CInt) = (-1, -1)
        #expect(cepoll_pair(&near, &far) == 0)
        #expect(released(near) == near)
        #expect(cepoll_recv(far, &byte, 1) == -Int(EAGAIN))
        dropped(near)
        #expect(cepoll_recv(far, &byte, 1) == 0)
        #expect(cepoll_close(far) == 0)
    }

    private func released(_ descriptor: CInt) -> CInt { Socket(taking: descriptor).release() }

    private func dropped(_ descriptor: CInt) { _ = Socket(taking: descriptor) }

    @Test("a new socket is closed on exec and never blocks, from birth", arguments: [IPAddress.Family.v4, .v6])
    func birth(_ family: IPAddress.Family) throws {
        let socket = try Socket(family: family)
        #expect(cepoll_is_close_on_exec(socket.descriptor) == 1)
        #expect(fcntl(socket.descriptor, F_GETFL) & O_NONBLOCK != 0)
    }

    @Test("an endpoint survives the way into the kernel and back", arguments: ends)
    func roundTrip(_ end: Endpoint) throws {
        let listening = try Socket.listening(on: end, backlog: 1, options: SocketOptions())
        let bound = try listening.localEndpoint()
        #expect(bound.address == end.address)
        #expect(bound.port != 0)
        #expect(Endpoint(bound.systemAddress) == bound)
    }

    @Test("addresses of every byte convert exactly, and a mapped one is IPv4")
    func conversion() {
        let v6 = Endpoint(IPAddress(v6High: 0x2001_0db8_0102_0304, low: 0x0506_0708_090a_0b0c), port: 0xabcd)
        #expect(Endpoint(v6.systemAddress) == v6)
        let v4 = Endpoint(IPAddress(v4: 1, 2, 3, 4), port: 80)
        #expect(Endpoint(v4.systemAddress) == v4)
        let mapped = cepoll_address(high: 0, low: 0xffff_0102_0304, port: 80, family: 6)
        #expect(Endpoint(mapped) == v4)
        #expect(Endpoint(cepoll_address(high: 0, low: 0, port: 0, family: 0)) == nil)
    }

    @Test("options are set once on the listener and inherited by what it accepts", arguments: ends)
    func inheritedOptions(_ end: Endpoint) throws {
        var options = SocketOptions()
        options.keepaliveIdle = .seconds(77)
        options.userTimeout = .seconds(33)
        options.receiveBuffer = 65_536
        let listening = try Socket.listening(on: end, backlog: 1, options: options)
        let bound = try listening.localEndpoint()
        let dialled = try connected(to: bound)
        var remote = cepoll_address()
        let accepted = Socket(taking: try SystemError.check(cepoll_accept(listening.descriptor, &remote), .accept))
        #expect(Endpoint(remote) == (try dialled.localEndpoint()))
        #expect(cepoll_no_delay(accepted.descriptor) == 1)
        #expect(cepoll_keepalive(accepted.descriptor) == 1)
        #expect(cepoll_keepalive_idle(accepted.descriptor) == 77)
        #expect(cepoll_user_timeout(accepted.descriptor) == 33_000)
        #expect(cepoll_receive_buffer(accepted.descriptor) == 131_072)
        #expect(cepoll_is_close_on_exec(accepted.descriptor) == 1)
        #expect(fcntl(accepted.descriptor, F_GETFL) & O_NONBLOCK != 0)
        #expect(cepoll_no_delay(dialled.descriptor) == 1)
    }

    @Test("an IPv4 peer of a dual-stack listener has its IPv4 endpoint, not a mapped one")
    func dualStack() throws {
        var options = SocketOptions()
        options.isV6Only = false
        let any = Endpoint(IPAddress(v6High: 0, low: 0), port: 0)
        let listening = try Socket.listening(on: any, backlog: 1, options: options)
        let port = try listening.localEndpoint().port
        let dialled = try connected(to: .loopback(port))
        var remote = cepoll_address()
        let accepted = Socket(taking: try SystemError.check(cepoll_accept(listening.descriptor, &remote), .accept))
        #expect(Endpoint(remote) == (try dialled.localEndpoint()))
        #expect(try accepted.remoteEndpoint().address == IPAddress(v4: 127, 0, 0, 1))
    }

    @Test("a dial to nobody is refused, with the kernel's own word for it")
    func refused() throws {
        let port = try Socket.listening(on: .loopback(), backlog: 1, options: SocketOptions()).localEndpoint().port
        switch Socket.dial(.loopback(port)) {
        case .failed(let error): #expect(error == CEPOLL_ECONNREFUSED)
        case .pending(let socket): #expect(outcome(of: socket) == .failed(CEPOLL_ECONNREFUSED))
        case .connected: Issue.record("somebody answered")
        }
    }

    @Test("a dial in flight is pending, and its result is asked for once it is ready", arguments: ends)
    func dialled(_ end: Endpoint) throws {
        let listening = try Socket.listening(on: end, backlog: 1, options: SocketOptions())
        let socket = try connected(to: try listening.localEndpoint())
        #expect(socket.dialResult() == .connected)
        let isOurs = socket.isConnectedToItself
        #expect(!isOurs)
    }

    @Test("a socket that the kernel connected to itself is told from a peer (trap 12)", arguments: ends)
    func selfConnection(_ end: Endpoint) throws {
        let socket = try Socket(family: end.address.family)
        try SystemError.check(cepoll_bind(socket.descriptor, end.systemAddress), .bind)
        let own = try socket.localEndpoint()
        let result = cepoll_connect(socket.descriptor, own.systemAddress)
        #expect(result == 0 || result == -CEPOLL_EINPROGRESS)
        #expect(outcome(of: socket) == .connectedToItself)
    }

    @Test("an unconnected socket is no result yet")
    func notConnected() throws {
        let socket = try Socket(family: .v4)
        #expect(socket.dialResult() == .pending)
    }

    @Test("reading and writing say what happened: bytes, not now, the end, or the error; and no SIGPIPE")
    func transfers() throws {
        let listening = try Socket.listening(on: .loopback(), backlog: 1, options: SocketOptions())
        let near = try connected(to: try listening.localEndpoint())
        var remote = cepoll_address()
        let far = Socket(taking: try SystemError.check(cepoll_accept(listening.descriptor, &remote), .accept))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 1)
        defer { buffer.deallocate() }
        #expect(near.receive(into: buffer) == .wouldBlock)
        let hello: [UInt8] = [1, 2, 3]
        #expect(far.send(hello.span.bytes) == .bytes(3))
        #expect(far.send(RawSpan()) == .bytes(0))
        #expect(near.receive(into: buffer) == .bytes(3))
        #expect(Array(buffer.prefix(3)) == hello)
        far.shutdownSending()
        #expect(near.receive(into: buffer) == .ended)
        #expect(far.send(hello.span.bytes) == .failed(CEPOLL_EPIPE))
        #expect(near.send(hello.span.bytes) == .bytes(3))
        near.resetOnClose()
        _ = consume near
        #expect(far.receive(into: buffer) == .bytes(3) || far.receive(into: buffer) == .failed(CEPOLL_ECONNRESET))
    }

    @Test("an error names its call and speaks the system's words")
    func words() {
        #expect(SystemError(.bind, CEPOLL_EADDRINUSE).description == "bind: Address already in use")
        #expect(SystemError(.accept, 9_999).description == "accept4: error 9999")
    }

    @Test("a listener whose address is taken names the address")
    func takenAddress() throws {
        let first = try Socket.listening(on: .loopback(), backlog: 1, options: SocketOptions())
        let taken = try first.localEndpoint()
        let error = #expect(throws: SystemError.self) {
            _ = try Socket.listening(on: taken, backlog: 1, options: SocketOptions())
        }
        #expect(error == SystemError(.bind, CEPOLL_EADDRINUSE, at: taken))
        #expect(error?.description == "bind \(taken): Address already in use")
    }

    @Test("the shim's clocks, entropy and descriptor limit answer")
    func system() {
        let first = cepoll_monotonic()
        #expect(cepoll_monotonic() >= first)
        #expect(cepoll_realtime() > 1_600_000_000 * 1_000_000_000)
        var (a, b): (UInt64, UInt64) = (0, 0)
        #expect(cepoll_random(&a) == 0 && cepoll_random(&b) == 0 && a != b)
        var (soft, hard): (UInt64, UInt64) = (0, 0)
        #expect(cepoll_descriptor_limit(&soft, &hard) == 0)
        #expect(soft > 0 && soft <= hard)
    }

    // MARK: helpers

    private func connected(to endpoint: Endpoint) throws -> Socket {
        switch Socket.dial(endpoint) {
        case .connected(let socket): return socket
        case .failed(let error): throw SystemError(.connect, error)
        case .pending(let socket):
            var descriptor = pollfd(fd: socket.descriptor, events: Int16(POLLOUT), revents: 0)
            #expect(poll(&descriptor, 1, 10_000) == 1)
            return socket
        }
    }

    private func outcome(of socket: borrowing Socket) -> DialResult {
        var descriptor = pollfd(fd: socket.descriptor, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&descriptor, 1, 10_000) == 1)
        return socket.dialResult()
    }
}
