// Looks at every node's own reports and puts them together to one picture. What it counts, it counts from established
// links at both ends, not from what anybody announced.

import PeerMesh
import Reactor
import Timers

/// Turns nodes into snapshots. Remembers only what a single look cannot show: since when a pair has held two links.
struct DemoSampler {
    /// Two links of a pair may stand this long: one exchange of hellos.
    private static let exchange = Nanoseconds.milliseconds(500)
    private var doubleSince: [Instant]
    /// Pairs that held two links for longer than an exchange, ever.
    private(set) var duplicates = 0
    private(set) var samples = 0
    private let count: Int

    init(count: Int) {
        self.count = count
        doubleSince = Array(repeating: .never, count: count * count)
    }

    /// Fills in cells, nodes and counts of `snapshot`.
    mutating func sample(_ nodes: [DemoNode], indices: [Endpoint: Int], at now: Instant, into snapshot: inout DemoSnapshot) {
        samples += 1
        var established = Array(repeating: 0, count: count * count)
        snapshot.cells = Array(repeating: .none, count: count * count)
        snapshot.nodes = []
        for (row, place) in nodes.enumerated() {
            var report = DemoSnapshot.Node(
                endpoint: place.endpoint, role: place.role, hasRun: place.hasRun, lastReason: place.lastReason
            )
            if let node = place.node {
                look(at: node, row: row, indices: indices, now: now, &report, &established, &snapshot.cells)
            } else {
                report.downFor = place.startsAt - now
            }
            snapshot.nodes.append(report)
        }
        countPairs(nodes, established, at: now, &snapshot)
    }

    private func look(
        at node: PeerNode, row: Int, indices: [Endpoint: Int], now: Instant, _ report: inout DemoSnapshot.Node,
        _ established: inout [Int], _ cells: inout [DemoSnapshot.Cell]
    ) {
        node.forEachPeer { peer in
            guard let column = indices[peer.endpoint], column != row else { return }
            guard case .wait(let until, _) = peer.schedule else { return }
            switch peer.view {
            case .backoff: cells[row * count + column] = .backoff(until - now)
            case .awaitingInbound: cells[row * count + column] = .awaiting
            case .dormant: cells[row * count + column] = .dormant
            case .idle, .dialing, .greeting, .established, .banned: return
            }
            report.nextDial = min(report.nextDial ?? until - now, until - now)
        }
        var roundTrips: [Nanoseconds] = []
        node.forEachLink { link in
            guard let peer = link.info.peer, let column = indices[peer], column != row else { return }
            let index = row * count + column
            switch link.state {
            case .established:
                established[index] += 1
                cells[index] = established[index] > 1 ? .duplicate : .linked(link.info.direction, age: now - link.establishedAt)
                if link.info.direction == .outbound { report.outbound += 1 } else { report.inbound += 1 }
                if link.roundTrip > .zero { roundTrips.append(link.roundTrip) }
            case .connecting, .securing:
                report.opening += 1
                if established[index] == 0 { cells[index] = .dialing }
            case .greeting, .held:
                report.opening += 1
                if established[index] == 0 { cells[index] = .greeting }
            case .draining, .closed:
                return
            }
        }
        report.roundTrip = DemoText.median(roundTrips) ?? .zero
    }

    /// Links and duplicates, pair by pair: a link counts if both ends hold it.
    private mutating func countPairs(
        _ nodes: [DemoNode], _ established: [Int], at now: Instant, _ snapshot: inout DemoSnapshot
    ) {
        snapshot.links = 0
        snapshot.wantedLinks = count * (count - 1) / 2
        for row in 0..<count {
            snapshot.cells[row * count + row] = .own
            for column in 0..<row {
                let (here, there) = (row * count + column, column * count + row)
                if !nodes[row].isUp { snapshot.cells[here] = .down }
                if !nodes[column].isUp { snapshot.cells[there] = .down }
                if established[here] > 0, established[there] > 0 {
                    snapshot.links += 1
                } else if nodes[row].isUp, nodes[column].isUp {
                    snapshot.nodes[row].missing += 1
                    snapshot.nodes[column].missing += 1
                }
                noteDouble(here, isDouble(snapshot.cells[here], snapshot.cells[there]), at: now)
            }
        }
        snapshot.duplicates = duplicates
    }

    /// Whether two connections stand between a pair: either end holds two, or both hold one that they dialled (or accepted).
    private func isDouble(_ here: DemoSnapshot.Cell, _ there: DemoSnapshot.Cell) -> Bool {
        switch (here, there) {
        case (.duplicate, _), (_, .duplicate): true
        case (.linked(let one, _), .linked(let other, _)): one == other
        default: false
        }
    }

    private mutating func noteDouble(_ pair: Int, _ isDouble: Bool, at now: Instant) {
        guard isDouble else {
            doubleSince[pair] = .never
            return
        }
        if doubleSince[pair] == .never {
            doubleSince[pair] = now
        } else if doubleSince[pair] != .zero, now - doubleSince[pair] > DemoSampler.exchange {
            duplicates += 1
            // Counted once for as long as it lasts.
            doubleSince[pair] = .zero
        }
    }
}
