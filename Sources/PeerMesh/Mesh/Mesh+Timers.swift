// Which wheel index means what, and what happens when it fires. Link timers first, then rows, then the few global ones.

import Timers

/// The timers that belong to no link and no row.
enum GlobalTimer {
    /// The dial rate allows one more.
    static let dialRate = 0
    /// Phase 3.
    static let discovery = 1
    /// Learnt peers came: fill the slots that are left.
    static let fill = 2
    /// Something that was only told is tried.
    static let feeler = 3
    static let count = 4
}

extension Mesh {
    func rowTimer(_ row: Int) -> Int { links.count + row }
    func globalTimer(_ timer: Int) -> Int { links.count + peers.count + timer }

    mutating func fire(_ timer: Int, at now: Instant) {
        if timer < links.count {
            linkDue(timer, at: now)
        } else if timer < links.count + peers.count {
            rowDue(timer - links.count, at: now)
        } else {
            switch timer - links.count - peers.count {
            case GlobalTimer.dialRate: break  // `pump` follows every advance.
            case GlobalTimer.discovery: discover(at: now)
            case GlobalTimer.fill: fillRegularSlots(at: now)
            case GlobalTimer.feeler: feel(at: now)
            case let other: preconditionFailure("no timer \(other)")
            }
        }
    }

    /// The deadline of a link in its present state; `.never` where another event is named as its end.
    @inline(__always)
    func deadline(ofLink slot: Int) -> Instant {
        switch links[slot].state {
        case .closed: .never
        case .connecting: links[slot].since + settings.dialTimeout
        case .securing, .greeting: links[slot].since + settings.greetingTimeout
        case .held: .never  // Its incumbent's probe ends it.
        case .established: min(keepaliveDeadline(ofLink: slot), frameDeadline(ofLink: slot), probeUntil(ofLink: slot))
        case .draining: links[slot].since + settings.drainTimeout
        }
    }

    mutating func armLink(_ slot: Int) {
        let deadline = deadline(ofLink: slot)
        if deadline == .never { wheel.cancel(slot) } else { wheel.arm(slot, at: deadline) }
    }

    mutating func linkDue(_ slot: Int, at now: Instant) {
        switch links[slot].state {
        case .closed, .held: contradicted(slot, at: now)  // Neither has a deadline.
        case .connecting: close(slot, .dialTimeout, at: now)
        case .securing, .greeting: close(slot, .greetingTimeout, at: now)
        case .established: establishedDue(slot, at: now)
        case .draining: close(slot, links[slot].reason, at: now)
        }
    }

    mutating func rowDue(_ row: Int, at now: Instant) {
        guard peers[row].isUsed else { return }
        if peers[row].demoteAt <= now { demote(row, at: now) }
        refresh(row, at: now)
    }
}
