// A peer's schedule: what happens if nothing else does. It is derived, by one function, from facts: links, desire, bans,
// the backoff's end and the end of the passive wait. Nothing else sets it.

import Timers

extension Mesh {
    /// Derives the row's schedule from its facts, arms its timer and queues it. Ends rows that nobody needs.
    mutating func refresh(_ row: Int, at now: Instant) {
        guard peers[row].isUsed else { return }
        relistLinks(of: row)
        recount(row)
        if peers[row].part == .new, isStarted, !isStopping, !wheel.isArmed(globalTimer(GlobalTimer.feeler)) { armFeeler(at: now) }
        let before = view(of: row)
        let (schedule, deadline) = derivedSchedule(of: row, at: now)
        peers[row].schedule = schedule
        let timer = min(deadline, peers[row].demoteAt)
        if timer == .never { wheel.cancel(rowTimer(row)) } else { wheel.arm(rowTimer(row), at: timer) }
        switch schedule {
        case .ready:
            peerLists.move(row, to: readyList(for: row))
        case .none, .wait, .off:
            peerLists.move(row, to: PeerList.idle)
        }
        let after = view(of: row)
        if before != after { record(row, from: before, to: after, at: now) }
        if isSuperfluous(row, at: now) { freeRow(row) }
    }

    /// The schedule and the deadline at which it is looked at again.
    private func derivedSchedule(of row: Int, at now: Instant) -> (Schedule, Instant) {
        let peer = peers[row]
        if hasLiveLink(row) || peer.dial >= 0 { return (.none, .never) }
        if isStopping { return (.off(.stopping), .never) }
        if !isStarted { return (.off(.notStarted), .never) }
        // The fact that decides comes first: what no wish changes, before whether anybody wishes.
        let forgottenUntil = peer.tombstoneUntil > now ? peer.tombstoneUntil : .never
        if isOurselves(peer, at: now) {
            return (.off(.ourselves), min(peer.selfUntil > now ? peer.selfUntil : .never, forgottenUntil))
        }
        if let ban = bans.covering(peer.endpoint.address, at: now) { return (.off(.banned), min(ban.until, forgottenUntil)) }
        if forgottenUntil != .never { return (.off(.forgotten), forgottenUntil) }
        if let why = unwanted(peer) { return (.off(why), .never) }
        let turn = prefersTheirDial(peer) ? peer.turnAt : .zero
        #if MESH_CANARIES
            if has(.directionIsAGate), prefersTheirDial(peer) { return (.wait(until: .never, .theirTurn), .never) }
            if has(.retryOnlyTheActive), peer.failures > 0, peer.lastSuccess == nil { return (.off(.notChosen), .never) }
        #endif
        let until = max(peer.notBefore, turn)
        let spaced = spacing(of: row)
        if spaced > now, spaced > until { return (.wait(until: spaced, .spaced), spaced) }
        if until > now {
            return (.wait(until: until, peer.notBefore >= turn ? peer.waitReason : .theirTurn), until)
        }
        return (.ready, .never)
    }

    /// The queue of one that may dial. A masternode that was linked before and has not failed so often since that it is dormant is likely to
    /// answer: it does not wait behind those that never do. So is an operator's peer of that kind, or one that has not failed yet.
    func readyList(for row: Int) -> Int {
        // Field by field: this is asked at every change of a link.
        if peers[row].role == .masternode {
            let isLikely = peers[row].lastSuccess != nil && peers[row].failures < settings.masternodeFailures
            return isLikely ? PeerList.readyUrgent : PeerList.readyMasternode
        }
        guard peers[row].desire.contains(.operator) else { return PeerList.readyRegular }
        let isLikely = peers[row].failures == 0 || peers[row].lastSuccess != nil && peers[row].failures < settings.regularFailures
        return isLikely ? PeerList.readyNamed : PeerList.readyNamedSlow
    }

    /// Who wants the peer, and how it has done, decide by which lists its links and its address are counted.
    private mutating func relistLinks(of row: Int) {
        let isNamed = peers[row].desire.contains(.operator)
        if isNamed != named.isListed(row) {
            if isNamed { named.list(row, under: peers[row].endpoint.address.blockKey) } else { named.unlist(row) }
            if peers[row].established >= 0 { relist(Int(peers[row].established)) }
        }
        if peers[row].dial >= 0 { relist(Int(peers[row].dial)) }
        // It may be a dial that is held.
        if peers[row].held >= 0 { relist(Int(peers[row].held)) }
    }

    /// A link that holds the schedule: held, or established without a doubt.
    func hasLiveLink(_ row: Int) -> Bool {
        if peers[row].held >= 0 { return true }
        let established = Int(peers[row].established)
        return established >= 0 && !isDoubtful(established, of: row)
    }

    private func unwanted(_ peer: Peer) -> OffReason? {
        if peer.desire.contains(.operator) { return nil }
        if peer.desire.contains(.registry) { return peer.isBeyondTable ? .tooMany : nil }
        if peer.desire.contains(.learnt) { return peer.isChosen ? nil : .notChosen }
        return .notWanted
    }

    func isOurselves(_ peer: Peer, at now: Instant) -> Bool {
        peer.endpoint == ownEndpoint || peer.selfUntil > now
    }

    /// Direction, a preference with a deadline: between two masternodes of our dialect the lower endpoint dials.
    func prefersTheirDial(_ peer: Peer) -> Bool {
        guard prefersOrder(with: peer), let own = ownEndpoint else { return false }
        return own > peer.endpoint
    }

    /// Whether the rule of direction holds between us and the peer, as far as we know our own endpoint.
    func prefersOrder(with peer: Peer) -> Bool {
        settings.isNativeDialect && settings.role == .masternode && peer.role == .masternode && !peer.isForeign
    }

    /// A wait begins: the passive wait runs beside whatever backoff there is.
    mutating func beginWait(_ row: Int, at now: Instant) {
        peers[row].turnAt = now + random.jitter(settings.passiveWait, percent: settings.jitterPercent)
    }

    /// The wait of a peer that this node has just begun to want, or begins to dial as it starts. The other side may have waited for long
    /// already, or know nothing of it: its turn is short, enough for the lower one of two that begin at once to go first.
    mutating func beginFirstWait(_ row: Int, at now: Instant) {
        peers[row].turnAt = now + random.jitter(settings.firstPassiveWait, percent: settings.jitterPercent)
    }

    /// 5, 10, 20 … 300 s, spread by the jitter; a peer that failed too often has the slow cadence.
    private mutating func setBackoff(_ row: Int, at now: Instant) {
        let failures = peers[row].failures
        let isDormant = failures >= (peers[row].role == .masternode ? settings.masternodeFailures : settings.regularFailures)
        let doublings = UInt64(failures > 0 ? failures - 1 : 0)
        let grown = doublings >= 32 ? settings.backoffMax : settings.backoffInitial * (1 << doublings)
        let delay = isDormant ? settings.backoffMax : min(grown, settings.backoffMax)
        peers[row].notBefore = now + random.jitter(delay, percent: settings.jitterPercent)
        peers[row].waitReason = isDormant ? .dormant : .backoff
        #if MESH_CANARIES
            if has(.starvation) { peers[row].notBefore = now + settings.backoffInitial * (1 << min(doublings, 14)) }
            if has(.hammer) { peers[row].notBefore = now + .milliseconds(1) }
        #endif
    }

    mutating func setSlowCadence(_ row: Int, _ why: WaitReason, at now: Instant) {
        peers[row].notBefore = now + random.jitter(settings.backoffMax, percent: settings.jitterPercent)
        peers[row].waitReason = why
    }

    /// How long a link that leaves open whose it is may stand before its peer is dialled beside it: a foreign one the slow cadence;
    /// one for which only its nonce speaks, which anybody may have copied, no longer than a verification.
    mutating func waitInDoubt(_ row: Int, at now: Instant) {
        let established = Int(peers[row].established)
        setSlowCadence(row, .weakLink, at: now)
        guard established >= 0, links[established].identity != .weak, settings.verifyInterval < settings.backoffMax else { return }
        peers[row].notBefore = now + random.jitter(settings.verifyInterval, percent: settings.jitterPercent)
    }

    /// What the end of `link` means for its peer's schedule. A close changes it only if it leaves no live link and no
    /// dial; an inbound link that we refused never does.
    mutating func noteEnd(of link: Link, row: Int, _ reason: CloseReason, at now: Instant) {
        let wasEstablished = link.state == .established
        // The session that a held link would have gone on with is over: the next one begins anew.
        if link.state == .held, peers[row].established < 0 { peers[row].linkedSince = .never }
        guard wasEstablished || link.direction == .outbound else {
            // A held link was the row's; it may have been the last one.
            if link.state == .held { refresh(row, at: now) }
            return
        }
        peers[row].lastReason = reason
        #if MESH_CANARIES
            if has(.collisionStorm), reason == .superseded, peers[row].dial < 0 { _ = startDial(row, at: now) }
        #endif
        if wasEstablished, peers[row].established < 0, !hasLiveLink(row) { countSession(link, row: row, reason, at: now) }
        guard !hasLiveLink(row), peers[row].dial < 0 else {
            refresh(row, at: now)
            return
        }
        if !wasEstablished, reason.effect.schedule == .counts, showsLife(at: now) { peers[row].failures += 1 }
        beginWait(row, at: now)
        switch reason.effect.schedule {
        // Beside a doubtful link the dial was only to make sure.
        case .counts where peers[row].established >= 0, .neutral where peers[row].established >= 0,
            .ours where peers[row].established >= 0:
            waitInDoubt(row, at: now)
        case .counts, .neutral: setBackoff(row, at: now)
        case .ours where peers[row].desire.isDisjoint(with: [.registry, .operator]): setSlowCadence(row, .backoff, at: now)
        case .ours: setBackoff(row, at: now)
        case .slow: setSlowCadence(row, reason == .crowded ? .crowded : .full, at: now)
        case .nothing: break
        }
        if link.identity == .weak { setSlowCadence(row, .weakLink, at: now) }
        if shouldForget(row) { forget(row, at: now) }
        if peers[row].isChosen, peers[row].failures > 0 || reason.effect.schedule == .ours { giveUpPlace(row, at: now) }
        refresh(row, at: now)
    }

    /// A session of `stableAfter`, to its last byte, clears the failures; a shorter one is a failure itself.
    private mutating func countSession(_ link: Link, row: Int, _ reason: CloseReason, at now: Instant) {
        var began = peers[row].linkedSince
        peers[row].linkedSince = .never
        if began == .never {
            contradictions += 1
            began = link.establishedAt
        }
        if link.lastByte - began >= settings.stableAfter {
            peers[row].failures = 0
        } else if reason.effect.schedule == .counts, showsLife(at: now, besides: 1) {
            peers[row].failures += 1
        }
    }

    /// Failures count only while our own network shows life: an outage of ours is not theirs (model finding F19). The link that is
    /// ending is on its list still, and no sign of life.
    func showsLife(at now: Instant, besides ending: Int = 0) -> Bool {
        #if MESH_CANARIES
            if has(.ownOutageCounts) { return true }
        #endif
        if establishedCount > ending { return true }
        guard let lastLife else { return false }
        return now - lastLife <= settings.lifeWindow
    }

    // Rows.

    /// A row for `endpoint` with this desire added; -1 if the book is full of peers that are wanted or linked, which is reported
    /// unless the peer is merely learnt. For one that is, `source` told of it: -1 too if the book has enough from there. The caller
    /// refreshes the row. `isTried`: a dial was answered there in an earlier life.
    mutating func makeRow(
        _ endpoint: Endpoint, _ desire: Desire, from source: IPAddress? = nil, isTried: Bool = false, at now: Instant
    ) -> Int {
        let known = row(of: endpoint)
        if known >= 0 {
            peers[known].desire.formUnion(desire)
            return known
        }
        if desire.isSubset(of: .learnt), !(isTried && hasFreeRow && hasTriedRoom(for: endpoint.address)) {
            guard makeRoomForNew(endpoint, from: source, at: now) else { return -1 }
        }
        var slot = peerLists.first(PeerList.free)
        if slot < 0, rowLimit < peers.count {
            slot = rowLimit
            rowLimit += 1
        }
        if slot < 0, makeRoomInBook(at: now) { slot = peerLists.first(PeerList.free) }
        guard slot >= 0 else {
            if !desire.isDisjoint(with: [.registry, .operator]) { actions.append(.bookFull(endpoint, desire)) }
            return -1
        }
        let generation = peers[slot].generation &+ 1
        peers[slot] = Peer(endpoint: endpoint)
        peers[slot].generation = generation
        peers[slot].isUsed = true
        peers[slot].desire = desire
        peers[slot].isVerified = isTried
        (peers[slot].source, peers[slot].sourceGroup) = sourceKeys(of: endpoint, from: source)
        peerLists.move(slot, to: PeerList.idle)
        endpoints.insert(slot, hash: endpoint.stableHash)
        beginFirstWait(slot, at: now)
        return slot
    }

    /// A row that nobody wants and nothing is linked to.
    private func isSuperfluous(_ row: Int, at now: Instant) -> Bool {
        let peer = peers[row]
        return peer.desire.isEmpty && !peer.hasLinks && peer.tombstoneUntil <= now
    }

    mutating func freeRow(_ row: Int) {
        guard !peers[row].hasLinks else {
            contradictions += 1
            return
        }
        forgetProof(of: row)
        named.unlist(row)
        endpoints.remove(row, hash: peers[row].endpoint.stableHash)
        wheel.cancel(rowTimer(row))
        peers[row].isUsed = false
        peers[row].isChosen = false
        // Nobody's row is nobody's wish: what looks for a desire need not ask whether the row is used.
        peers[row].desire = []
        recount(row)
        peerLists.move(row, to: PeerList.free)
    }
}
