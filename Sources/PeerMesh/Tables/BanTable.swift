// Bans and trust: one record type, one written precedence. Operator's ban > trust > automatic ban (incidents P43, P46).

public import Timers

/// One ban or one trust: a range and until when.
public struct BanRecord: Hashable, Sendable, BitwiseCopyable {
    /// What a record says of its addresses.
    public enum Kind: Hashable, Sendable, BitwiseCopyable {
        /// They are banned, and by whom.
        case ban(BanSource)
        /// Automatic bans do not hold there.
        case trust
    }

    /// Which addresses.
    public var subject: Subnet
    /// What it says of them.
    public var kind: Kind
    /// `.never` for one without end.
    public var until: Instant
    /// What an automatic ban was for.
    public var reason: CloseReason?

    /// A record, as a table of bans has it.
    public init(subject: Subnet, kind: Kind, until: Instant, reason: CloseReason? = nil) {
        self.subject = subject
        self.kind = kind
        self.until = until
        self.reason = reason
    }
}

struct BanTable: ~Copyable {
    private var records: Slab<BanRecord>
    private(set) var count = 0

    init(capacity: Int) {
        let filler = BanRecord(subject: Subnet(IPAddress(v4: 0)), kind: .trust, until: .zero, reason: nil)
        records = Slab(count: capacity, repeating: filler)
    }

    private init(records: consuming Slab<BanRecord>, count: Int) {
        self.records = records
        self.count = count
    }

    subscript(_ index: Int) -> BanRecord { records[index] }

    /// The ban in force for `address`, or nil. O(records).
    func covering(_ address: IPAddress, at now: Instant) -> BanRecord? {
        var automatic: BanRecord?
        var isTrusted = false
        for index in 0..<count {
            let record = records[index]
            guard record.until > now, record.subject.contains(address) else { continue }
            switch record.kind {
            case .ban(.operator): return record
            case .ban(.automatic): automatic = record
            case .trust: isTrusted = true
            }
        }
        return isTrusted ? nil : automatic
    }

    func isTrusted(_ address: IPAddress, at now: Instant) -> Bool {
        for index in 0..<count where records[index].kind == .trust {
            if records[index].until > now, records[index].subject.contains(address) { return true }
        }
        return false
    }

    /// What became of a record.
    enum Outcome {
        case set
        /// An operator's record took the place of this automatic ban.
        case setInPlace(of: BanRecord)
        case full

        var isPlain: Bool {
            switch self {
            case .set: true
            case .setInPlace, .full: false
            }
        }
    }

    /// Sets a record; one with the same subject and kind is replaced. Where the table is full of others in force, an operator's record takes
    /// the place of the automatic ban that ends first: strangers' offences must not use up what the operator needs.
    mutating func set(_ record: BanRecord, at now: Instant) -> Outcome {
        let known = index(of: record)
        if known >= 0 {
            records[known] = record
            return .set
        }
        if count == records.count { sweep(at: now) }
        if count < records.count {
            records[count] = record
            count += 1
            return .set
        }
        let place = displaceable(by: record)
        guard place >= 0 else { return .full }
        let displaced = records[place]
        records[place] = record
        return .setInPlace(of: displaced)
    }

    /// Whether `set` would find a place.
    func hasRoom(for record: BanRecord, at now: Instant) -> Bool {
        if count < records.count || index(of: record) >= 0 || displaceable(by: record) >= 0 { return true }
        for index in 0..<count where records[index].until <= now { return true }
        return false
    }

    private func index(of record: BanRecord) -> Int {
        for index in 0..<count where records[index].subject == record.subject && records[index].kind == record.kind { return index }
        return -1
    }

    /// The automatic ban that gives way to `record`, or -1.
    private func displaceable(by record: BanRecord) -> Int {
        guard record.kind != .ban(.automatic) else { return -1 }
        var place = -1
        for index in 0..<count where records[index].kind == .ban(.automatic) {
            if place < 0 || records[index].until < records[place].until { place = index }
        }
        return place
    }

    /// Removes every ban (or every trust) whose subject is exactly `subject`: all kinds of bans go at once.
    mutating func remove(_ subject: Subnet, trust: Bool) {
        var index = 0
        while index < count {
            if records[index].subject == subject, (records[index].kind == .trust) == trust {
                removeRecord(at: index)
            } else {
                index += 1
            }
        }
    }

    /// Drops what has run out.
    mutating func sweep(at now: Instant) {
        var index = 0
        while index < count {
            if records[index].until <= now { removeRecord(at: index) } else { index += 1 }
        }
    }

    private mutating func removeRecord(at index: Int) {
        count -= 1
        records[index] = records[count]
    }

    borrowing func clone() -> BanTable {
        BanTable(records: records.clone(), count: count)
    }
}
