// A peer made of a plain blocking socket: it says exactly the bytes that a test wants to be said, when it wants.

import Foundation
import PeerMesh

struct SocketFailure: Error, CustomStringConvertible {
    let description: String

    init(_ what: String, _ code: Int32 = errno) {
        description = "\(what): \(String(cString: strerror(code)))"
    }
}

/// How a stream ended.
enum StreamEnd: Equatable {
    case closed
    case reset
}

/// A connected socket.
final class RawPeer: @unchecked Sendable {
    private var descriptor: Int32
    /// What was received and not consumed.
    private(set) var pending: [UInt8] = []

    fileprivate init(descriptor: Int32) {
        self.descriptor = descriptor
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    }

    /// Connects, from `source`'s address and port if given.
    convenience init(to target: Endpoint, from source: Endpoint? = nil) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SocketFailure("socket") }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        if let source {
            guard source.withSockaddr({ bind(descriptor, $0, $1) }) == 0 else {
                defer { Foundation.close(descriptor) }
                throw SocketFailure("bind \(source)")
            }
        }
        guard target.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else {
            defer { Foundation.close(descriptor) }
            throw SocketFailure("connect \(target)")
        }
        self.init(descriptor: descriptor)
    }

    deinit { close() }

    /// Our own end, as the other side sees it.
    var local: Endpoint {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &length) }
        }
        return Endpoint(IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SocketFailure("send") }
            sent += count
        }
    }

    /// Waits up to `limit` seconds for more bytes; nil if none came, else the end or how many came.
    private func receive(limit: Double) throws -> Result<Int, EndOfStream>? {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let ready = poll(&poller, 1, Int32(max(limit, 0) * 1_000))
        if ready == 0 || ready < 0 && errno == EINTR { return nil }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 {
            pending.append(contentsOf: buffer[..<count])
            return .success(count)
        }
        if count == 0 { return .failure(EndOfStream(end: .closed)) }
        if errno == ECONNRESET || errno == EPIPE { return .failure(EndOfStream(end: .reset)) }
        if errno == EINTR || errno == EAGAIN { return nil }
        throw SocketFailure("recv")
    }

    struct EndOfStream: Error { var end: StreamEnd }

    /// The next `count` bytes.
    func read(_ count: Int, limit: Double = 90) throws -> [UInt8] {
        let deadline = Clock.seconds + limit
        while pending.count < count {
            guard Clock.seconds < deadline else { throw SocketFailure("waiting for \(count) bytes", ETIMEDOUT) }
            if case .failure(let end)? = try receive(limit: deadline - Clock.seconds) {
                throw SocketFailure("the stream ended (\(end.end)) before \(count) bytes came, after \(pending.count)", ECONNRESET)
            }
        }
        defer { pending.removeFirst(count) }
        return Array(pending[..<count])
    }

    /// Reads whatever comes and waits for the end; nil if it did not come within `limit` seconds.
    func waitForEnd(limit: Double) throws -> StreamEnd? {
        let deadline = Clock.seconds + limit
        while Clock.seconds < deadline {
            if case .failure(let end)? = try receive(limit: deadline - Clock.seconds) { return end.end }
        }
        return nil
    }

    /// Stops sending; the other side reads an end.
    func shutdownSend() {
        Foundation.shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes with a reset instead of an end.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        close()
    }

    func close() {
        guard descriptor >= 0 else { return }
        Foundation.close(descriptor)
        descriptor = -1
    }
}

/// A listening socket.
final class RawListener: @unchecked Sendable {
    private let descriptor: Int32
    let endpoint: Endpoint

    init(on endpoint: Endpoint) throws {
        self.endpoint = endpoint
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        let descriptor = descriptor
        guard endpoint.withSockaddr({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 64) == 0 else {
            throw SocketFailure("listen on \(endpoint)")
        }
    }

    deinit { close(descriptor) }

    func accept(limit: Double = 90) throws -> RawPeer {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, Int32(limit * 1_000)) == 1 else { throw SocketFailure("nobody dialled \(endpoint)", ETIMEDOUT) }
        let accepted = Spawning.lock.withLock {
            let accepted = Foundation.accept(descriptor, nil, nil)
            if accepted >= 0 { _ = fcntl(accepted, F_SETFD, FD_CLOEXEC) }
            return accepted
        }
        guard accepted >= 0 else { throw SocketFailure("accept") }
        return RawPeer(descriptor: accepted)
    }
}

extension Endpoint {
    func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = self.address.v4Bits.bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}

/// Ports below the ephemeral range, each handed out once: two tests never meet.
enum Ports {
    private static let lock = NSLock()
    nonisolated(unsafe) private static var last: UInt16 = 20_000 + UInt16(getpid() % 100) * 100

    static func next() -> UInt16 {
        lock.withLock {
            while true {
                last = last >= 32_000 ? 20_000 : last + 1
                if !SocketTable.read(all: true).contains(where: { $0.local.port == last }) { return last }
            }
        }
    }

    /// A free endpoint on `address`.
    static func endpoint(_ address: String = "127.0.0.1") -> Endpoint {
        Endpoint(IPAddress(address)!, port: next())
    }
}
