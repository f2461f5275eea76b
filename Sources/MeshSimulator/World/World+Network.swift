// The network: what becomes of a packet between two hosts. Order within a stream, latency, walls, firewalls, resets.

import PeerMesh
import Timers

extension World {
    mutating func makeConnection(to: Address, from: Address) -> Int {
        let connection = Connection(to: to, from: from)
        guard freeConnection >= 0 else { return connections.append(connection) }
        let index = Int(freeConnection)
        freeConnection = Int32(truncatingIfNeeded: connections[index].to.bits)
        connections[index] = connection
        return index
    }

    mutating func freeIfOver(_ index: Int) {
        guard connections[index].isOver else { return }
        connections[index].to = Address(bits: UInt64(bitPattern: Int64(freeConnection)))
        freeConnection = Int32(index)
    }

    /// Sends what `node` says on `link`, if the driver still knows the link.
    @inline(__always)
    mutating func send(_ kind: EntryKind, _ link: LinkID, _ node: Int, payload: UInt64) {
        let place = place(node, link)
        guard place >= 0 else {
            drop(kind, payload)
            return
        }
        post(kind, Int(place >> 1), to: UInt8(1 - place & 1), payload: payload, after: 0)
    }

    /// Puts a packet on its way to the end `end` of the connection.
    @inline(__always)
    mutating func post(_ kind: EntryKind, _ index: Int, to end: UInt8, payload: UInt64, after delay: Int) {
        var at = now + delay
        if kind != .taken {
            at += latency
            if jitter > 0 { at += dice.roll(jitter + 1) }
            if hasSlowNodes { at += slowness(connections[index][end].node, kind) }
        }
        if end == 0 {
            at = max(at, Int(connections[index].dialled.lastArrival))
            if kind != .taken { connections[index].dialled.lastArrival = Int32(truncatingIfNeeded: at) }
        } else {
            at = max(at, Int(connections[index].accepted.lastArrival))
            if kind != .taken { connections[index].accepted.lastArrival = Int32(truncatingIfNeeded: at) }
        }
        connections[index].inFlight += 1
        var entry = Entry()
        entry.kind = kind
        entry.target = Int32(truncatingIfNeeded: index)
        entry.end = end
        entry.payload = payload
        calendar.add(entry, at: at, now: now)
    }

    /// How much later a slow reader reads.
    private func slowness(_ receiver: Int32, _ kind: EntryKind) -> Int {
        receiver >= 0 && kind != .synAck ? nodes[Int(receiver)].slowness : 0
    }

    /// Gives back what a packet carried in a side table.
    mutating func drop(_ kind: EntryKind, _ payload: UInt64) {
        if kind == .hello { freeHellos.append(Int32(payload)) }
        if kind == .peers {
            lists[Int(payload)].removeAll(keepingCapacity: true)
            freeLists.append(Int32(payload))
        }
    }

    /// A packet arrives.
    mutating func deliver(_ index: Int32, _ entry: Entry) {
        let connection = Int(entry.target)
        if entry.kind == .syn {
            calendar.release(index)
            knock(connection)
            settle(connection)
            return
        }
        let receiver = Int(entry.end == 0 ? connections[connection].dialled.node : connections[connection].accepted.node)
        if receiver >= 0, nodes[receiver].state == .frozen {
            // The kernel keeps it until the process looks again; this entry goes on a list of the node's own.
            calendar.chain(index, after: nodes[receiver].backlogLast)
            if nodes[receiver].backlogFirst < 0 { nodes[receiver].backlogFirst = index }
            nodes[receiver].backlogLast = index
            return
        }
        calendar.release(index)
        if receiver >= 0 { receive(entry, connection, receiver) } else { drop(entry.kind, entry.payload) }
        settle(connection)
    }

    /// One entry less names the connection.
    @inline(__always)
    private mutating func settle(_ connection: Int) {
        connections[connection].inFlight -= 1
        if connections[connection].inFlight == 0 { freeIfOver(connection) }
    }

    private mutating func receive(_ entry: Entry, _ index: Int, _ receiver: Int) {
        let end = entry.end
        if entry.kind == .accept {
            take(index, receiver)
            return
        }
        let (side, sender) = connections[index].ends(seenFrom: end)
        if connections[index].isSilent || isLost(index, from: sender, to: side.node) {
            drop(entry.kind, entry.payload)
            return
        }
        guard side.isOpen, side.isAdopted else {
            drop(entry.kind, entry.payload)
            if nodes[receiver].state != .dark, isData(entry.kind) { sendReset(index, to: 1 - end) }
            return
        }
        if loss > 0, isData(entry.kind), dice.hits(loss) {
            drop(entry.kind, entry.payload)
            breakDown(index)
            return
        }
        hand(entry, index, receiver, side.link)
    }

    private func isData(_ kind: EntryKind) -> Bool {
        switch kind {
        case .hello, .ping, .pong, .ask, .peers, .synAck: true
        case .syn, .refused, .accept, .fin, .reset, .taken, .wake, .boot, .flap: false
        }
    }

    private mutating func sendReset(_ index: Int, to end: UInt8) {
        if connections[index][end].isOpen { post(.reset, index, to: end, payload: 0, after: 0) }
    }

    /// Both kernels learn that the connection is dead.
    mutating func breakDown(_ index: Int) {
        markFaulted(index)
        for end: UInt8 in 0...1 where connections[index][end].isOpen {
            post(.reset, index, to: end, payload: 0, after: 0)
        }
    }

    /// What the process makes of a packet that reached it.
    @inline(__always)
    private mutating func hand(_ entry: Entry, _ index: Int, _ node: Int, _ link: LinkID) {
        trace(UInt64(truncatingIfNeeded: now) << 24 ^ UInt64(entry.kind.rawValue) << 56 ^ UInt64(truncatingIfNeeded: node) << 8 ^ UInt64(link.slot))
        let clock = clock(node)
        switch entry.kind {
        case .ping:
            handle(node, .received(link, frames: 1, partial: 0), at: clock)
            handle(node, .ping(link, nonce: entry.payload), at: clock)
            if let lie = nodes[node].lie, lie == .peers || lie == .ports { flood(node, link) }
        case .pong:
            handle(node, .received(link, frames: 1, partial: 0), at: clock)
            handle(node, .pong(link, nonce: entry.payload), at: clock)
        case .taken: handle(node, .sent(link, bytes: 33, controlEmpty: true), at: clock)
        case .synAck: handle(node, .connected(link), at: clock)
        case .refused: handle(node, .dialFailed(link, .refused), at: clock)
        case .fin: handle(node, .ended(link, .remoteClosed), at: clock)
        case .reset: reset(node, link, index, entry.end, at: clock)
        case .hello:
            let hello = hellos[Int(entry.payload)]
            freeHellos.append(Int32(entry.payload))
            handle(node, .received(link, frames: 1, partial: 0), at: clock)
            handle(node, .hello(link, hello), at: clock)
        case .ask:
            handle(node, .received(link, frames: 1, partial: 0), at: clock)
            handle(node, .asked(link), at: clock)
        case .peers: learn(node, link, list: Int(entry.payload), at: clock)
        case .syn, .accept, .wake, .boot, .flap: preconditionFailure("not a packet for a process")
        }
        perform(node, at: clock)
    }

    private mutating func reset(_ node: Int, _ link: LinkID, _ index: Int, _ end: UInt8, at clock: Instant) {
        // ECONNRESET, on every system that this is built for.
        if end == 0, connections[index].accepted.node < 0 {
            handle(node, .dialFailed(link, .io(104)), at: clock)
        } else {
            handle(node, .ended(link, .io(104)), at: clock)
        }
    }

    private mutating func learn(_ node: Int, _ link: LinkID, list: Int, at clock: Instant) {
        handle(node, .received(link, frames: 1, partial: 0), at: clock)
        for position in 0..<lists[list].count {
            handle(node, .learnt(link, Address(bits: lists[list][position]).endpoint), at: clock)
        }
        drop(.peers, UInt64(list))
    }

    /// A liar's unasked-for peers.
    private mutating func flood(_ node: Int, _ link: LinkID) {
        let slot = makeList()
        for _ in 0..<1_000 { lists[Int(slot)].append(toldAddress(by: node).bits) }
        send(.peers, link, node, payload: UInt64(slot))
    }

    // Dials.

    /// A dial arrives where it was sent to.
    private mutating func knock(_ index: Int) {
        let host = connections[index].to.node
        let dialler = connections[index].dialled.node
        guard host >= 0, host < nodes.count else {
            // Nobody there: some routers say so, most do not.
            if connections[index].to.bits & 3 == 0 { post(.refused, index, to: 0, payload: 0, after: 0) }
            return
        }
        if isLost(index, from: dialler, to: Int32(host)) || isUndialable(host, from: Int(dialler)) { return }
        switch nodes[host].state {
        case .dark: return
        case .down: post(.refused, index, to: 0, payload: 0, after: 0)
        case .running, .frozen:
            connections[index].accepted.node = Int32(host)
            connections[index].accepted.isOpen = true
            post(.synAck, index, to: 0, payload: 0, after: 0)
            if nodes[host].state == .running {
                take(index, host)
            } else {
                connections[index].inFlight += 1
                var entry = Entry()
                entry.kind = .accept
                entry.target = Int32(index)
                entry.end = 1
                let made = calendar.make(entry)
                calendar.chain(made, after: nodes[host].backlogLast)
                if nodes[host].backlogFirst < 0 { nodes[host].backlogFirst = made }
                nodes[host].backlogLast = made
            }
        }
    }

    /// The process takes the connection from its kernel.
    private mutating func take(_ index: Int, _ host: Int) {
        guard connections[index].accepted.isOpen, !connections[index].accepted.isAdopted else { return }
        trace(UInt64(host) << 32 | 3 << 60)
        tell(host, .accepted(ticket: UInt32(index), from: connections[index].from.endpoint))
    }
}
