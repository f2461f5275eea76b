// How much of the book strangers may fill. A row is new until a dial of ours is answered at its endpoint, and tried from then on. New rows
// are bounded by who told of them and by where they point, and never displace tried ones. docs/Book.md says why.

import Timers

/// How many rows each may have, of a book of this capacity. Shares of the capacity, with floors for small books.
struct BookLimits: BitwiseCopyable {
    /// New rows together: a quarter.
    let new: Int
    /// New rows that one address block told of: a fiftieth.
    let source: Int
    /// New rows that one group told of: a twentieth.
    let sourceGroup: Int
    /// New rows that every group may have, though others fill the part: a 64th of it.
    let guaranteed: Int
    /// New rows that point at one address block, and at one net.
    let address: Int
    let net: Int
    /// Tried rows together: three quarters.
    let tried: Int
    /// Tried rows of one address block, and of one group.
    let triedAddress: Int
    let triedGroup: Int

    init(capacity: Int) {
        new = max(min(capacity, 64), capacity / 4)
        source = max(16, capacity / 50)
        sourceGroup = max(32, capacity / 20)
        guaranteed = max(2, new / 64)
        address = max(16, capacity / 128)
        net = max(32, capacity / 64)
        tried = max(min(capacity, 64), capacity - capacity / 4)
        triedAddress = max(32, capacity / 64)
        triedGroup = max(64, capacity / 20)
    }
}

extension Mesh {
    var bookLimits: BookLimits { BookLimits(capacity: peers.count) }

    /// A key for a counter: keyed, so that nobody can find addresses that share one.
    func bookKey(_ address: IPAddress) -> UInt32 { bookKey(ofHash: address.stableHash) }

    private func bookKey(ofHash hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: mix(bookSecret ^ hash)) }

    // Where a row is.

    /// Derives from the row's facts in which part of the book it is and what it is counted for. `refresh` asks for it after every change.
    mutating func recount(_ row: Int) {
        let part = part(of: row)
        if part != peers[row].part { movePart(row, to: part) }
        countFacts(row)
    }

    /// Counts a row that was read back, in the part where it was.
    mutating func restoreCounts(_ row: Int) {
        count(row, in: peers[row].part, by: 1)
        countFacts(row)
    }

    /// Whether the row is known, and whether it is chosen and not linked, as it is counted.
    private mutating func countFacts(_ row: Int) {
        let peer = peers[row]
        let isKnown = !peer.desire.isEmpty
        if isKnown != peer.isCountedKnown {
            peers[row].isCountedKnown = isKnown
            knownCount += isKnown ? 1 : -1
        }
        let isAwaited = peer.isUsed && peer.isChosen && peer.established < 0
        if isAwaited != peer.isCountedAwaited {
            peers[row].isCountedAwaited = isAwaited
            awaitedCount += isAwaited ? 1 : -1
        }
    }

    private func part(of row: Int) -> BookPart {
        let peer = peers[row]
        guard peer.isUsed, !peer.desire.contains(.registry) else { return .none }
        if peer.isVerified {
            if peer.part == .tried || peer.desire.contains(.operator) || hasTriedRoom(for: peer.endpoint.address) { return .tried }
            return .new
        }
        return peer.desire.contains(.operator) ? .none : .new
    }

    func hasTriedRoom(for address: IPAddress) -> Bool {
        let limits = bookLimits
        return parts.triedCount < limits.tried && parts.count(.triedAddress, bookKey(address.block.address)) < limits.triedAddress
            && parts.count(.triedGroup, bookKey(address.group)) < limits.triedGroup
    }

    private mutating func movePart(_ row: Int, to part: BookPart) {
        let old = peers[row].part
        if old != .none {
            parts.remove(row, from: old)
            count(row, in: old, by: -1)
        }
        peers[row].part = part
        if part != .none {
            parts.append(row, to: part)
            count(row, in: part, by: 1)
        }
    }

    /// Counts the row's shares of its part.
    private mutating func count(_ row: Int, in part: BookPart, by change: Int) {
        let peer = peers[row]
        let address = peer.endpoint.address
        switch part {
        case .none: break
        case .new:
            parts.count(.source, peer.source, by: change)
            parts.count(.sourceGroup, peer.sourceGroup, by: change)
            parts.count(.address, bookKey(address.block.address), by: change)
            parts.count(.net, bookKey(address.net), by: change)
        case .tried:
            parts.count(.triedAddress, bookKey(address.block.address), by: change)
            parts.count(.triedGroup, bookKey(address.group), by: change)
        }
    }

    /// A dial of ours was answered there with a valid hello: what was told is true. The caller refreshes the row.
    mutating func noteVerified(_ row: Int, at now: Instant) {
        guard !peers[row].isVerified else { return }
        peers[row].isVerified = true
        guard peers[row].part != .tried, parts.triedCount >= bookLimits.tried else { return }
        let victim = lot(of: .tried, at: now)
        if victim >= 0 { freeRow(victim) }
    }

    // Who is taken in.

    /// Whether a row that points at `endpoint` and that `source` tells of may be new. In a full part a newcomer takes the place of one that
    /// is forgotten, or, while its group has less than is guaranteed, of one of the group that has the most. `source` nil: an earlier
    /// life told, which bounds itself.
    mutating func makeRoomForNew(_ endpoint: Endpoint, from source: IPAddress?, at now: Instant) -> Bool {
        let limits = bookLimits
        let (block, group) = sourceKeys(of: endpoint, from: source)
        guard parts.count(.source, block) < limits.source, parts.count(.sourceGroup, group) < limits.sourceGroup,
            parts.count(.address, bookKey(endpoint.address.block.address)) < limits.address,
            parts.count(.net, bookKey(endpoint.address.net)) < limits.net
        else { return false }
        if parts.newCount < limits.new, hasFreeRow { return true }
        let victim = lot(of: .new, at: now)
        guard victim >= 0 else { return false }
        let isOver = peers[victim].tombstoneUntil > now
        let theirs = parts.count(.sourceGroup, peers[victim].sourceGroup)
        guard isOver || theirs > limits.guaranteed && parts.count(.sourceGroup, group) < limits.guaranteed else { return false }
        freeRow(victim)
        return true
    }

    /// By whom a row is counted: the block and the group of who told of it. One of an earlier life, of which nobody remembers who told, is
    /// counted for itself.
    func sourceKeys(of endpoint: Endpoint, from source: IPAddress?) -> (UInt32, UInt32) {
        guard let source else {
            let own = bookKey(ofHash: endpoint.stableHash)
            return (own, own)
        }
        return (bookKey(source.block.address), bookKey(source.group))
    }

    var hasFreeRow: Bool { peerLists.first(PeerList.free) >= 0 || rowLimit < peers.count }

    /// A full book gives up a learnt peer for one that the registry or the operator names: a new one, else a tried one.
    mutating func makeRoomInBook(at now: Instant) -> Bool {
        var victim = lot(of: .new, at: now)
        if victim < 0 { victim = lot(of: .tried, at: now) }
        // Only those who may give orders to this node come here: they may cost a walk.
        if victim < 0 { victim = (0..<rowLimit).first { isDispensable($0, at: now) } ?? -1 }
        guard victim >= 0 else { return false }
        freeRow(victim)
        return true
    }

    /// The row of the part that goes first, of at most `lotSize` that are spread over it; or -1.
    private mutating func lot(of part: BookPart, at now: Instant) -> Int {
        let count = parts.count(part)
        guard count > 0 else { return -1 }
        let start = Int(random.next(below: UInt64(count)))
        var victim = -1
        for step in 0..<min(count, BookParts.lotSize) {
            let row = parts.row(atLot: step, from: start, of: part)
            guard isDispensable(row, at: now) else { continue }
            if victim < 0 || goesBefore(row, victim, at: now) { victim = row }
        }
        return victim
    }

    /// A learnt peer without a link that is not about to be dialled, or that failed, or that is forgotten.
    private func isDispensable(_ row: Int, at now: Instant) -> Bool {
        let peer = peers[row]
        guard peer.isUsed, peer.desire.isSubset(of: .learnt), !peer.hasLinks else { return false }
        return peer.tombstoneUntil > now || peer.failures > 0 || !peer.isChosen
    }

    /// Whether `row` goes before `other` of the same part: the forgotten; of new ones those of the group that has the most; those that
    /// failed; those that were never linked; of tried ones those that worked longest ago.
    private func goesBefore(_ row: Int, _ other: Int, at now: Instant) -> Bool {
        let (one, two) = (peers[row], peers[other])
        let (isOver, wasOver) = (one.tombstoneUntil > now, two.tombstoneUntil > now)
        if isOver != wasOver { return isOver }
        if one.part == .new {
            let (mine, theirs) = (parts.count(.sourceGroup, one.sourceGroup), parts.count(.sourceGroup, two.sourceGroup))
            if mine != theirs { return mine > theirs }
        }
        if (one.failures > 0) != (two.failures > 0) { return one.failures > 0 }
        if one.part == .new { return one.lastSuccess == nil && two.lastSuccess != nil }
        return (one.lastSuccess ?? .zero) < (two.lastSuccess ?? .zero)
    }

    // Invariants.

    /// Whether parts, counts and facts say the same. O(book).
    func bookInvariant() -> String? {
        var (known, awaited, new, tried) = (0, 0, 0, 0)
        for row in 0..<rowLimit {
            let peer = peers[row]
            guard peer.isUsed else {
                if peer.part != .none || peer.isCountedKnown || peer.isCountedAwaited { return "free row \(row) is counted" }
                continue
            }
            if !peer.desire.isEmpty { known += 1 }
            if peer.isChosen, peer.established < 0 { awaited += 1 }
            if peer.part != .none, parts.row(at: parts.place(of: row), of: peer.part) != row { return "row \(row) is not where its part has it" }
            switch peer.part {
            case .none: if !peer.desire.contains(.registry), !peer.desire.contains(.operator) { return "row \(row) is in no part of the book" }
            case .new:
                new += 1
                if peer.desire.contains(.registry) { return "row \(row) is new, and the registry's" }
            case .tried:
                tried += 1
                if !peer.isVerified { return "row \(row) is tried, and no dial was answered there" }
            }
        }
        if feeler >= 0, links[feeler].direction != .outbound || links[feeler].state == .closed { return "the feeler is no dial" }
        if known != knownCount { return "\(knownCount) known peers are counted of \(known)" }
        if awaited != awaitedCount { return "\(awaitedCount) chosen peers are counted of \(awaited)" }
        return new == parts.newCount && tried == parts.triedCount ? nil : "the parts of the book are not counted"
    }
}
