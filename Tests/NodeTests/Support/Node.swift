// The real program, `reactor-node`, as a process.

import Foundation
import PeerMesh

/// A running `reactor-node run`.
final class Node: @unchecked Sendable {
    let endpoint: Endpoint
    let arguments: [String]
    private(set) var process: Child

    /// The executable beside the tests, or the one that `REACTOR_NODE` names.
    static let path: String = {
        if let path = ProcessInfo.processInfo.environment["REACTOR_NODE"], !path.isEmpty { return path }
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        var folder = URL(fileURLWithPath: tests).deletingLastPathComponent()
        for _ in 0..<6 {
            let candidate = folder.appendingPathComponent("reactor-node").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
            folder.deleteLastPathComponent()
        }
        // Where the test bundle was loaded by a runner of the toolchain's.
        for argument in CommandLine.arguments where argument.contains(".xctest") {
            let candidate = URL(fileURLWithPath: argument).deletingLastPathComponent().appendingPathComponent("reactor-node").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        return "reactor-node"
    }()

    /// Timings that make a test short; their proportions are those of the defaults. No feelers: each is a second link to its peer for a moment.
    static let fast = [
        "--backoff-initial", "300ms", "--backoff-max", "2s", "--passive-wait", "2s", "--discovery-interval", "5s", "--stable-after", "3s",
        "--feeler-interval", "1h",
    ]

    convenience init(
        listen endpoint: Endpoint, network: String = "time-testnet", timings: [String] = Node.fast, _ more: [String] = [],
        errors: Child.ErrorStream = .lines
    ) throws {
        try self.init(spawning: endpoint, network: network, timings: timings, more, errors: errors)
        try waitUntilListening()
    }

    /// Starts the process and waits for nothing.
    init(
        spawning endpoint: Endpoint, network: String, timings: [String], _ more: [String],
        errors: Child.ErrorStream = .lines
    ) throws {
        self.endpoint = endpoint
        arguments = ["run", "--network", network, "--listen", "\(endpoint)", "--log-format", "json", "--log-repeat", "0s"] + timings + more
        process = try Child(Node.path, arguments, name: "reactor-node \(endpoint)", errors: errors)
    }

    deinit { process.kill() }

    private func waitUntilListening() throws {
        let listens = Clock.poll(limit: 90, every: 0.02) { SocketTable.isListening(endpoint) || !process.isRunning }
        guard listens, process.isRunning else {
            throw Child.Failure.timeout("\(process.name) never listened. Its lines:\n  \(process.lines().map(\.text).joined(separator: "\n  "))")
        }
    }

    func kill() { process.kill() }

    func restart() throws {
        process = try Child(Node.path, arguments, name: "reactor-node \(endpoint)")
        try waitUntilListening()
    }

    /// Starts without waiting for anything.
    func restartAtOnce() throws {
        process = try Child(Node.path, arguments, name: "reactor-node \(endpoint)")
    }

    var mark: Int { process.mark }

    /// Waits for a link of `peer` to be established.
    @discardableResult
    func waitForLink(with peer: Endpoint? = nil, from mark: Int = 0, limit: Double = 90) throws -> LogLine {
        try process.wait(for: "an established link\(peer.map { " with \($0)" } ?? "")", from: mark, limit: limit) {
            $0.isLink && $0["to"] == "established" && (peer == nil || $0["peer"] == "\(peer!)")
        }
    }

    /// Waits for a line that names why something ended.
    @discardableResult
    func waitForReason(_ reason: String, from mark: Int = 0, limit: Double = 90) throws -> LogLine {
        try process.wait(for: "the reason \(reason)", from: mark, limit: limit) { $0["reason"] == reason }
    }
}

extension LogLine {
    /// A transition of a link; those of a peer's schedule are `peer` lines.
    var isLink: Bool { self["event"] == "link" }
    var isSchedule: Bool { self["event"] == "peer" }

    /// The record of a link that is over, or on its way out.
    var isEndOfLink: Bool { isLink && (self["to"] == "closed" || self["to"] == "draining") }
}
