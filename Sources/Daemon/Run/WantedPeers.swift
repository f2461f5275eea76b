// Who wants which peer: settings, the registry file, names that were resolved, the operator. The mesh knows one desire of each
// kind; it ends when the last of its sources does.

import PeerMesh

/// The sources of every endpoint that somebody of ours wants. On the loop's thread.
struct WantedPeers {
    struct Sources: OptionSet, Hashable {
        let rawValue: UInt8

        static let settings = Sources(rawValue: 1)
        static let registryFile = Sources(rawValue: 2)
        static let name = Sources(rawValue: 4)
        static let `operator` = Sources(rawValue: 8)
        static let all: Sources = [.settings, .registryFile, .name, .operator]
    }

    private var masternodes: [Endpoint: Sources] = [:]
    private var peers: [Endpoint: Sources] = [:]

    /// `source` names this masternode. The event that the mesh is to have, if it did not know it.
    mutating func name(masternode endpoint: Endpoint, by source: Sources) -> Event? {
        let before = masternodes[endpoint, default: []]
        masternodes[endpoint] = before.union(source)
        return before.isEmpty ? .registered(endpoint) : nil
    }

    /// `source` names it no longer.
    mutating func drop(masternode endpoint: Endpoint, by source: Sources) -> Event? {
        guard let before = masternodes[endpoint], before.contains(source) else { return nil }
        let left = before.subtracting(source)
        masternodes[endpoint] = left.isEmpty ? nil : left
        return left.isEmpty ? .unregistered(endpoint) : nil
    }

    /// `source` wants a link to this peer. The mesh is told each time: it dials at once.
    mutating func name(peer endpoint: Endpoint, by source: Sources) -> Event {
        peers[endpoint, default: []].formUnion(source)
        return .connect(endpoint)
    }

    /// `source` wants it no longer.
    mutating func drop(peer endpoint: Endpoint, by source: Sources) -> Event? {
        guard let before = peers[endpoint], before.contains(source) else { return nil }
        let left = before.subtracting(source)
        peers[endpoint] = left.isEmpty ? nil : left
        return left.isEmpty ? .disconnect(endpoint) : nil
    }

    /// The operator disconnects it: nobody's wish holds until somebody names it anew.
    mutating func forget(peer endpoint: Endpoint) -> Event {
        peers[endpoint] = nil
        return .disconnect(endpoint)
    }

    /// Whether anything wants it, of either kind.
    func isWanted(_ endpoint: Endpoint) -> Bool { masternodes[endpoint] != nil || peers[endpoint] != nil }

    func isWanted(peer endpoint: Endpoint) -> Bool { peers[endpoint] != nil }

    /// Whether nothing but a name wants it, of either kind.
    func isWantedByNameAlone(_ endpoint: Endpoint) -> Bool {
        isWanted(endpoint) && (masternodes[endpoint] ?? .name) == .name && (peers[endpoint] ?? .name) == .name
    }

    /// All wishes for one address are for another now. The mesh is told by the caller.
    mutating func move(from: Endpoint, to: Endpoint) {
        if let sources = masternodes.removeValue(forKey: from) { masternodes[to, default: []].formUnion(sources) }
        if let sources = peers.removeValue(forKey: from) { peers[to, default: []].formUnion(sources) }
    }

    func sources(ofMasternode endpoint: Endpoint) -> Sources { masternodes[endpoint] ?? [] }
}
