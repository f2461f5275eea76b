// Strangers that do everything wrong: each ends for its own typed reason, within its own deadline, by name in the log;
// and a link beside them does not notice.

import Foundation
import PeerMesh
import Testing

/// A link that behaves: it answers every ping and remembers how long it had to wait for one.
final class GoodNeighbour: @unchecked Sendable {
    private let peer: RawPeer
    private let lock = NSLock()
    private var pings = 0
    private var lastPing = Clock.seconds
    private var longest = 0.0
    private var failure: String?
    private var isOver = false

    init(of node: Endpoint, at address: String) throws {
        peer = try RawPeer.linked(to: node, from: Endpoint(IPAddress(address)!, port: 0))
        lastPing = Clock.seconds
        Thread.detachNewThread { [self] in
            while !lock.withLock({ isOver }) {
                do {
                    let frame = try peer.readTimeFrame(limit: 1)
                    guard frame.type == 36 else { continue }
                    try peer.send(TimeFrames.pong(frame.nonce))
                    lock.withLock {
                        pings += 1
                        longest = max(longest, Clock.seconds - lastPing)
                        lastPing = Clock.seconds
                    }
                } catch {
                    if "\(error)".contains("waiting for 4") { continue }
                    lock.withLock { failure = "\(error)" }
                    return
                }
            }
        }
    }

    deinit { lock.withLock { isOver = true } }

    /// Pings answered so far; the longest time between two, the one that is running included; what broke the link.
    var report: (pings: Int, longestGap: Double, failure: String?) {
        lock.withLock { (pings, max(longest, Clock.seconds - lastPing), failure) }
    }
}

@Suite("bad input")
struct BadInputTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        /// The reasons that the log may give; the first is the one that is expected, others are the same fact as the kernel may tell it.
        var reasons: [String]
        /// Seconds within which the link is over, from the start of the misbehaviour.
        var within: Double
        var isGreeted = false
        var act: @Sendable (RawPeer) throws -> Void

        var testDescription: String { name }
    }

    /// Deadlines of seconds instead of minutes.
    static let timings = [
        "--ping-interval", "1s", "--pong-timeout", "1s", "--regular-misses", "3", "--greeting-timeout", "2s", "--probe-timeout", "500ms",
        "--frame-timeout", "3s", "--drain-timeout", "1s", "--discovery-interval", "1h",
    ]

    private static let slack = 8.0

    private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { TimeFrames.little(value) }

    /// One byte a second until the other side has had enough.
    @Sendable private static func drip(_ peer: RawPeer, _ bytes: [UInt8]) throws {
        for byte in bytes {
            do { try peer.send([byte]) } catch { return }
            if try peer.waitForEnd(limit: 1) != nil { return }
        }
    }

    static let cases: [Case] = [
        Case(name: "a frame over the limit", reasons: ["frameTooLarge"], within: slack, isGreeted: true) {
            try $0.send(TimeFrames.big(9_437_185) + little(UInt32(1)))
        },
        Case(name: "text where a length should be", reasons: ["desync"], within: slack, isGreeted: true) {
            try $0.send(Array("192.0.2.80:24100".utf8))
        },
        Case(name: "a web browser", reasons: ["desync"], within: slack) {
            try $0.send(Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8))
        },
        Case(name: "a wrong magic", reasons: ["wrongNetwork"], within: slack) {
            try $0.send(TimeFrames.handshake(magic: [0xc0, 0x1d, 0x7e, 0x4d], network: "mainnet"))
        },
        Case(name: "another network's name", reasons: ["wrongNetwork"], within: slack) {
            try $0.send(TimeFrames.handshake(network: "mainnet"))
        },
        Case(name: "a hello that is cut short", reasons: ["protocolViolation"], within: slack) {
            try $0.send(TimeFrames.frame(little(UInt32(10)) + TimeFrames.testnetMagic + [2, 0]))
        },
        Case(name: "a hello whose name claims to be longer than the world", reasons: ["protocolViolation"], within: slack) {
            try $0.send(TimeFrames.frame(little(UInt32(10)) + TimeFrames.testnetMagic + little(UInt32(2)) + little(UInt64.max) + [1, 2, 3]))
        },
        Case(name: "a message before the hello", reasons: ["protocolViolation"], within: slack) {
            try $0.send(TimeFrames.ping(7))
        },
        Case(name: "a hello of somebody else's", reasons: ["desync", "protocolViolation", "frameTooLarge"], within: slack) {
            // Bitcoin's version message opens with a magic and a command.
            try $0.send([0xfa, 0xbf, 0xb5, 0xda] + Array("version".utf8) + [0, 0, 0, 0, 0, 102, 0, 0, 0])
        },
        Case(name: "a malformed ping after the hello", reasons: ["protocolViolation"], within: slack, isGreeted: true) {
            try $0.send(TimeFrames.frame(little(UInt32(36)) + [1, 2, 3]))
        },
        Case(name: "a list of peers that claims more entries than it has bytes", reasons: ["protocolViolation"], within: slack, isGreeted: true) {
            try $0.send(TimeFrames.frame(little(UInt32(43)) + little(UInt64(1) << 60)))
        },
        Case(name: "a peer that never speaks", reasons: ["greetingTimeout"], within: 2 + slack) { _ in },
        Case(name: "a hello at one byte a second", reasons: ["greetingTimeout"], within: 2 + slack) {
            try drip($0, TimeFrames.handshake())
        },
        Case(name: "a frame at one byte a second", reasons: ["frameTimeout"], within: 3 + slack, isGreeted: true) {
            try drip($0, TimeFrames.application(500, Array(repeating: 7, count: 64)))
        },
        Case(name: "a peer that falls silent", reasons: ["keepaliveTimeout"], within: 1 + 3 + slack, isGreeted: true) { _ in },
        Case(name: "an end in mid-frame", reasons: ["remoteClosed"], within: slack, isGreeted: true) {
            try $0.send(TimeFrames.big(100) + [1, 2, 3])
            $0.shutdownSend()
        },
        Case(name: "an end before the hello", reasons: ["remoteClosed"], within: slack) { $0.shutdownSend() },
        Case(name: "a reset", reasons: ["io(104)", "remoteClosed"], within: slack, isGreeted: true) { $0.reset() },
        Case(name: "a reset before the hello", reasons: ["io(104)", "remoteClosed"], within: slack) { $0.reset() },
    ]

    @Test("each kind ends for its own reason, in its own time, named in the log, and no other link notices", .timeLimit(.minutes(5)))
    func badInput() async throws {
        let node = try await onThread { try Node(listen: Ports.endpoint("127.0.2.1"), timings: Self.timings) }
        let neighbour = try await onThread { try GoodNeighbour(of: node.endpoint, at: "127.0.3.1") }
        // All at once: they must not notice each other either. Each comes from an address of its own.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, item) in Self.cases.enumerated() {
                group.addTask {
                    try await onThread { try Self.run(item, on: node, from: "127.0.4.\(index + 1)") }
                }
            }
            try await group.waitForAll()
        }
        // It lives on for a few pings more.
        let before = neighbour.report.pings
        #expect(Clock.poll(limit: 90) { neighbour.report.pings >= before + 2 })
        let report = neighbour.report
        #expect(report.failure == nil)
        #expect(report.longestGap < 1.5 * 1.2 + 20, "a ping was late: \(report)")
        #expect(node.process.isRunning)
    }

    private static func run(_ item: Case, on node: Node, from address: String) throws {
        let source = Endpoint(IPAddress(address)!, port: 0)
        let peer = item.isGreeted ? try RawPeer.linked(to: node.endpoint, from: source) : try RawPeer(to: node.endpoint, from: source)
        let name = "\(peer.local)"
        let mark = 0
        let start = Clock.seconds
        try item.act(peer)
        let line = try node.process.wait(for: "the end of \(item.name) (\(name))", from: mark, limit: item.within + 20) {
            $0.isEndOfLink && $0["peer"] == name
        }
        #expect(item.reasons.contains(line["reason"] ?? ""), "\(item.name): \(line)")
        #expect(line.readAt - start < item.within, "\(item.name) took \(line.readAt - start) s")
        // Nothing stays open: the socket itself ends too.
        #expect(try item.name.contains("reset") || peer.waitForEnd(limit: 90) != nil, "\(item.name): the socket is still open")
    }

    @Test("strangers who say hello, then nonsense, then reset, write no more than the log's bound, and are counted", .timeLimit(.minutes(3)))
    func logFlood() async throws {
        try await onThread {
            let node = try Node(listen: Ports.endpoint("127.0.98.1"), timings: Self.timings, ["--control-socket", "none", "--log-repeat", "2s", "--ban-score", "1000000"])
            let (began, mark) = (Clock.seconds, node.mark)
            var calls = 0
            while Clock.seconds - began < 4 {
                // Of two nets, and of ever new ports.
                let source = Endpoint(IPAddress(v4: 127, 0, UInt8(98 + calls % 2), UInt8(2 + calls % 200)), port: 0)
                guard let peer = try? RawPeer(to: node.endpoint, from: source) else { continue }
                try? peer.send(TimeFrames.handshake())
                try? peer.send([UInt8](repeating: 0xff, count: 64))
                peer.reset()
                calls += 1
            }
            let span = Clock.seconds - began
            try node.process.wait(for: "the count", from: mark) { $0["net"] != nil && $0["repeated"] != nil }
            let lines = node.process.lines(from: mark)
            let bytes = lines.map(\.text.utf8.count).reduce(0, +)
            print("\(calls) callers in \(span) s: \(lines.count) lines, \(Double(bytes) / span) bytes a second")
            #expect(calls > 50)
            // 1,000 lines at once and 100 a second, at most.
            #expect(Double(lines.count) < 1_000 + 200 * (Clock.seconds - began), "\(lines.count) lines")
            #expect(lines.count < calls, "\(lines.count) lines of \(calls) callers")
        }
    }

    @Test("the log names a dialled stranger's fault too", .timeLimit(.minutes(2)))
    func dialledStranger() async throws {
        try await onThread {
            let listener = try RawListener(on: Ports.endpoint("127.0.5.1"))
            let node = try Node(listen: Ports.endpoint("127.0.5.2"), timings: Self.timings + Node.fast.dropLast(2), ["--peer", "\(listener.endpoint)"])
            // It accepts, reads our hello, and talks nonsense. On a busy machine the greeting's deadline may come first: then again.
            var mark = node.mark
            while true {
                let stranger = try listener.accept()
                if let hello = try? stranger.readTimeFrame() { #expect(hello.type == 10) }
                try? stranger.send(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
                let line = try node.process.wait(for: "the link's end", from: mark) { $0.isEndOfLink && $0["peer"] == "\(listener.endpoint)" }
                mark = node.mark
                if line["reason"] == "greetingTimeout" { continue }
                #expect(line["reason"] == "desync", "\(line)")
                break
            }
            // Then it accepts and says nothing: the greeting's deadline ends it, and a redial comes all the same.
            mark = node.mark
            let second = try listener.accept()
            let end = try node.process.wait(for: "the end of the silent one", from: mark) { $0.isEndOfLink && $0["reason"] == "greetingTimeout" }
            #expect(end["peer"] == "\(listener.endpoint)")
            second.close()
            let third = try listener.accept()
            #expect(try third.readTimeFrame().type == 10)
        }
    }
}
