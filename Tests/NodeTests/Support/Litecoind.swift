// A stock litecoind on a network of its own: the peer that we did not write.

import Foundation
import PeerMesh

final class Litecoind: @unchecked Sendable {
    let endpoint: Endpoint
    private let rpc: Endpoint
    /// Its second listener, which would otherwise have a fixed port: two of them must not meet.
    private let onion: UInt16
    private let directory: URL
    private let extra: [String]
    private(set) var process: Child

    /// Where the program is; nil if it is not installed.
    static let path: String? = ["/usr/bin/litecoind", "/usr/local/bin/litecoind"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    static let missing = "litecoind is not installed (apt-get install litecoind): the tests against it are skipped"

    init(extra: [String] = []) throws {
        endpoint = Ports.endpoint()
        rpc = Ports.endpoint()
        onion = Ports.next()
        self.extra = extra
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("reactor-litecoind-\(getpid())-\(endpoint.port)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        process = try Litecoind.launch(endpoint, rpc, onion, directory, extra)
        try waitUntilReady()
    }

    deinit {
        process.kill()
        try? FileManager.default.removeItem(at: directory)
    }

    private static func launch(
        _ endpoint: Endpoint, _ rpc: Endpoint, _ onion: UInt16, _ directory: URL, _ extra: [String]
    ) throws -> Child {
        guard let path else { throw SocketFailure(missing, ENOENT) }
        return try Child(
            path,
            [
                "-regtest", "-datadir=\(directory.path)", "-bind=\(endpoint)", "-bind=127.0.0.1:\(onion)=onion", "-listen=1", "-connect=0", "-rpcport=\(rpc.port)", "-rpcbind=127.0.0.1",
                "-rpcallowip=127.0.0.1", "-dnsseed=0", "-upnp=0", "-discover=0", "-listenonion=0", "-disablewallet", "-debug=net",
                "-logips=1", "-printtoconsole=1", "-fallbackfee=0.0001",
            ] + extra
        )
    }

    private func waitUntilReady() throws {
        let ready = Clock.poll(limit: 60) { (try? call("getblockcount")) != nil }
        guard ready else { throw Child.Failure.timeout("litecoind did not answer on \(rpc)") }
    }

    /// `kill -9`.
    func kill() { process.kill() }

    func restart() throws {
        process = try Litecoind.launch(endpoint, rpc, onion, directory, extra)
        try waitUntilReady()
    }

    func freeze() { process.signal(SIGSTOP) }
    func thaw() { process.signal(SIGCONT) }

    // MARK: JSON-RPC

    @discardableResult
    func call(_ method: String, _ parameters: [Any] = []) throws -> Any {
        let cookie = try String(contentsOf: directory.appendingPathComponent("regtest/.cookie"), encoding: .utf8)
        let body = try JSONSerialization.data(withJSONObject: ["id": 1, "method": method, "params": parameters] as [String: Any])
        let head = """
            POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Basic \(Data(cookie.utf8).base64EncodedString())\r\n\
            Content-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n
            """
        let peer = try RawPeer(to: rpc)
        try peer.send(Array(head.utf8) + Array(body))
        _ = try peer.waitForEnd(limit: 90)
        let answer = Data(peer.pending)
        guard let split = answer.range(of: Data("\r\n\r\n".utf8)),
            let object = try JSONSerialization.jsonObject(with: answer[split.upperBound...]) as? [String: Any]
        else { throw SocketFailure("\(method): \(String(decoding: answer.prefix(200), as: UTF8.self))", EPROTO) }
        if let error = object["error"] as? [String: Any] { throw SocketFailure("\(method): \(error)", EPROTO) }
        return object["result"] ?? NSNull()
    }

    /// What `getpeerinfo` lists.
    func peers() throws -> [[String: Any]] {
        try call("getpeerinfo") as? [[String: Any]] ?? []
    }

    /// Waits until `getpeerinfo` lists a peer that satisfies `predicate`.
    @discardableResult
    func waitForPeer(_ what: String, limit: Double = 90, where predicate: ([String: Any]) -> Bool = { _ in true }) throws -> [String: Any] {
        var found: [String: Any]?
        _ = Clock.poll(limit: limit, every: 0.1) {
            found = (try? peers())?.first(where: predicate)
            return found != nil
        }
        guard let found else { throw Child.Failure.timeout("litecoind's getpeerinfo never showed \(what); it shows \((try? peers()) ?? [])") }
        return found
    }
}

/// A litecoind in a network of its own, out of which no packet can go: it may know any address.
final class LonelyLitecoind: @unchecked Sendable {
    let endpoint = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 19_555)
    private let directory: URL
    private let process: Child

    static let canIsolate: Bool = {
        guard let child = try? Child("unshare", ["-n", "sh", "-c", "ip link set lo up"]) else { return false }
        return (try? child.waitForExit(limit: 90)) == 0
    }()

    fileprivate init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("reactor-lonely-\(getpid())-\(Ports.next())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let options = "-regtest -datadir=\(directory.path) -bind=\(endpoint) -listen=1 -connect=0 -dnsseed=0 -upnp=0 -discover=0 -listenonion=0 -disablewallet -debug=net -logips=1 -printtoconsole=1"
        process = try Child("unshare", ["-n", "sh", "-c", "ip link set lo up && exec \(Litecoind.path ?? "litecoind") \(options)"], name: "litecoind")
        let ready = Clock.poll(limit: 60, every: 0.3) { (try? call("getblockcount", [])) != nil }
        guard ready else {
            throw Child.Failure.timeout("litecoind did not start: \(process.lines().suffix(5).map(\.text))")
        }
    }

    deinit {
        process.kill()
        try? FileManager.default.removeItem(at: directory)
    }

    /// Runs a program inside.
    private func inside(_ program: String, _ arguments: [String], name: String) throws -> Child {
        try Child("nsenter", ["-t", "\(process.pid)", "-n", program] + arguments, name: name)
    }

    func call(_ method: String, _ parameters: [Any]) throws {
        let cli = try inside("litecoin-cli", ["-regtest", "-datadir=\(directory.path)", method] + parameters.map { "\($0)" }, name: method)
        let code = try cli.waitForExit()
        guard code == 0 else { throw Child.Failure.timeout("\(method) ended with \(code): \(cli.lines().map(\.text))") }
    }

    /// A node beside it that dials it.
    func neighbour(timings: [String]) throws -> Child {
        try inside(
            Node.path,
            ["run", "--network", "litecoin-regtest", "--listen", "127.0.0.1:19666", "--peer", "\(endpoint)", "--log-format", "json", "--log-level", "debug"] + timings,
            name: "reactor-node"
        )
    }
}

extension Litecoind {
    static func alone() throws -> LonelyLitecoind { try LonelyLitecoind() }
}
