// What operators, settings and the registry file want, done on the loop.

import PeerMesh
import Reactor
import Timers

extension NodeDaemon.Keeper {
    /// Wants whom the settings name. Before the loop runs.
    func want(_ configuration: NodeConfiguration) {
        for peer in configuration.namedPeers {
            if let handle = resolver?.want(peer, by: .settings) { want(handle, by: .settings) }
        }
        for endpoint in configuration.masternodes.compactMap(\.endpoint) { tell(wanted.name(masternode: endpoint, by: .settings)) }
        for endpoint in configuration.peers.compactMap(\.endpoint) { tell(wanted.name(peer: endpoint, by: .settings)) }
    }

    /// Puts back what the store kept: bans first, then whom the operator added, then the book.
    func recall(_ memory: Store.Recollection) {
        let (now, wall) = (node.loop.now, WallTime.now)
        for ban in memory.bans {
            let until = ban.left(at: wall).map { now + $0 } ?? .never
            switch ban.kind {
            case .trust: tell(.trust(ban.subject))
            case .operator: tell(.ban(ban.subject, until: until, by: .operator))
            case .automatic: tell(.ban(ban.subject, until: until, by: .automatic))
            }
        }
        for row in memory.wanted {
            // Names are the resolver's first: whoever recalls hands them to the desk.
            guard let endpoint = row.endpoint else { continue }
            switch row.kind {
            case .masternode: tell(wanted.name(masternode: endpoint, by: .operator))
            case .peer: tell(wanted.name(peer: endpoint, by: .operator))
            }
        }
        for entry in memory.addresses {
            tell(.recalled(entry.endpoint, entry.linkedSince != nil ? .linked : entry.isTried ? .tried : .known, from: entry.source))
        }
        for entry in memory.tombstones {
            // No longer than the setting has it: the clock may have been set since.
            let left = min((entry.forgottenUntil ?? wall).since(wall), node.policies.tombstoneTime)
            tell(.recalled(entry.endpoint, .forgotten(until: now + left), from: entry.source))
        }
    }

    /// Does what an operator asked for.
    func perform(_ action: OperatorAction) {
        switch action {
        case .connect(let endpoint): tell(wanted.name(peer: endpoint, by: .operator))
        case .disconnect(let endpoint):
            forgetNames(at: endpoint)
            tell(wanted.forget(peer: endpoint))
        case .redial(let endpoint?): tell(.redial(endpoint))
        case .redial(nil): redialAll()
        case .ban(let subject, let length, _, _): tell(.ban(subject, until: length.map { node.loop.now + $0 } ?? .never, by: .operator))
        case .unban(let subject): tell(.unban(subject))
        case .trust(let subject): tell(.trust(subject))
        case .untrust(let subject): tell(.untrust(subject))
        case .addMasternode(let endpoint): tell(wanted.name(masternode: endpoint, by: .operator))
        case .removeMasternode(let endpoint): tell(wanted.drop(masternode: endpoint, by: .operator))
        case .wantName, .dropName: break  // The desk's, which hands a name to the resolver first.
        case .drain: drain(signal: 0)
        case .reload: break  // The reloader's, on a thread that may read files.
        case .logLevel(let level): log.level = level
        }
    }

    private func redialAll() {
        var waiting: [Endpoint] = []
        node.forEachPeer { report in
            if case .wait = report.schedule { waiting.append(report.endpoint) }
        }
        for endpoint in waiting { tell(.redial(endpoint)) }
    }

    /// Puts new settings in force. No link is closed for it, but those to peers that are named no longer.
    func apply(_ change: SettingsChange) {
        let (old, new) = (change.old, change.new)
        if old.mesh != new.mesh { node.apply(new.mesh) }
        if old.logLevel != new.logLevel { log.level = new.logLevel }
        if old.effectiveAdvertise != new.effectiveAdvertise {
            let only = bound.count == 1 && bound[0].isDialable ? bound[0] : nil
            tell(.ownEndpoint(new.effectiveAdvertise ?? only))
        }
        let masternodes = Difference(old.masternodes, new.masternodes)
        for endpoint in masternodes.added { tell(wanted.name(masternode: endpoint, by: .settings)) }
        for endpoint in masternodes.removed { tell(wanted.drop(masternode: endpoint, by: .settings)) }
        let peers = Difference(old.peers, new.peers)
        for endpoint in peers.added { tell(wanted.name(peer: endpoint, by: .settings)) }
        for endpoint in peers.removed { tell(wanted.drop(peer: endpoint, by: .settings)) }
    }

    /// The registry's changes are told in slices, one an iteration: a file of 100,000 lines must not hold the loop.
    func take(_ change: RegistryChange) {
        registryChanges.append(change)
        if registryChanges.count == 1 { tellRegistrySlice() }
    }

    /// Tells the next slice, and goes on in the next iteration if more is left.
    func tellRegistrySlice() {
        var left = NodeDaemon.registrySlice
        while left > 0, let change = registryChanges.first {
            let (added, all) = (change.added.count, change.added.count + change.removed.count)
            while left > 0, registryPlace < all {
                if registryPlace < added {
                    tell(wanted.name(masternode: change.added[registryPlace], by: .registryFile))
                } else {
                    tell(wanted.drop(masternode: change.removed[registryPlace - added], by: .registryFile))
                }
                registryPlace += 1
                left -= 1
            }
            guard registryPlace == all else { break }
            registryChanges.removeFirst()
            registryPlace = 0
        }
        if !registryChanges.isEmpty, let registryTimer { node.loop.arm(registryTimer, at: node.loop.now) }
    }
}

/// The addresses that came and went between two lists.
struct Difference {
    let added: [Endpoint]
    let removed: [Endpoint]

    init(_ old: [PeerName], _ new: [PeerName]) {
        self.init(old.compactMap(\.endpoint), new.compactMap(\.endpoint))
    }

    init(_ old: [Endpoint], _ new: [Endpoint]) {
        let (before, after) = (Set(old), Set(new))
        added = new.filter { !before.contains($0) }
        removed = old.filter { !after.contains($0) }
    }
}
