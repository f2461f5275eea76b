// The address book and peer exchange: whom we know, whom we tell, whom we choose. Only a learnt peer ever leaves the book.

public import Timers

extension Mesh {
    mutating func armDiscovery(at now: Instant) {
        let period = random.jitter(settings.discoveryInterval, percent: settings.jitterPercent)
        wheel.arm(globalTimer(GlobalTimer.discovery), at: now + period)
    }

    /// Phase 3, the net below the timers: missing masternodes first, then fill. Next = now + period: a stalled loop never
    /// replays a missed tick.
    mutating func discover(at now: Instant) {
        bans.sweep(at: now)
        for row in 0..<rowLimit where peers[row].isUsed && peers[row].role == .masternode && !peers[row].isBeyondTable {
            #if MESH_CANARIES
                if has(.discoveryRacesBackoff) { peers[row].notBefore = .zero }
            #endif
            let before = peers[row].schedule
            let hadStep = wheel.isArmed(rowTimer(row))
            refresh(row, at: now)
            // One whose deadline came in this very advance has its step: its timer is only not handed out yet.
            if peers[row].schedule == .ready, before != .ready, !hadStep { rescues += 1 }
        }
        fillRegularSlots(at: now)
        armDiscovery(at: now)
    }

    // Choosing.

    /// Phase 2: chooses learnt peers, at random, for the slots that neither links nor earlier choices take.
    mutating func fillRegularSlots(at now: Instant) {
        guard !isStopping else { return }
        var chosen = 0
        var candidates = 0
        for row in 0..<rowLimit where peers[row].isUsed {
            if peers[row].isChosen, peers[row].established < 0 { chosen += 1 }
            if isCandidate(row, at: now) { candidates += 1 }
        }
        var wanted = outboundPlaces - chosen
        guard wanted > 0, candidates > 0 else { return }
        // One pass from a random place picks each candidate with the chance that is left: no list, no allocation.
        let start = Int(random.next(below: UInt64(rowLimit)))
        for step in 0..<rowLimit where wanted > 0 {
            let row = (start + step) % rowLimit
            guard isCandidate(row, at: now) else { continue }
            if random.next(below: UInt64(candidates)) < UInt64(wanted) {
                peers[row].isChosen = true
                wanted -= 1
                refresh(row, at: now)
            }
            candidates -= 1
        }
    }

    private func isCandidate(_ row: Int, at now: Instant) -> Bool {
        let peer = peers[row]
        guard peer.desire == .learnt, !peer.isChosen, !peer.hasLinks else { return false }
        switch peer.schedule {
        case .off(.banned), .off(.ourselves): return false
        case .off, .none, .wait, .ready: return peer.notBefore <= now && !isOurselves(peer, at: now)
        }
    }

    /// A chosen peer that failed makes room for another, if there is another.
    mutating func giveUpPlace(_ row: Int, at now: Instant) {
        for other in 0..<rowLimit where isCandidate(other, at: now) {
            peers[row].isChosen = false
            wheel.arm(globalTimer(GlobalTimer.fill), at: now)
            return
        }
    }

    // Learning.

    mutating func learnt(_ endpoint: Endpoint, from slot: Int, at now: Instant) {
        guard links[slot].isLive, takeIntake(slot, at: now) else { return }
        guard endpoint.isDialable, endpoint != ownEndpoint else { return }
        // What is private to one network, one segment or one machine means another host elsewhere.
        guard endpoint.address.scope.isKnown(at: links[slot].remote.address.scope) else { return }
        guard row(of: endpoint) < 0 else { return }
        let row = makeRow(endpoint, .learnt, at: now)
        guard row >= 0 else { return }
        refresh(row, at: now)
        let fill = globalTimer(GlobalTimer.fill)
        if !wheel.isArmed(fill) { wheel.arm(fill, at: now + .milliseconds(100)) }
    }

    /// A peer of an earlier life. Who is wanted anyway needs no memory.
    mutating func recall(_ endpoint: Endpoint, _ memory: Recollection, at now: Instant) {
        guard endpoint.isDialable, endpoint != ownEndpoint, row(of: endpoint) < 0 else { return }
        switch memory {
        case .known, .linked:
            let row = makeRow(endpoint, .learnt, at: now)
            guard row >= 0 else { return }
            peers[row].isChosen = memory == .linked
            refresh(row, at: now)
        case .forgotten(let until):
            guard until > now else { return }
            let row = makeRow(endpoint, [], at: now)
            guard row >= 0 else { return }
            peers[row].tombstoneUntil = until
            refresh(row, at: now)
        }
    }

    /// A bucket a link: load is slowed, not punished.
    private mutating func takeIntake(_ slot: Int, at now: Instant) -> Bool {
        let period = max(settings.intakePeriod.count, 1)
        var fullAt = links[slot].intakeFullAt
        if fullAt <= now { fullAt = fullAt + Nanoseconds((now - fullAt).count / period * period) }
        let missing = ((fullAt - now).count + period - 1) / period
        guard missing < UInt64(settings.intakeBurst) else { return false }
        links[slot].intakeFullAt = fullAt + Nanoseconds(period)
        return true
    }

    /// The row of an endpoint that an inbound hello states. -1 if the book is full.
    mutating func rowForHello(_ endpoint: Endpoint, at now: Instant) -> Int {
        let known = row(of: endpoint)
        if known >= 0 {
            welcome(known, at: now)
            return known
        }
        let row = makeRow(endpoint, .learnt, at: now)
        if row >= 0 { refresh(row, at: now) }
        return row
    }

    /// A valid inbound hello of a peer that is known lifts its tombstone: it is in the book again.
    mutating func welcome(_ row: Int, at now: Instant) {
        guard peers[row].tombstoneUntil != .zero || peers[row].desire.isEmpty else { return }
        peers[row].tombstoneUntil = .zero
        if peers[row].desire.isEmpty { peers[row].desire = .learnt }
        // The call may be refused, and then nothing else would look at the row until the tombstone's old end.
        refresh(row, at: now)
    }

    /// A full book gives up a learnt peer that nothing speaks for.
    mutating func makeRoomInBook(at now: Instant) -> Bool {
        let start = Int(random.next(below: UInt64(rowLimit)))
        var fallback = -1
        for step in 0..<rowLimit {
            let row = (start + step) % rowLimit
            let peer = peers[row]
            guard peer.desire == .learnt || peer.desire.isEmpty, !peer.hasLinks else { continue }
            if peer.tombstoneUntil > now || peer.failures > 0 {
                freeRow(row)
                return true
            }
            if fallback < 0, peer.lastSuccess == nil, !peer.isChosen { fallback = row }
        }
        guard fallback >= 0 else { return false }
        freeRow(fallback)
        return true
    }

    // Forgetting.

    func shouldForget(_ row: Int) -> Bool {
        let peer = peers[row]
        guard peer.desire == .learnt, peer.failures >= settings.regularFailures, !peer.hasLinks else { return false }
        var known = 0
        for other in 0..<rowLimit where !peers[other].desire.isEmpty { known += 1 }
        return known > Int(settings.bookFloor)
    }

    mutating func forget(_ row: Int, at now: Instant) {
        peers[row].desire = []
        peers[row].isChosen = false
        peers[row].tombstoneUntil = now + settings.tombstoneTime
    }

    // Telling.

    /// A peer asks. At most one answer in `discoveryInterval`: neither load nor curiosity is punished.
    mutating func asked(_ slot: Int, at now: Instant) {
        guard links[slot].state == .established else { return }
        if let last = links[slot].answeredAt, now - last < settings.discoveryInterval { return }
        links[slot].answeredAt = now
        actions.append(.share(id(of: slot)))
    }

    /// Calls `body` with each peer worth telling the asker, at most `shareLimit`, until it returns false: those that we
    /// hold or held a link to, and the registry's; never the banned, the forgotten, ourselves or the asker.
    public mutating func sharePeers(with link: LinkID, at now: Instant, _ body: (Endpoint) -> Bool) {
        guard let slot = live(link), rowLimit > 0 else { return }
        let start = Int(random.next(below: UInt64(rowLimit)))
        let scope = links[slot].remote.address.scope
        var told = 0
        for step in 0..<rowLimit where told < Int(settings.shareLimit) {
            let row = (start + step) % rowLimit
            let peer = peers[row]
            guard peer.isUsed, peer.lastSuccess != nil || peer.desire.contains(.registry) else { continue }
            guard Int(links[slot].row) != row, peer.tombstoneUntil <= now, !isOurselves(peer, at: now) else { continue }
            guard peer.endpoint.address.scope.isKnown(at: scope) else { continue }
            guard bans.covering(peer.endpoint.address, at: now) == nil else { continue }
            told += 1
            if !body(peer.endpoint) { return }
        }
    }
}
