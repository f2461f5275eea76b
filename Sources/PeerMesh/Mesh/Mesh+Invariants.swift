// The promises that hold after every event, as code: the simulator, the tests and debug drivers ask for the first one
// that is broken. O(table).

public import Timers

extension Mesh {
    /// The first invariant that does not hold, in words; nil if all do.
    public func brokenInvariant(at now: Instant) -> String? {
        if contradictions > 0 { return "the table contradicted itself \(contradictions) times" }
        return linkInvariant() ?? peerInvariant(at: now) ?? slotInvariant() ?? registryInvariant() ?? bookInvariant()
    }

    /// Invariants 1 and 3 of links: one owner each, and one deadline or a named event for each waiting state.
    private func linkInvariant() -> String? {
        for slot in 0..<links.count {
            let link = links[slot]
            let row = Int(link.row)
            if let broken = probeInvariant(slot) { return broken }
            if linkLists.list(of: slot) != list(for: slot) { return "link \(slot) is counted for what it is not" }
            let isStranger = list(for: slot) == LinkList.inbound || list(for: slot) == LinkList.outbound
            if neighbours.isListed(slot) != isStranger { return "link \(slot) is not counted by its subnet, or is and is no stranger's" }
            switch link.state {
            case .closed:
                if wheel.isArmed(slot) { return "link \(slot) is closed and has a deadline" }
            case .connecting, .securing:
                if row < 0 || peers[row].dial != Int32(slot) { return "dial \(slot) is not its peer's" }
                if !wheel.isArmed(slot) { return "dial \(slot) has no deadline" }
            case .greeting:
                if link.direction == .outbound, row < 0 || peers[row].dial != Int32(slot) {
                    return "greeting dial \(slot) is not its peer's"
                }
                if !wheel.isArmed(slot) { return "greeting link \(slot) has no deadline" }
            case .held:
                let incumbent = Int(link.rival)
                if incumbent < 0 { return "held link \(slot) has no incumbent" }
                if link[.isProbed] { return "held link \(slot) is probed itself" }
                if row >= 0, peers[row].held != Int32(slot) { return "held link \(slot) is not its peer's" }
            case .established:
                if row >= 0, peers[row].established != Int32(slot) { return "link \(slot) is a second one of its peer" }
                if !wheel.isArmed(slot) { return "established link \(slot) has no deadline" }
                if isForgottenSurplus(slot) { return "surplus link \(slot) waits for nobody" }
            case .draining:
                if !wheel.isArmed(slot) { return "draining link \(slot) has no deadline" }
            }
        }
        return nil
    }

    /// Both ends of a probe name each other, and one of them is asked for life; what waits in a probe is held, or nobody's.
    private func probeInvariant(_ slot: Int) -> String? {
        let link = links[slot]
        let rival = Int(link.rival)
        guard rival >= 0 else { return link[.isProbed] && link.state != .closed ? "link \(slot) is probed for nobody" : nil }
        if links[rival].rival != Int32(slot) { return "the rival of link \(slot) has another one" }
        if link[.isProbed] == links[rival][.isProbed] { return "links \(slot) and \(rival) do not share one probe" }
        if !link[.isProbed], link.state != .held, link.state != .established || link.row >= 0 { return "link \(slot) waits in a probe, and is a peer's" }
        if link[.isProbed], link.state != .established { return "link \(slot) is probed, and not established" }
        return nil
    }

    /// Rule 6 of the duplicates: while a nobody's link shows the nonce of a peer's link, that one is asked for life, for this
    /// link's sake or for another's.
    private func isForgottenSurplus(_ slot: Int) -> Bool {
        let link = links[slot]
        guard link.identity == .anonymous, link.isNative, link.rival < 0, !isStopping, let nonce = link.nonce else { return false }
        return rowFreeForSurplus(nonce, after: -1) >= 0
    }

    /// Invariants 1, 3 and 4 of peers.
    private func peerInvariant(at now: Instant) -> String? {
        for row in 0..<rowLimit where peers[row].isUsed {
            let peer = peers[row]
            if peer.established >= 0 {
                let link = links[Int(peer.established)]
                if link.state != .established || link.row != Int32(row) { return "\(row)'s established link is not" }
            }
            if peer.held >= 0, links[Int(peer.held)].state != .held { return "\(row)'s held link is not" }
            if peer.dial >= 0 {
                let link = links[Int(peer.dial)]
                if link.direction != .outbound || link.row != Int32(row) { return "\(row)'s dial is not" }
                if link.state != .connecting, link.state != .securing, link.state != .greeting { return "\(row)'s dial is over" }
            }
            let isBusy = hasLiveLink(row) || peer.dial >= 0
            if named.isListed(row) != peer.desire.contains(.operator) { return "\(row) is not found by its address as the operator's" }
            if isBusy != (peer.schedule == .none) { return "\(row)'s schedule is \(peer.schedule) with busy \(isBusy)" }
            switch peer.schedule {
            case .none, .off: break
            case .ready:
                let list = peerLists.list(of: row)
                if list != readyList(for: row) {
                    return "\(row) is ready and on list \(list), not \(readyList(for: row))"
                }
            case .wait(let until, _):
                guard let deadline = wheel.deadline(of: rowTimer(row)) else { return "\(row) waits without a deadline" }
                if deadline > until { return "\(row) waits beyond its time" }
            }
            if isStarted, !isStopping, peer.desire.contains(.registry), !peer.isBeyondTable, !isOurselves(peer, at: now) {
                // One that has just ceased to be ourselves is off until its timer, which is due, is handed out.
                let isDue = wheel.isArmed(rowTimer(row))
                if case .off(let why) = peer.schedule, why != .banned, !isDue { return "wanted masternode \(row) is off: \(why)" }
            }
        }
        return nil
    }

    /// Invariant 2.
    private func slotInvariant() -> String? {
        if establishedCount > Int(settings.maxPeers) { return "\(establishedCount) established of \(settings.maxPeers)" }
        var regular = establishedRegular
        var slot = linkLists.first(LinkList.dialRegular)
        while slot >= 0 {
            let row = Int(links[slot].row)
            if row < 0 || peers[row].established < 0 { regular += 1 }
            slot = linkLists.next(slot)
        }
        for row in 0..<rowLimit where peers[row].isUsed && peers[row].keepsSlot && peers[row].established >= 0 { regular -= 1 }
        if regular > Int(settings.regularSlots) { return "\(regular) regular peers of \(settings.regularSlots)" }
        if linkLists.count(LinkList.pending) > Int(settings.pendingLimit) { return "the pending pool overflows" }
        if linkLists.count(LinkList.draining) > Int(settings.drainingLimit) { return "the draining pool overflows" }
        return nil
    }
}
