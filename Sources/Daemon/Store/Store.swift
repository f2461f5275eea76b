// The store of one daemon: takes records from the loop in bounded rings, and writes them on threads of its own (`Store+Threads`).
// Operators' actions are written on the thread that brings them, before it goes on. The loop never waits for any of it.

import CEpoll
import PeerMesh
import Reactor
import Synchronization
import Timers

/// What the loop tells of its peers.
struct StoreRecord: BitwiseCopyable, Sendable {
    enum What: BitwiseCopyable, Sendable {
        case dialled
        case failed(CloseReason)
        case linked
        case unlinked(CloseReason)
        case forgotten(until: Instant)
        case banned(Subnet, until: Instant, CloseReason?)
    }

    var at: Instant
    var endpoint: Endpoint
    var what: What
}

/// One endpoint that a peer told us of.
struct ToldRecord: BitwiseCopyable, Sendable {
    var endpoint: Endpoint
    var source: IPAddress
}

final class Store: OperatorJournal {
    let directory: String
    /// Held as long as the store is.
    private let lock: DirectoryLock
    /// Nobody holds it while he waits for a sync: what is learnt is never behind one.
    let core: Mutex<StoreCore>
    let records = RecordRing<StoreRecord>(capacity: 8_192)
    /// A ring of its own: who floods us with addresses must not push out what became of links.
    let told = RecordRing<ToldRecord>(capacity: 4_096)
    /// There are records, or there is something to say.
    let doorbell: Doorbell
    /// There is something to sync.
    let syncBell: Doorbell
    let stopBell: Doorbell
    let isStopping = Atomic<Bool>(false)
    let isUnsynced = Atomic<Bool>(false)
    /// The writing thread's word to the syncing one.
    let hasWritten = Atomic<Bool>(false)
    /// When the oldest record that is not written was taken from its ring; 0 if all are written.
    let behindSince = Atomic<UInt64>(0)

    static let fileName = "reactor-node.sqlite"

    /// Takes the directory and opens the store in it.
    init(directory: String, _ options: StoreDatabase.Options = .init()) throws(DaemonError) {
        self.directory = directory
        lock = try DirectoryLock(directory)
        core = Mutex(try StoreCore(path: directory + "/" + Store.fileName, options, isFirst: !lock.wasUsed))
        doorbell = try Doorbell()
        syncBell = try Doorbell()
        stopBell = try Doorbell()
    }

    // What was kept.

    /// Everything that a new process is to know, as of `now`.
    struct Recollection: Sendable {
        var bans: [BanRow]
        var wanted: [WantedRow]
        /// Those that were linked come first.
        var addresses: [AddressBook.Entry]
        var tombstones: [AddressBook.Entry]

        /// Those that the operator wants by name: they are looked up again.
        var names: [NamedPeer] { wanted.compactMap(\.named) }
    }

    func recollect(limit: Int) -> Recollection {
        let now = WallTime.now
        return core.withLock { core in
            Recollection(
                bans: core.bans.values.filter { $0.left(at: now) != .zero }.sorted { ($0.at, $0.subject.description) < ($1.at, $1.subject.description) },
                wanted: core.wanted.sorted { $0.peer < $1.peer }, addresses: core.book.recalled(limit: limit, at: now),
                tombstones: core.book.tombstones(at: now)
            )
        }
    }

    /// Who set a ban or a trust, and why. Any thread but the loop's.
    func ban(_ subject: Subnet, _ kind: BanRow.Kind) -> BanRow? {
        core.withLock { $0.bans[BanKey(subject: subject, kind: kind)] }
    }

    /// How the store is. Any thread but the loop's.
    var status: StoreStatus {
        let since = behindSince.load(ordering: .relaxed)
        let now = cepoll_monotonic()
        return core.withLock { core in
            StoreStatus(
                path: core.path, trouble: core.trouble, addresses: core.book.count, tried: core.book.triedCount,
                lag: since == 0 || since > now ? .zero : Nanoseconds(now - since), lost: records.dropped + told.dropped,
                counters: core.allCounters
            )
        }
    }

    // The registry's last good reading.

    /// What the registry file `file` named when it was believed last. Any thread but the loop's.
    func registered(by file: String) -> [PeerTarget] {
        core.withLock { $0.registered(by: file) }
    }

    /// `file` was believed: it names these. Any thread but the loop's.
    func keep(registry file: String, _ peers: [PeerTarget]) {
        core.withLock { $0.keep(registry: file, peers) }
        doorbell.ring()
    }

    /// The system's clock was set by `shift` milliseconds. Any thread but the loop's.
    func clockSet(by shift: Int64) {
        core.withLock { $0.clockSet(by: shift) }
        doorbell.ring()
    }

    // What operators did.

    func record(_ action: OperatorAction, at time: WallTime) throws(JournalError) {
        let (log, trouble): (StoreLog?, String?) = core.withLock { core in
            // What was learnt goes along: an operator who is never silent must not keep it waiting.
            take(into: &core, Moment())
            core.apply(action, at: time)
            return core.write() ? (core.log, nil) : (nil, core.trouble)
        }
        if let trouble = trouble ?? log.flatMap(sync) {
            // The thread says it and tries again.
            doorbell.ring()
            throw JournalError(trouble)
        }
        if log?.isDue == true { requestSync() }
    }

    /// Waits, without the lock, until the disk has all of `log`. What is in the way; nil if it has.
    func sync(_ log: StoreLog) -> String? {
        do throws(StoreLog.Failure) { try log.sync() } catch {
            return core.withLock { core in
                core.failed(error, log)
                return core.trouble ?? "the disk did not take it"
            }
        }
        return nil
    }

    // The loop's side: a few stores into a ring.

    func note(_ transition: Transition, at now: Instant, of node: PeerNode) {
        switch transition.subject {
        case .link(_, let from, let to, let direction):
            noteLink(transition, from, to, direction, node)
            if let reason = transition.reason, reason.effect.score > 0 { noteBan(transition.endpoint.address, reason, now, node) }
        case .peer(_, let to):
            guard to == .idle, let report = node.peer(at: transition.endpoint), case .off(.forgotten) = report.schedule else { return }
            push(transition, .forgotten(until: transition.next))
        }
    }

    private func noteLink(_ transition: Transition, _ from: LinkState, _ to: LinkState, _ direction: Direction, _ node: PeerNode) {
        guard transition.isPeer else { return }
        if to == .connecting {
            push(transition, .dialled)
        } else if to == .established {
            push(transition, .linked)
        } else if from == .established {
            push(transition, .unlinked(transition.reason ?? .remoteClosed))
        } else if to == .closed, from != .draining, direction == .outbound {
            push(transition, .failed(transition.reason ?? .remoteClosed))
            // The failure that is one too many: the peer was and is idle, so that no change of its own tells of it.
            if let report = node.peer(at: transition.endpoint), case .off(.forgotten) = report.schedule {
                push(transition, .forgotten(until: report.nextStep ?? transition.at + node.policies.tombstoneTime))
            }
        }
    }

    private func noteBan(_ address: IPAddress, _ reason: CloseReason, _ now: Instant, _ node: PeerNode) {
        node.forEachBan { record in
            guard record.kind == .ban(.automatic), record.until > now, record.subject.contains(address) else { return }
            let endpoint = Endpoint(address, port: 0)
            records.push(StoreRecord(at: now, endpoint: endpoint, what: .banned(record.subject, until: record.until, record.reason)))
        }
        doorbell.ring()
    }

    private func push(_ transition: Transition, _ what: StoreRecord.What) {
        records.push(StoreRecord(at: transition.at, endpoint: transition.endpoint, what: what))
        doorbell.ring()
    }

    /// A peer at `source` told of `endpoint`.
    func note(told endpoint: Endpoint, by source: IPAddress) {
        told.push(ToldRecord(endpoint: endpoint, source: source))
        doorbell.ring()
    }
}

/// How a store is.
struct StoreStatus: Hashable, Sendable {
    var path: String
    /// Why its file takes no writes; nil if it does.
    var trouble: String?
    var addresses: Int
    var tried: Int
    /// How long the oldest record has waited to be written.
    var lag: Nanoseconds
    /// Records that found their ring full.
    var lost: UInt64
    var counters: [String: Int64]
}
