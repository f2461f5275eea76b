// What may happen next, and what it does: the environment of the model. The nodes' part is `NodeTable`'s, which asks `Mesh`.

import PeerMesh
import Timers

/// One move, in the words of a trace.
enum Move: Hashable {
    case deliver(connection: Int, side: Int)
    /// A connect arrives from the opener's other address.
    case deliverAway(connection: Int)
    case timer(Int)
    /// A deadline fires in the midst of what is under way.
    case overtake(Int)
    case elapse(Nanoseconds)
    case silence(Int)
    case reset(Int)
    case kill(Int)
    case powerLoss(Int)
    case restart(Int)
    case disconnect(Int, from: Int)
    case redial(Int, Int)
    case ban(Int, Int)
    case unban(Int, Int)
    case strike(Int, Int)
    case enroll(Int, Int)
}

struct Rules {
    let model: Model
    var table: NodeTable
    /// The invariant that the last move broke, if one.
    var violation: String?
    /// The last move needed more connections or packets than the model holds.
    var isBeyond = false

    init(_ model: Model) {
        self.model = model
        table = NodeTable(model)
    }

    mutating func initial() -> World {
        var world = World(
            nodes: Array(repeating: -1, count: model.nodes), isUp: Array(repeating: false, count: model.nodes),
            incarnations: Array(repeating: 0, count: model.nodes), bans: Array(repeating: false, count: model.nodes),
            strikes: Array(repeating: false, count: model.nodes)
        )
        for node in 0..<model.nodes { start(node, &world) }
        return world
    }

    private mutating func start(_ node: Int, _ world: inout World) {
        let step = table.fresh(node, incarnation: world.incarnations[node])
        world.isUp[node] = true
        world.nodes[node] = step.node
        finish(step, of: node, before: [], accepting: nil, &world)
    }

    // Which moves there are.

    /// Everything that may happen while faults last.
    func moves(_ world: World) -> [Move] {
        var moves = deliveries(world)
        let isQuiet = moves.isEmpty
        for node in 0..<model.nodes {
            if !world.isUp[node] {
                moves.append(.restart(node))
                continue
            }
            if table[world.nodes[node]].untilDue != .max, !model.hasOneClock {
                if isQuiet { moves.append(.timer(node)) } else if world.overtakes < model.overtakes { moves.append(.overtake(node)) }
            }
            if world.crashes < model.crashes {
                moves.append(.kill(node))
                moves.append(.powerLoss(node))
            }
            if world.operatorMoves < model.operatorMoves { operatorMoves(node, world, &moves) }
            if world.registryMoves < model.registryMoves {
                for other in 0..<model.nodes where other != node {
                    moves.append(world.strikes[node] ? .enroll(node, other) : .strike(node, other))
                }
            }
        }
        if model.hasOneClock, isQuiet { passTime(world, &moves) }
        if world.breaks < model.breaks {
            for index in world.connections.indices where !world.connections[index].isSilent {
                moves.append(.silence(index))
                moves.append(.reset(index))
            }
        }
        return moves
    }

    private func operatorMoves(_ node: Int, _ world: World, _ moves: inout [Move]) {
        for other in 0..<model.nodes where other != node {
            moves.append(.disconnect(other, from: node))
            moves.append(.redial(node, other))
            moves.append(world.bans[node] ? .unban(node, other) : .ban(node, other))
        }
    }

    /// What happens when no fault does: all that is under way arrives before any deadline; then time goes to the next one.
    func calmMoves(_ world: World) -> [Move] {
        let deliveries = deliveries(world)
        if !deliveries.isEmpty { return deliveries }
        for node in 0..<model.nodes where !world.isUp[node] { return [.restart(node)] }
        var moves: [Move] = []
        passTime(world, &moves)
        return moves
    }

    /// One clock: what is due fires, in any order; if nothing is, time goes to the next deadline.
    private func passTime(_ world: World, _ moves: inout [Move]) {
        var next = UInt64.max
        for node in 0..<model.nodes where world.isUp[node] { next = min(next, table[world.nodes[node]].untilDue) }
        if next == 0 {
            for node in 0..<model.nodes where world.isUp[node] && table[world.nodes[node]].untilDue == 0 { moves.append(.timer(node)) }
        } else if next != .max {
            moves.append(.elapse(Nanoseconds(next)))
        }
    }

    private func deliveries(_ world: World) -> [Move] {
        var moves: [Move] = []
        for index in world.connections.indices where !world.connections[index].isSilent {
            let it = world.connections[index]
            for side in 0..<2 where !it.queues[side].isEmpty {
                moves.append(.deliver(connection: index, side: side))
                if side == 1, it.queues[1][0] == .syn, model.roaming.contains(it.opener) { moves.append(.deliverAway(connection: index)) }
            }
        }
        return moves
    }

    // What a move does.

    /// The world after `move`, or nil if it is beyond the model's bounds.
    mutating func apply(_ move: Move, to world: World) -> World? {
        var next = world
        isBeyond = false
        violation = nil
        switch move {
        case .deliver(let connection, let side): deliver(connection, side, isAway: false, &next)
        case .deliverAway(let connection): deliver(connection, 1, isAway: true, &next)
        case .timer(let node): local(.timer, at: node, &next)
        case .overtake(let node):
            next.overtakes += 1
            local(.timer, at: node, &next)
        case .elapse(let span):
            for node in 0..<model.nodes where next.isUp[node] { local(.elapse(span), at: node, &next) }
        case .silence(let connection):
            next.breaks += 1
            next.connections[connection].isSilent = true
            next.connections[connection].queues = [[], []]
        case .reset(let connection):
            next.breaks += 1
            let isAccepted = next.connections[connection].isOpen[1]
            next.connections[connection].queues = [isAccepted ? [] : [], []]
            if next.connections[connection].isOpen[0] { next.connections[connection].queues[0] = [isAccepted ? .reset : .refused] }
            if isAccepted { next.connections[connection].queues[1] = [.reset] }
        case .kill(let node): crash(node, isSilent: false, &next)
        case .powerLoss(let node): crash(node, isSilent: true, &next)
        case .restart(let node): start(node, &next)
        case .disconnect(let other, let node):
            next.operatorMoves += 1
            if model.desire == .operators || model.desire == .both { next.isUnwanted = true }
            local(.disconnect(other), at: node, &next)
        case .redial(let node, let other):
            next.operatorMoves += 1
            local(.redial(other), at: node, &next)
        case .ban(let node, let other):
            next.operatorMoves += 1
            next.bans[node] = true
            local(.ban(other), at: node, &next)
        case .unban(let node, let other):
            next.operatorMoves += 1
            next.bans[node] = false
            local(.unban(other), at: node, &next)
        case .strike(let node, let other):
            next.registryMoves += 1
            next.strikes[node] = true
            local(.strike(other), at: node, &next)
        case .enroll(let node, let other):
            next.registryMoves += 1
            next.strikes[node] = false
            local(.enroll(other), at: node, &next)
        }
        sweep(&next)
        return isBeyond ? nil : next
    }

    private mutating func local(_ event: LocalEvent, at node: Int, accepting: Int? = nil, _ world: inout World) {
        let before = world.connectionsByRank(node)
        let step = table.step(world.nodes[node], event)
        world.nodes[node] = step.node
        finish(step, of: node, before: before, accepting: accepting, &world)
    }

    private mutating func finish(_ step: LocalStep, of node: Int, before: [Int], accepting: Int?, _ world: inout World) {
        if let invariant = step.invariant { violation = "node \(name(node)): \(invariant)" }
        var ranks = before
        if let accepting, !step.outputs.contains(.refuse) {
            world.connections[accepting].isOpen[1] = true
            ranks = world.connectionsByRank(node)
        }
        for output in step.outputs {
            switch output {
            case .dial(let other):
                guard world.connections.count < World.connectionLimit, world.connections.count < model.connections else {
                    isBeyond = true
                    return
                }
                world.connections.append(Connection(opener: node, acceptor: other))
                ranks.append(world.connections.count - 1)
                send(.syn, on: world.connections.count - 1, toSide: 1, &world)
            case .send(let rank, let packet): send(packet, on: ranks[rank], toSide: 1 - world.side(ranks[rank], of: node), &world)
            case .drain(let rank): end(ranks[rank], side: world.side(ranks[rank], of: node), &world)
            case .close(let rank):
                let side = world.side(ranks[rank], of: node)
                world.connections[ranks[rank]].isOpen[side] = false
                world.connections[ranks[rank]].queues[side] = []
                end(ranks[rank], side: side, &world)
            case .refuse:
                if let accepting { send(.fin, on: accepting, toSide: 0, &world) }
            }
        }
    }

    private mutating func end(_ connection: Int, side: Int, _ world: inout World) {
        guard !world.connections[connection].hasEnded[side] else { return }
        world.connections[connection].hasEnded[side] = true
        send(.fin, on: connection, toSide: 1 - side, &world)
    }

    private mutating func send(_ packet: Packet, on connection: Int, toSide side: Int, _ world: inout World) {
        if world.connections[connection].isSilent { return }
        if world.connections[connection].queues[side].count >= World.queueLimit {
            isBeyond = true
        } else {
            world.connections[connection].queues[side].append(packet)
        }
    }

    private mutating func deliver(_ index: Int, _ side: Int, isAway: Bool, _ world: inout World) {
        let packet = world.connections[index].queues[side].removeFirst()
        let node = world.connections[index].node(side)
        let other = world.connections[index].node(1 - side)
        if case .syn = packet {
            connect(index, at: node, from: other, isAway: isAway, &world)
            return
        }
        guard world.isUp[node], world.connections[index].isOpen[side] else {
            // A host that is up answers for a socket that is gone; one without power does not.
            let isNews = packet != .fin && packet != .reset && packet != .refused
            if world.isUp[node], isNews, world.connections[index].isOpen[1 - side] {
                send(.reset, on: index, toSide: 1 - side, &world)
            }
            return
        }
        let rank = world.rank(of: index, at: node)
        local(.deliver(rank: rank, packet, from: other), at: node, &world)
    }

    private mutating func connect(_ index: Int, at node: Int, from other: Int, isAway: Bool, _ world: inout World) {
        guard world.isUp[node], !model.walled.contains(node) else {
            if world.isUp[node] { world.connections[index].isSilent = true } else { send(.refused, on: index, toSide: 0, &world) }
            return
        }
        send(.synAck, on: index, toSide: 0, &world)
        // The dialler may have given the socket up meanwhile: its end of stream, or a reset, is behind the connect.
        var rank = 0
        for earlier in 0..<index where world.hasLink(earlier, node) { rank += 1 }
        local(.accept(rank: rank, from: other, isAway: isAway), at: node, accepting: index, &world)
    }

    private mutating func crash(_ node: Int, isSilent: Bool, _ world: inout World) {
        world.crashes += 1
        world.isUp[node] = false
        world.incarnations[node] += 1
        world.nodes[node] = -1
        world.bans[node] = false
        world.strikes[node] = false
        for index in world.connections.indices {
            for side in 0..<2 where world.connections[index].node(side) == node && world.connections[index].isOpen[side] {
                world.connections[index].isOpen[side] = false
                world.connections[index].queues[side] = []
                if isSilent { world.connections[index].hasEnded[side] = true } else { end(index, side: side, &world) }
            }
        }
    }

    /// Connections that nobody holds any more are gone, with whatever was under way; a connect still under way is held.
    private func sweep(_ world: inout World) {
        world.connections.removeAll { it in
            !it.isOpen[0] && !it.isOpen[1] && !it.queues[1].contains(.syn)
        }
    }

    // Judging.

    /// Rule 6 of the duplicates is at work somewhere.
    func hasSurplus(_ world: World) -> Bool {
        for node in world.nodes where node >= 0 && table[node].hasSurplus { return true }
        return false
    }

    /// One link a pair, established at both ends, nothing else open, nothing under way.
    func isGood(_ world: World) -> Bool {
        guard world.isUp.allSatisfy({ $0 }) else { return false }
        let pairs = model.nodes * (model.nodes - 1) / 2
        guard world.connections.count == pairs else { return false }
        var seen: Set<Set<Int>> = []
        for index in world.connections.indices {
            let it = world.connections[index]
            guard !it.isSilent, it.isOpen[0], it.isOpen[1], !it.hasEnded[0], !it.hasEnded[1] else { return false }
            for side in 0..<2 {
                let entry = table[world.nodes[it.node(side)]]
                if entry.states[world.rank(of: index, at: it.node(side))] != .established { return false }
            }
            seen.insert([it.opener, it.acceptor])
        }
        return seen.count == pairs
    }

    func name(_ node: Int) -> String { String(["A", "B", "C"][node]) }

    func words(_ move: Move, in world: World) -> String {
        switch move {
        case .deliver(let index, let side):
            let it = world.connections[index]
            return "\(name(it.node(side))) receives \(it.queues[side][0].words) on connection \(index) (opened by \(name(it.opener)))"
        case .deliverAway(let index):
            let it = world.connections[index]
            return "\(name(it.acceptor)) receives connect on connection \(index), from \(name(it.opener))'s other address"
        case .timer(let node), .overtake(let node): return "\(name(node))'s next deadline fires, after \(Double(table[world.nodes[node]].untilDue) / 1e9) s of its clock"
        case .elapse(let span): return "\(span.inSeconds) s pass"
        case .silence(let index): return "connection \(index) dies silently"
        case .reset(let index): return "connection \(index) is reset"
        case .kill(let node): return "\(name(node)) is killed"
        case .powerLoss(let node): return "\(name(node)) loses power"
        case .restart(let node): return "\(name(node)) starts anew"
        case .disconnect(let other, let node): return "\(name(node))'s operator disconnects \(name(other))"
        case .redial(let node, let other): return "\(name(node))'s operator redials \(name(other))"
        case .ban(let node, let other): return "\(name(node))'s operator bans \(name(other))"
        case .unban(let node, let other): return "\(name(node))'s operator unbans \(name(other))"
        case .strike(let node, let other): return "\(name(node))'s registry strikes \(name(other)) off"
        case .enroll(let node, let other): return "\(name(node))'s registry names \(name(other)) again"
        }
    }
}
