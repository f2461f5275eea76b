// What a configuration says of itself at start: its effective values, its limits, and what a newcomer types next.

import PeerMesh
import Timers

extension NodeConfiguration {
    /// The peers that were given by name.
    var namedPeers: [NamedPeer] {
        masternodes.filter { $0.endpoint == nil }.map { NamedPeer(name: $0, kind: .masternode) }
            + peers.filter { $0.endpoint == nil }.map { NamedPeer(name: $0, kind: .peer) }
    }

    /// The peers that were given by address.
    var pinnedPeers: [Endpoint] {
        masternodes.compactMap(\.endpoint) + peers.compactMap(\.endpoint)
    }

    /// The lines that open the log.
    func startLines(bound: [Endpoint], available: UInt64, file: String? = nil) -> StartLines {
        var lines = StartLines()
        lines.add(
            .info, "start", ("network", .text(network.name)), ("dialect", .word(network.isNative ? "time" : "bitcoin")),
            ("role", .word(mesh.role == .masternode ? "masternode" : "regular")),
            ("advertise", .word((effectiveAdvertise ?? bound.first { $0.isDialable && bound.count == 1 })?.description ?? "none")),
            ("masternodes", .number(UInt64(masternodes.count))), ("peers", .number(UInt64(peers.count))),
            ("settings-file", .text(file ?? "none")), ("registry", .text(registryFile ?? "none")),
            ("state-dir", .text(stateDirectory ?? "none"))
        )
        for endpoint in bound { lines.add(.info, "listening", ("listen", .endpoint(endpoint))) }
        lines.add(
            .info, "limits", ("max-peers", .number(UInt64(mesh.maxPeers))), ("reserve", .number(UInt64(mesh.effectiveReserve))),
            ("regular-slots", .number(UInt64(mesh.regularSlots))), ("dials", .number(UInt64(mesh.dialLimit))),
            ("pending", .number(UInt64(mesh.pendingLimit))), ("draining", .number(UInt64(mesh.drainingLimit))),
            ("links", .number(UInt64(mesh.linkCapacity))), ("control", .number(control.descriptors)), ("descriptors-needed", .number(budget.needed)),
            ("descriptors-available", .number(available))
        )
        lines.addSettings(self)
        addWarnings(to: &lines)
        if stateDirectory == nil {
            lines.add(
                .info, "memory-only",
                ("message", .text("nothing outlives this process: bans, peers and masternodes added at run time are kept with --state-dir PATH"))
            )
        }
        if isFirstTry { addNextStep(to: &lines, bound: bound) }
        return lines
    }

    private func addWarnings(to lines: inout StartLines) {
        if network.isPlainForNow {
            lines.add(
                .warning, "plain-tcp",
                ("message", .text("this network's nodes speak TLS, and this one plain TCP: it reaches its own kind only"))
            )
        }
        if mesh.regularSlots == 0 {
            lines.add(
                .warning, "no-regular-slots",
                ("message", .text("the reserve takes every slot, so that no regular peer is linked: raise --max-peers or lower --reserve"))
            )
        }
        if UInt64(masternodes.count) > UInt64(mesh.maxPeers) {
            lines.add(
                .error, "degraded", ("registered", .number(UInt64(masternodes.count))),
                ("max-peers", .number(UInt64(mesh.maxPeers))),
                ("message", .text("more masternodes than slots: raise --max-peers; the first ones by address are wanted"))
            )
        }
    }

    private func addNextStep(to lines: inout StartLines, bound: [Endpoint]) {
        guard let first = bound.first else { return }
        let other = Endpoint(first.address, port: first.port + 1)
        let name = network.name == Network.reactor.name ? "" : " --network \(network.name)"
        lines.add(
            .info, "next",
            ("message", .text("in another terminal: reactor-node run\(name) --listen \(other) --peer \(first)"))
        )
    }
}
