// One mesh and its driver's side by hand: events in, actions out, for tests that look at one rule at a time.

import Testing
import Timers

@testable import PeerMesh

/// A mesh whose every action is collected, at a clock that the test moves.
struct Harness: ~Copyable {
    var mesh: Mesh
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var tickets: UInt32 = 0
    /// The link that a test is about.
    var subject: LinkID?
    /// The driver reports a ping as taken as soon as it is queued.
    var kernelTakesPings = true
    /// A peer that sends frames lives: its pong is among them.
    var framesBringPongs = true
    /// Events that were told, and deadlines that came.
    private(set) var eventCount = 0
    static let nonce: UInt64 = 0x5eed

    init(started: Bool = true, own: Endpoint? = nil, configure: (inout MeshSettings) -> Void = { _ in }) {
        var settings = MeshSettings(nonce: Harness.nonce, seed: 1)
        settings.jitterPercent = 0
        settings.bookCapacity = 512
        // A dial by lot is no part of what most tests look at.
        settings.feelerInterval = .seconds(10_000_000)
        configure(&settings)
        mesh = Mesh(settings, now: now)
        mesh.handle(.ownEndpoint(own), at: now)
        if started { mesh.handle(.start, at: now) }
        _ = take()
    }

    /// Handles the event, checks the invariants, and returns what is to be done.
    mutating func tell(_ event: Event, sourceLocation: SourceLocation = #_sourceLocation) -> [Action] {
        mesh.handle(event, at: now)
        if framesBringPongs, case .received(let link, let frames, _) = event, frames > 0 { mesh.answerPing(link, at: now) }
        eventCount += 1
        #expect(mesh.brokenInvariant(at: now) == nil, sourceLocation: sourceLocation)
        return take()
    }

    /// Moves the clock, stopping at every deadline on the way, and returns all that is to be done.
    mutating func wait(_ span: Nanoseconds, sourceLocation: SourceLocation = #_sourceLocation) -> [Action] {
        let end = now + span
        var actions: [Action] = []
        while let deadline = mesh.nextDeadline, deadline <= end {
            now = max(now, deadline)
            mesh.advance(to: now)
            eventCount += 1
            #expect(mesh.brokenInvariant(at: now) == nil, sourceLocation: sourceLocation)
            actions += take()
        }
        now = end
        mesh.advance(to: now)
        return actions + take()
    }

    mutating func take() -> [Action] {
        var actions: [Action] = []
        while let action = mesh.nextAction() {
            actions.append(action)
            if kernelTakesPings, case .ping(let link, _) = action {
                mesh.handle(.sent(link, bytes: 33, controlEmpty: true), at: now)
            }
        }
        while mesh.nextTransition() != nil {}
        return actions
    }

    /// Accepts a socket; the link, or nil if it was refused.
    mutating func accept(from remote: Endpoint) -> LinkID? {
        tickets += 1
        for action in tell(.accepted(ticket: tickets, from: remote)) {
            if case .adopt(_, let link) = action { return link }
        }
        return nil
    }

    /// A whole inbound greeting; what was answered, and the link if it was accepted.
    mutating func inbound(_ hello: Hello, from remote: Endpoint) -> (LinkID?, Verdict?) {
        guard let link = accept(from: remote) else { return (nil, nil) }
        for action in tell(.hello(link, hello)) {
            if case .answer(link, let verdict, _) = action { return (link, verdict) }
        }
        return (link, nil)
    }

    /// A masternode's inbound greeting from its own endpoint.
    mutating func inbound(peer: Endpoint, nonce: UInt64 = 77) -> (LinkID?, Verdict?) {
        inbound(
            Hello(isNative: true, endpoint: peer, nonce: nonce), from: Endpoint(peer.address, port: UInt16(40_000 + tickets % 20_000)))
    }

    /// Answers the dial to `endpoint` among `actions` until it is established.
    mutating func dialled(_ endpoint: Endpoint, in actions: [Action], nonce: UInt64 = 99, isNative: Bool = true) -> LinkID? {
        for action in actions {
            if case .dial(let link, endpoint) = action {
                _ = tell(.connected(link))
                _ = tell(.hello(link, Hello(isNative: isNative, endpoint: endpoint, nonce: nonce, verdict: .accepted)))
                return link
            }
        }
        return nil
    }

    func dials(_ actions: [Action]) -> [Endpoint] {
        actions.compactMap { if case .dial(_, let endpoint) = $0 { endpoint } else { nil } }
    }

    mutating func view(_ endpoint: Endpoint) -> PeerView? {
        mesh.peer(at: endpoint, now: now)?.view
    }

    mutating func failures(_ endpoint: Endpoint) -> UInt32? {
        mesh.peer(at: endpoint, now: now)?.failures
    }
}

func peer(_ index: Int) -> Endpoint { World.endpoint(index) }
