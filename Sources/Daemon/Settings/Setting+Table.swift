// The table: every setting of a node, in the order in which they are read and printed. The network stands first, as what
// follows may lean on its port.

import PeerMesh
import Timers

extension Setting {
    /// Every setting.
    public static let all: [Setting] =
        ([(Section.node, node), (.log, log), (.control, control), (.memory, memory)] + meshTable).flatMap { section, rows in
            rows.map { $0.setting(in: section) }
        }

    private static let node: [Row] = [
        Row(
            name: "network", field: .word(network), change: .restart,
            summary: "The network to join: \(Network.named.map(\.name).joined(separator: ", ")), or DIALECT:MAGIC with DIALECT time or bitcoin and MAGIC of 8 hex digits"
        ),
        Row(
            name: "listen", field: .list(listen), change: .restart, summary: "Where to listen",
            fallback: "127.0.0.1 and the network's port"
        ),
        Row(
            name: "advertise", field: .word(advertise), change: .live, summary: "Where others can dial this node",
            fallback: "auto: the only `listen`"
        ),
        Row(name: "role", field: .word(role), change: .restart, summary: "What the node is to others"),
        Row(
            name: "masternode", field: .list(peers(\.masternodes)), change: .live,
            summary: "Masternodes to keep links to, for ever; names allowed"
        ),
        Row(
            name: "peer", field: .list(peers(\.peers)), change: .live, summary: "Peers to keep links to, for ever; names allowed"
        ),
        Row(
            name: "registry", field: .word(path(\.registryFile)), change: .restart,
            summary: "A file of masternodes, one a line or JSON; watched: a line added or removed takes effect at once"
        ),
        Row(
            name: "state-dir", field: .word(path(\.stateDirectory)), change: .restart,
            summary: "Where the node keeps what it learnt and was told; none keeps it in memory"
        ),
    ]

    private static let log: [Row] = [
        Row(name: "log-level", field: .word(logLevel), change: .live, summary: "The least level that is written"),
        Row(name: "log-format", field: .word(logFormat), change: .restart, summary: "Lines for people or objects for programs"),
        Row(
            name: "log-repeat", field: .span(\.logRepeat, .zero...(.seconds(3_600))), change: .restart,
            summary: "Equal lines within this span are counted, not repeated; 0s prints all"
        ),
    ]

    private static let control: [Row] = [
        Row(
            name: "control-socket", field: .word(controlSocket), change: .restart,
            summary: "The Unix socket that commands go to", fallback: "auto: named after `listen`, in the user's run directory"
        ),
        Row(
            name: "control-tcp", field: .word(controlTCP), change: .restart,
            summary: "A loopback address and port that serves reading only, for metrics"
        ),
        optionalCount(
            "health-links", \.health.links, 0...1_000_000, "auto: 1 if anybody is wanted", "Established links below which health is degraded"
        ),
        optionalCount(
            "health-masternodes", \.health.masternodes, 0...1_000_000, "auto: four of five of those registered", "Report degraded health below this many masternode links"
        ),
        health("health-inbound", \.health.inbound, "Links that others opened, below which it is"),
        health("health-outbound", \.health.outbound, "Links that we opened, below which it is"),
        health("health-descriptors", \.health.descriptors, "Free descriptors below which it is"),
        Row(
            name: "health-lag", field: .span(\.health.lag, .milliseconds(1)...(.seconds(3_600))), change: .live,
            summary: "Loop lag above which it is"
        ),
    ]

    private static let memory: [Row] = [
        Row(
            name: "memory-limit", field: .word(size(\.memory.limit, (1 << 20)...(1 << 40))), change: .restart,
            summary: "Memory that the buffers of all links hold together, at most"
        ),
        Row(
            name: "memory-reserve", field: .count(\.memory.reserve, 0...90), change: .restart,
            summary: "Percent of memory-limit that strangers cannot use: kept for masternodes, for the operator's peers and for hellos"
        ),
        Row(
            name: "memory-per-stranger", field: .word(size(\.memory.perStranger, (64 << 10)...(1 << 40))), change: .restart,
            summary: "Memory that the buffers of one stranger hold, at most; at least twice the largest frame of the network"
        ),
    ]

    private static func health(_ name: String, _ path: CountPath, _ summary: String) -> Row {
        Row(name: name, field: .count(path, 0...1_000_000), change: .live, summary: summary)
    }
}
