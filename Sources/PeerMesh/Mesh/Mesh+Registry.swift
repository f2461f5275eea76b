// Who is wanted, and by whom: the registry, the operator, our own endpoint; roles follow live (incidents P45).

import Timers

extension Mesh {
    mutating func start(at now: Instant) {
        guard !isStarted else { return }
        isStarted = true
        for row in 0..<rowLimit where peers[row].isUsed {
            beginWait(row, at: now)
            refresh(row, at: now)
        }
        fillRegularSlots(at: now)
        armDiscovery(at: now)
    }

    /// Every link drains, every dial ends, nobody is dialled any more.
    mutating func shutdown(at now: Instant) {
        guard !isStopping else { return }
        isStopping = true
        for timer in 0..<GlobalTimer.count { wheel.cancel(globalTimer(timer)) }
        for slot in 0..<links.count {
            switch links[slot].state {
            case .closed, .draining: break
            case .connecting, .securing, .greeting, .held, .established: close(slot, .shutdown, at: now)
            }
        }
        for row in 0..<rowLimit { refresh(row, at: now) }
    }

    /// No descriptor is open any more: the driver may stop after `shutdown`.
    public var hasNoLinks: Bool { linkLists.count(LinkList.free) == links.count }

    mutating func setOwnEndpoint(_ endpoint: Endpoint?, at now: Instant) {
        guard endpoint != ownEndpoint else { return }
        ownEndpoint = endpoint
        for row in 0..<rowLimit {
            peers[row].selfUntil = .zero
            refresh(row, at: now)
        }
    }

    // The registry.

    mutating func register(_ endpoint: Endpoint, at now: Instant) {
        let row = makeRow(endpoint, .registry, at: now)
        guard row >= 0 else { return }
        peers[row].desire.insert(.registry)
        peers[row].tombstoneUntil = .zero
        peers[row].demoteAt = .never
        setRole(row, .masternode, at: now)
        markBeyondTable(at: now)
        refresh(row, at: now)
    }

    mutating func unregister(_ endpoint: Endpoint, at now: Instant) {
        let row = row(of: endpoint)
        guard row >= 0, peers[row].desire.contains(.registry) else { return }
        peers[row].desire.remove(.registry)
        peers[row].isBeyondTable = false
        if peers[row].hasLinks {
            // A glitch of the registry must not cost thirty links at once (model finding F21).
            peers[row].desire.insert(.learnt)
            peers[row].demoteAt = now + settings.demotionDelay
        } else {
            setRole(row, .regular, at: now)
        }
        markBeyondTable(at: now)
        refresh(row, at: now)
    }

    mutating func demote(_ row: Int, at now: Instant) {
        peers[row].demoteAt = .never
        setRole(row, .regular, at: now)
    }

    private mutating func setRole(_ row: Int, _ role: Role, at now: Instant) {
        guard peers[row].role != role else { return }
        peers[row].role = role
        peers[row].keepsSlot = role == .regular && peers[row].hasLinks
        #if MESH_CANARIES
            if has(.countsBesideTheTable) { return }
        #endif
        for slot in [peers[row].established, peers[row].held, peers[row].dial] where slot >= 0 { relist(Int(slot)) }
        beginWait(row, at: now)
    }

    /// If the registry names more masternodes than the table holds, the first `maxPeers` in endpoint order are wanted.
    private mutating func markBeyondTable(at now: Instant) {
        var limit = Int(settings.maxPeers)
        #if MESH_CANARIES
            if has(.reserveLimitsMasternodes) { limit = Int(settings.effectiveReserve) }
        #endif
        let registered = registeredCount
        var excess = registered - limit
        for row in 0..<rowLimit where peers[row].isBeyondTable {
            peers[row].isBeyondTable = false
            if excess <= 0 { refresh(row, at: now) }
        }
        while excess > 0 {
            var highest = -1
            for row in 0..<rowLimit where isCounted(row) && !peers[row].isBeyondTable {
                if highest < 0 || peers[row].endpoint > peers[highest].endpoint { highest = row }
            }
            guard highest >= 0 else { return }
            peers[highest].isBeyondTable = true
            excess -= 1
        }
        if registered > limit {
            for row in 0..<rowLimit where isCounted(row) { refresh(row, at: now) }
        }
    }

    private func isCounted(_ row: Int) -> Bool {
        peers[row].desire.contains(.registry) && peers[row].endpoint != ownEndpoint
    }

    /// Masternodes that the registry names, without ourselves.
    public var registeredCount: Int {
        var count = 0
        for row in 0..<rowLimit where isCounted(row) { count += 1 }
        return count
    }

    // The operator.

    mutating func operatorConnect(_ endpoint: Endpoint, at now: Instant) {
        let row = makeRow(endpoint, .operator, at: now)
        guard row >= 0 else { return }
        peers[row].tombstoneUntil = .zero
        operatorRedial(endpoint, at: now)
    }

    mutating func operatorDisconnect(_ endpoint: Endpoint, at now: Instant) {
        let row = row(of: endpoint)
        guard row >= 0 else { return }
        peers[row].desire.remove(.operator)
        peers[row].desire.remove(.learnt)
        peers[row].isChosen = false
        closeLinks(of: row, .operator, at: now)
        refresh(row, at: now)
    }

    mutating func closeLinks(of row: Int, _ reason: CloseReason, at now: Instant) {
        for slot in [peers[row].dial, peers[row].held, peers[row].established] where slot >= 0 {
            close(Int(slot), reason, at: now)
        }
        // A merged surplus link has taken the place, and after it perhaps another one.
        while case let heir = Int(peers[row].established), heir >= 0, links[heir].state == .established {
            close(heir, reason, at: now)
        }
    }

    mutating func operatorRedial(_ endpoint: Endpoint, at now: Instant) {
        let row = row(of: endpoint)
        guard row >= 0 else { return }
        peers[row].failures = 0
        peers[row].notBefore = .zero
        peers[row].turnAt = .zero
        peers[row].selfUntil = .zero
        refresh(row, at: now)
    }

    /// The name behind an operator's peer means another address now. Its wait and its failures go along.
    mutating func operatorMoved(from: Endpoint, to: Endpoint, at now: Instant) {
        let old = row(of: from)
        guard old >= 0, from != to, !peers[old].hasLinks else { return }
        let new = makeRow(to, .operator, at: now)
        guard new >= 0 else { return }
        if !peers[new].hasLinks {
            peers[new].failures = max(peers[new].failures, peers[old].failures)
            peers[new].notBefore = max(peers[new].notBefore, peers[old].notBefore)
            peers[new].waitReason = peers[old].waitReason
            peers[new].turnAt = .zero
        }
        peers[new].tombstoneUntil = .zero
        peers[old].desire.remove(.operator)
        refresh(old, at: now)
        refresh(new, at: now)
    }

    // Bans and trust.

    mutating func ban(_ subnet: Subnet, until: Instant, by source: BanSource, reason: CloseReason?, at now: Instant) {
        let record = BanRecord(subject: subnet, kind: .ban(source), until: until, reason: reason)
        guard until > now, bans.set(record, at: now) else { return }
        refreshCovered(by: subnet, closing: source == .operator, at: now)
    }

    mutating func unban(_ subnet: Subnet, at now: Instant) {
        bans.remove(subnet, trust: false)
        if subnet == Subnet(subnet.address) { scores.clear(subnet.address) }
        refreshCovered(by: subnet, closing: false, at: now)
    }

    mutating func trust(_ subnet: Subnet, at now: Instant) {
        let record = BanRecord(subject: subnet, kind: .trust, until: .never, reason: nil)
        if bans.set(record, at: now) { refreshCovered(by: subnet, closing: false, at: now) }
    }

    mutating func untrust(_ subnet: Subnet, at now: Instant) {
        bans.remove(subnet, trust: true)
        refreshCovered(by: subnet, closing: false, at: now)
    }

    private mutating func refreshCovered(by subnet: Subnet, closing: Bool, at now: Instant) {
        if closing {
            for slot in 0..<links.count where subnet.contains(links[slot].remote.address) {
                switch links[slot].state {
                case .closed, .draining: break
                case .connecting, .securing, .greeting, .held, .established: close(slot, .banned, at: now)
                }
            }
        }
        for row in 0..<rowLimit where subnet.contains(peers[row].endpoint.address) {
            refresh(row, at: now)
        }
    }

    /// Scores provable abuse. Never trusted addresses, loopback, or an address where a masternode is registered: a whole
    /// NAT must not pay for one (model finding F24).
    mutating func score(_ link: Link, _ reason: CloseReason, at now: Instant) {
        let points = reason.effect.score
        let address = link.remote.address
        guard points > 0, link.direction == .inbound, !address.isLoopback, !hasRegistered(address: address) else { return }
        guard !bans.isTrusted(address, at: now) else { return }
        if scores.add(points, to: address, at: now) >= settings.banScore {
            scores.clear(address)
            ban(Subnet(address), until: now + settings.banTime, by: .automatic, reason: reason, at: now)
        }
    }
}
