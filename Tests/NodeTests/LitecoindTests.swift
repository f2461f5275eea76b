// Against a program that we did not write: Debian's litecoind, on a network of its own.

import Foundation
import PeerMesh
import Testing

@Suite("litecoind is our peer", .serialized, .enabled(if: Litecoind.path != nil, Comment(rawValue: Litecoind.missing)))
struct LitecoindTests {
    /// Keepalive in a second's rhythm; the dial's deadlines to match.
    static let timings = Node.fast + [
        "--ping-interval", "1s", "--pong-timeout", "1s", "--regular-misses", "3", "--greeting-timeout", "2s", "--probe-timeout", "500ms",
        "--dial-timeout", "2s",
    ]

    private static func node(_ more: [String], timings: [String] = timings) throws -> Node {
        try Node(listen: Ports.endpoint(), network: "litecoin-regtest", timings: timings, more)
    }

    private func isOurs(_ peer: [String: Any]) -> Bool {
        (peer["subver"] as? String)?.isEmpty == false
    }

    @Test("we dial it, and it lists us with a ping time", .timeLimit(.minutes(2)))
    func weDial() async throws {
        try await onThread {
            let litecoind = try Litecoind()
            let node = try Self.node(["--peer", "\(litecoind.endpoint)"])
            let line = try node.waitForLink(with: litecoind.endpoint)
            #expect(line["direction"] == "outbound")
            let peer = try litecoind.waitForPeer("us, inbound, with a ping time") {
                $0["inbound"] as? Bool == true && $0["pingtime"] is NSNumber
            }
            #expect((peer["version"] as? Int) == 70_016)
            #expect(try litecoind.peers().count == 1, "one link, not two")
        }
    }

    @Test("it dials us, and lists us with a ping time", .timeLimit(.minutes(2)))
    func itDials() async throws {
        try await onThread {
            let litecoind = try Litecoind()
            let node = try Self.node([])
            try litecoind.call("addnode", ["\(node.endpoint)", "add"])
            let line = try node.waitForLink(limit: 90)
            #expect(line["direction"] == "inbound")
            try litecoind.waitForPeer("us, outbound, with a ping time") {
                $0["inbound"] as? Bool == false && $0["pingtime"] is NSNumber
            }
        }
    }

    @Test("killed and started again, it is linked again without help", .timeLimit(.minutes(2)))
    func killed() async throws {
        try await onThread {
            let litecoind = try Litecoind()
            let node = try Self.node(["--peer", "\(litecoind.endpoint)"])
            try node.waitForLink(with: litecoind.endpoint)
            var mark = node.mark
            litecoind.kill()
            let end = try node.process.wait(for: "the link's end", from: mark) { $0.isEndOfLink && $0["peer"] == "\(litecoind.endpoint)" }
            #expect(end["reason"] == "remoteClosed" || end["reason"] == "io(104)", "\(end)")
            try node.process.wait(for: "refused dials while it is down", from: mark) { $0["reason"] == "refused" }
            mark = node.mark
            try litecoind.restart()
            try node.waitForLink(with: litecoind.endpoint, from: mark, limit: 60)
            try litecoind.waitForPeer("us again") { isOurs($0) }
        }
    }

    @Test("frozen, its link is closed within the keepalive bound and redialled; thawed, it is linked again", .timeLimit(.minutes(2)))
    func frozen() async throws {
        try await onThread {
            let litecoind = try Litecoind()
            let node = try Self.node(["--peer", "\(litecoind.endpoint)"])
            try node.waitForLink(with: litecoind.endpoint)
            try litecoind.waitForPeer("us with a ping time") { $0["pingtime"] is NSNumber }
            let mark = node.mark
            let start = Clock.seconds
            litecoind.freeze()
            defer { litecoind.thaw() }
            let end = try node.process.wait(for: "keepaliveTimeout", from: mark) { $0.isEndOfLink && $0["reason"] == "keepaliveTimeout" }
            // One interval until the next ping, then three misses of one second; and what a busy machine takes.
            #expect(end.readAt - start < 1 + 3 * 1 + 2.5, "\(end.readAt - start) s")
            // A frozen process's kernel still accepts: the redials end at the greeting.
            try node.process.wait(for: "a redial of the frozen peer", from: mark) { $0["reason"] == "greetingTimeout" || $0["reason"] == "dialTimeout" }
            let thaw = node.mark
            litecoind.thaw()
            try node.waitForLink(with: litecoind.endpoint, from: thaw, limit: 60)
        }
    }

    @Test("banned by it, we close with a typed reason, back off to the cap and never end", .timeLimit(.minutes(3)))
    func banned() async throws {
        try await onThread {
            let litecoind = try Litecoind()
            let node = try Self.node(["--peer", "\(litecoind.endpoint)"])
            try node.waitForLink(with: litecoind.endpoint)
            let mark = node.mark
            let first = litecoind.process.mark
            try litecoind.call("setban", ["127.0.0.1", "add", 3_600])
            let end = try node.process.wait(for: "the link's end", from: mark) { $0.isEndOfLink && $0["peer"] == "\(litecoind.endpoint)" }
            #expect(["remoteClosed", "io(104)"].contains(end["reason"]), "\(end)")
            // Its own log tells how often we came: the waits grow to the cap of 2 s and stay there, beyond the count of
            // failures at which a peer is given up or dialled slowly.
            let dials = 14
            func times() -> [Double] { litecoind.process.lines(from: first).filter { $0.text.contains("dropped (banned)") }.map(\.readAt) }
            let came = Clock.poll(limit: 90, every: 0.2) { times().count >= dials }
            #expect(came, "we came \(times().count) times only")
            let waits = zip(times().dropFirst(), times()).map { $0 - $1 }
            #expect((waits.first ?? 9) < 1.2, "the first waits are short: \(waits)")
            #expect(waits.max() ?? 0 > 1.5, "the cap is reached: \(waits)")
            #expect(waits.allSatisfy { $0 < 2 * 1.2 + 1.5 }, "the cap holds, and jitter is a fifth of it: \(waits)")
            #expect(node.process.isRunning)
            // And when it forgives, the link is there again.
            let forgiven = node.mark
            try litecoind.call("clearbanned")
            try node.waitForLink(with: litecoind.endpoint, from: forgiven, limit: 90)
        }
    }

    @Test(
        "the addresses that it tells us are learnt", .timeLimit(.minutes(6)),
        .enabled(if: LonelyLitecoind.canIsolate, "this needs `unshare -n` and `ip`: the dials to what is learnt must not leave the machine")
    )
    func addresses() async throws {
        try await onThread {
            let litecoind = try Litecoind.alone()
            for index in 0..<200 {
                try litecoind.call("addpeeraddress", ["8.\(index).8.8", 9_333])
            }
            // Nothing leads out of this pair's network: the dials to what we learnt fail at once, and the log names them.
            let node = try litecoind.neighbour(timings: Self.timings)
            try node.wait(for: "a link", limit: 60) { $0.isLink && $0["to"] == "established" }
            let line = try node.wait(for: "a learnt address", limit: 240) {
                ($0["peer"] ?? "").hasPrefix("8.") && ($0["peer"] ?? "").hasSuffix(".8.8:9333")
            }
            #expect(line["reason"].map { $0.hasPrefix("io(") } ?? true, "\(line)")
        }
    }
}
