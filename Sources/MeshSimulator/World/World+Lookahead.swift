// Reading ahead in a large world: what the entries of this millisecond will touch is asked for before the first of them runs, step
// by step along the way to it, so that the misses of dozens of entries are under way at once instead of one after the other.
// Changes nothing but the speed.

import CPrefetch
import PeerMesh

/// Entries that are looked at together, and where they lead.
struct Lookahead {
    /// Entries of one round: what they touch, some 2 KiB each, fits into a core's own cache.
    static var most: Int { 64 }
    /// Worlds of fewer nodes stay in the cache by themselves.
    static var fewestNodes: Int { 400 }

    /// Packets by connection × 2 + end; then by receiver and slot.
    var ends = [64 of Int32](repeating: 0)
    var receivers = [64 of Int32](repeating: 0)
    var slots = [64 of Int32](repeating: 0)
    var packets = 0
    /// Nodes that wake, and the timers that they begin with.
    var wakers = [64 of Int32](repeating: 0)
    var timers = [64 of Int32](repeating: 0)
    var wakes = 0
}

extension World {
    /// Asks for what the next entries of this millisecond touch. Returns how many of them it has looked at.
    mutating func lookAhead() -> Int {
        ahead.packets = 0
        ahead.wakes = 0
        var index = calendar.first(at: now)
        var count = 0
        while index >= 0, count < Lookahead.most {
            let entry = calendar[index]
            switch entry.kind {
            case .wake:
                ahead.wakers[ahead.wakes] = entry.target
                ahead.wakes += 1
                nodes.prefetch(Int(entry.target), lines: Node.hotLines)
            case .ping, .pong, .hello, .ask, .peers, .synAck, .refused, .fin, .reset, .taken, .accept, .syn:
                ahead.ends[ahead.packets] = entry.target << 1 | Int32(entry.end)
                ahead.packets += 1
                connections.prefetch(Int(entry.target), lines: 1)
            case .boot, .flap: break
            }
            index = entry.next
            count += 1
        }
        if count < 2 { return max(count, 1) }
        findReceivers()
        findTimers()
        findLinks()
        findRows()
        return count
    }

    private mutating func findReceivers() {
        for place in 0..<ahead.packets {
            let side = connections[Int(ahead.ends[place] >> 1)][UInt8(ahead.ends[place] & 1)]
            ahead.receivers[place] = side.node
            ahead.slots[place] = side.node >= 0 && side.isAdopted ? Int32(bitPattern: side.slot) : -1
            if side.node >= 0 { nodes.prefetch(Int(side.node), lines: Node.hotLines) }
        }
        for place in 0..<ahead.wakes {
            cprefetch(nodes[Int(ahead.wakers[place])].mesh.nextTimerAddress, 1)
        }
    }

    private mutating func findTimers() {
        for place in 0..<ahead.wakes {
            let node = Int(ahead.wakers[place])
            let timer = nodes[node].mesh.nextTimer
            let isLink = timer >= 0 && timer < nodes[node].connections.count
            ahead.timers[place] = isLink ? Int32(timer) : -1
            if isLink { askFor(node, timer) }
        }
    }

    private func findLinks() {
        for place in 0..<ahead.packets where ahead.slots[place] >= 0 {
            askFor(Int(ahead.receivers[place]), Int(ahead.slots[place]))
        }
    }

    private func findRows() {
        for place in 0..<ahead.wakes where ahead.timers[place] >= 0 {
            let (node, slot) = (Int(ahead.wakers[place]), Int(ahead.timers[place]))
            cprefetch(nodes[node].mesh.address(ofRowOfLink: slot), 1)
            let connection = nodes[node].connections[slot]
            if connection >= 0 { connections.prefetch(Int(connection >> 1), lines: 1) }
        }
    }

    @inline(__always)
    private func askFor(_ node: Int, _ slot: Int) {
        let lines = nodes[node].mesh.lines(ofLink: slot)
        cprefetch(lines.timer, 1)
        cprefetch(lines.link, 2)
        cprefetch(lines.action, 2)
        nodes[node].connections.prefetch(slot, lines: 1)
    }
}
