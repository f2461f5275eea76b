// Peers that the operator gave by name. A name is one desire: at any time it stands for one address, whose row in the mesh
// it is; when that row fails, the name is resolved anew and the row moves on to the name's next address.

import PeerMesh
import Reactor

/// The names of one node and what they mean now. On the loop's thread.
struct NamedPeers {
    enum Kind: Sendable { case masternode, peer }

    private struct Entry {
        let kind: Kind
        /// What its row in the mesh is keyed by; nil before the first answer.
        var current: Endpoint?
        /// All addresses of the last good answer.
        var known: [Endpoint] = []
    }

    private var entries: [Entry]
    /// Endpoints that the operator gave as such: a name that moves away must not take these along.
    private let pinned: [Endpoint]

    init(_ kinds: [Kind], pinned: [Endpoint]) {
        entries = kinds.map { Entry(kind: $0) }
        self.pinned = pinned
    }

    var count: Int { entries.count }

    /// Whether a name stands for `endpoint` now.
    func stands(_ name: Int, for endpoint: Endpoint) -> Bool {
        entries[name].current == endpoint
    }

    func kind(of name: Int) -> Kind { entries[name].kind }

    /// Whether any name of this kind stands for `endpoint` now.
    func isNamed(_ endpoint: Endpoint, _ kind: Kind) -> Bool {
        entries.contains { $0.current == endpoint && $0.kind == kind }
    }

    /// What to do with a name's answer.
    enum Step: Equatable {
        case nothing
        /// The name's first address: tell the mesh of it.
        case want(Endpoint)
        /// The name's row is to move.
        case move(from: Endpoint, to: Endpoint)
    }

    /// Takes an answer for a name: empty if it could not be resolved this time. `isBusy` tells whether a row has a link or a
    /// dial: it stays then.
    mutating func take(_ endpoints: [Endpoint], for name: Int, isBusy: (Endpoint) -> Bool) -> Step {
        if !endpoints.isEmpty { entries[name].known = endpoints }
        let known = entries[name].known
        guard let first = known.first else { return .nothing }
        guard let current = entries[name].current else {
            entries[name].current = first
            return .want(first)
        }
        guard !isBusy(current) else { return .nothing }
        let next = known.firstIndex(of: current).map { known[($0 + 1) % known.count] } ?? first
        guard next != current else { return .nothing }
        entries[name].current = next
        return .move(from: current, to: next)
    }

    /// The events that make the mesh do a step.
    func events(for step: Step, of name: Int) -> [Event] {
        let kind = entries[name].kind
        switch step {
        case .nothing:
            return []
        case .want(let endpoint):
            return [kind == .masternode ? .registered(endpoint) : .connect(endpoint)]
        case .move(let from, let to):
            let isShared = pinned.contains(from) || entries.contains { $0.current == from && $0.kind == kind }
            switch (kind, isShared) {
            case (.masternode, false): return [.registered(to), .unregistered(from)]
            case (.masternode, true): return [.registered(to)]
            case (.peer, false): return [.moved(from: from, to: to)]
            case (.peer, true): return [.connect(to)]
            }
        }
    }
}
