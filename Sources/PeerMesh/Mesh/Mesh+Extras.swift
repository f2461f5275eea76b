// What few links have at a time: an incomplete frame, a probe, grace, a stated endpoint far from its own address. Each has a
// trait in the link's first line, so that whoever asks for what is not there touches nothing else.

import Timers

extension Mesh {
    /// When the incomplete frame began; `.never` if there is none.
    func frameStarted(ofLink slot: Int) -> Instant { links[slot][.hasFrame] ? extras[slot].frameStarted : .never }

    /// How much of it is here; 0 if there is none.
    func framePartial(ofLink slot: Int) -> UInt32 { links[slot][.hasFrame] ? extras[slot].framePartial : 0 }

    mutating func setFrame(ofLink slot: Int, partial: UInt32, started: Instant) {
        prepareExtra(slot)
        extras[slot].framePartial = partial
        extras[slot].frameStarted = started
        links[slot][.hasFrame] = true
    }

    /// Until when the link must show life for a newcomer's sake; `.never` if nobody asks.
    @inline(__always)
    func probeUntil(ofLink slot: Int) -> Instant { links[slot][.isProbed] ? extras[slot].probeUntil : .never }

    /// For `pair` alone, and for what reads a state back.
    mutating func beginProbe(ofLink slot: Int, until: Instant) {
        prepareExtra(slot)
        extras[slot].probeUntil = until
        links[slot][.isProbed] = true
    }

    /// Until when progress of our queue excuses silence; `.never` if it has not begun to.
    func graceUntil(ofLink slot: Int) -> Instant { links[slot][.hasGrace] ? extras[slot].graceUntil : .never }

    mutating func beginGrace(ofLink slot: Int, until: Instant) {
        prepareExtra(slot)
        extras[slot].graceUntil = until
        links[slot][.hasGrace] = true
    }

    /// Where the link's sender says that it listens.
    func stated(byLink slot: Int) -> Endpoint? {
        if links[slot].statedPort > 0 { return Endpoint(links[slot].remote.address, port: links[slot].statedPort) }
        return links[slot][.statesElsewhere] ? extras[slot].stated : nil
    }

    mutating func setStated(byLink slot: Int, _ endpoint: Endpoint?) {
        links[slot].statedPort = 0
        guard let endpoint else {
            links[slot][.statesElsewhere] = false
            return
        }
        if endpoint.port > 0, endpoint.address == links[slot].remote.address {
            links[slot].statedPort = endpoint.port
            links[slot][.statesElsewhere] = false
        } else {
            prepareExtra(slot)
            extras[slot].stated = endpoint
            links[slot][.statesElsewhere] = true
        }
    }

    /// Before the first of its fields is written.
    private mutating func prepareExtra(_ slot: Int) {
        if links[slot].hasNoExtra { extras.set(slot, to: LinkExtra()) }
    }

    /// The extras of a mesh whose links are these. O(links).
    static func cloneExtras(_ extras: borrowing SparseSlab<LinkExtra>, of links: borrowing Slab<Link>) -> SparseSlab<LinkExtra> {
        var copy = SparseSlab<LinkExtra>(count: extras.count)
        for slot in 0..<links.count where !links[slot].hasNoExtra { copy.set(slot, to: extras[slot]) }
        return copy
    }
}
