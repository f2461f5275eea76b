// A node's control API as a client meets it: HTTP by hand, so that it can be as rude as a test needs; and the command line.

import Daemon
import Foundation
import PeerMesh

/// A folder of its own for one test's sockets and states.
final class ControlFolder: Sendable {
    let path: String

    init() throws {
        // Short: a socket's path has 107 bytes.
        path = "/tmp/rn-\(getpid())-\(UUID().uuidString.prefix(6))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var socket: String { path + "/node.sock" }
}

/// One connection to a control socket.
final class ControlConnection {
    let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard UnixAddress(path).connect(descriptor) == 0 else {
            // The deinit closes it: everything is set.
            let code = errno
            throw Child.Failure.timeout("cannot connect to \(path): \(String(cString: strerror(code)))")
        }
    }

    /// The same over TCP.
    init(_ endpoint: Endpoint) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard endpoint.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else {
            // The deinit closes it: everything is set.
            let code = errno
            throw Child.Failure.timeout("cannot connect to \(endpoint): \(String(cString: strerror(code)))")
        }
    }

    deinit { close(descriptor) }

    /// Sends as much as the other side takes. False if it takes no more.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// What comes until a head's end: the answer's first line and its fields. Empty if the other side closes before.
    func readHead(limit: Int = 90) -> String {
        var wait = timeval(tv_sec: limit, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            let count = read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return "" }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Everything until the other side closes, or `limit` seconds are over without a byte.
    func readAll(limit: Int = 90) -> String {
        var wait = timeval(tv_sec: limit, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// An answer.
struct ControlReply {
    let status: Int
    let head: String
    let body: String

    init(_ text: String) throws {
        let parts = text.components(separatedBy: "\r\n\r\n")
        let words = text.split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { throw Child.Failure.timeout("no answer but '\(text.prefix(200))'") }
        self.status = status
        head = parts[0]
        body = parts.dropFirst().joined(separator: "\r\n\r\n")
    }

    func json() throws -> JSON { try JSON(reading: body.utf8) }
}

extension Node {
    /// Asks the node's API, in one connection.
    static func ask(_ socket: String, _ method: String, _ target: String, _ body: String = "") throws -> ControlReply {
        let connection = try ControlConnection(socket)
        connection.send(
            "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        return try ControlReply(connection.readAll())
    }

    /// Runs a command of the program against a node, to its end.
    static func command(_ socket: String, _ arguments: [String]) throws -> (status: Int32, lines: [String]) {
        let child = try Child(path, arguments + ["--socket", socket])
        let status = try child.waitForExit(limit: 60)
        return (status, child.lines().map(\.text))
    }
}
