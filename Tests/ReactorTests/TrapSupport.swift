// What the trap and black-box tests share: sockets that no loop knows, connected TCP pairs, and one who pumps bytes.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// A listening socket that no loop knows. Its connections are taken by hand.
final class RawListener {
    let descriptor: CInt
    let endpoint: Endpoint

    init(on endpoint: Endpoint = .loopback(), backlog: Int32 = 128) throws {
        let socket = try Socket.listening(on: endpoint, backlog: backlog, options: SocketOptions())
        self.endpoint = try socket.localEndpoint()
        descriptor = socket.release()
    }

    deinit {
        _ = cepoll_close(descriptor)
    }

    /// The next connection; -1 if none comes within a minute.
    func accept() -> CInt {
        guard cepoll_poll_readable(descriptor, 60_000) == 1 else { return -1 }
        var remote = cepoll_address()
        return cepoll_accept(descriptor, &remote)
    }
}

/// The two ends of one TCP connection over loopback, both non-blocking.
final class TCPPair {
    private(set) var near: CInt
    private(set) var far: CInt

    init(_ options: SocketOptions = SocketOptions()) throws {
        let listener = try RawListener()
        near = try connect(to: listener.endpoint, options)
        far = listener.accept()
        try #require(far >= 0)
        try #require(cepoll_poll_readable(far, 0) == 0)
    }

    deinit {
        closeNear()
        closeFar()
    }

    func closeNear() {
        if near >= 0 { _ = cepoll_close(near) }
        near = -1
    }

    func closeFar() {
        if far >= 0 { _ = cepoll_close(far) }
        far = -1
    }

    func resetFar() {
        _ = cepoll_set_linger(far, 1, 0)
        closeFar()
    }
}

/// A socket on its way to `endpoint`; over loopback it is there already, unless nobody listens.
func connect(to endpoint: Endpoint, _ options: SocketOptions = SocketOptions()) throws -> CInt {
    switch Socket.dial(endpoint, options: options) {
    case .connected(let socket): return socket.release()
    case .pending(let socket): return socket.release()
    case .failed(let error): throw SystemError(.connect, error)
    }
}

/// One receive, as a `Transfer`; the bytes are dropped.
func receive(_ descriptor: CInt, _ room: Int = 65_536) -> Transfer {
    var bytes = [UInt8](repeating: 0, count: room)
    return Transfer(result: bytes.withUnsafeMutableBytes { cepoll_recv(descriptor, $0.baseAddress, room) })
}

/// One send of that many bytes.
@discardableResult
func send(_ descriptor: CInt, _ count: Int) -> Transfer {
    let bytes = [UInt8](repeating: 7, count: count)
    return Transfer(result: bytes.withUnsafeBytes { cepoll_send(descriptor, $0.baseAddress, count) })
}

/// Receives until there is nothing now, waiting up to `milliseconds` for more: how many bytes, and how it ended.
func receiveAll(_ descriptor: CInt, waiting milliseconds: CInt = 60_000) -> (bytes: Int, end: Transfer) {
    var sum = 0
    while cepoll_poll_readable(descriptor, milliseconds) > 0 {
        switch receive(descriptor) {
        case .bytes(let count): sum += count
        case let end: return (sum, end)
        }
    }
    return (sum, .wouldBlock)
}

/// Spins until the clock is that much further: work that keeps a loop from its waits.
func work(_ span: Nanoseconds) {
    let end = Instant(nanoseconds: cepoll_monotonic()) + span
    while Instant(nanoseconds: cepoll_monotonic()) < end {}
}

/// Sends and receives so many bytes on one descriptor, each as the kernel lets it, then leaves the loop.
final class Pump: Source {
    let loop: EventLoop
    let descriptor: CInt
    let amount: Int
    private(set) var sent = 0
    private(set) var received = 0
    private var slot = SlotID.none

    init(loop: EventLoop, descriptor: CInt, amount: Int) {
        self.loop = loop
        self.descriptor = descriptor
        self.amount = amount
    }

    var isOver: Bool { sent == amount && received == amount }

    func start() throws {
        slot = try loop.add(descriptor, interest: [.read, .write], source: self, tag: 0)
    }

    override func ready(_ readiness: Reactor.Readiness, tag: UInt32) {
        if readiness.contains(.readable), case .bytes(let count) = receive(descriptor, 30_000) { received += count }
        if readiness.contains(.writable), sent < amount, case .bytes(let count) = send(descriptor, min(50_000, amount - sent)) {
            sent += count
        }
        if isOver { loop.remove(slot, staysOpen: true) } else { loop.setInterest(slot, sent < amount ? [.read, .write] : .read) }
    }
}
