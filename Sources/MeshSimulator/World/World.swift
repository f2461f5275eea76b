// The world: every node is the shipped `Mesh`, the network is a calendar of packets, the time is virtual and counted in whole
// milliseconds (the tick of the core's own wheel). Everything follows from the scenario and its seed.

import PeerMesh
import Timers

/// A network of meshes in virtual time. Not thread-safe; one value is one run.
public struct World: ~Copyable {
    public let scenario: Scenario
    /// Milliseconds since the beginning.
    public internal(set) var now = 1_000
    var nodes: Table<Node>
    var calendar = Calendar()
    var connections = Table<Connection>(reserving: 1_024)
    var freeConnection: Int32 = -1
    var hellos = Table<Hello>(reserving: 64)
    var freeHellos: [Int32] = []
    var lists: [[UInt64]] = []
    var freeLists: [Int32] = []
    var dice: Dice
    /// Decides what is looked at, and nothing else: looking must not change the trace.
    var sampler: Dice

    // The network.
    var latency: Int
    var jitter: Int
    /// Packets in a million that find their connection reset.
    var loss: Int
    var walls: [Wall] = []
    var groups: [String]
    /// Some node reads late.
    var hasSlowNodes = false
    var nextStep = 0
    var dialledPorts: UInt16 = 0
    var readsAhead: Bool
    var ahead = Lookahead()

    // What is measured.
    var pairs: PairTable
    var report: Report
    /// One state in so many is checked in full; 1 in small worlds.
    let checkEvery: Int
    /// Nodes whose diary is written out as it comes.
    public var watched: [Int] = []
    var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325

    /// The world of `scenario`, at its beginning.
    public init(_ scenario: Scenario) {
        self.scenario = scenario
        dice = Dice(seed: scenario.seed)
        sampler = Dice(seed: ~scenario.seed)
        latency = scenario.latency
        jitter = scenario.jitter
        loss = scenario.loss
        groups = scenario.groups.map(\.name)
        checkEvery = scenario.checkEvery ?? (scenario.nodes <= 16 ? 1 : scenario.nodes <= 200 ? 1_024 : 16_384)
        nodes = Table(reserving: scenario.nodes)
        readsAhead = scenario.nodes >= Lookahead.fewestNodes
        pairs = PairTable(size: scenario.masternodes)
        report = Report(scenario)
        assert(MemoryLayout<Connection>.stride == 64)
        for index in 0..<scenario.nodes { makeNode(index) }
        chooseGroups()
    }

    private mutating func makeNode(_ index: Int) {
        let role: Role = index < scenario.masternodes ? .masternode : .regular
        let settings = scenario.settings(role: role, nonce: dice.next(), seed: dice.next())
        nodes.append(Node(role: role, address: .ofNode(index), settings: settings))
    }

    /// The clock of `node`.
    func clock(_ node: Int) -> Instant {
        Instant(nanoseconds: UInt64(now + nodes[node].clockLead) * 1_000_000)
    }

    /// Runs to the scenario's end.
    public mutating func run() {
        let clock = ContinuousClock()
        let (began, processor) = (clock.now, Output.processorSeconds)
        begin()
        runUntil(1_000 + scenario.duration)
        finish()
        let span = (clock.now - began).components
        report.wallSeconds = Double(span.seconds) + Double(span.attoseconds) / 1e18
        report.processorSeconds = Output.processorSeconds - processor
    }

    /// Boots every node within the first second.
    mutating func begin() {
        for step in scenario.steps where step.at == 0 { apply(step.action) }
        while nextStep < scenario.steps.count, scenario.steps[nextStep].at == 0 { nextStep += 1 }
        for index in 0..<nodes.count { schedule(.boot, node: index, after: dice.roll(1_000) + 1) }
        report.beginPhase("start", at: now)
    }

    mutating func runUntil(_ end: Int) {
        while now < end, !report.isFull {
            let step = nextStep < scenario.steps.count ? 1_000 + scenario.steps[nextStep].at : Int.max
            let limit = min(end, step, report.nextSample)
            if let next = calendar.next(from: now), next < limit {
                now = next
                runMillisecond()
            } else {
                now = limit
                if now >= report.nextSample { sample() }
                if now == step { applySteps() }
            }
        }
    }

    private mutating func runMillisecond() {
        var known = 0
        while true {
            if readsAhead, known == 0 { known = lookAhead() }
            let index = calendar.take(at: now)
            if index < 0 { return }
            run(index)
            known -= 1
        }
    }

    private mutating func run(_ index: Int32) {
        let entry = calendar[index]
        switch entry.kind {
        case .wake:
            calendar.release(index)
            wake(Int(entry.target))
        case .boot:
            calendar.release(index)
            if isDue(entry) { boot(Int(entry.target)) }
        case .flap:
            calendar.release(index)
            if isDue(entry) { flap(Int(entry.target)) }
        case .syn, .synAck, .refused, .accept, .hello, .ping, .pong, .ask, .peers, .fin, .reset, .taken:
            deliver(index, entry)
        }
    }

    // A node's own time.

    /// An affair of `node` in `after` milliseconds, however far.
    mutating func schedule(_ kind: EntryKind, node: Int, after: Int) {
        var entry = Entry()
        entry.kind = kind
        entry.target = Int32(node)
        entry.payload = UInt64(now + after)
        calendar.add(entry, at: now + min(after, Calendar.horizon - 1), now: now)
    }

    /// Whether a far entry's time has come; if not, it goes round once more.
    private mutating func isDue(_ entry: Entry) -> Bool {
        let due = Int(entry.payload)
        if due <= now { return true }
        calendar.add(entry, at: min(due, now + Calendar.horizon - 1), now: now)
        return false
    }

    private mutating func wake(_ node: Int) {
        guard nodes[node].wakeAt == now else { return }
        nodes[node].wakeAt = .max
        guard nodes[node].state == .running else { return }
        let clock = clock(node)
        if let deadline = nodes[node].mesh.nextDeadline, deadline <= clock {
            nodes[node].mesh.advance(to: clock)
            report.wakes += 1
            perform(node, at: clock)
        } else {
            arm(node)
        }
    }

    /// Sees to it that the node wakes at its next deadline.
    @inline(__always)
    mutating func arm(_ node: Int) {
        guard let deadline = nodes[node].mesh.nextDeadline else { return }
        let due = Int(truncatingIfNeeded: min(deadline.nanoseconds, 1 << 60) / 1_000_000) - nodes[node].clockLead
        let at = min(max(due, now + 1), now + Calendar.horizon - 1)
        guard at < nodes[node].wakeAt else { return }
        nodes[node].wakeAt = at
        var entry = Entry()
        entry.target = Int32(truncatingIfNeeded: node)
        calendar.add(entry, at: at, now: now)
    }

    /// One word more in the trace.
    @inline(__always)
    mutating func trace(_ word: UInt64) {
        traceHash = (traceHash ^ word) &* 0x9e37_79b9_7f4a_7c15
        traceHash ^= traceHash >> 29
    }
}
