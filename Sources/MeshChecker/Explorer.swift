// Breadth first over every state that the model can reach; then, from each of them, what happens when faults stop: every
// path must end in one link, the same on both sides.

import Timers

/// What a run found.
public struct CheckReport: Sendable {
    public var model: String
    public var states = 0
    public var transitions = 0
    public var nodeStates = 0
    public var meshCalls = 0
    /// Moves beyond the model's bounds.
    public var beyond = 0
    public var calmStates = 0
    public var goodStates = 0
    /// States in which rule 6 of the duplicates is at work, and fault-free ones.
    public var surplusStates = 0
    public var calmSurplusStates = 0
    /// Fault-free states with a way beyond the model's bounds: taken for good.
    public var unjudged = 0
    /// The longest that a fault-free continuation takes to one link, in the model's seconds.
    public var longestToGood = 0.0
    public var isWhole = true
    /// The shortest trace to what went wrong, in words; empty if nothing did.
    public var violation: [String] = []
}

/// A set of packed states with a number each, in the order of discovery.
struct StateSet {
    private(set) var states: [PackedWorld] = []
    private var slots: [UInt32] = Array(repeating: .max, count: 1 << 16)

    var count: Int { states.count }

    subscript(_ index: Int) -> PackedWorld { states[index] }

    private func hash(_ state: PackedWorld) -> Int {
        var h = state.words[0] &* 0x9e37_79b9_7f4a_7c15
        for word in 1..<11 { h = (h ^ (h >> 29) ^ state.words[word]) &* 0xbf58_476d_1ce4_e5b9 }
        return Int(truncatingIfNeeded: h ^ (h >> 32))
    }

    /// The state's number, and whether it is new.
    mutating func insert(_ state: PackedWorld) -> (Int, Bool) {
        if states.count * 2 >= slots.count { grow() }
        var place = hash(state) & (slots.count - 1)
        while slots[place] != .max {
            let index = Int(slots[place])
            if states[index] == state { return (index, false) }
            place = (place + 1) & (slots.count - 1)
        }
        slots[place] = UInt32(states.count)
        states.append(state)
        return (states.count - 1, true)
    }

    private mutating func grow() {
        slots = Array(repeating: .max, count: slots.count * 2)
        for (index, state) in states.enumerated() {
            var place = hash(state) & (slots.count - 1)
            while slots[place] != .max { place = (place + 1) & (slots.count - 1) }
            slots[place] = UInt32(index)
        }
    }
}

public struct Explorer {
    private let model: Model
    private var rules: Rules
    private var report: CheckReport
    private var reached = StateSet()
    private var parents: [UInt32] = []
    private let limit: Int

    /// At most `limit` states are looked at; a report of fewer than all says so.
    public init(_ model: Model, limit: Int = 50_000_000) {
        self.model = model
        rules = Rules(model)
        report = CheckReport(model: model.name)
        self.limit = limit
    }

    public mutating func run() -> CheckReport {
        explore()
        if report.violation.isEmpty { judgeCalm() }
        report.nodeStates = rules.table.entries.count
        report.meshCalls = rules.table.calls
        return report
    }

    // Safety.

    private mutating func explore() {
        _ = reached.insert(PackedWorld(rules.initial()))
        parents.append(.max)
        var next = 0
        while next < reached.count {
            let world = reached[next].world
            if rules.hasSurplus(world) { report.surplusStates += 1 }
            for move in rules.moves(world) {
                report.transitions += 1
                let successor = rules.apply(move, to: world)
                if let violation = rules.violation {
                    report.violation = trace(to: next) + [rules.words(move, in: world), "VIOLATED: \(violation)"]
                    return
                }
                guard let successor else {
                    report.beyond += 1
                    continue
                }
                let (_, isNew) = reached.insert(PackedWorld(successor))
                if isNew { parents.append(UInt32(next)) }
            }
            next += 1
            if reached.count > limit {
                report.isWhole = false
                break
            }
        }
        report.states = reached.count
    }

    /// The moves from the start to `index`, in words.
    private mutating func trace(to index: Int) -> [String] {
        var path = [index]
        while parents[path.last!] != .max { path.append(Int(parents[path.last!])) }
        path.reverse()
        var words: [String] = []
        for (from, to) in zip(path, path.dropFirst()) {
            let world = reached[from].world
            for move in rules.moves(world) {
                if let successor = rules.apply(move, to: world), PackedWorld(successor) == reached[to] {
                    words.append(rules.words(move, in: world))
                    break
                }
            }
        }
        return words
    }

    // Liveness.

    /// From every reached state faults stop: the graph of what follows, its good states, and whether all others lead there.
    private mutating func judgeCalm() {
        var calm = StateSet()
        var origin: [UInt32] = []
        /// The calm state before, or `.max` for one where faults have just stopped.
        var before: [UInt32] = []
        for index in 0..<reached.count {
            var world = reached[index].world
            if world.isUnwanted || world.bans.contains(true) { continue }
            // Whom the registry does not name is wanted by an operator, or not at all.
            if model.desire != .both, world.strikes.contains(true) { continue }
            world.crashes = 0
            world.breaks = 0
            world.operatorMoves = 0
            world.registryMoves = 0
            world.overtakes = 0
            if calm.insert(PackedWorld(world)).1 {
                origin.append(UInt32(index))
                before.append(.max)
            }
        }
        var edges: [UInt32] = []
        var firstEdge: [UInt32] = []
        var spans: [Float] = []
        var isGood: [Bool] = []
        var next = 0
        while next < calm.count {
            let world = calm[next].world
            if rules.hasSurplus(world) { report.calmSurplusStates += 1 }
            firstEdge.append(UInt32(edges.count))
            isGood.append(rules.isGood(world))
            var isTruncated = false
            if !isGood[next] {
                for move in rules.calmMoves(world) {
                    report.transitions += 1
                    let successor = rules.apply(move, to: world)
                    if let violation = rules.violation {
                        report.violation = describe(next, calm, origin, before) + [rules.words(move, in: world), "VIOLATED: \(violation)"]
                        return
                    }
                    guard let successor else {
                        report.beyond += 1
                        isTruncated = true
                        continue
                    }
                    let (index, isNew) = calm.insert(PackedWorld(successor))
                    if isNew {
                        origin.append(origin[next])
                        before.append(UInt32(next))
                    }
                    edges.append(UInt32(index))
                    if case .elapse(let span) = move { spans.append(Float(span.inSeconds)) } else { spans.append(0) }
                }
            }
            // What lies beyond the model's bounds is not judged; how many such states there are is reported.
            if isTruncated {
                isGood[next] = true
                report.unjudged += 1
            }
            next += 1
        }
        firstEdge.append(UInt32(edges.count))
        report.calmStates = calm.count
        report.goodStates = isGood.count { $0 } - report.unjudged
        judge(calm, edges, firstEdge, spans, isGood, origin, before)
    }

    /// Backward from the good states: a state is settled when all of its successors are. What is left never ends.
    private mutating func judge(
        _ calm: StateSet, _ edges: [UInt32], _ firstEdge: [UInt32], _ spans: [Float], _ isGood: [Bool], _ origin: [UInt32],
        _ before: [UInt32]
    ) {
        var predecessors: [UInt32] = Array(repeating: 0, count: edges.count)
        var firstPredecessor: [UInt32] = Array(repeating: 0, count: calm.count + 1)
        for to in edges { firstPredecessor[Int(to) + 1] += 1 }
        for index in 0..<calm.count { firstPredecessor[index + 1] += firstPredecessor[index] }
        var fill = firstPredecessor
        for from in 0..<calm.count {
            for edge in Int(firstEdge[from])..<Int(firstEdge[from + 1]) {
                predecessors[Int(fill[Int(edges[edge])])] = UInt32(from)
                fill[Int(edges[edge])] += 1
            }
        }
        var openEdges = (0..<calm.count).map { firstEdge[$0 + 1] - firstEdge[$0] }
        var time: [Float] = Array(repeating: 0, count: calm.count)
        var isSettled = isGood
        var work = (0..<calm.count).filter { isGood[$0] }
        while let state = work.popLast() {
            for place in Int(firstPredecessor[state])..<Int(firstPredecessor[state + 1]) {
                let earlier = Int(predecessors[place])
                openEdges[earlier] -= 1
                if openEdges[earlier] == 0, !isSettled[earlier] {
                    isSettled[earlier] = true
                    for edge in Int(firstEdge[earlier])..<Int(firstEdge[earlier + 1]) {
                        time[earlier] = max(time[earlier], spans[edge] + time[Int(edges[edge])])
                    }
                    work.append(earlier)
                }
            }
        }
        report.longestToGood = Double(time.max() ?? 0)
        if let stuck = (0..<calm.count).first(where: { !isSettled[$0] }) {
            let count = isSettled.count { !$0 }
            report.violation = describe(stuck, calm, origin, before) + cycle(from: stuck, calm, edges, firstEdge, isSettled)
                + ["VIOLATED: \(count) states from which one link is not inevitable"]
        }
    }

    /// The way to a calm state: to where faults stopped, and from there.
    private mutating func describe(_ state: Int, _ calm: StateSet, _ origin: [UInt32], _ before: [UInt32]) -> [String] {
        var path = [state]
        while before[path.last!] != .max { path.append(Int(before[path.last!])) }
        path.reverse()
        var words = trace(to: Int(origin[state])) + ["— faults stop —"]
        for (from, to) in zip(path, path.dropFirst()) {
            let world = calm[from].world
            for move in rules.calmMoves(world) {
                if let successor = rules.apply(move, to: world), PackedWorld(successor) == calm[to] {
                    words.append(rules.words(move, in: world))
                    break
                }
            }
        }
        return words
    }

    /// One way on that never ends well.
    private mutating func cycle(
        from start: Int, _ calm: StateSet, _ edges: [UInt32], _ firstEdge: [UInt32], _ isSettled: [Bool]
    ) -> [String] {
        var words: [String] = []
        var seen: Set<Int> = []
        var state = start
        while seen.insert(state).inserted {
            let world = calm[state].world
            let range = Int(firstEdge[state])..<Int(firstEdge[state + 1])
            guard let edge = range.first(where: { !isSettled[Int(edges[$0])] }) else {
                words.append("… and nothing more happens")
                return words
            }
            for move in rules.calmMoves(world) {
                if let successor = rules.apply(move, to: world), PackedWorld(successor) == calm[Int(edges[edge])] {
                    words.append(rules.words(move, in: world))
                    break
                }
            }
            state = Int(edges[edge])
        }
        words.append("… and so on, for ever")
        return words
    }
}
