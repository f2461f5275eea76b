// What depends on the driver's side of a link: whether it is read at all, and whose share of the buffers it may use.

package import Timers

extension Mesh {
    /// The driver reads the link no longer, or again. While it does not, silence is no miss and a started frame has no clock;
    /// both begin anew when it is read again.
    mutating func reading(_ slot: Int, _ isRead: Bool, at now: Instant) {
        guard links[slot].state == .established, links[slot].isUnread == isRead else { return }
        links[slot].isUnread = !isRead
        links[slot][.hasFrame] = false
        if links[slot].isPinged {
            links[slot].keepalive.misses = 0
            links[slot].keepalive.restart(at: now)
        }
        armLink(slot)
    }

    /// An offence that does not end the link by itself; the address is banned at `banScore`.
    mutating func offended(_ slot: Int, _ points: UInt32, at now: Instant) {
        guard links[slot].isLive else { return }
        score(links[slot], points, .protocolViolation, at: now)
    }

    /// Whether the link may use the buffers that strangers cannot: it is a masternode's, or a peer's that the operator wants.
    package func isReserved(_ id: LinkID) -> Bool {
        guard let slot = live(id) else { return false }
        let row = Int(links[slot].row)
        return row >= 0 && (peers[row].role == .masternode || !peers[row].desire.isDisjoint(with: [.registry, .operator]))
    }

    /// When the link's last byte came; of one that is over, as long as its slot has no new one.
    package func lastByte(of id: LinkID) -> Instant { links[Int(id.slot)].lastByte }
}
