// Reading ahead. With thousands of idle links each of them has left the caches by its next ping, and nearly all of a ping's time
// outside the kernel was waiting for a dozen of its lines, one after the other. Asked for while a call to the kernel or another
// link's turn is under way, they come side by side. Changes nothing but the speed.

import CPrefetch
import PeerMesh

extension PeerNode {
    /// Asks for the link to which one of the next pings goes: they come in batches.
    func prefetchPing() {
        let slot = mesh.slotOfPing(behind: 3)
        if slot >= 0, let link = links[slot] { cprefetch(address(of: link), NodeLink.lines) }
    }

    /// Asks for what the event of this slot's link touches behind the call that it begins with, and for the link of the event after it.
    func prefetchReads(_ slot: Int) {
        mesh.prefetchLink(slot)
        if let next = loop.tagOfNextEvent(for: self), let link = links[Int(next)] { cprefetch(address(of: link), NodeLink.lines) }
    }

    /// Asks for what the next turn of the flush phase touches, and for the link whose turn comes after that.
    func prefetchWrites() {
        let count = toWrite.count
        guard count > 0 else { return }
        let next = toWrite[count - 1]
        if next.slot != .none { cprefetch(loop.address(next.slot), 1) }
        mesh.prefetchLink(Int(next.id.slot))
        if count > 1 { cprefetch(address(of: toWrite[count - 2]), NodeLink.lines) }
    }

    func address(of link: NodeLink) -> UInt {
        UInt(bitPattern: unsafe Unmanaged.passUnretained(link).toOpaque())
    }
}
