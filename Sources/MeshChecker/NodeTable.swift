// The nodes of the model as an automaton that is found out step by step: a node's state is a shipped `Mesh` at its own
// clock; equal ones (canonically) are one entry, and what an event does to one is computed once by `Mesh.handle`.

import PeerMesh
import Timers

/// What happens to one node.
enum LocalEvent: Hashable {
    /// A connection is accepted; its link becomes the node's `rank`-th.
    case accept(rank: Int, from: Int, isAway: Bool)
    case deliver(rank: Int, Packet, from: Int)
    /// The earliest armed deadline fires, whenever that is.
    case timer
    /// Time passes and nothing fires.
    case elapse(Nanoseconds)
    case disconnect(Int)
    case redial(Int)
    case ban(Int)
    case unban(Int)
    case strike(Int)
    case enroll(Int)
}

/// What a node does in answer.
enum LocalOutput: Hashable {
    /// Opens a connection; its link is the node's last.
    case dial(to: Int)
    case send(rank: Int, Packet)
    /// Ends the sending side: the link stays until the other end closes.
    case drain(rank: Int)
    case close(rank: Int)
    /// The accepted socket never became a link.
    case refuse
}

struct LocalStep {
    var node: Int32
    var outputs: [LocalOutput]
    var invariant: String?
}

/// A mesh that nothing changes any more.
final class FrozenMesh {
    let mesh: Mesh

    init(_ mesh: consuming Mesh) {
        self.mesh = mesh
    }
}

struct NodeEntry {
    var node: Int
    var mesh: FrozenMesh
    var now: Instant
    /// Live links in the order of the connections that they belong to.
    var links: [LinkID]
    /// From now to the earliest armed deadline; `.max` if none is.
    var untilDue: UInt64
    /// Of this node's links: their states, for the judge.
    var states: [LinkState]
    /// A link that merged by nonce waits for the incumbent's sign of life: rule 6 of the duplicates is at work.
    var hasSurplus: Bool
}

/// 128 bits of a canonical state: two independent mixes. With 10^8 states a collision has a chance of about 10^-22.
struct Fingerprint: Hashable, CanonicalSink {
    var a: UInt64 = 0x243f_6a88_85a3_08d3
    var b: UInt64 = 0x1319_8a2e_0370_7344

    mutating func feed(_ word: UInt64) {
        a = (a ^ word) &* 0x9e37_79b9_7f4a_7c15
        a ^= a >> 29
        b = (b &+ word) &* 0xc2b2_ae3d_27d4_eb4f
        b ^= b >> 31
    }
}

struct NodeTable {
    let model: Model
    private(set) var entries: [NodeEntry] = []
    private var known: [Fingerprint: Int32] = [:]
    private var steps: [UInt64: Int32] = [:]
    private var results: [LocalStep] = []
    private var eventNumbers: [LocalEvent: Int] = [:]
    /// Calls of `Mesh.handle` and `Mesh.advance` that were really made.
    private(set) var calls = 0

    init(_ model: Model) {
        self.model = model
    }

    subscript(_ index: Int32) -> NodeEntry { entries[Int(index)] }

    /// A process at its start.
    mutating func fresh(_ node: Int, incarnation: Int) -> LocalStep {
        let start = Instant(nanoseconds: 1_000_000_000_000)
        var mesh = Mesh(model.settings(node, incarnation: incarnation), now: start)
        if !model.stateless.contains(node) { mesh.handle(.ownEndpoint(Model.endpoint(node)), at: start) }
        for other in 0..<model.nodes where other != node {
            switch model.desire {
            case .registry: mesh.handle(.registered(Model.endpoint(other)), at: start)
            case .operators: mesh.handle(.connect(Model.endpoint(other)), at: start)
            case .both:
                mesh.handle(.registered(Model.endpoint(other)), at: start)
                mesh.handle(.connect(Model.endpoint(other)), at: start)
            case .onlyA: if other == 0 { mesh.handle(.registered(Model.endpoint(other)), at: start) }
            }
        }
        mesh.handle(.start, at: start)
        return finish(node, mesh, now: start, links: [])
    }

    /// What `event` does to the node in state `index`.
    mutating func step(_ index: Int32, _ event: LocalEvent) -> LocalStep {
        let number: Int
        if let seen = eventNumbers[event] { number = seen } else {
            number = eventNumbers.count
            eventNumbers[event] = number
        }
        let key = UInt64(UInt32(bitPattern: index)) << 32 | UInt64(number)
        if let result = steps[key] { return results[Int(result)] }
        let result = compute(entries[Int(index)], event)
        steps[key] = Int32(results.count)
        results.append(result)
        return result
    }

    private mutating func compute(_ entry: NodeEntry, _ event: LocalEvent) -> LocalStep {
        var now = entry.now
        var links = entry.links
        if case .elapse(let span) = event {
            return finish(entry.node, entry.mesh.mesh.clone(), now: now + span, links: links)
        }
        var mesh = entry.mesh.mesh.clone()
        calls += 1
        switch event {
        case .accept(let rank, let from, let isAway):
            mesh.handle(.accepted(ticket: UInt32(rank), from: model.source(from, isAway: isAway)), at: now)
            return finish(entry.node, mesh, now: now, links: links, acceptRank: rank)
        case .deliver(let rank, let packet, let from):
            deliver(packet, links[rank], from, &mesh, now)
        case .timer:
            now = max(now, mesh.exactDeadline())
            mesh.advance(to: now)
        case .elapse: break
        case .disconnect(let other): mesh.handle(.disconnect(Model.endpoint(other)), at: now)
        case .redial(let other): mesh.handle(.redial(Model.endpoint(other)), at: now)
        case .ban(let other):
            mesh.handle(.ban(Subnet(Model.endpoint(other).address), until: .never, by: .operator), at: now)
        case .unban(let other): mesh.handle(.unban(Subnet(Model.endpoint(other).address)), at: now)
        case .strike(let other): mesh.handle(.unregistered(Model.endpoint(other)), at: now)
        case .enroll(let other): mesh.handle(.registered(Model.endpoint(other)), at: now)
        }
        links = entry.links
        return finish(entry.node, mesh, now: now, links: links)
    }

    private func deliver(_ packet: Packet, _ link: LinkID, _ from: Int, _ mesh: inout Mesh, _ now: Instant) {
        switch packet {
        case .syn: preconditionFailure("a connect is accepted, not delivered")
        case .synAck: mesh.handle(.connected(link), at: now)
        case .refused: mesh.handle(.dialFailed(link, .refused), at: now)
        case .hello(let verdict, let incarnation):
            mesh.handle(.received(link, frames: 1, partial: 0), at: now)
            let hello = Hello(
                isNative: true, endpoint: model.stateless.contains(from) ? nil : Model.endpoint(from),
                nonce: Model.nonce(from, incarnation: incarnation), verdict: verdict, version: 2
            )
            mesh.handle(.hello(link, hello), at: now)
        case .ping:
            mesh.handle(.received(link, frames: 1, partial: 0), at: now)
            mesh.handle(.ping(link, nonce: 1), at: now)
        case .pong:
            mesh.handle(.received(link, frames: 1, partial: 0), at: now)
            mesh.answerPing(link, at: now)
        case .fin: mesh.handle(.ended(link, .remoteClosed), at: now)
        case .reset: mesh.handle(.ended(link, .io(104)), at: now)
        }
    }

    /// Takes the actions out, and finds or makes the entry of the state that is left.
    private mutating func finish(
        _ node: Int, _ mesh: consuming Mesh, now: Instant, links before: [LinkID], acceptRank: Int? = nil
    ) -> LocalStep {
        var mesh = mesh
        var links = before
        var outputs: [LocalOutput] = []
        func rank(_ link: LinkID) -> Int { links.firstIndex(of: link) ?? -1 }
        while let action = mesh.nextAction() {
            switch action {
            case .adopt(_, let link): links.insert(link, at: acceptRank ?? links.count)
            case .refuse: outputs.append(.refuse)
            case .dial(let link, let endpoint):
                links.append(link)
                outputs.append(.dial(to: (0..<model.nodes).first { Model.endpoint($0) == endpoint } ?? node))
            case .greet(let link): outputs.append(.send(rank: rank(link), hello(mesh, nil)))
            case .answer(let link, let verdict, _): outputs.append(.send(rank: rank(link), hello(mesh, verdict)))
            case .ping(let link, _):
                outputs.append(.send(rank: rank(link), .ping))
                mesh.handle(.sent(link, bytes: 33, controlEmpty: true), at: now)
            case .pong(let link, _): outputs.append(.send(rank: rank(link), .pong))
            case .drain(let link, _): outputs.append(.drain(rank: rank(link)))
            case .close(let link, _): outputs.append(.close(rank: rank(link)))
            case .up, .down, .ask, .share, .bookFull, .banFull: break
            }
        }
        while mesh.nextTransition() != nil {}
        // Ranks in the outputs count closed links still; the entry's list does not.
        let closed = outputs.compactMap { output -> Int? in if case .close(let rank) = output { rank } else { nil } }
        links = links.enumerated().filter { !closed.contains($0.offset) }.map(\.element)
        let invariant = mesh.brokenInvariant(at: now)
        return LocalStep(node: intern(node, mesh, now: now, links: links), outputs: outputs, invariant: invariant)
    }

    private func hello(_ mesh: borrowing Mesh, _ verdict: Verdict?) -> Packet {
        .hello(verdict: verdict, incarnation: Int(mesh.settings.nonce % 100))
    }

    private mutating func intern(_ node: Int, _ mesh: consuming Mesh, now: Instant, links: [LinkID]) -> Int32 {
        var print = Fingerprint()
        print.feed(mesh.settings.nonce)
        func number(_ link: LinkID) -> UInt64 { UInt64(links.firstIndex(of: link) ?? 0xfffe) }
        mesh.feedCanonicalPeers(into: &print, at: now, nonceNumber: { $0 }, linkNumber: number)
        for link in links { mesh.feedCanonical(link, into: &print, at: now, nonceNumber: { $0 }, linkNumber: number) }
        if let index = known[print] { return index }
        let index = Int32(entries.count)
        let deadline = mesh.exactDeadline()
        let states = links.map { mesh.link($0)?.state ?? .closed }
        let hasSurplus = mesh.hasSurplusUnderProbe
        entries.append(
            NodeEntry(
                node: node, mesh: FrozenMesh(mesh), now: now, links: links,
                untilDue: deadline == .never ? .max : (deadline - now).count, states: states, hasSurplus: hasSurplus
            ))
        known[print] = index
        return index
    }
}
