// Reading ahead in a large world: what the entries of this millisecond will touch is asked for before the first of them runs, step
// by step along the way to it, so that the misses of dozens of entries are under way at once instead of one after the other.
// Changes nothing but the speed.

import CPrefetch
import PeerMesh

/// Entries that are looked at together, and where they lead.
struct Lookahead: ~Copyable {
    /// Entries of one round: what they touch, one KiB each, fits into a core's own cache.
    static var most: Int { 64 }
    /// Worlds of fewer nodes stay in the cache by themselves.
    static var fewestNodes: Int { 400 }

    struct Place: BitwiseCopyable {
        /// A packet's connection × 2 + end, a wake's node; then its timer.
        var from: Int32
        var node: Int32
        /// The link's slot, or -1.
        var slot: Int32
    }

    var packets = Table<Place>(reserving: Lookahead.most)
    var wakes = Table<Place>(reserving: Lookahead.most)
}

extension World {
    /// Asks for what the next entries of this millisecond touch. Returns how many of them it has looked at.
    mutating func lookAhead() -> Int {
        ahead.packets.empty()
        ahead.wakes.empty()
        var index = calendar.first(at: now)
        var count = 0
        while index >= 0, count < Lookahead.most {
            let entry = calendar[index]
            switch entry.kind {
            case .wake:
                ahead.wakes.append(Lookahead.Place(from: -1, node: entry.target, slot: -1))
                nodes.prefetch(Int(entry.target), lines: Node.hotLines)
            case .ping, .pong, .hello, .ask, .peers, .synAck, .refused, .fin, .reset, .taken, .accept, .syn:
                ahead.packets.append(Lookahead.Place(from: entry.target << 1 | Int32(entry.end), node: -1, slot: -1))
                connections.prefetch(Int(entry.target), lines: 1)
            case .boot, .flap: break
            }
            index = entry.next
            count += 1
        }
        guard count > 1 else { return 1 }
        findReceivers()
        for place in 0..<ahead.wakes.count { cprefetch(nodes[Int(ahead.wakes[place].node)].mesh.nextTimerAddress, 1) }
        for place in 0..<ahead.packets.count where ahead.packets[place].slot >= 0 { askFor(ahead.packets[place]) }
        findTimers()
        findLinks()
        findRows()
        return count
    }

    private mutating func findReceivers() {
        for place in 0..<ahead.packets.count {
            let (index, end) = (Int(ahead.packets[place].from >> 1), ahead.packets[place].from & 1)
            let node = end == 0 ? connections[index].dialled.node : connections[index].accepted.node
            let slot = end == 0 ? connections[index].dialled.slot : connections[index].accepted.slot
            guard node >= 0 else { continue }
            ahead.packets[place].node = node
            ahead.packets[place].slot = Int32(truncatingIfNeeded: slot)
            nodes.prefetch(Int(node), lines: Node.hotLines)
        }
    }

    private mutating func findTimers() {
        for place in 0..<ahead.wakes.count {
            let node = Int(ahead.wakes[place].node)
            let timer = nodes[node].mesh.nextTimer
            ahead.wakes[place].from = Int32(truncatingIfNeeded: timer)
            if timer >= 0 { cprefetch(nodes[node].mesh.address(ofTimer: timer), 1) }
        }
    }

    /// Links whose timers are due; a timer that only moves touches no link.
    private mutating func findLinks() {
        for place in 0..<ahead.wakes.count {
            let (node, timer) = (Int(ahead.wakes[place].node), Int(ahead.wakes[place].from))
            guard timer >= 0, timer < nodes[node].connections.count, nodes[node].mesh.isDue(timer, at: clock(node)) else { continue }
            ahead.wakes[place].slot = Int32(truncatingIfNeeded: timer)
            askFor(ahead.wakes[place])
        }
    }

    private func findRows() {
        for place in 0..<ahead.wakes.count where ahead.wakes[place].slot >= 0 {
            let (node, slot) = (Int(ahead.wakes[place].node), Int(ahead.wakes[place].slot))
            cprefetch(nodes[node].mesh.address(ofRowOfLink: slot), 1)
            let connection = nodes[node].connections[slot]
            if connection >= 0 { connections.prefetch(Int(connection >> 1), lines: 1) }
        }
    }

    @inline(__always)
    private mutating func askFor(_ place: Lookahead.Place) {
        let (node, slot) = (Int(place.node), Int(place.slot))
        // Where no process runs there is no table to look at.
        guard nodes[node].state == .running else { return }
        nodes[node].mesh.prefetchLink(slot)
        cprefetch(nodes[node].mesh.actionAddress, 2)
        nodes[node].connections.prefetch(slot, lines: 1)
    }
}
