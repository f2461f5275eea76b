// Whose link makes room: strangers that called in, then strangers that were dialled. Never a masternode, and an operator's peer for a
// masternode alone. The model is Bitcoin Core's choice among inbound peers (src/node/eviction.cpp); docs/Slots.md says where ours differs.

import Timers

extension Mesh {
    /// Closes the link of a stranger that called in, for another one; the longest-lived half of them, eight at least, stays. False if
    /// nobody may go.
    mutating func evictForStranger(at address: IPAddress, now: Instant) -> Bool {
        guard settings.regularSlots >= MeshSettings.contestedSlots else { return false }
        let victim = inboundVictim(sparing: 8, joining: address.group.blockKey, among: .counted)
        guard victim >= 0 else { return false }
        evict(victim, at: now)
        return true
    }

    /// Makes room for a masternode: a stranger's link if there is one, else an operator's peer's.
    mutating func evictForMasternode(at now: Instant) -> Bool {
        var victim = strangerVictim(.all)
        if victim < 0 { victim = linkLists.last(LinkList.named) }
        guard victim >= 0 else { return false }
        evict(victim, at: now)
        return true
    }

    /// Makes room for an operator's peer: a stranger's link, or the youngest dial to a learnt peer.
    mutating func evictForNamed(at now: Instant) -> Bool {
        var victim = strangerVictim(.counted)
        if victim < 0 { victim = youngest(LinkList.dialRegular, .counted) }
        guard victim >= 0 else { return false }
        evict(victim, at: now)
        return true
    }

    /// Whose end helps: any link's makes a place in the table, but none in the regular slots if it takes none of them.
    private enum Eligible {
        case all
        case counted
    }

    /// Whether the link takes a regular slot: a demoted masternode keeps the one that it had, and a dial beside its peer's link has none.
    private func isEligible(_ slot: Int, _ eligible: Eligible) -> Bool {
        let row = Int(links[slot].row)
        guard eligible == .counted, row >= 0 else { return true }
        return !peers[row].keepsSlot && (links[slot].state == .established || peers[row].established < 0)
    }

    private mutating func strangerVictim(_ eligible: Eligible) -> Int {
        let victim = inboundVictim(sparing: 0, joining: nil, among: eligible)
        return victim >= 0 ? victim : youngest(LinkList.outbound, eligible)
    }

    private func youngest(_ list: Int, _ eligible: Eligible) -> Int {
        var slot = linkLists.last(list)
        while slot >= 0, !isEligible(slot, eligible) { slot = linkLists.previous(slot) }
        return slot
    }

    private mutating func evict(_ victim: Int, at now: Instant) {
        let row = Int(links[victim].row)
        turnAwayHeld(of: victim, at: now)
        close(victim, .evicted, at: now)
        // Without its link the peer would need the slot for its dial.
        guard row >= 0, peers[row].isUsed, peers[row].established < 0 else { return }
        let dial = Int(peers[row].dial)
        if dial >= 0, linkLists.list(of: dial) == LinkList.dialRegular { close(dial, .evicted, at: now) }
    }

    /// The list has them in the order of their ages: its older half stays, and of the younger one an eighth for the group of
    /// addresses that they are of and a quarter for their round trips. Of the rest the youngest of the most populous group goes. -1 if no
    /// more than `spared` called in.
    private mutating func inboundVictim(sparing spared: Int, joining group: UInt64?, among eligible: Eligible) -> Int {
        let callers = linkLists.count(LinkList.inbound)
        let younger = min(callers - max(callers / 2, spared), EvictionCandidates.capacity)
        guard younger > 0 else { return -1 }
        candidates.clear()
        var slot = linkLists.last(LinkList.inbound)
        for _ in 0..<younger {
            if isEligible(slot, eligible) {
                candidates.append(slot, group: links[slot].remote.address.group.blockKey, roundTrip: links[slot].roundTrip.count)
            }
            slot = linkLists.previous(slot)
        }
        let count = candidates.count
        candidates.protectGroups(count / 8)
        candidates.protectFastest(count / 4)
        return candidates.victim(joining: group)
    }
}
