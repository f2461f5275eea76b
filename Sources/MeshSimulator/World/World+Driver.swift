// The driver's duties, for every node: events in, actions out and performed in order. As the real one, it closes nothing
// by itself: it reports, and waits for `.close`.

import PeerMesh
import Timers

extension World {
    /// Tells a node something, and does what it wants done.
    mutating func tell(_ node: Int, _ event: Event) {
        let clock = clock(node)
        handle(node, event, at: clock)
        perform(node, at: clock)
    }

    @inline(__always)
    mutating func handle(_ node: Int, _ event: Event, at clock: Instant) {
        nodes[node].mesh.handle(event, at: clock)
        report.events += 1
    }

    /// Performs what the mesh asks for, and sets the node's alarm.
    mutating func perform(_ node: Int, at clock: Instant) {
        while let action = nodes[node].mesh.nextAction() { perform(action, node, at: clock) }
        while let transition = nodes[node].mesh.nextTransition() {
            if !watched.isEmpty { tellWatcher(node, transition) }
        }
        check(node)
        arm(node)
    }

    private mutating func perform(_ action: Action, _ node: Int, at clock: Instant) {
        switch action {
        case .ping(let link, let nonce): ping(node, link, nonce: nonce, at: clock)
        case .pong(let link, let nonce): send(.pong, link, node, payload: nonce)
        case .adopt(let ticket, let link): adopt(node, Int(ticket), link)
        case .refuse(let ticket, _): shut(Int(ticket), end: 1)
        case .dial(let link, let endpoint): dial(node, link, Address(endpoint))
        case .greet(let link): sendHello(node, link, verdict: nil)
        case .answer(let link, let verdict, _): sendHello(node, link, verdict: verdict)
        case .ask(let link): send(.ask, link, node, payload: 0)
        case .share(let link): share(node, link, at: clock)
        case .up(let link, let info): linkUp(node, link, info, at: clock)
        case .down(let link, let info, let reason): linkDown(node, link, info, reason)
        case .drain(let link, let reason): drain(node, link, reason)
        case .close(let link, let reason): close(node, link, reason)
        // A scenario with such a book is refused; what it would cost shows as a pair without a link.
        case .bookFull, .banFull: break
        }
    }

    /// The connection and the end of a link, or -1 if the driver knows it no longer.
    @inline(__always)
    func place(_ node: Int, _ link: LinkID) -> Int32 {
        nodes[node].connections[Int(link.slot)]
    }

    private mutating func ping(_ node: Int, _ link: LinkID, nonce: UInt64, at clock: Instant) {
        let place = place(node, link)
        guard place >= 0 else { return }
        send(.ping, link, node, payload: nonce)
        let peer = hasSlowNodes ? connections[Int(place >> 1)][UInt8(1 - place & 1)].node : -1
        if peer >= 0, nodes[Int(peer)].slowness > 0 {
            // Its window is full: our kernel takes the ping when the peer has read what lies before it.
            post(.taken, Int(place >> 1), to: UInt8(place & 1), payload: 0, after: nodes[Int(peer)].slowness)
        } else {
            handle(node, .sent(link, bytes: 33, controlEmpty: true), at: clock)
        }
    }

    /// What the operator of a watched node would read.
    private func tellWatcher(_ node: Int, _ transition: Transition) {
        guard watched.contains(node) else { return }
        let address = Address(transition.endpoint)
        let who = address.node >= 0 ? "\(address.node)" : "\(transition.endpoint)"
        let reason = transition.reason.map { " \($0.name)" } ?? ""
        let what: String
        switch transition.subject {
        case .link(let link, let from, let to, let direction):
            what = "\(direction) link \(link.slot).\(link.generation) \(from) → \(to)"
        case .peer(let from, let to): what = "\(from.name) → \(to.name), \(transition.failures) failures"
        }
        Output.write("  \(Double(now - 1_000) / 1_000) s  node \(node)  \(transition.isPeer ? "peer" : "nobody at") \(who): \(what)\(reason)\n")
    }

    private mutating func adopt(_ node: Int, _ index: Int, _ link: LinkID) {
        connections[index].accepted.link = link
        connections[index].accepted.isAdopted = true
        nodes[node].connections[Int(link.slot)] = Int32(index * 2 + 1)
    }

    private mutating func dial(_ node: Int, _ link: LinkID, _ to: Address) {
        trace(UInt64(node) << 32 | UInt64(link.slot) | 1 << 62)
        countDial(node, to)
        dialledPorts = dialledPorts &+ 1
        let from = Address(nodes[node].source, port: 32_768 | dialledPorts)
        let index = makeConnection(to: to, from: from)
        connections[index].dialled.node = Int32(node)
        connections[index].dialled.link = link
        connections[index].dialled.isOpen = true
        connections[index].dialled.isAdopted = true
        connections[index].dialled.isDialing = true
        nodes[node].connections[Int(link.slot)] = Int32(index * 2)
        post(.syn, index, to: 1, payload: 0, after: 0)
    }

    private mutating func sendHello(_ node: Int, _ link: LinkID, verdict: Verdict?) {
        guard place(node, link) >= 0 else { return }
        var hello = Hello(isNative: true, nonce: nodes[node].settings.nonce, verdict: verdict, version: 2)
        if !nodes[node].statesNone { hello.endpoint = nodes[node].address.endpoint }
        if nodes[node].lie == .endpoint || nodes[node].lie == .nonce {
            let victim = dice.roll(nodes.count)
            hello.endpoint = nodes[victim].address.endpoint
            hello.nonce = nodes[node].lie == .nonce ? nodes[victim].settings.nonce : dice.next()
        }
        let slot = freeHellos.popLast() ?? Int32(hellos.append(hello))
        hellos[Int(slot)] = hello
        send(.hello, link, node, payload: UInt64(slot))
    }

    /// Answers the question for peers, truly or not.
    private mutating func share(_ node: Int, _ link: LinkID, at clock: Instant) {
        guard place(node, link) >= 0 else { return }
        let slot = makeList()
        var list = lists[Int(slot)]
        lists[Int(slot)] = []
        if nodes[node].lie == .peers || nodes[node].lie == .ports {
            for _ in 0..<1_000 { list.append(toldAddress(by: node).bits) }
        } else {
            nodes[node].mesh.sharePeers(with: link, at: clock) { endpoint in
                list.append(Address(endpoint).bits)
                return true
            }
        }
        lists[Int(slot)] = list
        send(.peers, link, node, payload: UInt64(slot))
    }

    mutating func makeList() -> Int32 {
        if let free = freeLists.popLast() { return free }
        lists.append([])
        return Int32(lists.count - 1)
    }

    /// A host that has nothing to do with any of this.
    static let thirdParty: UInt32 = 172 << 24 | 99 << 16 | 1 << 8 | 2

    /// What a liar tells.
    mutating func toldAddress(by node: Int) -> Address {
        guard nodes[node].lie == .ports else { return inventedAddress() }
        return Address(World.thirdParty, port: UInt16(1_024 + dice.roll(60_000)))
    }

    /// An address at which nobody listens.
    mutating func inventedAddress() -> Address {
        Address(UInt32(172) << 24 | UInt32(dice.roll(1 << 24)), port: UInt16(1_024 + dice.roll(60_000)))
    }

    private mutating func drain(_ node: Int, _ link: LinkID, _ reason: CloseReason) {
        let place = place(node, link)
        guard place >= 0 else { return }
        noteOver(node, Int(place >> 1), UInt8(place & 1))
        let index = Int(place >> 1)
        let end = UInt8(place & 1)
        guard !connections[index][end].isShut else { return }
        connections[index][end].isShut = true
        post(.fin, index, to: 1 - end, payload: 0, after: 0)
    }

    private mutating func close(_ node: Int, _ link: LinkID, _ reason: CloseReason) {
        let place = place(node, link)
        guard place >= 0 else { return }
        nodes[node].connections[Int(link.slot)] = -1
        noteOver(node, Int(place >> 1), UInt8(place & 1))
        shut(Int(place >> 1), end: UInt8(place & 1))
    }

    /// The descriptor of that end is closed.
    mutating func shut(_ index: Int, end: UInt8) {
        guard connections[index][end].isOpen else { return }
        connections[index][end].isOpen = false
        if connections[index][end].isShut {
            freeIfOver(index)
        } else {
            connections[index][end].isShut = true
            post(.fin, index, to: 1 - end, payload: 0, after: 0)
        }
    }
}
