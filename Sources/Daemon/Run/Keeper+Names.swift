// Names on the loop: who is wanted by name, and what an answer of the resolver changes.

import PeerMesh
import Reactor

extension NodeDaemon.Keeper {
    /// A wish for a name begins or grows.
    func want(_ handle: NameHandle, by source: WantedPeers.Sources) {
        names.want(handle, by: source)
        // An operator who asks again wants a dial now, as with an address.
        if source == .operator, let current = names.current(of: handle.peer) { wish(handle.peer.kind, current, isNew: true) }
    }

    /// `source` wants the name no longer; the last one's wish takes the link along, unless others want its address.
    func drop(_ peer: NamedPeer, by source: WantedPeers.Sources) {
        // A name that never had an address has no row.
        guard let current = names.drop(peer, by: source) else { return }
        unwish(peer.kind, current)
    }

    /// The operator wants no link to this address: the names that stand for it are wanted no longer either.
    func forgetNames(at endpoint: Endpoint) {
        for handle in names.names(at: endpoint) where handle.peer.kind == .peer { _ = names.drop(handle.peer, by: .all) }
    }

    func take(_ change: NamesChange) {
        for handle in change.added { want(handle, by: change.source) }
        for peer in change.removed { drop(peer, by: change.source) }
    }

    /// Takes a lookup's answer.
    func take(_ answer: NameAnswer) {
        let peer = answer.handle.peer
        let step = names.take(answer.endpoints, for: peer) { endpoint in self.fitness(of: endpoint) }
        switch step {
        case .nothing:
            // A row that found no room in the book is asked for again.
            if let current = names.current(of: peer), node.peer(at: current) == nil { wish(peer.kind, current, isNew: true) }
        case .want(let endpoint): wish(peer.kind, endpoint, isNew: false)
        case .move(let from, let to): move(peer, from: from, to: to)
        }
        guard let current = names.current(of: peer) else { return }
        resolver?.tell(answer.handle.number, .standsFor(current, isLinked: node.peer(at: current)?.established != nil))
    }

    private func fitness(of endpoint: Endpoint) -> NamedPeers.Fitness {
        guard let report = node.peer(at: endpoint) else { return bound.contains(endpoint) ? .useless : .usable }
        if report.established != nil || report.dial != nil || report.held != nil { return .busy }
        switch report.schedule {
        case .off(.ourselves), .off(.banned): return .useless
        case .off, .none, .wait, .ready: return .usable
        }
    }

    private func move(_ peer: NamedPeer, from: Endpoint, to: Endpoint) {
        let isAlone = !names.isNamed(from, .masternode) && !names.isNamed(from, .peer) && wanted.isWantedByNameAlone(from)
        if isAlone, !wanted.isWanted(to), node.peer(at: from) != nil {
            // The row itself moves: its failures and its wait go along, so that a name of dead addresses is not dialled without a pause.
            wanted.move(from: from, to: to)
            return tell(.moved(from: from, to: to))
        }
        wish(peer.kind, to, isNew: false)
        unwish(peer.kind, from)
    }

    private func wish(_ kind: NamedPeer.Kind, _ endpoint: Endpoint, isNew: Bool) {
        switch kind {
        case .masternode:
            let event = wanted.name(masternode: endpoint, by: .name)
            tell(isNew ? .registered(endpoint) : event)
        case .peer:
            let isWanted = wanted.isWanted(peer: endpoint)
            let event = wanted.name(peer: endpoint, by: .name)
            if isNew || !isWanted { tell(event) }
        }
    }

    private func unwish(_ kind: NamedPeer.Kind, _ endpoint: Endpoint) {
        guard !names.isNamed(endpoint, kind) else { return }
        switch kind {
        case .masternode: tell(wanted.drop(masternode: endpoint, by: .name))
        case .peer: tell(wanted.drop(peer: endpoint, by: .name))
        }
    }

    /// A peer's view changed: the resolver hears of those that have a name.
    func noteNames(_ transition: Transition) {
        guard !names.isEmpty, case .peer(let from, let view) = transition.subject else { return }
        let handles = names.names(at: transition.endpoint)
        guard !handles.isEmpty else { return }
        switch view {
        case .established:
            names.note(hasFailed: false, at: transition.endpoint)
            for handle in handles { resolver?.tell(handle.number, .linked) }
        case .backoff, .dormant:
            names.note(hasFailed: true, at: transition.endpoint)
            for handle in handles { resolver?.tell(handle.number, .failed) }
        case .idle, .awaitingInbound, .banned:
            // What the name means may have changed, in any state without a link.
            if from != .backoff, from != .dormant { for handle in handles { resolver?.tell(handle.number, .unlinked) } }
        case .dialing, .greeting: break
        }
    }
}
