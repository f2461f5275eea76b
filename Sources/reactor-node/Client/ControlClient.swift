// The command line's side of the control API: one request over a Unix socket, one answer. Blocking, small, without Foundation.

import Daemon
import Glibc

/// Why a command ended otherwise than well: one line for stderr and an exit status.
struct CommandFailure: Error, CustomStringConvertible {
    /// 1: the node said no. 64: a wrong value. 69: no node, or it does not answer. 70: an answer that is none.
    let status: Int32
    let description: String

    init(_ status: Int32, _ description: String) {
        self.status = status
        self.description = description
    }
}

/// An answer of the API.
struct Reply {
    let status: Int
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as JSON.
    func json() throws -> JSON {
        do { return try JSON(reading: body) } catch { throw CommandFailure(70, "the node's answer is not JSON: \(error)") }
    }

    /// The reply itself, or the problem that it tells of.
    func checked() throws -> Reply {
        guard status >= 400 else { return self }
        let detail = (try? JSON(reading: body))?["detail"]?.text ?? "the node answered with status \(status)"
        switch status {
        case 400, 422: throw CommandFailure(64, detail)
        case 503, 408: throw CommandFailure(69, detail)
        default: throw CommandFailure(1, detail)
        }
    }
}

/// One node's control socket.
struct ControlClient {
    let path: String
    /// How long the node may take.
    var seconds = 10

    /// Sends a request and reads the whole answer.
    func send(_ method: String, _ target: String, _ body: JSON? = nil) throws -> Reply {
        let descriptor = try open()
        defer { close(descriptor) }
        try write(request(method, target, body), to: descriptor)
        var bytes: [UInt8] = []
        while let part = try read(descriptor) { bytes += part }
        guard let (status, start) = ControlClient.head(of: bytes) else {
            throw CommandFailure(70, "\(path) does not answer as a node does")
        }
        return Reply(status: status, body: Array(bytes[start...]))
    }

    /// Follows a stream, line by line, until it ends or `line` returns false.
    func follow(_ target: String, _ line: (Substring) throws -> Bool) throws {
        var patient = self
        patient.seconds = 60
        let descriptor = try patient.open()
        defer { close(descriptor) }
        try write(request("GET", target, nil), to: descriptor)
        var bytes: [UInt8] = []
        var isBody = false
        while let part = try patient.read(descriptor) {
            bytes += part
            if !isBody, let (status, start) = ControlClient.head(of: bytes) {
                guard status == 200 else {
                    while let part = try read(descriptor) { bytes += part }
                    _ = try Reply(status: status, body: Array(bytes[start...])).checked()
                    return
                }
                bytes.removeFirst(start)
                isBody = true
            }
            while isBody, let end = bytes.firstIndex(of: 10) {
                let text = String(decoding: bytes[..<end], as: UTF8.self)
                bytes.removeFirst(end + 1)
                guard try line(text[...]) else { return }
            }
        }
    }

    private func request(_ method: String, _ target: String, _ body: JSON?) -> [UInt8] {
        let body = body.map { $0.isNull ? "" : $0.line } ?? ""
        // HTTP/1.0: the answer ends where the connection does.
        return Array("\(method) \(target) HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8)
    }

    private static func head(of bytes: [UInt8]) -> (status: Int, start: Int)? {
        let end: [UInt8] = [13, 10, 13, 10]
        guard bytes.count >= 16, let index = bytes.indices.dropLast(3).first(where: { bytes[$0] == 13 && Array(bytes[$0..<$0 + 4]) == end })
        else { return nil }
        let line = String(decoding: bytes.prefix { $0 != 13 }, as: UTF8.self).split(separator: " ")
        guard line.count >= 2, line[0].hasPrefix("HTTP/1."), let status = Int(line[1]) else { return nil }
        return (status, index + 4)
    }

    // MARK: The socket

    /// Whether somebody listens.
    var isAlive: Bool {
        guard let descriptor = try? open() else { return false }
        close(descriptor)
        return true
    }

    private func open() throws -> CInt {
        guard path.utf8.count < 108 else { throw CommandFailure(64, "the socket's path '\(path)' is longer than the system takes") }
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw CommandFailure(71, "cannot make a socket: \(ControlClient.text(errno))") }
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard UnixAddress(path).connect(descriptor) == 0 else {
            let code = errno
            close(descriptor)
            throw CommandFailure(69, "no node answers at \(path) (\(ControlClient.text(code))): start one with `reactor-node run`, or name its socket with --socket")
        }
        return descriptor
    }

    private func write(_ bytes: [UInt8], to descriptor: CInt) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            // The node may have answered already, and closed: what it said is read.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// The next bytes; nil at the end.
    private func read(_ descriptor: CInt) throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 || errno == ECONNRESET { return nil }
            if errno == EINTR { continue }
            throw CommandFailure(69, "the node at \(path) did not answer within \(seconds) s")
        }
    }

    static func text(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
}

extension ControlClient {
    /// The socket that commands go to: the one named, the environment's, or the only one of a node that runs here.
    static func find(_ named: String?) throws -> ControlClient {
        if let named { return ControlClient(path: named) }
        if let text = unsafe getenv("REACTOR_NODE_CONTROL_SOCKET"), let path = unsafe String(validatingCString: text), !path.isEmpty {
            return ControlClient(path: path)
        }
        let directories = ControlSettings.directories
        let live = directories.flatMap(sockets).filter { ControlClient(path: $0).isAlive }
        guard let first = live.first else {
            throw CommandFailure(
                69, "no node found; looked for sockets in \(directories.joined(separator: ", ")): "
                    + "start a node with `reactor-node run`, or name its socket with --socket")
        }
        guard live.count == 1 else {
            throw CommandFailure(64, "\(live.count) nodes run here; choose one with --socket: \(live.joined(separator: ", "))")
        }
        return ControlClient(path: first)
    }

    private static func sockets(in directory: String) -> [String] {
        guard let folder = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(folder) }
        var paths: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".sock") { paths.append("\(directory)/\(name)") }
        }
        return paths.sorted()
    }
}
