// The address book that outlives a process. Its shape is that of Bitcoin's address manager: addresses that were only heard of and
// addresses that a link once stood to lie in tables of their own; where an address lies is a keyed hash of it, of its group and of
// the group that told of it. Whoever tells of a million addresses reaches 16 of 256 buckets with them, and no more.

import PeerMesh

/// Every address that is remembered. Plain values; on the store's thread.
struct AddressBook {
    static let newBuckets: UInt64 = 256
    static let triedBuckets: UInt64 = 64
    static let bucketSize: UInt64 = 64
    /// Buckets of heard addresses that one telling group reaches, and of tried ones that one group of addresses does.
    static let newBucketsPerSource: UInt64 = 16
    static let triedBucketsPerGroup: UInt64 = 8
    /// Heard of and not again for so long: it makes room.
    static let staleAfter: Int64 = 30 * 24 * 3_600_000
    /// Failures in a row after which an address that never worked makes room.
    static let failuresWithoutSuccess: UInt32 = 3

    struct Entry: Hashable, Sendable {
        var endpoint: Endpoint
        /// Who told of it; itself, if it told of itself.
        var source: IPAddress
        var firstSeen: WallTime
        var lastSeen: WallTime
        var lastTry: WallTime?
        var lastSuccess: WallTime?
        var lastReason: String?
        /// Failures since the last success.
        var failures: UInt32 = 0
        var sessions: UInt32 = 0
        var forgottenUntil: WallTime?
        /// A link stands since then, or stood when the process ended.
        var linkedSince: WallTime?
        var isTried = false
    }

    let key: (UInt64, UInt64)
    private(set) var entries: [Endpoint: Entry] = [:]
    /// Who lies where, by bucket and place.
    private var new: [UInt64: Endpoint] = [:]
    private var tried: [UInt64: Endpoint] = [:]
    /// What changed since it was last written: nil for an address that is gone.
    private(set) var changed: Set<Endpoint> = []

    init(key: (UInt64, UInt64)) {
        self.key = key
    }

    var count: Int { entries.count }
    var triedCount: Int { tried.count }

    mutating func clearChanged() { changed.removeAll(keepingCapacity: true) }
    mutating func markAllChanged() { changed.formUnion(entries.keys) }

    /// Puts an entry back that was read from the disk. One whose place is taken is dropped.
    mutating func restore(_ entry: Entry) {
        guard entries[entry.endpoint] == nil else { return }
        let place = entry.isTried ? triedPlace(entry.endpoint) : newPlace(entry.endpoint, entry.source)
        guard (entry.isTried ? tried[place] : new[place]) == nil else { return }
        if entry.isTried { tried[place] = entry.endpoint } else { new[place] = entry.endpoint }
        entries[entry.endpoint] = entry
    }

    /// Adds what `other` knows and this book does not, to be written.
    mutating func absorb(_ other: AddressBook) {
        for (endpoint, entry) in other.entries where entries[endpoint] == nil {
            restore(entry)
            changed.insert(endpoint)
        }
    }

    /// Somebody at `source` told of `endpoint`.
    mutating func heard(_ endpoint: Endpoint, from source: IPAddress, at now: WallTime) {
        if let known = entries[endpoint] {
            // Once an hour is often enough to know that it is still told of. A time to come was dated by a wrong clock.
            guard !known.lastSeen.isWithin(3_600_000, before: now) else { return }
            entries[endpoint]?.lastSeen = now
            changed.insert(endpoint)
            return
        }
        add(endpoint, source, now)
    }

    @discardableResult
    private mutating func add(_ endpoint: Endpoint, _ source: IPAddress, _ now: WallTime) -> Bool {
        let place = newPlace(endpoint, source)
        if let there = new[place] {
            guard let occupant = entries[there], isWorthless(occupant, now) else { return false }
            remove(there)
        }
        new[place] = endpoint
        entries[endpoint] = Entry(endpoint: endpoint, source: source, firstSeen: now, lastSeen: now)
        changed.insert(endpoint)
        return true
    }

    /// A dial to it begins.
    mutating func dialled(_ endpoint: Endpoint, at now: WallTime) {
        if entries[endpoint] == nil { add(endpoint, endpoint.address, now) }
        update(endpoint) { $0.lastTry = now }
    }

    /// It failed.
    mutating func failed(_ endpoint: Endpoint, _ reason: String, at now: WallTime) {
        update(endpoint) { entry in
            entry.failures = entry.failures &+ 1 == 0 ? .max : entry.failures + 1
            entry.lastReason = reason
        }
    }

    /// A link to it stands.
    mutating func linked(_ endpoint: Endpoint, at now: WallTime) {
        if entries[endpoint] == nil { add(endpoint, endpoint.address, now) }
        promote(endpoint, now)
        update(endpoint) { entry in
            entry.lastSuccess = now
            entry.failures = 0
            entry.sessions = entry.sessions &+ 1 == 0 ? .max : entry.sessions + 1
            entry.linkedSince = now
            entry.forgottenUntil = nil
        }
    }

    /// Its last link ended.
    mutating func unlinked(_ endpoint: Endpoint, _ reason: String, at now: WallTime) {
        update(endpoint) { entry in
            // Until now it worked.
            entry.lastSuccess = now
            entry.linkedSince = nil
            entry.lastReason = reason
        }
    }

    mutating func forgotten(_ endpoint: Endpoint, until: WallTime) {
        update(endpoint) { $0.forgottenUntil = until }
    }

    private mutating func update(_ endpoint: Endpoint, _ body: (inout Entry) -> Void) {
        guard entries[endpoint] != nil else { return }
        body(&entries[endpoint]!)
        changed.insert(endpoint)
    }

    /// From the heard to the tried. Who lies there goes back, unless it works: then the newcomer waits its turn.
    private mutating func promote(_ endpoint: Endpoint, _ now: WallTime) {
        guard let entry = entries[endpoint], !entry.isTried else { return }
        let place = triedPlace(endpoint)
        if let there = tried[place] {
            guard let occupant = entries[there], occupant.linkedSince == nil, !hasWorked(occupant, within: 24 * 3_600_000, now) else { return }
            tried[place] = nil
            demote(there, now)
        }
        new[newPlace(endpoint, entry.source)] = nil
        tried[place] = endpoint
        update(endpoint) { $0.isTried = true }
    }

    private mutating func demote(_ endpoint: Endpoint, _ now: WallTime) {
        guard let entry = entries[endpoint] else { return }
        let place = newPlace(endpoint, entry.source)
        if let there = new[place] {
            guard let occupant = entries[there], isWorthless(occupant, now) else {
                entries[endpoint] = nil
                changed.insert(endpoint)
                return
            }
            remove(there)
        }
        new[place] = endpoint
        update(endpoint) { $0.isTried = false }
    }

    private mutating func remove(_ endpoint: Endpoint) {
        guard let entry = entries.removeValue(forKey: endpoint) else { return }
        if entry.isTried { tried[triedPlace(endpoint)] = nil } else { new[newPlace(endpoint, entry.source)] = nil }
        changed.insert(endpoint)
    }

    private func hasWorked(_ entry: Entry, within span: Int64, _ now: WallTime) -> Bool {
        entry.lastSuccess.map { $0.isWithin(span, before: now) } ?? false
    }

    /// Nothing speaks for it: it makes room.
    func isWorthless(_ entry: Entry, _ now: WallTime) -> Bool {
        if entry.linkedSince != nil { return false }
        if let until = entry.forgottenUntil, until > now { return true }
        if entry.lastSuccess == nil, entry.failures >= AddressBook.failuresWithoutSuccess { return true }
        return !max(entry.lastSeen, entry.lastSuccess ?? entry.lastSeen).isWithin(AddressBook.staleAfter, before: now)
    }

    // Placement.

    func newPlace(_ endpoint: Endpoint, _ source: IPAddress) -> UInt64 {
        let from = AddressBook.group(source)
        let share = SipHash.hash(key, 1, AddressBook.group(endpoint.address), from) % AddressBook.newBucketsPerSource
        let bucket = SipHash.hash(key, 2, from, share) % AddressBook.newBuckets
        return bucket * AddressBook.bucketSize + place(endpoint, in: bucket, of: 3)
    }

    func triedPlace(_ endpoint: Endpoint) -> UInt64 {
        let share = place(endpoint, in: 0, of: 4) % AddressBook.triedBucketsPerGroup
        let bucket = SipHash.hash(key, 5, AddressBook.group(endpoint.address), share) % AddressBook.triedBuckets
        return bucket * AddressBook.bucketSize + place(endpoint, in: bucket, of: 6)
    }

    private func place(_ endpoint: Endpoint, in bucket: UInt64, of table: UInt64) -> UInt64 {
        SipHash.hash(key, table, bucket, endpoint.address.high, endpoint.address.low, UInt64(endpoint.port)) % AddressBook.bucketSize
    }

    /// What one operator is likely to hold as a whole: a /16, or a /32 of IPv6.
    static func group(_ address: IPAddress) -> UInt64 {
        switch address.family {
        case .v4: 4 << 32 | address.low >> 16
        case .v6: 6 << 32 | address.high >> 32
        }
    }

    // Recalling.

    /// Whom to know at start, at most `limit`: who was linked at the end first, longest first; then tried and heard ones in turn, in
    /// an order that the key decides.
    func recalled(limit: Int, at now: WallTime) -> [Entry] {
        let known = entries.values.filter { ($0.forgottenUntil ?? now) <= now }
        let anchors = known.filter { $0.linkedSince != nil }.sorted { ($0.linkedSince!, $0.endpoint) < ($1.linkedSince!, $1.endpoint) }
        func shuffled(_ isTried: Bool) -> [Entry] {
            known.filter { $0.linkedSince == nil && $0.isTried == isTried }
                .map { (SipHash.hash(key, 7, $0.endpoint.address.high, $0.endpoint.address.low, UInt64(now.milliseconds)), $0) }
                .sorted { ($0.0, $0.1.endpoint) < ($1.0, $1.1.endpoint) }.map(\.1)
        }
        let (worked, heard) = (shuffled(true), shuffled(false))
        var result = anchors
        for index in 0..<max(worked.count, heard.count) where result.count < limit {
            if index < worked.count { result.append(worked[index]) }
            if index < heard.count { result.append(heard[index]) }
        }
        return Array(result.prefix(limit))
    }

    /// Whom not to learn again yet.
    func tombstones(at now: WallTime) -> [Entry] {
        entries.values.filter { ($0.forgottenUntil ?? now) > now }.sorted { $0.endpoint < $1.endpoint }
    }
}
