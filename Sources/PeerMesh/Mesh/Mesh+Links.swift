// A link's life: every change of its state goes through `move`, every end through `close`.

import Timers

extension Mesh {
    /// A free slot made a link, or -1 if the table is full.
    mutating func makeLink(_ direction: Direction, remote: Endpoint, state: LinkState, row: Int, at now: Instant) -> Int {
        let slot = linkLists.first(LinkList.free)
        guard slot >= 0 else { return -1 }
        var link = Link(remote: remote)
        link.generation = links[slot].generation &+ 1
        link.direction = direction
        link.bonds = LinkBonds(row: Int32(row), rival: -1)
        link.identity = direction == .outbound ? .dialled : .pending
        link.intakeFullAt = now
        link.lastByte = now
        links[slot] = link
        move(slot, to: state, reason: nil, at: now)
        return slot
    }

    /// The one place that changes a link's state: list, deadline and diary follow.
    mutating func move(_ slot: Int, to state: LinkState, reason: CloseReason?, at now: Instant) {
        let from = links[slot].state
        guard from != state else {
            contradictions += 1
            return
        }
        links[slot].state = state
        links[slot].since = now
        if slot == feeler, links[slot].direction != .outbound || state != .greeting && state != .securing { feeler = -1 }
        relist(slot)
        armLink(slot)
        record(slot, from: from, to: state, reason: reason, at: now)
    }

    /// Puts the link on the list that its state, direction and peer's role say.
    mutating func relist(_ slot: Int) {
        let list = list(for: slot)
        linkLists.move(slot, to: list)
        let isStranger = list == LinkList.inbound || list == LinkList.outbound
        guard isStranger != neighbours.isListed(slot) else { return }
        if isStranger { neighbours.list(slot, under: links[slot].remote.address.net.blockKey) } else { neighbours.unlist(slot) }
    }

    func list(for slot: Int) -> Int {
        switch links[slot].state {
        case .closed: return LinkList.free
        case .connecting, .securing, .greeting, .held:
            return links[slot].direction == .inbound ? LinkList.pending : dialList(of: Int(links[slot].row), isFeeler: slot == feeler)
        case .established:
            let row = Int(links[slot].row)
            if row >= 0, peers[row].role == .masternode { return LinkList.masternode }
            if row >= 0, peers[row].desire.contains(.operator) { return LinkList.named }
            return links[slot].direction == .inbound ? LinkList.inbound : LinkList.outbound
        case .draining: return LinkList.draining
        }
    }

    /// The list of a dial: by the queue that its peer waits in.
    private func dialList(of row: Int, isFeeler: Bool) -> Int {
        guard row >= 0 else { return LinkList.dialRegular }
        switch readyList(for: row) {
        case PeerList.readyUrgent, PeerList.readyMasternode: return LinkList.dialMasternode
        case PeerList.readyNamed: return LinkList.dialNamed
        case PeerList.readyNamedSlow: return LinkList.dialNamedSlow
        default: return isFeeler ? LinkList.feeler : LinkList.dialRegular
        }
    }

    /// The one way out. A graceful reason flushes and drains first, any other closes the descriptor at once.
    mutating func close(_ slot: Int, _ reason: CloseReason, at now: Instant) {
        let link = links[slot]
        guard link.state != .closed else {
            contradictions += 1
            return
        }
        if link.state == .draining {
            release(slot, link.reason, at: now)
            return
        }
        let wasEstablished = link.state == .established
        if wasEstablished { actions.append(.down(id(of: slot), info(of: slot), reason)) }
        score(link, reason.effect.score, reason, at: now)
        let row = Int(link.row)
        vacate(slot)
        let rival = unpair(slot)
        if reason.effect.drains, link.state != .connecting {
            makeRoomToDrain(at: now)
            links[slot].reason = reason
            actions.append(.drain(id(of: slot), reason))
            if row >= 0 { noteEnd(of: link, row: row, reason, at: now) }
            move(slot, to: .draining, reason: reason, at: now)
            orphan(slot)
        } else {
            if row >= 0 { noteEnd(of: link, row: row, reason, at: now) }
            release(slot, reason, at: now)
        }
        if rival >= 0 { probeEnded(survivor: rival, ended: link, at: now) }
        if row >= 0, peers[row].keepsSlot { leaveKeptSlot(row, at: now) }
        // A surplus link may have waited in its probe.
        if wasEstablished { nextSurplus(after: slot, at: now) }
    }

    /// Gives the slot back; the driver closes the descriptor.
    private mutating func release(_ slot: Int, _ reason: CloseReason, at now: Instant) {
        actions.append(.close(id(of: slot), reason))
        if links[slot].isNative, let nonce = links[slot].nonce { nonces.remove(slot, hash: mix(nonce)) }
        move(slot, to: .closed, reason: reason, at: now)
        orphan(slot)
    }

    /// The table contradicts itself where it says that it never does. The link concerned ends, and the node goes on.
    mutating func contradicted(_ slot: Int, at now: Instant) {
        contradictions += 1
        if links[slot].state != .closed { close(slot, .internalError, at: now) }
    }

    /// Draining links are a pool of their own; the oldest is cut for a new one.
    private mutating func makeRoomToDrain(at now: Instant) {
        guard linkLists.count(LinkList.draining) >= Int(settings.drainingLimit) else { return }
        let oldest = linkLists.first(LinkList.draining)
        if oldest >= 0 { release(oldest, links[oldest].reason, at: now) }
    }

    // What the driver reports.

    mutating func connected(_ slot: Int, at now: Instant) {
        guard links[slot].state == .connecting else { return }
        lastLife = now
        #if MESH_CANARIES
            if has(.connectIsSuccess) { peers[Int(links[slot].row)].failures = 0 }
        #endif
        move(slot, to: .greeting, reason: nil, at: now)
        actions.append(.greet(id(of: slot)))
    }

    mutating func dialFailed(_ slot: Int, _ reason: CloseReason, at now: Instant) {
        guard links[slot].state == .connecting else { return }
        if reason == .refused { lastLife = now }
        close(slot, reason, at: now)
    }

    mutating func ended(_ slot: Int, _ reason: CloseReason, at now: Instant) {
        close(slot, reason, at: now)
    }

    /// Makes the link the peer's established one, or an anonymous one.
    mutating func establish(_ slot: Int, at now: Instant) {
        let link = links[slot]
        guard link.state == .greeting || link.state == .held else {
            contradicted(slot, at: now)
            return
        }
        if link.direction == .inbound { actions.append(.answer(id(of: slot), .accepted, isNative: link.isNative)) }
        links[slot].lastByte = now
        startKeepalive(slot, at: now)
        moveHome(slot, at: now)
        if links[slot].row >= 0 { attach(slot, to: Int(links[slot].row), at: now) }
        move(slot, to: .established, reason: nil, at: now)
        actions.append(.up(id(of: slot), info(of: slot)))
        if !links[slot][.hasAsked] {
            links[slot][.hasAsked] = true
            actions.append(.ask(id(of: slot)))
        }
    }

    /// Makes `slot` the row's established link.
    mutating func attach(_ slot: Int, to row: Int, at now: Instant) {
        give(slot, to: row, as: .established)
        if peers[row].linkedSince == .never { peers[row].linkedSince = now }
        peers[row].lastSuccess = now
        if peers[row].role == .masternode { hasLinkedMasternode = true }
        peers[row].isForeign = !links[slot].isNative
        if isDoubtful(slot, of: row) { waitInDoubt(row, at: now) }
        refresh(row, at: now)
    }

    func info(of slot: Int) -> LinkInfo {
        let link = links[slot]
        let row = Int(link.row)
        return LinkInfo(
            peer: row >= 0 ? peers[row].endpoint : nil, remote: link.remote, direction: link.direction,
            role: row >= 0 ? peers[row].role : .regular, isNative: link.isNative
        )
    }
}
