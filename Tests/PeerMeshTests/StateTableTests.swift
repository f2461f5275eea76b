import Foundation
import Testing
import Timers

@testable import PeerMesh

/// docs/StateMachine.md holds two tables that are written by the code itself: each state is set up in a shipped `Mesh`, each
/// event is handed to it, and what comes out is the cell. The test compares; `REACTOR_WRITE_DOCS=1` writes.
@Suite("The state tables in the docs are the code's")
struct StateTableTests {
    private static let own = peer(5)
    private static let other = peer(9)

    // Links.

    /// A link in each state, and a harness that holds it.
    private enum LinkSetup: String, CaseIterable {
        case connecting, greetingOut = "greeting (dialled)", greetingIn = "greeting (accepted)", held, established, draining
        case closed = "closed (an old generation)"
    }

    /// A harness whose `subject` is in that state.
    private func set(_ setup: LinkSetup) -> Harness {
        var h = Harness(started: false, own: Self.own)
        _ = h.tell(.registered(Self.other))
        let actions = h.tell(.start)
        for case .dial(let link, _) in actions { h.subject = link }
        let dial = h.subject!
        switch setup {
        case .connecting: break
        case .greetingOut: _ = h.tell(.connected(dial))
        case .greetingIn: h.subject = h.accept(from: Endpoint(Self.other.address, port: 50_000))
        case .held:
            _ = h.tell(.connected(dial))
            _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: Self.other, nonce: 9, verdict: .accepted)))
            _ = h.wait(.seconds(26))
            h.subject = h.inbound(peer: Self.other, nonce: 9).0
        case .established, .draining, .closed:
            _ = h.tell(.connected(dial))
            _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: Self.other, nonce: 9, verdict: .accepted)))
            if setup == .established { break }
            _ = h.tell(.disconnect(Self.other))
            if setup == .closed { _ = h.tell(.ended(dial, .remoteClosed)) }
        }
        return h
    }

    private func linkEvents(_ link: LinkID) -> [(String, Event?)] {
        func hello(_ verdict: Verdict?, nonce: UInt64 = 9) -> Event {
            .hello(link, Hello(isNative: true, endpoint: Self.other, nonce: nonce, verdict: verdict))
        }
        return [
            ("connected", .connected(link)), ("dialFailed(refused)", .dialFailed(link, .refused)),
            ("received", .received(link, frames: 1, partial: 0)), ("sent", .sent(link, bytes: 33, controlEmpty: true)),
            ("ended(remoteClosed)", .ended(link, .remoteClosed)), ("ended(protocolViolation)", .ended(link, .protocolViolation)),
            ("hello (no verdict)", hello(nil)), ("hello (accepted)", hello(.accepted)), ("hello (duplicate)", hello(.duplicate)),
            ("hello (full)", hello(.full)), ("hello (banned)", hello(.banned(for: .seconds(60)))),
            ("hello (our own nonce)", hello(nil, nonce: Harness.nonce)), ("ping", .ping(link, nonce: 1)),
            ("pong", .pong(link, nonce: 1)), ("asked", .asked(link)), ("learnt", .learnt(link, peer(30))),
            ("disconnect", .disconnect(Self.other)), ("ban", .ban(Subnet(Self.other.address), until: .never, by: .operator)),
            ("unregistered", .unregistered(Self.other)), ("shutdown", .shutdown), ("its deadline", nil),
        ]
    }

    private func words(_ action: Action, of link: LinkID) -> String? {
        switch action {
        case .adopt, .refuse, .bookFull, .banFull: nil
        case .dial(let it, _): it == link ? "dial" : "dial again"
        case .greet(link): "send hello"
        case .answer(link, let verdict, _): "answer \(name(verdict))"
        case .ping(let it, _): it == link ? "send ping" : "ping the incumbent"
        case .pong(link, _): "send pong"
        case .ask(link): "ask for peers"
        case .share(link): "tell peers"
        case .up(let it, _): it == link ? "up" : "the other is up"
        case .down(let it, _, let reason): it == link ? "down(\(reason.name))" : "the other is down(\(reason.name))"
        case .drain(let it, let reason): it == link ? "drain(\(reason.name))" : "drain the other(\(reason.name))"
        case .close(let it, let reason): it == link ? "close(\(reason.name))" : "close the other(\(reason.name))"
        case .greet, .answer, .pong, .ask, .share: "on another link"
        }
    }

    private func name(_ verdict: Verdict) -> String {
        switch verdict {
        case .accepted: "accepted"
        case .duplicate: "duplicate"
        case .full: "full"
        case .banned: "banned"
        }
    }

    private func linkCell(_ setup: LinkSetup, _ index: Int) -> String {
        var h = set(setup)
        let link = h.subject!
        let before = h.mesh.link(link)?.state
        let (_, event) = linkEvents(link)[index]
        let actions: [Action]
        if let event {
            actions = h.tell(event)
        } else if let deadline = h.mesh.link(link)?.deadline {
            actions = h.wait(deadline - h.now)
        } else {
            // A held link has none of its own: its incumbent's probe ends it.
            actions = setup == .held ? h.wait(.seconds(5)) : []
        }
        let after = h.mesh.link(link)?.state
        var seen: [String] = []
        for word in actions.compactMap({ words($0, of: link) }) where seen.last != word { seen.append(word) }
        if before == after, seen.isEmpty { return "·" }
        let target = before == after ? "" : "**→ \(after.map { "\($0)" } ?? "closed")** "
        return target + seen.joined(separator: ", ")
    }

    private func linkTable() -> String {
        let setups = LinkSetup.allCases
        var lines = ["| event | " + setups.map(\.rawValue).joined(separator: " | ") + " |"]
        lines.append("|---" + String(repeating: "|---", count: setups.count) + "|")
        let count = linkEvents(LinkID(slot: 0, generation: 0)).count
        for index in 0..<count {
            let name = linkEvents(LinkID(slot: 0, generation: 0))[index].0
            lines.append("| \(name) | " + setups.map { linkCell($0, index) }.joined(separator: " | ") + " |")
        }
        return lines.joined(separator: "\n")
    }

    // Schedules.

    private enum PeerSetup: String, CaseIterable {
        case dialling = "none (dialling)", linked = "none (linked)", backoff = "wait (backoff)", theirTurn = "wait (their turn)"
        case dormant = "wait (dormant)", full = "wait (full)", ready = "ready (no slot)", banned = "off (banned)"
        case ourselves = "off (ourselves)", notChosen = "off (not chosen)", unknown = "not in the book"
    }

    private func set(_ setup: PeerSetup) -> Harness {
        func refused(_ h: inout Harness) {
            let dial = h.mesh.peer(at: Self.other, now: h.now)!.dial!
            _ = h.tell(.dialFailed(dial, .refused))
        }
        var h = Harness(started: false, own: setup == .theirTurn ? peer(20) : Self.own) {
            $0.role = .masternode
            $0.maxPeers = 2
            $0.reservedSlots = setup == .ready ? 2 : 0
        }
        switch setup {
        case .ready, .ourselves: _ = h.tell(.connect(Self.other))
        case .notChosen, .unknown: break
        default: _ = h.tell(.registered(Self.other))
        }
        _ = h.tell(.start)
        switch setup {
        case .dialling, .theirTurn, .ready, .unknown: break
        case .linked:
            let dial = h.mesh.peer(at: Self.other, now: h.now)!.dial!
            _ = h.tell(.connected(dial))
            _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: Self.other, nonce: 9, verdict: .accepted)))
        case .backoff: refused(&h)
        case .dormant:
            for _ in 0..<20 {
                refused(&h)
                while h.mesh.peer(at: Self.other, now: h.now)?.dial == nil { _ = h.wait(.seconds(1)) }
            }
            refused(&h)
        case .full, .ourselves:
            let dial = h.mesh.peer(at: Self.other, now: h.now)!.dial!
            _ = h.tell(.connected(dial))
            let nonce: UInt64 = setup == .full ? 9 : Harness.nonce
            _ = h.tell(.hello(dial, Hello(isNative: true, endpoint: Self.other, nonce: nonce, verdict: .full)))
            _ = h.tell(.ended(dial, .remoteClosed))
        case .banned: _ = h.tell(.ban(Subnet(Self.other.address), until: .never, by: .operator))
        case .notChosen:
            let (link, _) = h.inbound(peer: Self.other)
            _ = h.tell(.ended(link!, .remoteClosed))
        }
        return h
    }

    private static let peerEvents: [(String, Event?)] = [
        ("registered", .registered(other)), ("unregistered", .unregistered(other)), ("connect", .connect(other)),
        ("disconnect", .disconnect(other)), ("redial", .redial(other)),
        ("ban", .ban(Subnet(other.address), until: .never, by: .operator)), ("unban", .unban(Subnet(other.address))),
        ("trust", .trust(Subnet(other.address))), ("untrust", .untrust(Subnet(other.address))),
        ("moved to another address", .moved(from: other, to: peer(31))), ("ownEndpoint (that one)", .ownEndpoint(other)),
        ("start", .start), ("shutdown", .shutdown), ("inbound hello", .accepted(ticket: 0, from: other)), ("its deadline", nil),
    ]

    private func name(_ h: borrowing Harness) -> String {
        guard let report = h.mesh.peer(at: Self.other, now: h.now) else { return "not in the book" }
        switch report.schedule {
        case .none: return report.dial != nil ? "none (dialling)" : "none (linked)"
        case .wait(_, let why): return "wait (\(why))"
        case .ready: return "ready"
        case .off(let why): return "off (\(why))"
        }
    }

    private func peerCell(_ setup: PeerSetup, _ index: Int) -> String {
        var h = set(setup)
        let before = name(h)
        switch Self.peerEvents[index].1 {
        case .accepted?: _ = h.inbound(peer: Self.other, nonce: 9)
        case let event?: _ = h.tell(event)
        case nil:
            guard let peer = h.mesh.peer(at: Self.other, now: h.now) else { return "·" }
            switch peer.schedule {
            case .wait(let until, _): _ = h.wait(until - h.now)
            case .off(.ourselves): _ = h.wait(.seconds(3_601))
            case .none, .ready, .off: return "·"
            }
        }
        let after = name(h)
        return before == after ? "·" : after
    }

    private func peerTable() -> String {
        let setups = PeerSetup.allCases
        var lines = ["| event | " + setups.map(\.rawValue).joined(separator: " | ") + " |"]
        lines.append("|---" + String(repeating: "|---", count: setups.count) + "|")
        for index in Self.peerEvents.indices {
            lines.append("| \(Self.peerEvents[index].0) | " + setups.map { peerCell($0, index) }.joined(separator: " | ") + " |")
        }
        return lines.joined(separator: "\n")
    }

    @Test("docs/StateMachine.md says what the code does, for every state and event")
    func tables() throws {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/StateMachine.md").standardized
        var text = try String(contentsOf: page, encoding: .utf8)
        let tables = [("links", linkTable()), ("schedules", peerTable())]
        for (name, table) in tables {
            let begin = try #require(text.range(of: "<!-- \(name): written by StateTableTests -->\n"))
            let end = try #require(text.range(of: "\n<!-- end of \(name) -->"))
            if ProcessInfo.processInfo.environment["REACTOR_WRITE_DOCS"] == "1" {
                text.replaceSubrange(begin.upperBound..<end.lowerBound, with: table)
            } else {
                #expect(String(text[begin.upperBound..<end.lowerBound]) == table, "REACTOR_WRITE_DOCS=1 writes the tables anew")
            }
        }
        if ProcessInfo.processInfo.environment["REACTOR_WRITE_DOCS"] == "1" {
            try text.write(to: page, atomically: true, encoding: .utf8)
        }
    }
}
