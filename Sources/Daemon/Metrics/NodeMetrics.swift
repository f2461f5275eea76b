// The node's own metrics: what the loop and the chronicle counted, handed to swift-metrics when somebody scrapes. The loop is
// asked once a second at most, and for its tables every five seconds at most, however many scrape.

import CEpoll
import CoreMetrics
import PeerMesh
import Reactor
import Timers

/// On the control thread only.
final class NodeMetrics {
    private let registry: PrometheusRegistry
    private var text = ""
    private var writtenAt: Instant?
    private var talliedAt: Instant?
    private var gauges: [String: Gauge] = [:]

    /// Every reason, as labels have it.
    static let reasons: [CloseReason] = [
        .remoteClosed, .refused, .dialTimeout, .greetingTimeout, .frameTimeout, .keepaliveTimeout, .protocolViolation, .desync,
        .frameTooLarge, .slowConsumer, .superseded, .duplicate, .full, .crowded, .evicted, .banned, .operator, .shutdown, .selfConnection,
        .wrongNetwork, .internalError, .io(0), .local(0),
    ]

    init(_ facts: NodeFacts, registry: PrometheusRegistry = PrometheusRegistry()) {
        self.registry = registry
        for metric in NodeMetrics.table { registry.describe(metric.name, metric.help) }
        set("reactor_build_info", [("version", facts.version), ("network", facts.network)], 1)
        for role in [Role.masternode, .regular] {
            for reason in NodeMetrics.reasons {
                follow("reactor_dials_total", [("class", role.name), ("outcome", reason.family)], 0)
                follow("reactor_links_closed_total", [("class", role.name), ("reason", reason.family)], 0)
            }
            follow("reactor_dials_total", [("class", role.name), ("outcome", "established")], 0)
        }
    }

    /// The text of a scrape.
    func page(_ desk: ControlDesk) throws(Problem) -> String {
        let now = Instant(nanoseconds: cepoll_monotonic())
        if let writtenAt, now - writtenAt < NodeView.scraped { return text }
        let isTally = talliedAt.map { now - $0 >= .seconds(5) } ?? true
        let snapshot = try desk.view.snapshot(isTally ? .tally : .counters, age: .zero)
        if isTally {
            talliedAt = now
            take(tally: snapshot, unresolved: ControlDesk.unresolved(desk.reports))
        }
        take(counters: snapshot)
        take(desk.chronicle.counts)
        take(desk)
        text = registry.page
        writtenAt = now
        return text
    }

    // MARK: What is known, to metrics

    private func take(tally snapshot: NodeSnapshot, unresolved: Int) {
        for role in [Role.masternode, .regular] {
            for direction in [Direction.inbound, .outbound] {
                for state in LinkState.allCases where state != .closed {
                    let labels = [("class", role.name), ("direction", direction.name), ("state", state.name)]
                    set("reactor_links", labels, Double(snapshot.tally[role, direction, state]))
                }
            }
        }
        let census = snapshot.census
        set("reactor_queue_bytes", [], Double(snapshot.tally.queued))
        set("reactor_known_peers", [], Double(census.knownPeers))
        let wanted = census.wantedMasternodes + unresolved
        set("reactor_registered_masternodes", [], Double(wanted))
        set("reactor_unresolved_masternodes", [], Double(unresolved))
        let missing = max(wanted - census.linkedMasternodes, 0)
        set("reactor_missing_masternodes", [], Double(missing))
        set("reactor_linked_masternode_share", [], wanted == 0 ? 1 : Double(census.linkedMasternodes) / Double(wanted))
        set("reactor_dial_queue", [("class", "masternode")], Double(census.queuedMasternodes))
        set("reactor_dial_queue", [("class", "regular")], Double(census.queuedRegular))
        set("reactor_inbound_expected", [], census.expectsInbound ? 1 : 0)
        set("reactor_bans", [], Double(census.bans))
        set("reactor_slots", [("class", "any")], Double(census.maxPeers))
        set("reactor_slots", [("class", "regular")], Double(census.regularSlots))
        let taken = census.establishedMasternodes + census.establishedRegular
        set("reactor_free_slots", [("class", "any")], Double(max(census.maxPeers - taken, 0)))
        let free = census.regularSlots - census.establishedRegular - census.dialingRegular
        set("reactor_free_slots", [("class", "regular")], Double(max(free, 0)))
    }

    private func take(counters snapshot: NodeSnapshot) {
        let (node, loop) = (snapshot.counters, snapshot.loop)
        follow("reactor_accepted_sockets_total", [], node.accepted)
        follow("reactor_refused_sockets_total", [], node.refused)
        set("reactor_resting_listeners", [], Double(snapshot.restingListeners))
        follow("reactor_listener_rests_total", [], loop.accepts.paused &+ loop.accepts.fatal)
        follow("reactor_frames_total", [("direction", "in")], node.framesIn)
        follow("reactor_frames_total", [("direction", "out")], node.framesOut)
        follow("reactor_traffic_bytes_total", [("direction", "in")], node.bytesIn)
        follow("reactor_traffic_bytes_total", [("direction", "out")], node.bytesOut)
        follow("reactor_pings_sent_total", [], node.pingsOut)
        follow("reactor_pongs_sent_total", [], node.pongsOut)
        follow("reactor_wire_errors_total", [], node.wireErrors)
        follow("reactor_memory_pauses_total", [], node.memoryPauses)
        registry.histogram("reactor_round_trip_seconds").follow(node.roundTrips)
        registry.histogram("reactor_loop_lag_seconds").follow(loop.lag)
        registry.histogram("reactor_loop_callback_seconds").follow(loop.callbackTime)
        set("reactor_buffer_bytes", [], Double(snapshot.memoryInUse))
        set("reactor_buffer_limit_bytes", [], Double(snapshot.memoryLimit))
        set("reactor_stranger_buffer_bytes", [], Double(snapshot.strangersInUse))
        set("reactor_stranger_buffer_limit_bytes", [], Double(snapshot.strangersLimit))
        follow("reactor_loop_iterations_total", [], loop.iterations)
        follow("reactor_loop_events_total", [], loop.events)
        follow("reactor_loop_timers_total", [], loop.timers)
        follow("reactor_loop_jobs_total", [], loop.jobs)
        follow("reactor_loop_rebuilds_total", [], loop.rebuilds)
        let impossible = loop.staleIDs &+ loop.failedControls &+ loop.failedWaits &+ node.strangeJobs &+ node.contradictions
        follow("reactor_loop_impossible_total", [], impossible)
    }

    private func take(_ counts: ChronicleCounts) {
        for role in [Role.masternode, .regular] {
            for (key, count) in counts.dials where key.role == role {
                follow("reactor_dials_total", [("class", role.name), ("outcome", key.reason)], count)
            }
            for direction in [Direction.inbound, .outbound] {
                let key = ChronicleCounts.Key(role: role, direction: direction, reason: "established")
                let labels = [("class", role.name), ("direction", direction.name)]
                follow("reactor_links_established_total", labels, counts.established[key] ?? 0)
            }
            var closes: [String: UInt64] = [:]
            for (key, count) in counts.closes where key.role == role { closes[key.reason, default: 0] += count }
            for (reason, count) in closes {
                follow("reactor_links_closed_total", [("class", role.name), ("reason", reason)], count)
            }
        }
        var refusals: [String: UInt64] = [:]
        for (key, count) in counts.refusals { refusals[key.reason, default: 0] += count }
        for (reason, count) in refusals { follow("reactor_inbound_failures_total", [("reason", reason)], count) }
        follow("reactor_transitions_total", [], counts.transitions)
        follow("reactor_lost_transitions_total", [], counts.lost)
    }

    private func take(_ desk: ControlDesk) {
        // What cannot be measured is not a number, and nothing is left of it.
        set("reactor_max_descriptors", [], Descriptors.limit.map { Double($0) } ?? .nan)
        set("reactor_open_descriptors", [], Descriptors.open.map { Double($0) } ?? .nan)
        set("reactor_free_descriptors", [], Double(Descriptors.free))
        set("reactor_gone_listeners", [], Double(desk.gone.count))
        set("reactor_longest_masternode_gap_seconds", [], Double(desk.chronicle.longestGap(at: Moments().now).count) / 1e9)
        if let registry = desk.custodian?.registry?.status {
            set("reactor_registry_believed", [], registry.trouble(at: Moments().now) == nil ? 1 : 0)
            set("reactor_registry_age_seconds", [], registry.believedAt.map { Double(WallTime.now.since($0).count) / 1e9 } ?? .nan)
        }
        registry.histogram("reactor_loop_answer_seconds").recordNanoseconds(Int64(clamping: desk.view.lag.count))
        for door in desk.doors {
            let (counts, label) = (door.counts, [("door", door.kind.rawValue)])
            set("reactor_control_connections", label, Double(counts.connections))
            set("reactor_event_followers", label, Double(counts.followers))
            follow("reactor_control_evictions_total", label, counts.evicted)
            follow("reactor_control_refused_followers_total", label, counts.refusedFollowers)
            follow("reactor_control_rests_total", label, counts.rests)
        }
        if let status = desk.store?.status {
            set("reactor_store_lag_seconds", [], Double(status.lag.count) / 1e9)
            set("reactor_store_failing", [], status.trouble == nil ? 0 : 1)
            set("reactor_store_addresses", [], Double(status.addresses))
            follow("reactor_store_lost_records_total", [], status.lost)
        }
        let started = Double(Moments().epoch &+ desk.facts.startedAt.nanoseconds) / 1e9
        set("process_start_time_seconds", [], started)
    }

    // MARK: swift-metrics

    private func set(_ name: String, _ labels: [(String, String)], _ value: Double) {
        let key = name + labels.map { "\($0.0)=\($0.1)" }.joined(separator: ",")
        if let gauge = gauges[key] { return gauge.record(value) }
        let gauge = Gauge(label: name, dimensions: labels, factory: registry)
        gauges[key] = gauge
        gauge.record(value)
    }

    /// A count that is kept elsewhere: swift-metrics counts increments only, so the backend's own counter takes the total.
    private func follow(_ name: String, _ labels: [(String, String)], _ total: UInt64) {
        (registry.makeCounter(label: name, dimensions: labels) as? ExposedCounter)?.follow(total)
    }

    /// Name and help of every metric, for the exposition and the manual.
    static let table: [(name: String, help: String)] = [
        ("reactor_build_info", "The program and the network that it runs on."),
        ("process_start_time_seconds", "When the node started, in seconds since 1970."),
        ("reactor_links", "Links by class, direction and state."),
        ("reactor_slots", "Slots for linked peers: of any class, and those that regular peers may take."),
        ("reactor_free_slots", "Slots that are free."),
        ("reactor_known_peers", "Peers in the book."),
        ("reactor_registered_masternodes", "Masternodes that are wanted, by address or by name, without this node."),
        ("reactor_unresolved_masternodes", "Masternodes that are wanted by a name that has no address yet."),
        ("reactor_missing_masternodes", "Registered masternodes without an established link."),
        ("reactor_linked_masternode_share", "Share of the registered masternodes that have an established link: 0 to 1."),
        ("reactor_longest_masternode_gap_seconds", "How long the masternode that has been without a link for longest has been so."),
        ("reactor_registry_believed", "Whether the last reading of the registry file was believed."),
        ("reactor_registry_age_seconds", "Time since the registry file was last read and believed."),
        ("reactor_dial_queue", "Peers that may be dialled and wait for the dial limit or the dial rate, by class."),
        ("reactor_inbound_expected", "Whether linked peers should have dialled this node and had to be dialled instead."),
        ("reactor_bans", "Bans and trust in force."),
        ("reactor_dials_total", "Dials that ended, by class and outcome: established, or the reason that they failed of."),
        ("reactor_links_established_total", "Links that were established, by class and direction."),
        ("reactor_links_closed_total", "Established links that ended, by class and reason."),
        ("reactor_inbound_failures_total", "Accepted sockets that ended before they were established, by reason."),
        ("reactor_accepted_sockets_total", "Connections that the listeners took."),
        ("reactor_resting_listeners", "Listeners that do not accept now, as descriptors or memory are short."),
        ("reactor_gone_listeners", "Listeners whose address this machine does not have now: nobody can reach the node there."),
        ("reactor_listener_rests_total", "Times that a listener paused because descriptors or memory were short."),
        ("reactor_refused_sockets_total", "Accepted sockets that were closed at once."),
        ("reactor_round_trip_seconds", "From a ping's last byte to its pong."),
        ("reactor_pings_sent_total", "Pings queued."),
        ("reactor_pongs_sent_total", "Pongs queued."),
        ("reactor_frames_total", "Frames by direction."),
        ("reactor_traffic_bytes_total", "Bytes on links by direction."),
        ("reactor_wire_errors_total", "Streams that broke their dialect's rules."),
        ("reactor_queue_bytes", "Bytes that wait to be sent, on all links."),
        ("reactor_buffer_bytes", "Memory that all buffers hold."),
        ("reactor_buffer_limit_bytes", "Memory that all buffers may hold."),
        ("reactor_stranger_buffer_bytes", "Memory that the buffers of strangers hold: of all links but those of masternodes and the operator's peers."),
        ("reactor_stranger_buffer_limit_bytes", "Memory that the buffers of strangers may hold together."),
        ("reactor_memory_pauses_total", "Links that were slowed because memory was short."),
        ("reactor_open_descriptors", "Descriptors that are open."),
        ("reactor_max_descriptors", "Descriptors that the process may have."),
        ("reactor_free_descriptors", "Descriptors that are left."),
        ("reactor_loop_lag_seconds", "How late the loop's timers were."),
        ("reactor_loop_callback_seconds", "How long the loop was away from the kernel, for each iteration."),
        ("reactor_loop_answer_seconds", "How long the loop took to answer the control thread."),
        ("reactor_loop_iterations_total", "Iterations of the loop."),
        ("reactor_loop_events_total", "Events that the loop took from the kernel."),
        ("reactor_loop_timers_total", "Timers that fired."),
        ("reactor_loop_rebuilds_total", "Times that the loop made its epoll anew, as a child process held sockets that were closed here."),
        ("reactor_loop_jobs_total", "Jobs that were posted to the loop and done."),
        ("reactor_loop_impossible_total", "Things that cannot happen, and did."),
        ("reactor_transitions_total", "Transitions of links and of peers' schedules."),
        ("reactor_lost_transitions_total", "Transitions that the chronicle had no room for."),
        ("reactor_store_lag_seconds", "How long the oldest record has waited to be written."),
        ("reactor_store_failing", "Whether the store's file takes no writes."),
        ("reactor_store_addresses", "Addresses in the store's book."),
        ("reactor_store_lost_records_total", "Records that the store had no room for."),
        ("reactor_control_connections", "Open connections of the control API, by door: the Unix socket or the loopback port."),
        ("reactor_event_followers", "Clients that follow the events, by door."),
        ("reactor_control_evictions_total", "Clients of the control API that were closed to make room for another, by door."),
        ("reactor_control_refused_followers_total", "Requests for events that were refused because every follower's place was taken, by door."),
        ("reactor_control_rests_total", "Times that a listener of the control API paused because no descriptor was left, by door."),
    ]
}
