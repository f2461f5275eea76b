// The diary: what becomes a `Transition`. Formatting is another thread's; here a record costs one copy.

import Timers

extension Mesh {
    mutating func record(_ slot: Int, from: LinkState, to: LinkState, reason: CloseReason?, at now: Instant) {
        let link = links[slot]
        let row = Int(link.row)
        append(
            Transition(
                at: now, subject: .link(id(of: slot), from: from, to: to, direction: link.direction),
                endpoint: row >= 0 ? peers[row].endpoint : link.remote, isPeer: row >= 0,
                role: row >= 0 ? peers[row].role : .regular, reason: reason,
                failures: row >= 0 ? peers[row].failures : 0, next: row >= 0 ? nextStep(of: row) : .never
            ))
    }

    mutating func record(_ row: Int, from: PeerView, to: PeerView, at now: Instant) {
        append(
            Transition(
                at: now, subject: .peer(from: from, to: to), endpoint: peers[row].endpoint, isPeer: true,
                role: peers[row].role, reason: peers[row].lastReason, failures: peers[row].failures, next: nextStep(of: row)
            ))
    }

    private mutating func append(_ transition: Transition) {
        if transitions.isFull { lostTransitions += 1 } else { transitions.append(transition) }
    }

    /// When the peer's schedule takes its next step by itself.
    func nextStep(of row: Int) -> Instant {
        switch peers[row].schedule {
        case .wait(let until, _): until
        case .ready, .none: .never
        case .off: wheel.deadline(of: rowTimer(row)) ?? .never
        }
    }

    /// How the peer stands, for people.
    func view(of row: Int) -> PeerView {
        let peer = peers[row]
        if peer.established >= 0 { return .established }
        if peer.held >= 0 { return .greeting }
        if peer.dial >= 0 { return links[Int(peer.dial)].state == .connecting ? .dialing : .greeting }
        switch peer.schedule {
        case .none, .ready: return .idle
        case .wait(_, let why):
            switch why {
            case .backoff: return .backoff
            case .theirTurn: return .awaitingInbound
            case .dormant: return .dormant
            case .full, .bannedThere, .weakLink, .crowded, .spaced: return .backoff
            }
        case .off(let why):
            return why == .banned ? .banned : .idle
        }
    }
}
