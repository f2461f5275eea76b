// Who set a ban or a trust, and why: what an operator said beside it. The loop's table has no room for words; the store has, and
// without one the journal of this process.

import PeerMesh
import Synchronization
import Timers

/// What stands beside a record of the ban table.
struct BanNote: Hashable, Sendable {
    var reason: String
    var by: String
    var at: WallTime
    /// How long it was set for; nil for ever.
    var length: Nanoseconds?
}

/// Whoever keeps such notes. Any thread but the loop's.
protocol BanNotes: Sendable {
    func note(on record: BanRecord) -> BanNote?
    /// The masternodes that the operator added by address.
    var addedMasternodes: Set<Endpoint> { get }
}

/// Where a node without a state directory writes its operator's actions: into memory. They hold until it ends.
final class MemoryJournal: OperatorJournal, BanNotes {
    private let notes = Mutex<[Subnet: BanNote]>([:])
    private let added = Mutex<Set<Endpoint>>([])

    var addedMasternodes: Set<Endpoint> { added.withLock { $0 } }

    func record(_ action: OperatorAction, at time: WallTime) throws(JournalError) {
        switch action {
        case .ban(let subject, let length, let reason, let by):
            notes.withLock { $0[subject] = BanNote(reason: reason, by: by, at: time, length: length) }
        case .unban(let subject):
            notes.withLock { $0[subject] = nil }
        case .addMasternode(let endpoint): added.withLock { _ = $0.insert(endpoint) }
        case .removeMasternode(let endpoint): added.withLock { _ = $0.remove(endpoint) }
        case .connect, .disconnect, .redial, .trust, .untrust, .wantName, .dropName, .drain, .reload, .logLevel: break
        }
    }

    func note(on record: BanRecord) -> BanNote? {
        record.kind == .ban(.operator) ? notes.withLock { $0[record.subject] } : nil
    }
}

extension Store: BanNotes {
    var addedMasternodes: Set<Endpoint> {
        core.withLock { core in Set(core.wanted.filter { $0.kind == .masternode }.compactMap(\.endpoint)) }
    }

    func note(on record: BanRecord) -> BanNote? {
        let kind: BanRow.Kind =
            switch record.kind {
            case .ban(.operator): .operator
            case .ban(.automatic): .automatic
            case .trust: .trust
            }
        return ban(record.subject, kind).map { ban in BanNote(reason: ban.reason, by: ban.by, at: ban.at, length: ban.until.map { $0.since(ban.at) }) }
    }
}
