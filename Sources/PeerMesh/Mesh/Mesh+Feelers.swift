// How what was only told is tried: dials that are spaced by where they go, and now and then a feeler, a dial that needs no slot and ends
// with the hello. docs/Book.md says why.

import Timers

extension Mesh {
    // Spaced dials.

    /// When a new row may be dialled, as far as its address, its net and all other dials of the kind let it.
    func spacedUntil(_ row: Int) -> Instant {
        let address = peers[row].endpoint.address
        return paces.earliest(address: bookKey(address.block.address), net: bookKey(address.net), period: settings.targetPeriod)
    }

    /// What is left to wait for a row that waits for its turn in this: one that was booked when it was chosen does not.
    func spacing(of row: Int) -> Instant { peers[row].part == .new && !peers[row].isBooked ? spacedUntil(row) : .zero }

    mutating func bookDial(_ row: Int, at now: Instant) {
        let address = peers[row].endpoint.address
        paces.book(address: bookKey(address.block.address), net: bookKey(address.net), period: settings.targetPeriod, at: now)
    }

    // Feelers.

    mutating func armFeeler(at now: Instant) {
        wheel.arm(globalTimer(GlobalTimer.feeler), at: now + random.jitter(settings.feelerInterval, percent: settings.jitterPercent))
    }

    /// One new row, of up to `lotSize`, is dialled: what was told is tried, and the claim of a caller is verified, also while there is no
    /// slot. It waits for whoever else may be dialled.
    mutating func feel(at now: Instant) {
        let count = parts.newCount
        guard count > 0, !isStopping else { return }
        armFeeler(at: now)
        guard feeler < 0, peerLists.first(PeerList.readyUrgent) < 0, peerLists.first(PeerList.readyMasternode) < 0,
            peerLists.first(PeerList.readyNamed) < 0, dialBudget(of: PeerList.readyRegular, at: now) == nil
        else { return }
        let start = Int(random.next(below: UInt64(count)))
        for step in 0..<min(count, BookParts.lotSize) {
            let row = parts.row(atLot: step, from: start, of: .new)
            guard mayFeel(row, at: now) else { continue }
            if peers[row].hasLinks { peers[row].lastVerify = now }
            feeler = startDial(row, at: now)
            if feeler >= 0 { relist(feeler) }
            return
        }
    }

    /// A row that nobody has verified and nothing else is about to dial. One that is linked called us, in our dialect: its second link is
    /// answered and ends. If nobody answers there, it is not asked again before the time of a tombstone.
    private func mayFeel(_ row: Int, at now: Instant) -> Bool {
        let peer = peers[row]
        guard peer.desire == .learnt, !peer.isVerified, peer.dial < 0, peer.held < 0, spacedUntil(row) <= now else { return false }
        guard !isOurselves(peer, at: now), bans.covering(peer.endpoint.address, at: now) == nil else { return false }
        guard peer.established >= 0 else { return !peer.isChosen && peer.notBefore <= now && peer.tombstoneUntil <= now }
        let link = links[Int(peer.established)]
        guard link.isNative, link.direction == .inbound, link.rival < 0 else { return false }
        return peer.lastVerify.map { now - $0 >= settings.tombstoneTime } ?? true
    }
}
