// The whole state as a value: copied, written out, read back, hashed. Queued actions and diary records are not state:
// they are taken out after every event.

public import Timers

extension Mesh {
    /// A mesh of its own in the same state. O(table).
    public borrowing func clone() -> Mesh {
        Mesh(copying: self)
    }

    private init(copying other: borrowing Mesh) {
        precondition(other.actions.isEmpty, "take the actions out before the state is copied")
        settings = other.settings
        links = other.links.clone()
        extras = Mesh.cloneExtras(other.extras, of: other.links)
        peers = other.peers.clone()
        linkLists = other.linkLists.clone()
        peerLists = other.peerLists.clone()
        endpoints = other.endpoints.clone()
        nonces = other.nonces.clone()
        bans = other.bans.clone()
        scores = other.scores.clone()
        registered = other.registered.clone()
        named = other.named.clone()
        neighbours = other.neighbours.clone()
        parts = other.parts.clone()
        knownCount = other.knownCount
        awaitedCount = other.awaitedCount
        bookSecret = other.bookSecret
        candidates = EvictionCandidates(key: other.bookSecret)
        paces = other.paces.clone()
        feeler = other.feeler
        wheel = other.wheel.clone()
        random = other.random
        actions = other.actions.clone()
        transitions = other.transitions.clone()
        lostTransitions = other.lostTransitions
        ownEndpoint = other.ownEndpoint
        isStarted = other.isStarted
        isStopping = other.isStopping
        lastLife = other.lastLife
        dialSlotAt = other.dialSlotAt
        hasLinkedMasternode = other.hasLinkedMasternode
        rescues = other.rescues
        contradictions = other.contradictions
        rowLimit = other.rowLimit
    }

    /// Appends the state, field by field. The same state gives the same bytes on every machine. O(table).
    public borrowing func encode(into bytes: inout [UInt8]) {
        precondition(actions.isEmpty, "take the actions out before the state is written")
        var writer = StateWriter()
        writer.put(random.state)
        writer.put(ownEndpoint)
        writer.put(isStarted)
        writer.put(isStopping)
        writer.put(lastLife)
        writer.put(dialSlotAt)
        writer.put(hasLinkedMasternode)
        writer.put(rescues)
        writer.put(Int32(feeler))
        paces.encode(&writer)
        encodeLinks(&writer)
        encodePeers(&writer)
        writer.put(UInt64(bans.count))
        for index in 0..<bans.count { encode(bans[index], &writer) }
        for timer in 0..<GlobalTimer.count { writer.put(wheel.deadline(of: globalTimer(timer))) }
        bytes += writer.bytes
    }

    /// A mesh in the state that `encode` wrote, under settings of the same table sizes. Nil for bytes that are not one, or
    /// that break an invariant: total over any input.
    public init?(_ settings: MeshSettings, decoding bytes: [UInt8], now: Instant) {
        self.init(settings, now: now)
        var reader = StateReader(bytes)
        random.state = reader.word()
        ownEndpoint = reader.optionalEndpoint()
        isStarted = reader.flag()
        isStopping = reader.flag()
        lastLife = reader.optionalInstant()
        dialSlotAt = reader.instant()
        hasLinkedMasternode = reader.flag()
        rescues = reader.word()
        feeler = Int(reader.index(below: links.count))
        paces.decode(&reader)
        decodeLinks(&reader)
        decodePeers(&reader)
        let banCount = reader.number(below: Int(settings.banCapacity) + 1)
        for _ in 0..<banCount where !reader.isBad {
            let outcome = bans.set(decodeBan(&reader), at: .zero)
            if !outcome.isPlain { reader.isBad = true }
        }
        for timer in 0..<GlobalTimer.count {
            if let deadline = reader.optionalInstant() { wheel.arm(globalTimer(timer), at: deadline) }
        }
        guard !reader.isBad, reader.isAtEnd, ownersAgree(), parts.isDense else { return nil }
        restoreLists()
        guard brokenInvariant(at: now) == nil else { return nil }
    }

    /// Feeds the state to a hasher; equal states hash equally in one process.
    public borrowing func hash(into hasher: inout Hasher) {
        var bytes: [UInt8] = []
        encode(into: &bytes)
        hasher.combine(bytes)
    }

    /// A hash that is the same in every run and on every machine (FNV-1a over the encoded state).
    public borrowing func stableHash() -> UInt64 {
        var bytes: [UInt8] = []
        encode(into: &bytes)
        return bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// Lists, indices and timers again from the records.
    private mutating func restoreLists() {
        for row in 0..<peers.count where peers[row].isUsed || peers[row].generation > 0 { rowLimit = row + 1 }
        for row in 0..<rowLimit where !peers[row].isUsed { peerLists.move(row, to: PeerList.free) }
        // In the order of their ages, as the lists had them.
        for slot in Mesh.byAge(links) {
            relist(slot)
            armLink(slot)
            if links[slot].isNative, let nonce = links[slot].nonce { nonces.insert(slot, hash: mix(nonce)) }
        }
        for row in 0..<rowLimit where peers[row].isUsed {
            endpoints.insert(row, hash: peers[row].endpoint.stableHash)
            if let nonce = peers[row].provenNonce { nonces.insert(links.count + row, hash: mix(nonce)) }
            peerLists.move(row, to: PeerList.idle)
            if peers[row].desire.contains(.operator) { named.list(row, under: peers[row].endpoint.address.blockKey) }
            restoreCounts(row)
        }
        for row in 0..<rowLimit where peers[row].desire.contains(.registry) {
            registered.list(row, in: peers)
            if isCounted(row) { registered.rank(row, beyond: peers[row].isBeyondTable, in: peers) }
        }
        // The queue of those that may dial is rebuilt from the schedules, in row order.
        for row in 0..<rowLimit where peers[row].isUsed { rearm(row) }
    }

    private static func byAge(_ links: borrowing Slab<Link>) -> [Int] {
        var live: [(since: Instant, slot: Int)] = []
        for slot in 0..<links.count where links[slot].state != .closed { live.append((links[slot].since, slot)) }
        live.sort { $0 < $1 }
        return live.map(\.slot)
    }

    private mutating func rearm(_ row: Int) {
        var deadline = peers[row].demoteAt
        switch peers[row].schedule {
        case .none: break
        case .wait(let until, _): deadline = min(deadline, until)
        case .ready:
            peerLists.move(row, to: readyList(for: row))
        case .off(.forgotten): deadline = min(deadline, peers[row].tombstoneUntil)
        case .off(.ourselves):
            if peers[row].selfUntil > .zero { deadline = min(deadline, peers[row].selfUntil) }
            if peers[row].tombstoneUntil > .zero { deadline = min(deadline, peers[row].tombstoneUntil) }
        case .off(.banned):
            // Looked at again at once: the ban's end is the table's to say.
            deadline = .zero
        case .off: break
        }
        if deadline != .never { wheel.arm(rowTimer(row), at: deadline) }
    }

    /// Links and rows point at each other, or the bytes were not ours.
    private func ownersAgree() -> Bool {
        for slot in 0..<links.count where links[slot].state != .closed {
            let row = Int(links[slot].row)
            if row >= 0, !peers[row].isUsed { return false }
            let rival = Int(links[slot].rival)
            if rival >= 0, links[rival].rival != Int32(slot) { return false }
        }
        for row in 0..<peers.count where peers[row].isUsed {
            for slot in [peers[row].established, peers[row].held, peers[row].dial] where slot >= 0 {
                if links[Int(slot)].row != Int32(row) { return false }
            }
        }
        return true
    }
}
