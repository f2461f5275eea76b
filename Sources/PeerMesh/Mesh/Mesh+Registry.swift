// Who is wanted, and by whom: the registry, the operator, our own endpoint; roles follow live (incidents P45).

public import Timers

extension Mesh {
    mutating func start(at now: Instant) {
        guard !isStarted else { return }
        isStarted = true
        for row in 0..<rowLimit where peers[row].isUsed {
            beginFirstWait(row, at: now)
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
        let before = ownEndpoint.map { row(of: $0) } ?? -1
        ownEndpoint = endpoint
        let after = endpoint.map { row(of: $0) } ?? -1
        // We are not counted among those that the registry names.
        if after >= 0, registered.isRanked(after) { leaveTable(after, at: now) }
        if before >= 0, registered.isListed(before) { enterTable(before, at: now) }
        for row in 0..<rowLimit {
            peers[row].selfUntil = .zero
            refresh(row, at: now)
        }
    }

    // The registry.

    mutating func register(_ endpoint: Endpoint, at now: Instant) {
        let row = makeRow(endpoint, .registry, at: now)
        guard row >= 0 else { return }
        peers[row].tombstoneUntil = .zero
        // What once answered with our nonce is dialled all the same.
        peers[row].selfUntil = .zero
        peers[row].demoteAt = .never
        setRole(row, .masternode, at: now)
        if !registered.isListed(row) {
            registered.list(row, in: peers)
            if isCounted(row) { enterTable(row, at: now) }
        }
        refresh(row, at: now)
    }

    mutating func unregister(_ endpoint: Endpoint, at now: Instant) {
        let row = row(of: endpoint)
        guard row >= 0, peers[row].desire.contains(.registry) else { return }
        peers[row].desire.remove(.registry)
        registered.unlist(row)
        leaveTable(row, at: now)
        if peers[row].hasLinks {
            // A glitch of the registry must not cost thirty links at once (model finding F21).
            peers[row].desire.insert(.learnt)
            peers[row].demoteAt = now + settings.demotionDelay
        } else {
            setRole(row, .regular, at: now)
        }
        refresh(row, at: now)
    }

    mutating func demote(_ row: Int, at now: Instant) {
        peers[row].demoteAt = .never
        setRole(row, .regular, at: now)
    }

    private mutating func setRole(_ row: Int, _ role: Role, at now: Instant) {
        guard peers[row].role != role else { return }
        peers[row].role = role
        peers[row].keepsSlot = role == .regular
        #if MESH_CANARIES
            if has(.countsBesideTheTable) { return }
        #endif
        for slot in [peers[row].established, peers[row].held, peers[row].dial] where slot >= 0 { relist(Int(slot)) }
        beginFirstWait(row, at: now)
        if peers[row].keepsSlot { leaveKeptSlot(row, at: now) }
    }

    /// A demoted masternode keeps the slot that it had for as long as it has a link; a dial that is left without one needs a regular
    /// slot like any other's.
    mutating func leaveKeptSlot(_ row: Int, at now: Instant) {
        guard peers[row].established < 0, peers[row].held < 0 else { return }
        peers[row].keepsSlot = false
        let dial = Int(peers[row].dial)
        if dial >= 0, regularTaken > Int(settings.regularSlots) { close(dial, .full, at: now) }
    }

    // If the registry names more masternodes than the table holds, the first `maxPeers` in endpoint order are wanted. One that
    // comes or goes moves at most one other over the table's end: a registry of any length costs O(log rows) a line.

    private var wantedLimit: Int {
        #if MESH_CANARIES
            if has(.reserveLimitsMasternodes) { return Int(settings.effectiveReserve) }
        #endif
        return Int(settings.maxPeers)
    }

    private mutating func enterTable(_ row: Int, at now: Instant) {
        let highest = registered.highestHeld
        if registered.heldCount < wantedLimit {
            place(row, beyond: false)
        } else if highest >= 0, peers[row].endpoint < peers[highest].endpoint {
            registered.unrank(highest, in: peers)
            place(highest, beyond: true)
            place(row, beyond: false)
            refresh(highest, at: now)
        } else {
            place(row, beyond: true)
        }
    }

    private mutating func leaveTable(_ row: Int, at now: Instant) {
        let isHeld = registered.isRanked(row) && !registered.isBeyond(row)
        registered.unrank(row, in: peers)
        peers[row].isBeyondTable = false
        let next = registered.lowestBeyond
        guard isHeld, next >= 0 else { return }
        registered.unrank(next, in: peers)
        place(next, beyond: false)
        refresh(next, at: now)
    }

    private mutating func place(_ row: Int, beyond: Bool) {
        registered.rank(row, beyond: beyond, in: peers)
        peers[row].isBeyondTable = beyond
    }

    /// Whether the row is one of those that the table's places are counted for.
    func isCounted(_ row: Int) -> Bool {
        peers[row].desire.contains(.registry) && peers[row].endpoint != ownEndpoint
    }

    /// Masternodes that the registry names, without ourselves. O(1).
    public var registeredCount: Int { registered.count }

    /// Whether the registry names a masternode at `address`. O(1): of an IPv6 /64 it looks at the first rows only, and where the registry
    /// names more of them than that, any address of it counts as named.
    func hasRegistered(address: IPAddress) -> Bool {
        var row = registered.first(inBlockOf: address)
        var looked = 0
        while row >= 0, looked < Self.blockReach, peers[row].endpoint.address != address {
            row = registered.next(after: row)
            looked += 1
        }
        return row >= 0
    }

    /// Rows of one address block that are looked at for a stranger's sake.
    static var blockReach: Int { 64 }

    /// Whether the registry names a masternode in the block of `address`, which is what an automatic ban covers. O(1).
    func hasRegistered(inBlockOf address: IPAddress) -> Bool {
        registered.first(inBlockOf: address) >= 0
    }

    /// Whether ranks and marks say the same. O(book).
    func registryInvariant() -> String? {
        for row in 0..<rowLimit where peers[row].isUsed {
            if registered.isListed(row) != peers[row].desire.contains(.registry) { return "registered row \(row) is not listed, or listed and not registered" }
            if registered.isRanked(row) != isCounted(row) { return "row \(row) is ranked and not counted, or counted and not ranked" }
            if registered.isBeyond(row) != peers[row].isBeyondTable { return "row \(row) is marked for what its rank is not" }
        }
        if registered.heldCount > wantedLimit { return "\(registered.heldCount) masternodes are wanted of \(wantedLimit)" }
        let (highest, lowest) = (registered.highestHeld, registered.lowestBeyond)
        guard lowest >= 0 else { return nil }
        if registered.heldCount < wantedLimit { return "a masternode is beyond the table, which has room" }
        return highest >= 0 && peers[lowest].endpoint < peers[highest].endpoint ? "the wanted masternodes are not the first" : nil
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
        // The operator's word waits for nobody's turn.
        peers[row].isBooked = true
        refresh(row, at: now)
    }

    /// The name behind a wanted peer means another address now. The registry's and the operator's wish, the wait and the failures
    /// go along.
    mutating func operatorMoved(from: Endpoint, to: Endpoint, at now: Instant) {
        let old = row(of: from)
        guard old >= 0, from != to, !peers[old].hasLinks else { return }
        let wishes = peers[old].desire.intersection([.operator, .registry])
        guard !wishes.isEmpty else { return }
        let new = makeRow(to, wishes, at: now)
        guard new >= 0 else { return }
        let moved = peers[old]
        if wishes.contains(.registry) {
            register(to, at: now)
            unregister(from, at: now)
        }
        if !peers[new].hasLinks {
            peers[new].failures = max(peers[new].failures, moved.failures)
            peers[new].notBefore = max(peers[new].notBefore, moved.notBefore)
            peers[new].waitReason = moved.waitReason
            peers[new].turnAt = .zero
        }
        peers[new].tombstoneUntil = .zero
        peers[old].desire.remove(.operator)
        refresh(old, at: now)
        refresh(new, at: now)
    }

    // Bans and trust.

    mutating func ban(_ subnet: Subnet, until: Instant, by source: BanSource, reason: CloseReason?, at now: Instant) {
        guard until > now else { return }
        let record = BanRecord(subject: subnet, kind: .ban(source), until: until, reason: reason)
        guard setRecord(record, at: now) else { return }
        refreshCovered(by: subnet, closing: source == .operator, at: now)
    }

    /// Whether a ban (or trust) of `subnet` that the operator sets now finds a place: what a driver asks before it says that it is
    /// done. An operator's record takes the place of the automatic ban that ends first. O(bans).
    public func hasRoom(forRecordOf subnet: Subnet, isTrust: Bool, at now: Instant) -> Bool {
        bans.hasRoom(for: BanRecord(subject: subnet, kind: isTrust ? .trust : .ban(.operator), until: .never, reason: nil), at: now)
    }

    /// Writes the record, or reports that there is no room for it: no record is dropped without a word.
    private mutating func setRecord(_ record: BanRecord, at now: Instant) -> Bool {
        switch bans.set(record, at: now) {
        case .set: return true
        case .setInPlace(of: let displaced):
            actions.append(.banFull(displaced))
            refreshCovered(by: displaced.subject, closing: false, at: now)
            return true
        case .full:
            actions.append(.banFull(record))
            return false
        }
    }

    mutating func unban(_ subnet: Subnet, at now: Instant) {
        bans.remove(subnet, trust: false)
        if subnet.prefix >= subnet.address.block.prefix { scores.clear(subnet.address.block.address) }
        refreshCovered(by: subnet, closing: false, at: now)
    }

    mutating func trust(_ subnet: Subnet, at now: Instant) {
        let record = BanRecord(subject: subnet, kind: .trust, until: .never, reason: nil)
        if setRecord(record, at: now) { refreshCovered(by: subnet, closing: false, at: now) }
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

    /// Scores provable abuse, by the block of the address: the next address of an IPv6 /64 is the same host. Never trusted
    /// addresses, loopback, or a block where a masternode is registered: a whole NAT must not pay for one (model finding F24).
    mutating func score(_ link: Link, _ points: UInt32, _ reason: CloseReason, at now: Instant) {
        let address = link.remote.address
        guard points > 0, link.direction == .inbound, !address.isLoopback, !hasRegistered(inBlockOf: address) else { return }
        guard !bans.isTrusted(address, at: now) else { return }
        let block = address.block
        if scores.add(points, to: block.address, at: now) >= settings.banScore {
            scores.clear(block.address)
            ban(block, until: now + settings.banTime, by: .automatic, reason: reason, at: now)
        }
    }
}
