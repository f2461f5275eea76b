// Who is let in: `admit` is the one gate for inbound sockets, asked at accept by address and again after the hello by
// identity. A slot belongs to a peer; pending sockets are a pool of their own. Counts are list lengths.

import Timers

extension Mesh {
    /// Room for one more regular peer, established or being dialled.
    var hasRegularRoom: Bool {
        #if MESH_CANARIES
            if has(.pendingTakesSlots), regularInUse + linkLists.count(LinkList.pending) >= Int(settings.regularSlots) {
                return false
            }
        #endif
        return regularInUse < Int(settings.regularSlots) && establishedCount + linkLists.count(LinkList.dialRegular) < Int(settings.maxPeers)
    }

    /// Regular slots taken: by established peers and by dials in flight.
    var regularInUse: Int { linkLists.count(LinkList.regular) + linkLists.count(LinkList.dialRegular) }

    var establishedCount: Int { linkLists.count(LinkList.regular) + linkLists.count(LinkList.masternode) }

    // At accept, by address.

    mutating func accept(ticket: UInt32, from remote: Endpoint, at now: Instant) {
        if let reason = admit(address: remote.address, at: now) {
            actions.append(.refuse(ticket: ticket, reason))
            return
        }
        let slot = makeLink(.inbound, remote: remote, state: .greeting, row: -1, at: now)
        if slot < 0 {
            actions.append(.refuse(ticket: ticket, .full))
        } else {
            // The driver must know the link before anything else is said of it.
            actions.append(.adopt(ticket: ticket, id(of: slot)))
        }
    }

    /// Why a socket from `address` is not even pending, or nil. A registered address takes the place of the oldest
    /// unknown one (trap 33).
    private mutating func admit(address: IPAddress, at now: Instant) -> CloseReason? {
        if isStopping || !isStarted { return .shutdown }
        let pending = linkLists.count(LinkList.pending)
        if bans.covering(address, at: now) != nil {
            // Told so in the answer to its hello, while there is room to spare; a foreign dialect has no such answer.
            if !settings.isNativeDialect || pending * 2 >= Int(settings.pendingLimit) { return .banned }
        }
        let (sameAddress, sameSubnet) = pendingNeighbours(of: address)
        let isCrowd = sameAddress >= Int(settings.pendingPerAddress) || sameSubnet >= Int(settings.pendingPerSubnet)
        let isFull = pending >= Int(settings.pendingLimit)
        if isCrowd || isFull {
            guard hasRegistered(address: address) else { return .full }
        }
        if isFull {
            let victim = oldestUnknownPending()
            guard victim >= 0 else { return .full }
            close(victim, .full, at: now)
        }
        return nil
    }

    private func pendingNeighbours(of address: IPAddress) -> (Int, Int) {
        let subnetBits = address.family == .v4 ? 24 : 48
        let block = address.block
        var sameAddress = 0
        var sameSubnet = 0
        var slot = linkLists.first(LinkList.pending)
        while slot >= 0 {
            let other = links[slot].remote.address
            if block.contains(other) { sameAddress += 1 }
            if other.shares(prefix: subnetBits, with: address) { sameSubnet += 1 }
            slot = linkLists.next(slot)
        }
        return (sameAddress, sameSubnet)
    }

    private func oldestUnknownPending() -> Int {
        var slot = linkLists.first(LinkList.pending)
        while slot >= 0 {
            if links[slot].state == .greeting, !hasRegistered(address: links[slot].remote.address) { return slot }
            slot = linkLists.next(slot)
        }
        return -1
    }

    // After the hello, by identity.

    /// The verdict on a link whose sender is told as far as it can be; duplicates are decided after this.
    mutating func admitGreeted(_ slot: Int, at now: Instant) -> Verdict {
        let link = links[slot]
        if let span = banLeft(for: link.remote.address, at: now) { return .banned(for: span) }
        let row = Int(link.row)
        if row >= 0 {
            if let span = banLeft(for: peers[row].endpoint.address, at: now) { return .banned(for: span) }
            // The second link of a peer needs no slot of its own.
            if peers[row].established >= 0 { return .accepted }
        }
        return makeSlot(for: row, link: slot, at: now) ? .accepted : .full
    }

    /// How long the ban on `address` lasts from now; nil if there is none.
    func banLeft(for address: IPAddress, at now: Instant) -> Nanoseconds? {
        bans.covering(address, at: now).map { $0.until == .never ? Nanoseconds(.max) : $0.until - now }
    }

    /// Whether the peer in `row` (-1: nobody's) has a slot, if need be by evicting a regular peer for a masternode that is
    /// proven or unrivalled; never a masternode for another.
    mutating func makeSlot(for row: Int, link slot: Int, at now: Instant) -> Bool {
        let isMasternode = row >= 0 && peers[row].role == .masternode
        guard isMasternode else {
            if row >= 0, peers[row].dial >= 0 {
                // Its own dial has taken a regular slot already.
                return establishedCount < Int(settings.maxPeers)
            }
            return hasRegularRoom
        }
        if establishedCount < Int(settings.maxPeers) { return true }
        switch links[slot].identity {
        case .dialled, .proven, .claimed: return evictRegular(at: now)
        case .weak, .pending, .anonymous: return false
        }
    }

    /// Closes the youngest regular peer. False if there is none.
    private mutating func evictRegular(at now: Instant) -> Bool {
        let victim = linkLists.last(LinkList.regular)
        guard victim >= 0 else { return false }
        turnAwayHeld(of: victim, at: now)
        close(victim, .evicted, at: now)
        return true
    }
}
