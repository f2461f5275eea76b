// What the world watches: links at both ends, time to heal, the storm bound, the invariants of every mesh that it touches.

import PeerMesh
import Timers

extension World {
    // Links.

    mutating func linkUp(_ node: Int, _ link: LinkID, _ info: LinkInfo, at clock: Instant) {
        trace(UInt64(node) << 32 | UInt64(link.slot) | 1 << 61)
        let place = place(node, link)
        guard place >= 0 else { return }
        let index = Int(place >> 1)
        let end = UInt8(place & 1)
        dialOver(node, index, end)
        connections[index][end].isUp = true
        nodes[node].links += 1
        nodes[node].peakLinks = max(nodes[node].peakLinks, nodes[node].links)
        report.slotPeak = max(report.slotPeak, nodes[node].links)
        count(index)
        if !nodes[node].savedBook.isEmpty { tellBook(node, link, at: clock) }
    }

    /// A restarted process has its old book again.
    private mutating func tellBook(_ node: Int, _ link: LinkID, at clock: Instant) {
        let book = nodes[node].savedBook
        nodes[node].savedBook = []
        for address in book { handle(node, .learnt(link, address.endpoint), at: clock) }
    }

    mutating func linkDown(_ node: Int, _ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        trace(UInt64(node) << 32 | UInt64(link.slot) | 3 << 61)
        let place = place(node, link)
        guard place >= 0 else { return }
        let index = Int(place >> 1)
        uncount(index)
        connections[index][UInt8(place & 1)].isUp = false
        nodes[node].links -= 1
        report.closes[reason.name, default: 0] += 1
        guard !connections[index].hasReason else { return }
        connections[index].hasReason = true
        let other = connections[index][UInt8(1 - place & 1)].node
        let isNoOnesFault = !connections[index].isFaulted && nodes[node].isCorrect && (other < 0 || nodes[Int(other)].isCorrect)
        if isNoOnesFault, reason.isUnwanted, !isLost(index, from: Int32(node), to: other), !isLost(index, from: other, to: Int32(node)) {
            report.unwantedCloses += 1
            report.unwanted[reason.name, default: 0] += 1
        }
    }

    private mutating func count(_ index: Int) {
        let connection = connections[index]
        guard !connection.isCounted, !connection.isSilent, connection.dialled.isUp, connection.accepted.isUp else { return }
        connections[index].isCounted = true
        report.linksUp += 1
        let (a, b) = (Int(connection.dialled.node), Int(connection.accepted.node))
        guard a < pairs.size, b < pairs.size, a != b else { return }
        if let span = pairs.change(a, b, by: 1, at: now) { report.healed(span) }
        if pairs.links(a, b) > 1 { report.doubles.append((a, b, now)) }
        report.note(missing: pairs.missing, at: now)
    }

    mutating func uncount(_ index: Int) {
        let connection = connections[index]
        guard connection.isCounted else { return }
        connections[index].isCounted = false
        report.linksUp -= 1
        let (a, b) = (Int(connection.dialled.node), Int(connection.accepted.node))
        guard a < pairs.size, b < pairs.size, a != b else { return }
        _ = pairs.change(a, b, by: -1, at: now)
        report.note(missing: pairs.missing, at: now)
    }

    mutating func markFaulted(_ index: Int) {
        connections[index].isFaulted = true
    }

    /// The mesh is done with the link, or drains it: what the other end sees of that is a consequence.
    mutating func noteOver(_ node: Int, _ index: Int, _ end: UInt8) {
        connections[index].hasReason = true
        dialOver(node, index, end)
    }

    private mutating func dialOver(_ node: Int, _ index: Int, _ end: UInt8) {
        guard connections[index][end].isDialing else { return }
        connections[index][end].isDialing = false
        nodes[node].dialsInFlight -= 1
    }

    // The storm bound.

    mutating func countDial(_ node: Int, _ to: Address) {
        report.dials += 1
        report.dialsThisSample += 1
        let second = now / 1_000
        if nodes[node].dialSecond != second {
            nodes[node].dialSecond = second
            nodes[node].dialsThisSecond = 0
        }
        nodes[node].dialsThisSecond += 1
        report.peakDialsOfNode = max(report.peakDialsOfNode, nodes[node].dialsThisSecond)
        report.countDial(second: second)
        nodes[node].dialsInFlight += 1
        if to.v4 == World.thirdParty { countThirdParty(node) }
        let settings = nodes[node].settings
        if nodes[node].dialsInFlight > Int(settings.dialLimit) {
            violation("node \(node) has \(nodes[node].dialsInFlight) dials in flight")
        }
        // The generic cell rate algorithm once more, outside of the core; a millisecond of tolerance for the tick.
        let period = 1_000_000_000 / UInt64(settings.dialRate)
        let clock = clock(node).nanoseconds
        if nodes[node].dialSlotAt > clock + period * UInt64(settings.dialBurst - 1) + 1_000_000 {
            violation("node \(node) dials faster than \(settings.dialRate) a second with a burst of \(settings.dialBurst)")
        }
        nodes[node].dialSlotAt = max(nodes[node].dialSlotAt, clock) + period
        if checkEvery == 1 { checkMasternodesFirst(node, to) }
    }

    /// What was only told is dialled four times at once at one address, then once in `targetPeriod`.
    private mutating func countThirdParty(_ node: Int) {
        report.thirdPartyDials += 1
        let period = nodes[node].settings.targetPeriod.count
        let clock = clock(node).nanoseconds
        if nodes[node].thirdPartyAt > clock + period * 3 + 1_000_000 { violation("node \(node) dials a third party faster than it may") }
        nodes[node].thirdPartyAt = max(nodes[node].thirdPartyAt, clock) + period
    }

    private mutating func checkMasternodesFirst(_ node: Int, _ to: Address) {
        let isMasternode = to.node >= 0 && to.node < scenario.masternodes
        guard !isMasternode else { return }
        // Masternodes go first, but for the quarter of the dials in flight that regular peers have while both wait, and the eighth
        // that the operator's have.
        let limit = Int(nodes[node].mesh.settings.dialLimit)
        let share = limit / 4 + limit / 8
        var waiting: Endpoint?
        var short: Endpoint?
        var regular = 0
        nodes[node].mesh.forEachPeer(at: clock(node)) { peer in
            switch (peer.role, peer.verdict) {
            case (.masternode, .queue(.dialBudget)): short = peer.endpoint
            case (.masternode, .queue): waiting = peer.endpoint
            case (.regular, .no(.dialInFlight)): regular += 1
            default: break
            }
        }
        if regular > share { waiting = waiting ?? short }
        if let waiting { violation("node \(node) dials a regular peer while masternode \(Address(waiting).node) waits") }
    }

    // The invariants.

    @inline(__always)
    mutating func check(_ node: Int) {
        report.untilCheck -= 1
        if report.untilCheck <= 0 { checkNow(node) }
    }

    private mutating func checkNow(_ node: Int) {
        report.untilCheck = checkEvery == 1 ? 1 : 1 + sampler.roll(2 * checkEvery)
        report.checks += 1
        if let broken = nodes[node].mesh.brokenInvariant(at: clock(node)) { violation("node \(node): \(broken)") }
    }

    mutating func violation(_ text: String) {
        report.violations.append(Violation(at: now - 1_000, text: text))
    }

    /// Whether the pair should have a link: both are correct and up, nothing is between them, and one can dial the other.
    private func shouldBeLinked(_ a: Int, _ b: Int) -> Bool {
        guard nodes[a].isCorrect, nodes[b].isCorrect, pairs.isRegistered(a), pairs.isRegistered(b), loss == 0 else { return false }
        if isWalled(from: Int32(a), to: Int32(b), dial: false) || isWalled(from: Int32(b), to: Int32(a), dial: false) { return false }
        return !isUndialable(b, from: a) || !isUndialable(a, from: b)
    }

    mutating func reassess(_ node: Int) {
        guard node < pairs.size else { return }
        for other in 0..<pairs.size where other != node {
            pairs.expect(node, other, shouldBeLinked(node, other), at: now)
        }
        report.note(missing: pairs.missing, at: now)
    }

    mutating func reassessAll() {
        for a in 0..<pairs.size {
            for b in a + 1..<max(pairs.size, a + 1) { pairs.expect(a, b, shouldBeLinked(a, b), at: now) }
        }
        report.note(missing: pairs.missing, at: now)
    }

    // Now and then.

    /// One point of the plot, and the bounds that time alone can break.
    mutating func sample() {
        report.sample(at: now, standing: pairs.standing, expected: pairs.expectedCount)
        checkBound()
        checkDoubles()
    }

    private mutating func checkBound() {
        guard pairs.missing > 0 else { return }
        let bound = scenario.bound
        for a in 0..<pairs.size {
            for b in a + 1..<max(pairs.size, a + 1) {
                let since = pairs.missingSince(a, b)
                guard since >= 0, now - since > bound, !report.lateBefore(a * pairs.size + b) else { continue }
                violation("masternodes \(a) and \(b) have no link \((now - since) / 1_000) s after faults stopped; the bound is \(bound / 1_000) s")
            }
        }
    }

    /// Two links of a pair are a handover, and a handover ends.
    private mutating func checkDoubles() {
        report.doubles.removeAll { pairs.links($0.0, $0.1) < 2 || !pairs.isExpected($0.0, $0.1) }
        guard let (a, b, since) = report.doubles.first, now - since > scenario.handoverLimit else { return }
        violation("masternodes \(a) and \(b) have had \(pairs.links(a, b)) links for \((now - since) / 1_000) s")
        report.doubles.removeFirst()
    }

    /// The end: every mesh is checked, and both ends of each expected pair must know of their link.
    mutating func finish() {
        sample()
        for node in 0..<nodes.count where nodes[node].state == .running {
            if let broken = nodes[node].mesh.brokenInvariant(at: clock(node)) { violation("node \(node): \(broken)") }
            report.rescues += nodes[node].mesh.rescues
        }
        if report.rescues > 0 { violation("\(report.rescues) wanted masternodes had no next step until phase 3 looked") }
        checkBeliefs()
        summarise()
        report.traceHash = traceHash
    }

    private mutating func checkBeliefs() {
        for a in 0..<pairs.size where nodes[a].isCorrect && !nodes[a].statesNone {
            for b in 0..<pairs.size where b != a && pairs.isExpected(a, b) && pairs.links(a, b) == 1 {
                guard !nodes[b].statesNone, nodes[b].source == nodes[b].address.v4 else { continue }
                if nodes[a].mesh.peer(at: nodes[b].address.endpoint, now: clock(a))?.established == nil {
                    violation("masternode \(a) does not know its link to \(b)")
                }
            }
        }
    }

    private mutating func summarise() {
        var counts: [Int] = []
        for node in 0..<nodes.count where nodes[node].state == .running {
            counts.append(nodes[node].links)
            if nodes[node].role == .regular, nodes[node].lie == nil, nodes[node].links == 0 { report.isolated += 1 }
        }
        counts.sort()
        report.linksPerNode = counts.isEmpty ? [0, 0, 0] : [counts[0], counts[counts.count / 2], counts[counts.count - 1]]
        report.pairsExpected = pairs.expectedCount
        report.pairsMissing = pairs.missing
        report.maximumPerPair = pairs.maximum
        for a in 0..<pairs.size {
            for b in a + 1..<max(pairs.size, a + 1) where pairs.isExpected(a, b) && pairs.links(a, b) == 1 { report.pairsWithOne += 1 }
        }
    }
}

extension CloseReason {
    /// Reasons that no healthy link between correct nodes ends for.
    var isUnwanted: Bool {
        switch self {
        case .superseded, .duplicate, .full, .crowded, .evicted, .banned, .operator, .shutdown, .selfConnection, .wrongNetwork: false
        case .remoteClosed, .refused, .dialTimeout, .greetingTimeout, .frameTimeout, .keepaliveTimeout, .protocolViolation, .desync,
            .frameTooLarge, .slowConsumer, .internalError, .io, .local:
            true
        }
    }
}
