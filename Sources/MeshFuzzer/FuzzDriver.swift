// A driver that performs nothing and checks what it is told: each action concerns a link that is open, each link is opened and closed
// once, and what comes up goes down.

import PeerMesh
import Timers

/// What a driver knows of its links, by slot.
struct FuzzDriver {
    enum Standing {
        case closed
        case open
        case up
        case draining
    }

    private(set) var standings: [Standing]
    private var generations: [UInt32]
    private(set) var pings: [UInt64]
    /// The first action that contradicts the ones before.
    private(set) var fault: String?
    /// The most actions that one event has caused.
    private(set) var mostActions = 0

    init(capacity: Int) {
        standings = Array(repeating: .closed, count: capacity)
        generations = Array(repeating: 0, count: capacity)
        pings = Array(repeating: 0, count: capacity)
    }

    /// The link in this slot, as the driver knows it.
    func link(_ slot: Int) -> LinkID { LinkID(slot: UInt32(slot), generation: generations[slot]) }

    /// Takes all actions and checks them. The links that want peers are answered.
    mutating func perform(_ mesh: inout Mesh, ticket: UInt32?, at now: Instant) {
        var ticket = ticket
        var count = 0
        while let action = mesh.nextAction() {
            count += 1
            switch action {
            case .adopt(let told, let id):
                expect(told == ticket, action)
                ticket = nil
                open(id, action)
            case .refuse(let told, _):
                expect(told == ticket, action)
                ticket = nil
            case .dial(let id, _): open(id, action)
            case .greet(let id), .answer(let id, _, _), .pong(let id, _), .ask(let id): expect(isOpen(id), action)
            case .share(let id):
                expect(isOpen(id), action)
                mesh.sharePeers(with: id, at: now) { _ in true }
            case .ping(let id, let nonce):
                expect(standing(id) == .up, action)
                pings[Int(id.slot)] = nonce
            case .up(let id, _): move(id, from: .open, to: .up, action)
            case .down(let id, _, _): move(id, from: .up, to: .open, action)
            case .drain(let id, _): move(id, from: .open, to: .draining, action)
            case .close(let id, _):
                expect(standing(id) == .open || standing(id) == .draining, action)
                standings[Int(id.slot)] = .closed
            case .bookFull, .banFull: break
            }
        }
        if ticket != nil, fault == nil { fault = "an accepted socket was neither adopted nor refused" }
        mostActions = max(mostActions, count)
        while mesh.nextTransition() != nil {}
    }

    private func standing(_ id: LinkID) -> Standing {
        generations[Int(id.slot)] == id.generation ? standings[Int(id.slot)] : .closed
    }

    private func isOpen(_ id: LinkID) -> Bool { standing(id) == .open || standing(id) == .up }

    private mutating func open(_ id: LinkID, _ action: Action) {
        expect(standings[Int(id.slot)] == .closed, action)
        standings[Int(id.slot)] = .open
        generations[Int(id.slot)] = id.generation
    }

    private mutating func move(_ id: LinkID, from: Standing, to: Standing, _ action: Action) {
        expect(standing(id) == from, action)
        standings[Int(id.slot)] = to
    }

    private mutating func expect(_ holds: Bool, _ action: Action) {
        if !holds, fault == nil { fault = "\(action) does not follow from the actions before" }
    }
}
