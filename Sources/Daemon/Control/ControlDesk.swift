// What the API answers: one function an operation, on the control thread. It reads snapshots and the chronicle, hands actions
// to the journal and then to the loop, and never waits for the loop longer than a second.

import CEpoll
import Glibc
import PeerMesh
import Reactor
import Timers

/// Who a node is: what does not change while it runs.
struct NodeFacts: Sendable {
    var version: String
    var network: String
    var dialect: String
    var advertised: Endpoint?
    /// Descriptors that the process might have when it started, and those that its table may come to need.
    var descriptors: UInt64
    var descriptorsNeeded: UInt64
    var startedAt: Instant
}

/// What the desk needs of the daemon.
struct DeskParts {
    var facts: NodeFacts
    var port: NodePort
    var chronicle: Chronicle
    var actions: any OperatorPort
    var journal: any OperatorJournal
    var notes: any BanNotes
    /// Nil where nothing is kept.
    var store: Store?
    var reloader: any Reloader
    /// The names that are looked up.
    var names: Resolver?
    /// Which of these masternodes the registry file names.
    var registered: @Sendable (Set<Endpoint>) -> Set<Endpoint> = { _ in [] }
    /// Nil where no registry file can be.
    var custodian: Custodian?
}

/// The answering side. On the control thread only.
final class ControlDesk {
    let facts: NodeFacts
    let chronicle: Chronicle
    let view: NodeView
    let actions: any OperatorPort
    let journal: any OperatorJournal
    let notes: any BanNotes
    let store: Store?
    let reloader: any Reloader
    let names: Resolver?
    let registered: @Sendable (Set<Endpoint>) -> Set<Endpoint>
    let custodian: Custodian?
    let metrics: NodeMetrics
    /// The ways in, whose counts `/loop` and `/metrics` tell; set by the server.
    var doors: [ControlDoor] = []

    init(_ parts: DeskParts) throws(DaemonError) {
        facts = parts.facts
        chronicle = parts.chronicle
        actions = parts.actions
        journal = parts.journal
        notes = parts.notes
        store = parts.store
        reloader = parts.reloader
        names = parts.names
        registered = parts.registered
        custodian = parts.custodian
        view = try NodeView(parts.port)
        metrics = NodeMetrics(facts)
    }

    /// The numbers in force now: a reload may have changed them.
    var mesh: MeshSettings { reloader.configuration.mesh }

    private var thresholds: Thresholds { Thresholds(reloader.configuration.health) }

    /// Answers everything but `/events`, which is no answer but a stream.
    func answer(_ request: Request) throws(Problem) -> Answer {
        switch request.operation {
        case .index: return .json(Operation.list)
        case .openapi: return Answer(type: Route.Content.yaml.rawValue, body: OpenAPI.page)
        case .dashboard: return Dashboard.page
        case .dashboardStyle: return Dashboard.style
        case .dashboardScript: return Dashboard.script
        case .status: return .json(try status())
        case .peers: return .json(try peers(request))
        case .peer: return .json(try peer(request))
        case .why: return .json(try why(request))
        case .masternodes: return .json(try masternodes())
        case .slots: return .json(try slots())
        case .bans: return .json(try bans())
        case .loop: return .json(try loop())
        case .metrics: return Answer(type: Route.Content.metrics.rawValue, body: try metrics.page(self))
        case .live: return live(request)
        case .ready: return ready(request)
        case .events: preconditionFailure("events are a stream")
        case .connect, .disconnect, .redial, .ban, .unban, .trust, .untrust, .addMasternode, .removeMasternode, .drain, .logLevel:
            return try act(request)
        case .reload: return try reload()
        }
    }

    // MARK: Peers

    private func rows(_ sight: (snapshot: NodeSnapshot, names: [NameReport])) -> PeerRow {
        PeerRow(sight.snapshot, chronicle, Moments(), sight.names, added: addedMasternodes)
    }

    private func peers(_ request: Request) throws(Problem) -> JSON {
        let state = request.text("state")
        let role = request.text("class")
        let direction = request.text("direction")
        let wanted = request.flag("wanted")
        let isMeant = try filter(ofRows: request)
        return rows(try sight()).all { row in
            isMeant(row) && (state == nil || row.state == state) && (role == nil || row.role.name == role)
                && (direction == nil || row.direction?.name == direction) && (!wanted || row.isWanted)
        }
    }

    private func masternodes() throws(Problem) -> JSON {
        rows(try sight()).all { row in
            switch row {
            case .peer(let peer, _): peer.desire.contains(.registry)
            case .name(let report): report.peer.kind == .masternode
            case .link: false
            }
        }
    }

    private func peer(_ request: Request) throws(Problem) -> JSON {
        let target = try target(request)
        let sight = try sight()
        let snapshot = sight.snapshot
        _ = try report(of: target)
        if let report = lost(target, among: sight.names) { return rows(sight).json(report) }
        let endpoint = try endpoint(of: target)
        guard let peer = snapshot.peers.first(where: { $0.endpoint == endpoint }) else {
            throw Problem.notFound("\(endpoint) is not in the book; `GET /peers` lists who is")
        }
        return rows(sight).json(peer, since: chronicle.history(of: endpoint)?.viewSince)
    }

    private func why(_ request: Request) throws(Problem) -> JSON {
        let target = try target(request)
        let sight = try sight(age: .zero)
        let snapshot = sight.snapshot
        let why = Why(snapshot: snapshot, settings: mesh, moments: Moments(), notes: notes)
        _ = try report(of: target)
        if let report = lost(target, among: sight.names) { return why.json(report) }
        let endpoint = try endpoint(of: target)
        let history = chronicle.history(of: endpoint)
        guard let peer = snapshot.peers.first(where: { $0.endpoint == endpoint }) else {
            return why.json(unknown: endpoint, history: history)
        }
        return why.json(peer, history: history, row: rows(sight))
    }

    // MARK: The node

    private func status() throws(Problem) -> JSON {
        let (snapshot, names) = try sight()
        let moments = Moments()
        let census = snapshot.census
        let (inbound, outbound) = Health.directions(snapshot)
        return .members(
            ("version", .string(facts.version)), ("pid", .count(getpid())), ("network", .string(facts.network)),
            ("dialect", .string(facts.dialect)), ("role", .string(mesh.role.name)), ("startedAt", moments.json(facts.startedAt)),
            ("uptimeSeconds", moments.seconds(since: facts.startedAt)),
            ("listening", .array(snapshot.listeners.map { .string($0.description) })), ("listenTrouble", listenTrouble(snapshot)),
            ("advertised", snapshot.ownEndpoint.map { .string($0.description) } ?? .null), ("reach", reach(snapshot)),
            ("links", .members(
                ("established", .count(census.establishedMasternodes + census.establishedRegular)),
                ("masternodes", .count(census.establishedMasternodes)), ("regular", .count(census.establishedRegular)),
                ("inbound", .count(inbound)), ("outbound", .count(outbound)), ("pending", .count(census.pending)),
                ("dialing", .count(census.dialingMasternodes + census.dialingRegular)), ("draining", .count(census.draining)))),
            ("peers", .members(
                ("known", .count(census.knownPeers)), ("wanted", .count(snapshot.peers.count { $0.isWanted })),
                ("masternodes", .count(census.wantedMasternodes)), ("banned", .count(snapshot.peers.count { $0.view == .banned })))),
            ("store", storeStatus), ("loopRebuilds", .count(snapshot.loop.rebuilds)),
            ("health", .string(health(snapshot, names, thresholds).status.rawValue))
        )
    }

    private func health(_ snapshot: NodeSnapshot, _ names: [NameReport], _ thresholds: Thresholds) -> Health {
        var health = Health(snapshot, facts, thresholds, lag: view.lag, unresolved: ControlDesk.unresolved(names), gone: gone)
        health.checks.append(Health.gap(chronicle.longestGap(at: Moments().now), thresholds.maximumGap))
        health.checks.append(Health.queue(snapshot.census, mesh))
        if let store { health.checks.append(Health.store(store.status)) }
        if let status = custodian?.registry?.status { health.checks.append(Health.registryFile(status)) }
        return health
    }

    /// The addresses of listeners that this machine has no longer.
    var gone: [ListenWatch.Gone] { custodian?.addresses.check() ?? [] }

    /// Masternodes that are wanted by a name that has no address yet: the node's table does not know them.
    static func unresolved(_ names: [NameReport]) -> Int { names.count { $0.peer.kind == .masternode && $0.current == nil } }

    /// What is wrong with the way in, one object a listener's address.
    private func listenTrouble(_ snapshot: NodeSnapshot) -> JSON {
        var rows = gone.map { JSON.members(("listen", .string($0.endpoint.description)), ("text", .string($0.why))) }
        if snapshot.restingListeners > 0 { rows.append(.members(("listen", .null), ("text", .string(Health.resting(snapshot))))) }
        return .array(rows)
    }

    /// How the store is; null where nothing is kept.
    private var storeStatus: JSON {
        guard let status = store?.status else { return .null }
        return .members(
            ("path", .string(status.path)), ("trouble", status.trouble.map(JSON.string) ?? .null), ("lagSeconds", Moments.seconds(status.lag)),
            ("addresses", .count(status.addresses)), ("tried", .count(status.tried)), ("lostRecords", .count(status.lost))
        )
    }

    /// How others reach us: what we state, and what shows that it works.
    private func reach(_ snapshot: NodeSnapshot) -> JSON {
        let (inbound, outbound) = Health.directions(snapshot)
        let text: String
        if snapshot.ownEndpoint == nil {
            text = "this node states no address, so nobody dials it by itself; --advertise names one"
        } else if inbound > 0 {
            text = "others have dialled this node and are linked"
        } else if snapshot.census.expectsInbound {
            text = "nobody who dialled this node is linked, though linked peers were to dial it: "
                + "check that the advertised address and port are open from outside"
        } else if outbound > 0 {
            text = "no linked peer was to dial this node: whether others reach it is not known"
        } else {
            text = "nobody is linked"
        }
        let seen = Reach.seen(snapshot.sightings)
        return .members(
            ("inboundSeen", .bool(inbound > 0)), ("inboundExpected", .bool(snapshot.census.expectsInbound)), ("text", .string(text)),
            ("seenAs", .array(seen.map { .members(("address", .string($0.address.description)), ("peers", .count($0.peers))) })),
            ("warning", Reach.warning(seen, advertised: snapshot.ownEndpoint).map(JSON.string) ?? .null)
        )
    }

    private func slots() throws(Problem) -> JSON {
        let census = try view.snapshot(.tally).census
        let mesh = mesh
        return .members(
            ("maxPeers", .count(census.maxPeers)), ("reserved", .count(census.reservedSlots)), ("regularSlots", .count(census.regularSlots)),
            ("masternodes", .members(("established", .count(census.establishedMasternodes)), ("dialing", .count(census.dialingMasternodes)))),
            ("regular", .members(
                ("established", .count(census.establishedRegular)), ("dialing", .count(census.dialingRegular)),
                ("free", .count(max(census.regularSlots - census.establishedRegular - census.dialingRegular, 0))))),
            ("free", .count(max(census.maxPeers - census.establishedRegular - census.establishedMasternodes, 0))),
            ("pending", .members(("now", .count(census.pending)), ("limit", .count(mesh.pendingLimit)))),
            ("draining", .members(("now", .count(census.draining)), ("limit", .count(mesh.drainingLimit)))),
            ("dials", .members(("now", .count(census.dialingMasternodes + census.dialingRegular)), ("limit", .count(mesh.dialLimit))))
        )
    }

    private func bans() throws(Problem) -> JSON {
        let snapshot = try view.snapshot()
        let moments = Moments()
        let inForce = snapshot.bans.filter { $0.until > moments.now }
        return .array(inForce.sorted { $0.subject.text < $1.subject.text }.map { Why.json($0, moments, notes.note(on: $0)) })
    }

    private func loop() throws(Problem) -> JSON {
        let snapshot = try view.snapshot(.counters, age: .zero)
        let (loop, node) = (snapshot.loop, snapshot.counters)
        return .members(
            ("answerSeconds", Moments.seconds(view.lag)), ("iterations", .count(loop.iterations)), ("events", .count(loop.events)),
            ("wakes", .count(loop.wakes)), ("jobs", .count(loop.jobs)), ("timers", .count(loop.timers)),
            ("controls", .count(loop.controls)), ("carriedOver", .count(loop.carriedOver)), ("rebuilds", .count(loop.rebuilds)),
            ("lag", ControlDesk.quantiles(loop.lag)), ("callbacks", ControlDesk.quantiles(loop.callbackTime)),
            ("cannotHappen", .members(
                ("staleEvents", .count(loop.staleEvents)), ("staleJobs", .count(loop.staleJobs)), ("staleIDs", .count(loop.staleIDs)),
                ("failedControls", .count(loop.failedControls)), ("latchedHangups", .count(loop.latchedHangups)),
                ("failedWaits", .count(loop.failedWaits)), ("strangeJobs", .count(node.strangeJobs)),
                ("contradictions", .count(node.contradictions)))),
            ("accepted", .count(node.accepted)), ("refused", .count(node.refused)), ("dials", .count(node.dials)),
            ("bytesIn", .count(node.bytesIn)), ("bytesOut", .count(node.bytesOut)), ("framesIn", .count(node.framesIn)),
            ("framesOut", .count(node.framesOut)), ("pingsOut", .count(node.pingsOut)), ("pongsOut", .count(node.pongsOut)),
            ("memoryInUse", .count(snapshot.memoryInUse)), ("memoryPeak", .count(snapshot.memoryPeak)),
            ("memoryLimit", .count(snapshot.memoryLimit)), ("strangersInUse", .count(snapshot.strangersInUse)),
            ("strangersLimit", .count(snapshot.strangersLimit)),
            ("descriptors", .members(("open", Descriptors.open.map { .count($0) } ?? .null), ("limit", Descriptors.limit.map { .count($0) } ?? .null))),
            ("control", control)
        )
    }

    private var control: JSON {
        let counts = doors.map(\.counts)
        return .members(
            ("connections", .count(counts.map(\.connections).reduce(0, +))), ("limit", .count(ControlSettings.connectionLimit)),
            ("followers", .count(counts.map(\.followers).reduce(0, +))), ("evicted", .count(counts.map(\.evicted).reduce(0, +))),
            ("refusedFollowers", .count(counts.map(\.refusedFollowers).reduce(0, +))), ("rests", .count(counts.map(\.rests).reduce(0, +))),
            ("lostRecords", .count(chronicle.counts.lost))
        )
    }

    /// What a histogram of spans says, since the node's start.
    private static func quantiles(_ spans: TimeHistogram) -> JSON {
        .members(
            ("count", .count(spans.count)), ("p50Seconds", Moments.seconds(spans.quantile(0.5))),
            ("p99Seconds", Moments.seconds(spans.quantile(0.99))), ("longestSeconds", Moments.seconds(spans.longest))
        )
    }

    // MARK: Health

    private func live(_ request: Request) -> Answer {
        let limit = request.span("max-loop-lag") ?? thresholds.maximumLag
        let health = (try? view.snapshot(.counters, age: .zero)).map { _ in
            Health(checks: [Health.lag(view.lag, limit)])
        } ?? Health(checks: [Health.silent])
        return health.answer(isReady: health.status == .good)
    }

    private func ready(_ request: Request) -> Answer {
        var thresholds = thresholds
        thresholds.links = request.count("min-links") ?? thresholds.links
        thresholds.masternodes = request.count("min-masternodes") ?? thresholds.masternodes
        thresholds.inbound = request.count("min-inbound") ?? thresholds.inbound
        thresholds.outbound = request.count("min-outbound") ?? thresholds.outbound
        thresholds.maximumLag = request.span("max-loop-lag") ?? thresholds.maximumLag
        thresholds.descriptors = request.count("min-descriptors") ?? thresholds.descriptors
        thresholds.maximumGap = request.span("max-masternode-gap")
        guard let (snapshot, names) = try? sight(age: .zero) else {
            return Health(checks: [Health.silent]).answer(isReady: false)
        }
        let health = health(snapshot, names, thresholds)
        return health.answer(isReady: health.status == .good)
    }
}

extension Operation {
    /// What `GET /` says.
    static var list: JSON {
        .array(
            allCases.map { operation in
                let route = operation.route
                return .members(
                    ("method", .string(route.method.rawValue)), ("path", .string(route.path)), ("summary", .string(route.summary)))
            })
    }
}
