// The names that are wanted, and which of them is looked up when. Plain state without threads or clocks: the resolver holds it
// under its lock.

import PeerMesh
import Timers

/// A wanted name, as operators see it.
struct NameReport: Sendable {
    var peer: NamedPeer
    var sources: WantedPeers.Sources
    /// The addresses of its last good answer.
    var known: [Endpoint]
    /// The address that its peer has in the node's table; nil before the first answer.
    var current: Endpoint?
    /// Why the last lookup brought nothing; nil if it did.
    var trouble: String?
    /// When it is looked up next; nil while a lookup is in flight.
    var next: Instant?
}

/// Names, lookups, and the rules of when.
struct NameTable {
    /// The spans and limits by which names are looked up.
    struct Timing: Sendable {
        /// A lookup that takes longer is told as failed and gives its place to another. Its answer is still taken when it comes.
        var deadline = Nanoseconds.seconds(3)
        /// A failed name is looked up again after the first span, doubled up to the second.
        var firstRetry = Nanoseconds.seconds(1)
        var lastRetry = Nanoseconds.seconds(60)
        /// A name without a link is looked up this often, whatever its peer waits for.
        var refresh = Nanoseconds.seconds(60)
        var linkedRefresh = Nanoseconds.seconds(600)
        /// A lookup that hangs for so long does not keep its name from another one.
        var hang = Nanoseconds.seconds(60)
        /// Lookups within their deadline at once, and with those beyond it.
        var parallel = 32
        var total = 128
    }

    /// Names at once. Each is a row here and at most one in the node's table.
    static let capacity = 4_096

    private struct Entry {
        let handle: NameHandle
        var sources: WantedPeers.Sources
        var askAt = Instant.zero
        /// Its newest lookup, if that is in flight.
        var lookup: UInt64?
        var startedAt = Instant.zero
        var answeredAt: Instant?
        /// Lookups in a row that brought nothing.
        var failures: UInt32 = 0
        var known: [Endpoint] = []
        var current: Endpoint?
        var trouble: String?
        var isLinked = false
    }

    private struct Flight {
        let number: UInt64
        let startedAt: Instant
        var isLate = false
    }

    /// A lookup to begin.
    struct Due: Sendable {
        let lookup: UInt64
        let name: PeerName
    }

    private let timing: Timing
    /// How far this node's own address reaches; nil if it knows none.
    private let scope: AddressScope?
    private var entries: [UInt64: Entry] = [:]
    private var numbers: [NamedPeer: UInt64] = [:]
    private var flights: [UInt64: Flight] = [:]
    private var nextNumber: UInt64 = 1

    init(timing: Timing, scope: AddressScope?) {
        self.timing = timing
        self.scope = scope
    }

    private mutating func newNumber() -> UInt64 {
        defer { nextNumber += 1 }
        return nextNumber
    }

    // Who is wanted.

    mutating func want(_ peer: NamedPeer, by source: WantedPeers.Sources) -> NameHandle? {
        if let number = numbers[peer] {
            entries[number]?.sources.formUnion(source)
            return NameHandle(peer: peer, number: number)
        }
        guard entries.count < NameTable.capacity else { return nil }
        let handle = NameHandle(peer: peer, number: newNumber())
        entries[handle.number] = Entry(handle: handle, sources: source)
        numbers[peer] = handle.number
        return handle
    }

    func hasRoom(for peer: NamedPeer) -> Bool { numbers[peer] != nil || entries.count < NameTable.capacity }

    mutating func drop(_ peer: NamedPeer, by source: WantedPeers.Sources) {
        guard let number = numbers[peer], let left = entries[number]?.sources.subtracting(source) else { return }
        entries[number]?.sources = left
        guard left.isEmpty else { return }
        entries[number] = nil
        numbers[peer] = nil
    }

    var reports: [NameReport] {
        entries.values.map { entry in
            NameReport(
                peer: entry.handle.peer, sources: entry.sources, known: entry.known, current: entry.current, trouble: entry.trouble,
                next: entry.lookup == nil ? entry.askAt : nil
            )
        }.sorted { ($0.peer.name.description, $0.peer.kind.rawValue) < ($1.peer.name.description, $1.peer.kind.rawValue) }
    }

    func addresses(of name: PeerName) -> Set<Endpoint> {
        var addresses: Set<Endpoint> = []
        for kind in [NamedPeer.Kind.masternode, .peer] {
            guard let entry = numbers[NamedPeer(name: name, kind: kind)].flatMap({ entries[$0] }) else { continue }
            addresses.formUnion(entry.known)
            if let current = entry.current { addresses.insert(current) }
        }
        return addresses
    }

    // When a name is looked up.

    /// Takes the names that are due, those that answered last time first. A quarter of the places is never taken by names that
    /// failed, so that dead names do not delay the others.
    mutating func takeDue(at now: Instant) -> [Due] {
        let due = entries.values.filter { isDue($0, at: now) }.sorted {
            ($0.failures, $0.askAt, $0.handle.number) < ($1.failures, $1.askAt, $1.handle.number)
        }
        var inTime = flights.values.count { !$0.isLate }
        var taken: [Due] = []
        for entry in due {
            let places = entry.failures == 0 ? timing.parallel : timing.parallel - timing.parallel / 4
            guard inTime < places, flights.count < timing.total else { break }
            let lookup = newNumber()
            flights[lookup] = Flight(number: entry.handle.number, startedAt: now)
            entries[entry.handle.number]?.lookup = lookup
            entries[entry.handle.number]?.startedAt = now
            inTime += 1
            taken.append(Due(lookup: lookup, name: entry.handle.peer.name))
        }
        return taken
    }

    private func isDue(_ entry: Entry, at now: Instant) -> Bool { dueAt(entry) <= now }

    private func dueAt(_ entry: Entry) -> Instant {
        entry.lookup == nil ? entry.askAt : max(entry.askAt, entry.startedAt + timing.hang)
    }

    /// When something is to be done next by itself.
    func nextStep(at now: Instant) -> Instant {
        var next = Instant.never
        // What is due and was not taken waits for a place: a lookup's end tells of one.
        for entry in entries.values { next = min(next, isDue(entry, at: now) ? now + .seconds(1) : dueAt(entry)) }
        for flight in flights.values where !flight.isLate { next = min(next, flight.startedAt + timing.deadline) }
        return next
    }

    /// Ends the patience with lookups that take too long.
    mutating func expire(at now: Instant) -> StartLines {
        var lines = StartLines()
        for (lookup, flight) in flights where !flight.isLate && flight.startedAt + timing.deadline <= now {
            flights[lookup]?.isLate = true
            guard entries[flight.number]?.lookup == lookup else { continue }
            tell("no answer within \(timing.deadline.span)", of: flight.number, next: entries[flight.number].map(dueAt) ?? now, at: now, &lines)
        }
        return lines
    }

    /// Takes what a lookup brought. An answer without addresses is one, too, where some are known: the next of them is tried.
    mutating func finish(
        _ lookup: UInt64, _ endpoints: [Endpoint], _ code: CInt, at now: Instant
    ) -> (answer: NameAnswer?, lines: StartLines) {
        var lines = StartLines()
        guard let number = flights.removeValue(forKey: lookup)?.number, var entry = entries[number] else { return (nil, lines) }
        if entry.lookup == lookup { entry.lookup = nil }
        entry.answeredAt = now
        let usable = endpoints.filter { refusal(of: $0, entry.handle.peer.name) == nil }
        guard !usable.isEmpty else {
            entry.failures = min(entry.failures + 1, 31)
            let wait = min(timing.firstRetry * (1 << UInt64(entry.failures - 1)), timing.lastRetry)
            entry.askAt = now + wait
            entries[number] = entry
            let why = endpoints.first.flatMap { refusal(of: $0, entry.handle.peer.name) } ?? Resolver.errorText(code)
            tell(why, of: number, next: entry.askAt, at: now, &lines)
            return (entry.known.isEmpty ? nil : NameAnswer(entry.handle, []), lines)
        }
        let isNews = entry.known.isEmpty || entry.trouble != nil
        entry.known = usable
        entry.failures = 0
        entry.trouble = nil
        entry.askAt = now + (entry.isLinked ? timing.linkedRefresh : timing.refresh)
        entries[number] = entry
        if isNews {
            let (name, count) = (StartLines.Value.text(entry.handle.peer.name.description), StartLines.Value.number(UInt64(usable.count)))
            if let doubt = doubt(of: usable[0]) {
                lines.add(.warning, "resolved", ("name", name), ("peer", .endpoint(usable[0])), ("addresses", count), ("message", .text(doubt)))
            } else {
                lines.add(.info, "resolved", ("name", name), ("peer", .endpoint(usable[0])), ("addresses", count))
            }
        }
        return (NameAnswer(entry.handle, usable), lines)
    }

    mutating func retry(_ peer: NamedPeer, at now: Instant) {
        if let number = numbers[peer] { entries[number]?.askAt = now }
    }

    /// The answer did not reach the loop.
    mutating func retry(_ handle: NameHandle, at now: Instant) {
        entries[handle.number]?.askAt = now + timing.firstRetry
    }

    /// What the loop tells.
    mutating func note(_ word: NameWord, at now: Instant) -> StartLines {
        var lines = StartLines()
        guard var entry = entries[word.number] else { return lines }
        switch word.what {
        case .linked:
            entry.isLinked = true
            entry.askAt = max(entry.askAt, now + timing.linkedRefresh)
        case .unlinked, .failed:
            entry.isLinked = false
            // Not more often than once in `firstRetry`, however often its peer fails.
            entry.askAt = min(entry.askAt, max(now, entry.answeredAt.map { $0 + timing.firstRetry } ?? now))
        case .standsFor(let endpoint, let isLinked):
            if isLinked != entry.isLinked { entry.askAt = now + (isLinked ? timing.linkedRefresh : timing.refresh) }
            entry.isLinked = isLinked
            if let before = entry.current, before != endpoint {
                lines.add(
                    .info, "moved", ("name", .text(entry.handle.peer.name.description)), ("from", .endpoint(before)), ("to", .endpoint(endpoint))
                )
            }
            entry.current = endpoint
        }
        entries[word.number] = entry
        return lines
    }

    /// The same trouble again and again is said once as a warning, then for those who look closely.
    private mutating func tell(_ why: String, of number: UInt64, next: Instant, at now: Instant, _ lines: inout StartLines) {
        guard let entry = entries[number] else { return }
        lines.add(
            entry.trouble == why ? .debug : .warning, "unresolved", ("name", .text(entry.handle.peer.name.description)), ("message", .text(why)),
            ("next", .word((next > now ? next - now : .zero).span))
        )
        entries[number]?.trouble = why
    }

    /// Why an address of an answer is not dialled; nil if it may be.
    private func refusal(of endpoint: Endpoint, _ name: PeerName) -> String? {
        if let why = endpoint.refusal { return "it resolves to \(endpoint.address), \(why)" }
        switch endpoint.address.scope {
        case .loopback where scope != .loopback && !name.isLocal:
            return "it resolves to \(endpoint.address), a loopback address, which is this machine and not another node"
        case .linkLocal where scope != .linkLocal:
            return "it resolves to \(endpoint.address), a link-local address, which only its own network segment knows"
        case .global, .private, .shared, .linkLocal, .loopback, .reserved, .nowhere: return nil
        }
    }

    /// What is dialled, but strange for a node whose address the whole internet reaches.
    private func doubt(of endpoint: Endpoint) -> String? {
        guard scope == .global, endpoint.address.scope != .global else { return nil }
        return "the address is \(endpoint.address.scope.name), and this node's is global: check the name's records"
    }
}
