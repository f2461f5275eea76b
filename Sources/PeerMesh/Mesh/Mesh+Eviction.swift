// Whose link makes room: strangers that called in, then strangers that were dialled. Never a masternode, and an operator's peer for a
// masternode alone. The model is Bitcoin Core's choice among inbound peers (src/node/eviction.cpp); docs/Slots.md says where ours differs.

import Timers

extension Mesh {
    /// Closes the link of a stranger that called in, for another one; the longest-lived half of them, eight at least, stays. False if
    /// nobody may go.
    mutating func evictForStranger(at address: IPAddress, now: Instant) -> Bool {
        guard settings.regularSlots >= MeshSettings.contestedSlots else { return false }
        while true {
            let victim = inboundVictim(sparing: 8, joining: address.group.blockKey)
            guard victim >= 0 else { return false }
            if evict(victim, at: now) { return true }
        }
    }

    /// Makes room for a masternode: a stranger's link if there is one, else an operator's peer's.
    mutating func evictForMasternode(at now: Instant) -> Bool {
        var victim = strangerVictim()
        if victim < 0 { victim = linkLists.last(LinkList.named) }
        guard victim >= 0 else { return false }
        evict(victim, at: now)
        return true
    }

    /// Makes room for an operator's peer: a stranger's link, or the youngest dial to a learnt peer.
    mutating func evictForNamed(at now: Instant) -> Bool {
        while true {
            var victim = strangerVictim()
            if victim < 0 { victim = linkLists.last(LinkList.dialRegular) }
            guard victim >= 0 else { return false }
            if evict(victim, at: now) { return true }
        }
    }

    private mutating func strangerVictim() -> Int {
        let victim = inboundVictim(sparing: 0, joining: nil)
        return victim >= 0 ? victim : linkLists.last(LinkList.outbound)
    }

    /// False if that was a demoted masternode's, which had its slot beside the regular ones: another one must go, too.
    @discardableResult
    private mutating func evict(_ victim: Int, at now: Instant) -> Bool {
        let row = Int(links[victim].row)
        let freesSlot = row < 0 || !peers[row].keepsSlot
        turnAwayHeld(of: victim, at: now)
        close(victim, .evicted, at: now)
        // Without its link the peer would need the slot for its dial.
        guard row >= 0, peers[row].isUsed, peers[row].established < 0 else { return freesSlot }
        let dial = Int(peers[row].dial)
        if dial >= 0, linkLists.list(of: dial) == LinkList.dialRegular { close(dial, .evicted, at: now) }
        return freesSlot
    }

    /// The list has them in the order of their ages: its older half stays, and of the younger one an eighth for the group of
    /// addresses that they are of and a quarter for their round trips. Of the rest the youngest of the most populous group goes. -1 if no more than `spared` called in.
    private mutating func inboundVictim(sparing spared: Int, joining group: UInt64?) -> Int {
        let count = linkLists.count(LinkList.inbound)
        let younger = min(count - max(count / 2, spared), EvictionCandidates.capacity)
        guard younger > 0 else { return -1 }
        candidates.clear()
        var slot = linkLists.last(LinkList.inbound)
        for _ in 0..<younger {
            candidates.append(slot, group: links[slot].remote.address.group.blockKey, roundTrip: links[slot].roundTrip.count)
            slot = linkLists.previous(slot)
        }
        candidates.protectGroups(younger / 8)
        candidates.protectFastest(younger / 4)
        return candidates.victim(joining: group)
    }
}
