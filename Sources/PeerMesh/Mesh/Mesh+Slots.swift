// Who is let in: `admit` is the one gate for inbound sockets, asked at accept by address and again after the hello by
// identity. A slot belongs to a peer; pending sockets are a pool of their own. Counts are list lengths. Who makes room is
// `Mesh+Eviction.swift`.

import Timers

extension Mesh {
    /// Regular slots taken: by established peers and by dials to learnt peers. Never more than there are.
    var regularTaken: Int { establishedRegular + linkLists.count(LinkList.dialRegular) }

    /// Regular slots in use: those taken, and those that an operator's peers which are likely to answer are being dialled for.
    var regularInUse: Int { regularTaken + linkLists.count(LinkList.dialNamed) }

    var establishedRegular: Int {
        linkLists.count(LinkList.inbound) + linkLists.count(LinkList.outbound) + linkLists.count(LinkList.named)
    }

    var establishedCount: Int { establishedRegular + linkLists.count(LinkList.masternode) }

    /// Slots in use of strangers that this node dials.
    private var outboundInUse: Int { linkLists.count(LinkList.outbound) + linkLists.count(LinkList.dialRegular) }

    /// Room for one more regular peer, established or being dialled.
    var hasRegularRoom: Bool { hasRoom(beside: regularInUse) }

    /// Room for a stranger that called in: beside the slots that are kept for those that this node dials.
    var hasInboundRoom: Bool {
        // Where strangers make room, an operator's peer that is being dialled keeps none out meanwhile.
        let inUse = settings.regularSlots < MeshSettings.contestedSlots ? regularInUse : regularTaken
        return hasRoom(beside: inUse + max(Int(settings.effectiveOutboundSlots) - outboundInUse, 0))
    }

    /// Room for a dial to a learnt peer: in the slots that discovery fills, or in those that are kept for dials.
    var hasOutboundRoom: Bool {
        hasRegularRoom && (regularInUse < Int(settings.filledSlots) || outboundInUse < Int(settings.effectiveOutboundSlots))
    }

    /// Learnt peers that discovery may choose beside those that are linked.
    var outboundPlaces: Int {
        let kept = min(Int(settings.effectiveOutboundSlots) - linkLists.count(LinkList.outbound), Int(settings.regularSlots) - establishedRegular)
        return max(kept, Int(settings.filledSlots) - establishedRegular)
    }

    /// A place for one more of the operator's peers: strangers make room for it, masternodes and others of the operator's do not. Dials to
    /// those that failed count for each other alone.
    func hasNamedRoom(for list: Int) -> Bool {
        let slow = list == PeerList.readyNamedSlow ? linkLists.count(LinkList.dialNamedSlow) : 0
        return linkLists.count(LinkList.named) + linkLists.count(LinkList.dialNamed) + slow < namedPlaces
    }

    private var namedPlaces: Int { min(Int(settings.regularSlots), Int(settings.maxPeers) - linkLists.count(LinkList.masternode)) }

    private func hasRoom(beside inUse: Int) -> Bool {
        #if MESH_CANARIES
            if has(.pendingTakesSlots), inUse + linkLists.count(LinkList.pending) >= Int(settings.regularSlots) { return false }
        #endif
        return inUse < Int(settings.regularSlots) && linkLists.count(LinkList.masternode) + inUse < Int(settings.maxPeers)
    }

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

    /// Why a socket from `address` is not even pending, or nil. An address where a registered masternode or an operator's peer lives
    /// takes the place of the oldest unknown one (trap 33).
    private mutating func admit(address: IPAddress, at now: Instant) -> CloseReason? {
        if isStopping || !isStarted { return .shutdown }
        let pending = linkLists.count(LinkList.pending)
        if bans.covering(address, at: now) != nil {
            // Told so in the answer to its hello, while there is room to spare; a foreign dialect has no such answer.
            if !settings.isNativeDialect || pending * 2 >= Int(settings.pendingLimit) { return .banned }
        }
        let (sameAddress, sameSubnet) = pendingNeighbours(of: address)
        let isFull = pending >= Int(settings.pendingLimit)
        if isKnown(address) {
            if sameAddress >= pendingShare(ofKnown: address) { return .full }
        } else if isFull || sameAddress >= Int(settings.pendingPerAddress) || sameSubnet >= Int(settings.pendingPerSubnet) {
            return .full
        }
        if isFull {
            let victim = oldestUnknownPending()
            guard victim >= 0 else { return .full }
            close(victim, .full, at: now)
        }
        return nil
    }

    /// Whether a registered masternode or an operator's peer lives at `address`.
    private func isKnown(_ address: IPAddress) -> Bool { hasRegistered(address: address) || hasNamed(address: address) }

    /// Whether the operator names a peer at `address`. O(1), as `hasRegistered(address:)`.
    private func hasNamed(address: IPAddress) -> Bool {
        var row = named.first(under: address.blockKey)
        var looked = 0
        while row >= 0, looked < Self.blockReach, peers[row].endpoint.address != address {
            row = named.next(after: row)
            looked += 1
        }
        return row >= 0
    }

    /// Sockets of a known address that may be pending: two for each peer that lives there, and a quarter of the pool is for others.
    private func pendingShare(ofKnown address: IPAddress) -> Int {
        let most = Int(settings.pendingLimit - settings.pendingLimit / 4)
        var share = 0
        var row = registered.first(inBlockOf: address)
        while row >= 0, share < most {
            share += 2
            row = registered.next(after: row)
        }
        row = named.first(under: address.blockKey)
        while row >= 0, share < most {
            share += 2
            row = named.next(after: row)
        }
        return max(min(share, most), Int(settings.pendingPerAddress))
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
            if links[slot].state == .greeting, !isKnown(links[slot].remote.address) { return slot }
            slot = linkLists.next(slot)
        }
        return -1
    }

    // After the hello, by identity.

    /// The verdict on a link whose sender is told as far as it can be, and the reason for a `full` one; duplicates are decided after this.
    mutating func admitGreeted(_ slot: Int, at now: Instant) -> (Verdict, CloseReason) {
        let link = links[slot]
        if let span = banLeft(for: link.remote.address, at: now) { return (.banned(for: span), .banned) }
        let row = Int(link.row)
        if row >= 0 {
            if let span = banLeft(for: peers[row].endpoint.address, at: now) { return (.banned(for: span), .banned) }
            // The second link of a peer needs no slot of its own.
            if peers[row].established >= 0 { return (.accepted, .full) }
        }
        if let reason = makeSlot(for: row, link: slot, at: now) { return (.full, reason) }
        return (.accepted, .full)
    }

    /// How long the ban on `address` lasts from now; nil if there is none.
    func banLeft(for address: IPAddress, at now: Instant) -> Nanoseconds? {
        bans.covering(address, at: now).map { $0.until == .never ? Nanoseconds(.max) : $0.until - now }
    }

    /// Gives the peer in `row` (-1: nobody's) a slot, if need be by evicting another one. Why there is none, or nil.
    mutating func makeSlot(for row: Int, link slot: Int, at now: Instant) -> CloseReason? {
        if row >= 0, peers[row].role == .masternode { return makeMasternodeSlot(link: slot, at: now) ? nil : .full }
        if row >= 0, peers[row].desire.contains(.operator) { return makeNamedSlot(at: now) ? nil : .full }
        return makeStrangerSlot(for: row, link: slot, at: now)
    }

    /// A masternode that is proven or unrivalled evicts a regular peer, never another masternode.
    private mutating func makeMasternodeSlot(link slot: Int, at now: Instant) -> Bool {
        if establishedCount < Int(settings.maxPeers) { return true }
        switch links[slot].identity {
        case .dialled, .proven, .claimed: return evictForMasternode(at: now)
        case .weak, .pending, .anonymous: return false
        }
    }

    private mutating func makeNamedSlot(at now: Instant) -> Bool {
        guard linkLists.count(LinkList.named) < namedPlaces else { return false }
        return hasRoom(beside: regularTaken) || evictForNamed(at: now)
    }

    private mutating func makeStrangerSlot(for row: Int, link slot: Int, at now: Instant) -> CloseReason? {
        let address = links[slot].remote.address
        if isCrowded(address) { return .crowded }
        if row >= 0, peers[row].dial >= 0, linkLists.list(of: Int(peers[row].dial)) == LinkList.dialRegular {
            // Its own dial has taken a regular slot already, as a feeler has not. A call beside it takes none of those that are kept for dials.
            guard establishedCount < Int(settings.maxPeers) else { return .full }
            let limit = Int(settings.regularSlots - settings.effectiveOutboundSlots)
            if links[slot].direction == .inbound, linkLists.count(LinkList.inbound) >= limit { _ = evictForStranger(at: address, now: now) }
            return nil
        }
        return hasInboundRoom || evictForStranger(at: address, now: now) ? nil : .full
    }

    /// Room for a link that becomes nobody's.
    func hasRoomForNobodys(_ slot: Int) -> Bool { hasInboundRoom && !isCrowded(links[slot].remote.address) }

    /// Whether strangers at the address, or in its subnet, have as many established links as they may.
    func isCrowded(_ address: IPAddress) -> Bool {
        let (perAddress, perSubnet) = (Int(settings.regularPerAddress), Int(settings.effectivePerSubnet))
        // What cannot be reached need not be counted.
        if perAddress >= Int(settings.regularSlots), perSubnet >= Int(settings.regularSlots) { return false }
        let block = address.blockKey
        var (sameAddress, sameSubnet) = (0, 0)
        var slot = neighbours.first(under: address.net.blockKey)
        while slot >= 0, sameAddress < perAddress, sameSubnet < perSubnet {
            sameSubnet += 1
            if links[slot].remote.address.blockKey == block { sameAddress += 1 }
            slot = neighbours.next(after: slot)
        }
        return sameAddress >= perAddress || sameSubnet >= perSubnet
    }
}
