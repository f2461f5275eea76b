// Peers and masternodes that are wanted by name. A name is a source of desire of its own: at any time it stands for one address,
// whose row in the mesh it wants; when that row fails, or its address leaves the answer, the name moves on to another address.

import PeerMesh
import Reactor

/// The names of one node and what they mean now. On the loop's thread.
struct NamedPeers {
    private struct Entry {
        var handle: NameHandle
        var sources: WantedPeers.Sources
        /// What its row in the mesh is keyed by; nil before the first answer.
        var current: Endpoint?
        /// All addresses of the last good answer.
        var known: [Endpoint] = []
        /// The row failed since the name came to its address.
        var hasFailed = false
    }

    private var entries: [NamedPeer: Entry] = [:]
    private var standing: [Endpoint: Set<NamedPeer>] = [:]

    var isEmpty: Bool { entries.isEmpty }

    /// The names that stand for `endpoint` now.
    func names(at endpoint: Endpoint) -> [NameHandle] {
        (standing[endpoint] ?? []).compactMap { entries[$0]?.handle }
    }

    /// Whether a name of this kind stands for `endpoint` now.
    func isNamed(_ endpoint: Endpoint, _ kind: NamedPeer.Kind) -> Bool {
        standing[endpoint]?.contains { $0.kind == kind } ?? false
    }

    func current(of peer: NamedPeer) -> Endpoint? { entries[peer]?.current }

    mutating func want(_ handle: NameHandle, by source: WantedPeers.Sources) {
        guard entries[handle.peer] != nil else {
            entries[handle.peer] = Entry(handle: handle, sources: source)
            return
        }
        entries[handle.peer]?.sources.formUnion(source)
        // Wishes come from several threads: the newest handle is the one that is looked up.
        if handle.number > entries[handle.peer]!.handle.number { entries[handle.peer]?.handle = handle }
    }

    /// `source` wants the name no longer. The address that the name stood for, if that was the last source.
    mutating func drop(_ peer: NamedPeer, by source: WantedPeers.Sources) -> Endpoint? {
        guard let left = entries[peer]?.sources.subtracting(source) else { return nil }
        guard left.isEmpty else {
            entries[peer]?.sources = left
            return nil
        }
        let current = entries.removeValue(forKey: peer)?.current
        if let current { leave(current, peer) }
        return current
    }

    /// A row of the mesh waits after a failure, or has a link.
    mutating func note(hasFailed: Bool, at endpoint: Endpoint) {
        for peer in standing[endpoint] ?? [] { entries[peer]?.hasFailed = hasFailed }
    }

    /// How an address is, to a name that might stand for it.
    enum Fitness {
        /// It has a link or a dial.
        case busy
        case usable
        /// It is ourselves, or banned.
        case useless
    }

    /// What to do with a name's answer.
    enum Step: Equatable {
        case nothing
        /// The name's first address.
        case want(Endpoint)
        case move(from: Endpoint, to: Endpoint)
    }

    /// Takes an answer for a name: empty if it could not be resolved this time.
    mutating func take(_ endpoints: [Endpoint], for peer: NamedPeer, fitness: (Endpoint) -> Fitness) -> Step {
        guard var entry = entries[peer] else { return .nothing }
        if !endpoints.isEmpty { entry.known = endpoints }
        let step = NamedPeers.step(entry, fitness)
        switch step {
        case .nothing: break
        case .want(let endpoint): entry.current = endpoint
        case .move(let from, let to):
            leave(from, peer)
            entry.current = to
            entry.hasFailed = false
        }
        entries[peer] = entry
        if let current = entry.current { standing[current, default: []].insert(peer) }
        return step
    }

    private static func step(_ entry: Entry, _ fitness: (Endpoint) -> Fitness) -> Step {
        let known = entry.known
        guard let first = known.first else { return .nothing }
        guard let current = entry.current else { return .want(known.first { fitness($0) != .useless } ?? first) }
        let (place, isFit) = (known.firstIndex(of: current), fitness(current))
        guard isFit != .busy, place == nil || entry.hasFailed || isFit == .useless else { return .nothing }
        // In turn, beginning with the one after the current.
        let start = place.map { $0 + 1 } ?? 0
        let turn = known.indices.map { known[(start + $0) % known.count] }.filter { $0 != current }
        if let next = turn.first(where: { fitness($0) != .useless }) { return .move(from: current, to: next) }
        return place == nil ? .move(from: current, to: first) : .nothing
    }

    private mutating func leave(_ endpoint: Endpoint, _ peer: NamedPeer) {
        standing[endpoint]?.remove(peer)
        if standing[endpoint]?.isEmpty == true { standing[endpoint] = nil }
    }
}
