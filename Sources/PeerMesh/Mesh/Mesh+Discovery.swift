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

    /// Phase 2: chooses learnt peers, at random, for the slots that neither links nor earlier choices take: tried ones, and for a
    /// quarter of the slots new ones, so that what was told is tried at all. While one part has too few the other fills in.
    mutating func fillRegularSlots(at now: Instant) {
        guard !isStopping else { return }
        var wanted = outboundPlaces - awaitedCount
        guard wanted > 0 else { return }
        if parts.triedCount > 0, parts.newCount > 0 {
            let share = (wanted + Int(random.next(below: 4))) / 4
            wanted -= choose(share, of: .new, at: now)
        }
        wanted -= choose(wanted, of: .tried, at: now)
        _ = choose(wanted, of: .new, at: now)
    }

    /// Chooses up to `wanted` rows of the part, and says how many. It looks at `lotSize` rows at most, spread over the part: one pass picks each
    /// candidate with the chance that is left, without a list or an allocation.
    /// New ones are chosen only as fast as their dials may begin; where that leaves a slot, the fill comes again.
    private mutating func choose(_ wanted: Int, of part: BookPart, at now: Instant) -> Int {
        let count = parts.count(part)
        guard wanted > 0, count > 0 else { return 0 }
        let start = Int(random.next(below: UInt64(count)))
        let reach = min(count, BookParts.lotSize)
        var candidates = 0
        for step in 0..<reach where isOpenCandidate(parts.row(atLot: step, from: start, of: part), at: now) { candidates += 1 }
        var chosen = 0
        var next = Instant.never
        for step in 0..<reach where chosen < wanted {
            let row = parts.row(atLot: step, from: start, of: part)
            guard isCandidate(row, at: now) else { continue }
            let open = spacing(of: row)
            guard open <= now else {
                next = min(next, open)
                continue
            }
            if random.next(below: UInt64(candidates)) < UInt64(wanted - chosen) {
                peers[row].isChosen = true
                if part == .new, !peers[row].isBooked {
                    bookDial(row, at: now)
                    peers[row].isBooked = true
                }
                chosen += 1
                refresh(row, at: now)
            }
            candidates = max(candidates - 1, 1)
        }
        let fill = globalTimer(GlobalTimer.fill)
        if next != .never, wheel.deadline(of: fill).map({ $0 > next }) ?? true { wheel.arm(fill, at: next) }
        return chosen
    }

    /// One that may be dialled now, as far as others at its address and in its net let it.
    private func isOpenCandidate(_ row: Int, at now: Instant) -> Bool { isCandidate(row, at: now) && spacing(of: row) <= now }

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
        guard hasCandidate(in: .tried, at: now) || hasCandidate(in: .new, at: now) else { return }
        peers[row].isChosen = false
        wheel.arm(globalTimer(GlobalTimer.fill), at: now)
    }

    /// Of at most `lotSize` rows, spread over the part.
    private mutating func hasCandidate(in part: BookPart, at now: Instant) -> Bool {
        let count = parts.count(part)
        guard count > 0 else { return false }
        let start = count > BookParts.lotSize ? Int(random.next(below: UInt64(count))) : 0
        for step in 0..<min(count, BookParts.lotSize) where isOpenCandidate(parts.row(atLot: step, from: start, of: part), at: now) { return true }
        return false
    }

    // Learning.

    mutating func learnt(_ endpoint: Endpoint, from slot: Int, at now: Instant) {
        guard links[slot].isLive, takeIntake(slot, at: now) else { return }
        guard endpoint.isDialable, endpoint != ownEndpoint else { return }
        // What is private to one network, one segment or one machine means another host elsewhere.
        guard endpoint.address.scope.isKnown(at: links[slot].remote.address.scope) else { return }
        guard row(of: endpoint) < 0 else { return }
        let row = makeRow(endpoint, .learnt, from: links[slot].remote.address, at: now)
        guard row >= 0 else { return }
        refresh(row, at: now)
        let fill = globalTimer(GlobalTimer.fill)
        if !wheel.isArmed(fill) { wheel.arm(fill, at: now + .milliseconds(100)) }
    }

    /// A peer of an earlier life: tried if a link to it stood or a dial was answered there, else new. Who is wanted anyway needs no memory.
    mutating func recall(_ endpoint: Endpoint, _ memory: Recollection, from source: IPAddress?, at now: Instant) {
        guard endpoint.isDialable, endpoint != ownEndpoint, row(of: endpoint) < 0 else { return }
        switch memory {
        case .known, .tried, .linked:
            let row = makeRow(endpoint, .learnt, from: source, isTried: memory != .known, at: now)
            guard row >= 0 else { return }
            peers[row].isChosen = memory == .linked
            refresh(row, at: now)
        case .forgotten(let until):
            guard until > now else { return }
            let row = makeRow(endpoint, [], from: source, at: now)
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

    /// The row of an endpoint that the hello of a caller at `source` states. -1 if the book has no room, or enough from there: a claim is
    /// bounded as what is told.
    mutating func rowForHello(_ endpoint: Endpoint, from source: IPAddress, at now: Instant) -> Int {
        let known = row(of: endpoint)
        if known >= 0 {
            welcome(known, at: now)
            return known
        }
        let row = makeRow(endpoint, .learnt, from: source, at: now)
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

    // Forgetting.

    func shouldForget(_ row: Int) -> Bool {
        let peer = peers[row]
        guard peer.desire == .learnt, peer.failures >= settings.regularFailures, !peer.hasLinks else { return false }
        return knownCount > Int(settings.bookFloor)
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

    /// Calls `body` with each peer worth telling the asker, at most `shareLimit`, until it returns false: those where a dial of ours was
    /// answered, and the registry's; never what was only told or claimed, the banned, the forgotten, ourselves or the asker. Of one
    /// group an eighth of the answer at most, but for the registry's. It looks at twice `shareLimit` rows and `lotSize`, whatever the book holds.
    public mutating func sharePeers(with link: LinkID, at now: Instant, _ body: (Endpoint) -> Bool) {
        let count = registered.count + parts.triedCount
        guard let slot = live(link), count > 0 else { return }
        let start = Int(random.next(below: UInt64(count)))
        let scope = links[slot].remote.address.scope
        let most = max(16, Int(settings.shareLimit) / 8)
        var groups = [256 of UInt16](repeating: 0)
        var told = 0
        for step in 0..<min(count, 2 * Int(settings.shareLimit) + BookParts.lotSize) where told < Int(settings.shareLimit) {
            let place = (start + step) % count
            let isRegistered = place < registered.count
            let row = isRegistered ? registered.row(atRank: place) : parts.row(at: place - registered.count, of: .tried)
            let peer = peers[row]
            guard Int(links[slot].row) != row, peer.tombstoneUntil <= now, !isOurselves(peer, at: now) else { continue }
            guard peer.endpoint.address.scope.isKnown(at: scope) else { continue }
            guard bans.covering(peer.endpoint.address, at: now) == nil else { continue }
            if !isRegistered {
                let group = Int(bookKey(peer.endpoint.address.group) & 255)
                guard Int(groups[group]) < most else { continue }
                groups[group] += 1
            }
            told += 1
            if !body(peer.endpoint) { return }
        }
    }
}
