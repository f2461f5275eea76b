// What goes wrong, and what is put right again: the steps of a scenario, done to the world.

import PeerMesh
import Timers

/// A wall between two groups, while it stands.
struct Wall: Equatable {
    let from: GroupMask
    let to: GroupMask
    /// Only new connections are stopped: a firewall, not a cut.
    let onlyDials: Bool

    func stops(_ a: UInt16, _ b: UInt16) -> Bool { from.holds(a) && to.holds(b) }
}

/// The members of a group, or all others.
struct GroupMask: Equatable {
    let bit: UInt16
    let isInverted: Bool

    @inline(__always)
    func holds(_ groups: UInt16) -> Bool { (groups & bit != 0) != isInverted }
}

extension World {
    // Groups.

    /// Every group's members, by the seed.
    mutating func chooseGroups() {
        for (position, group) in scenario.groups.enumerated() {
            var members = Array(0..<nodes.count)
            switch group.among {
            case .all: break
            case .masternodes: members = Array(0..<scenario.masternodes)
            case .regular: members = Array(scenario.masternodes..<nodes.count)
            }
            let size = group.size.count(of: members.count)
            for chosen in 0..<size {
                let other = chosen + dice.roll(members.count - chosen)
                members.swapAt(chosen, other)
                nodes[members[chosen]].groups |= 1 << UInt16(position)
            }
        }
    }

    func mask(_ name: String) -> GroupMask {
        if name == "all" { return GroupMask(bit: 0, isInverted: true) }
        let isInverted = name.hasPrefix("!")
        let plain = isInverted ? String(name.dropFirst()) : name
        let position = groups.firstIndex(of: plain)
        return GroupMask(bit: position.map { 1 << UInt16($0) } ?? 0, isInverted: isInverted)
    }

    private func members(_ name: String) -> [Int] {
        let mask = mask(name)
        return (0..<nodes.count).filter { mask.holds(nodes[$0].groups) }
    }

    // Walls.

    @inline(__always)
    func isLost(_ index: Int, from: Int32, to: Int32) -> Bool {
        walls.isEmpty ? false : isWalled(from: from, to: to, dial: false)
    }

    func isWalled(from: Int32, to: Int32, dial: Bool) -> Bool {
        guard from >= 0, to >= 0 else { return false }
        let (a, b) = (nodes[Int(from)].groups, nodes[Int(to)].groups)
        return walls.contains { (dial || !$0.onlyDials) && $0.stops(a, b) }
    }

    func isUndialable(_ host: Int, from: Int) -> Bool {
        nodes[host].isFirewalled || isWalled(from: Int32(from), to: Int32(host), dial: true)
    }

    // Steps.

    mutating func applySteps() {
        let at = scenario.steps[nextStep].at
        var names: [String] = []
        while nextStep < scenario.steps.count, scenario.steps[nextStep].at == at {
            names.append(scenario.steps[nextStep].action.text)
            apply(scenario.steps[nextStep].action)
            nextStep += 1
        }
        trace(UInt64(at) | 7 << 60)
        report.beginPhase(names.joined(separator: ", "), at: now)
        report.note(missing: pairs.missing, at: now)
    }

    mutating func apply(_ action: Step.Action) {
        switch action {
        case .crash(let group, let silently): for node in members(group) { crash(node, silently: silently) }
        case .restart(let group, let keepsBook, let over): restart(members(group), keepsBook: keepsBook, over: over)
        case .roll(let group, let down, let over): roll(members(group), down: down, over: over)
        case .wall(let from, let to, let isTwoWay, let onlyDials):
            walls.append(Wall(from: mask(from), to: mask(to), onlyDials: onlyDials))
            if isTwoWay { walls.append(Wall(from: mask(to), to: mask(from), onlyDials: onlyDials)) }
            reassessAll()
        case .open:
            walls = []
            reassessAll()
        case .silence(let millionths): strike(millionths, silently: true)
        case .reset(let millionths): strike(millionths, silently: false)
        case .freeze(let group): for node in members(group) where nodes[node].state == .running { freeze(node) }
        case .thaw(let group): for node in members(group) where nodes[node].state == .frozen { thaw(node) }
        case .jump(let group, let span): for node in members(group) { jump(node, span) }
        case .flap(let group, let up, let down): for node in members(group) { startFlapping(node, up: up, down: down) }
        case .calm(let group): for node in members(group) { calm(node) }
        case .slow(let group, let span):
            for node in members(group) { mark(node) { $0.slowness = span } }
            hasSlowNodes = (0..<nodes.count).contains { nodes[$0].slowness > 0 }
        case .latency(let span, let spread):
            latency = max(1, span)
            jitter = spread
        case .loss(let millionths):
            loss = millionths
            reassessAll()
        case .lie(let group, let lie): for node in members(group) { begin(lie, at: node) }
        case .firewall(let group): for node in members(group) { mark(node) { $0.isFirewalled = true } }
        case .nat(let group): for node in members(group) { hideBehindNAT(node) }
        case .multihome(let group): for node in members(group) { mark(node) { $0.source ^= 1 << 23 } }
        case .source(let group, let source): for (position, node) in members(group).enumerated() { mark(node) { $0.source = source.address(position) } }
        case .unregister(let group): register(members(group), false)
        case .register(let group): register(members(group), true)
        }
    }

    private mutating func mark(_ node: Int, _ change: (inout Node) -> Void) {
        change(&nodes[node])
        reassess(node)
    }

    private mutating func begin(_ lie: Lie?, at node: Int) {
        mark(node) {
            $0.lie = lie
            if lie == .slots { $0.statesNone = true }
        }
        if lie == .slots, nodes[node].state == .running { wantAll(node) }
    }

    /// A taker of slots dials everybody, and again after each end.
    private mutating func wantAll(_ node: Int) {
        for other in 0..<nodes.count where other != node { tell(node, .connect(nodes[other].address.endpoint)) }
    }

    /// Four nodes share an address that is none of theirs; nobody can dial them, and they know it.
    private mutating func hideBehindNAT(_ node: Int) {
        mark(node) {
            $0.source = UInt32(100) << 24 | 64 << 16 | UInt32(node / 4)
            $0.isFirewalled = true
            $0.statesNone = true
        }
    }

    // Processes.

    /// A process starts: a new nonce, an empty table, its configuration.
    mutating func boot(_ node: Int) {
        guard nodes[node].state == .down || nodes[node].state == .dark else { return }
        nodes[node].settings.nonce = dice.next()
        nodes[node].settings.seed = dice.next()
        let clock = clock(node)
        nodes[node].mesh = Mesh(nodes[node].settings, now: clock)
        nodes[node].state = .running
        nodes[node].wakeAt = .max
        nodes[node].dialSlotAt = 0
        nodes[node].dialsInFlight = 0
        nodes[node].boots += 1
        if !nodes[node].statesNone { handle(node, .ownEndpoint(nodes[node].address.endpoint), at: clock) }
        if nodes[node].role == .masternode || scenario.registryForAll {
            for other in 0..<scenario.masternodes where pairs.isRegistered(other) {
                handle(node, .registered(Address.ofNode(other).endpoint), at: clock)
            }
        }
        if nodes[node].role == .regular { tellSeeds(node, at: clock) }
        handle(node, .start, at: clock)
        trace(UInt64(node) | 5 << 60)
        perform(node, at: clock)
        if nodes[node].lie == .slots { wantAll(node) }
        reassess(node)
    }

    /// The peers that a regular node's operator named.
    private mutating func tellSeeds(_ node: Int, at clock: Instant) {
        var choice = Dice(seed: scenario.seed &+ UInt64(node) &* 0x1_0001)
        for _ in 0..<scenario.seeds {
            let seed = choice.roll(nodes.count)
            if seed != node { handle(node, .connect(nodes[seed].address.endpoint), at: clock) }
        }
    }

    /// The process ends; its kernel says so to the peers, unless the host is gone too.
    mutating func crash(_ node: Int, silently: Bool) {
        guard nodes[node].state == .running || nodes[node].state == .frozen else { return }
        dropBacklog(node, silently: silently)
        for slot in 0..<nodes[node].connections.count {
            let place = nodes[node].connections[slot]
            guard place >= 0 else { continue }
            nodes[node].connections[slot] = -1
            abandon(Int(place >> 1), UInt8(place & 1), silently: silently)
        }
        saveBook(node)
        nodes[node].mesh = Node.noMesh()
        nodes[node].state = silently ? .dark : .down
        nodes[node].links = 0
        nodes[node].wakeAt = .max
        trace(UInt64(node) | 9 << 60)
        reassess(node)
    }

    private mutating func abandon(_ index: Int, _ end: UInt8, silently: Bool) {
        markFaulted(index)
        uncount(index)
        connections[index][end].isOpen = false
        connections[index][end].isUp = false
        connections[index][end].isDialing = false
        if silently || connections[index][end].isShut {
            freeIfOver(index)
        } else {
            connections[index][end].isShut = true
            post(.fin, index, to: 1 - end, payload: 0, after: 0)
        }
    }

    private mutating func saveBook(_ node: Int) {
        var book: [Address] = []
        nodes[node].mesh.forEachPeer(at: clock(node)) { if $0.desire.contains(.learnt) { book.append(Address($0.endpoint)) } }
        nodes[node].savedBook = book
    }

    private mutating func restart(_ members: [Int], keepsBook: Bool, over: Int) {
        for (position, node) in members.enumerated() {
            if !keepsBook { nodes[node].savedBook = [] }
            schedule(.boot, node: node, after: 1 + over * position / max(members.count, 1))
        }
    }

    /// One after the other goes down, and comes back after a while.
    private mutating func roll(_ members: [Int], down: Int, over: Int) {
        for (position, node) in members.enumerated() {
            nodes[node].flapUp = 0
            nodes[node].flapDown = max(1, down)
            schedule(.flap, node: node, after: 1 + over * position / max(members.count, 1))
        }
    }

    // Flapping: up for a while, down for a while. `flapUp` 0 is one turn only.

    private mutating func startFlapping(_ node: Int, up: Int, down: Int) {
        nodes[node].flapUp = max(1, up)
        nodes[node].flapDown = max(1, down)
        schedule(.flap, node: node, after: 1 + dice.roll(max(1, up)))
        reassess(node)
    }

    mutating func flap(_ node: Int) {
        let (up, down) = (nodes[node].flapUp, nodes[node].flapDown)
        guard down > 0 else { return }
        if nodes[node].state == .down || nodes[node].state == .dark {
            boot(node)
            if up > 0 { schedule(.flap, node: node, after: up / 2 + 1 + dice.roll(up)) } else { nodes[node].flapDown = 0 }
        } else {
            crash(node, silently: up > 0 && dice.roll(2) == 0)
            schedule(.flap, node: node, after: up > 0 ? down / 2 + 1 + dice.roll(down) : down)
        }
    }

    private mutating func calm(_ node: Int) {
        guard nodes[node].flapDown > 0 else { return }
        nodes[node].flapUp = 0
        nodes[node].flapDown = 0
        if nodes[node].state == .down || nodes[node].state == .dark { boot(node) }
        reassess(node)
    }

    // A process that does not look, and one whose clock leaps.

    private mutating func freeze(_ node: Int) {
        nodes[node].state = .frozen
        eachConnection(of: node) { world, index in world.markFaulted(index) }
        reassess(node)
    }

    private mutating func thaw(_ node: Int) {
        nodes[node].state = .running
        let first = nodes[node].backlogFirst
        nodes[node].backlogFirst = -1
        nodes[node].backlogLast = -1
        reassess(node)
        let clock = clock(node)
        // Timers before input, as after a long sleep of the machine: what is overdue may be judged too early.
        nodes[node].mesh.advance(to: clock)
        perform(node, at: clock)
        var index = first
        while index >= 0 {
            let next = calendar[index].next
            deliver(index, calendar[index])
            index = next
        }
    }

    private mutating func dropBacklog(_ node: Int, silently: Bool) {
        var index = nodes[node].backlogFirst
        nodes[node].backlogFirst = -1
        nodes[node].backlogLast = -1
        while index >= 0 {
            let entry = calendar[index]
            calendar.release(index)
            let connection = Int(entry.target)
            if entry.kind == .accept { abandon(connection, 1, silently: silently) } else { drop(entry.kind, entry.payload) }
            connections[connection].inFlight -= 1
            if connections[connection].inFlight == 0 { freeIfOver(connection) }
            index = entry.next
        }
    }

    private mutating func jump(_ node: Int, _ span: Int) {
        nodes[node].clockLead += span
        eachConnection(of: node) { world, index in world.markFaulted(index) }
        reassess(node)
        guard nodes[node].state == .running else { return }
        let clock = clock(node)
        nodes[node].mesh.advance(to: clock)
        perform(node, at: clock)
    }

    private mutating func eachConnection(of node: Int, _ body: (inout World, Int) -> Void) {
        for slot in 0..<nodes[node].connections.count {
            let place = nodes[node].connections[slot]
            if place >= 0 { body(&self, Int(place >> 1)) }
        }
    }

    // Connections.

    /// So many of the connections that stand go silent, or are reset at both ends.
    private mutating func strike(_ millionths: Int, silently: Bool) {
        for index in 0..<connections.count where connections[index].isCounted && dice.hits(millionths) {
            if silently {
                connections[index].isSilent = true
                markFaulted(index)
                uncount(index)
            } else {
                breakDown(index)
            }
        }
    }

    // The registry.

    private mutating func register(_ members: [Int], _ isRegistered: Bool) {
        for changed in members where changed < scenario.masternodes {
            pairs.setRegistered(changed, isRegistered)
            let endpoint = nodes[changed].address.endpoint
            for node in 0..<nodes.count where nodes[node].state == .running {
                guard nodes[node].role == .masternode || scenario.registryForAll else { continue }
                tell(node, isRegistered ? .registered(endpoint) : .unregistered(endpoint))
            }
            reassess(changed)
        }
    }
}

extension Source {
    /// The address of the group's member at `position`.
    func address(_ position: Int) -> UInt32 {
        let number = UInt32(position)
        return switch self {
        case .address: 198 << 24 | 51 << 16 | 100 << 8 | 7
        case .net: 198 << 24 | 18 << 16 | (number / 2 & 0xff) << 8 | 1 + number % 2
        case .nets: (20 + number / 250 % 80) << 24 | number % 250 << 16 | 7 << 8 | 7
        }
    }
}
