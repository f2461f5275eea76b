// What the store knows, in memory, and its file, if there is one that takes writes. The memory is the truth of this process; the
// file follows it. A file that fails is tried again, and one that is damaged is set aside and written anew from memory.

import GRDB
import Glibc
import PeerMesh

/// The state behind the store's lock.
struct StoreCore {
    let path: String
    private let options: StoreDatabase.Options
    private var database: StoreDatabase?
    var book: AddressBook
    private(set) var bans: [BanKey: BanRow] = [:]
    private(set) var wanted: Set<WantedRow> = []
    private var counters: [String: Int64] = [:]
    /// What the file lacks beside the book's changes.
    private var unwritten = StoreChange()
    /// Why the file does not take writes; nil if it does.
    private(set) var trouble: String?
    private(set) var lines = StartLines()

    /// Opens the file, sets a damaged one aside, and goes on in memory where no file can be had.
    init(path: String, _ options: StoreDatabase.Options = .init()) throws(DaemonError) {
        self.path = path
        self.options = options
        book = AddressBook(key: (0, 0))
        var state = StoredState()
        do {
            (database, state) = try StoreCore.open(path, options)
        } catch let newer as StoreDatabase.Newer {
            throw DaemonError(
                .configuration,
                "the store '\(path)' is of version \(newer.version), and this program knows \(StoreDatabase.version): run the newer program, "
                    + "or give this one another --state-dir"
            )
        } catch let error where StoreCore.isDamage(error) {
            setAside(error)
            do { (database, state) = try StoreCore.open(path, options) } catch { degrade(error) }
        } catch {
            degrade(error)
        }
        try take(state)
    }

    private static func open(_ path: String, _ options: StoreDatabase.Options) throws -> (StoreDatabase, StoredState) {
        let database = try StoreDatabase(path: path, options)
        return (database, try database.load())
    }

    private mutating func take(_ state: StoredState) throws(DaemonError) {
        var key = state.key
        if key == (0, 0) {
            key = (try NodeConfiguration.entropy(), try NodeConfiguration.entropy())
            unwritten.key = key
        }
        book = AddressBook(key: key)
        for entry in state.addresses { book.restore(entry) }
        let now = WallTime.now
        for ban in state.bans {
            let key = BanKey(subject: ban.subject, kind: ban.kind)
            if ban.isOver(at: now) { unwritten.bans[key] = .some(nil) } else { bans[key] = ban }
        }
        wanted = Set(state.wanted)
        counters = state.counters
        count("starts")
    }

    mutating func count(_ name: String, _ more: Int64 = 1) {
        counters[name, default: 0] &+= more
        unwritten.counters[name] = counters[name]
    }

    var allCounters: [String: Int64] { counters }

    /// The lines that wait to be said.
    mutating func takeLines() -> StartLines {
        defer { lines = StartLines() }
        return lines
    }

    // What changes it.

    /// An operator's action, not written yet.
    mutating func apply(_ action: OperatorAction, at time: WallTime) {
        count("operator-actions")
        switch action {
        case .connect(let endpoint): want(WantedRow(endpoint: endpoint, kind: .peer), true)
        case .disconnect(let endpoint): want(WantedRow(endpoint: endpoint, kind: .peer), false)
        case .addMasternode(let endpoint): want(WantedRow(endpoint: endpoint, kind: .masternode), true)
        case .removeMasternode(let endpoint): want(WantedRow(endpoint: endpoint, kind: .masternode), false)
        case .ban(let subject, let until, let reason, let by):
            set(BanRow(subject: subject, kind: .operator, until: until, reason: reason, by: by, at: time))
        case .unban(let subject):
            clear(BanKey(subject: subject, kind: .operator))
            clear(BanKey(subject: subject, kind: .automatic))
        case .trust(let subject):
            set(BanRow(subject: subject, kind: .trust, until: nil, reason: "", by: "operator", at: time))
        case .untrust(let subject): clear(BanKey(subject: subject, kind: .trust))
        case .wantName, .dropName, .redial, .drain, .reload, .logLevel: break
        }
    }

    private mutating func want(_ row: WantedRow, _ isWanted: Bool) {
        if isWanted { wanted.insert(row) } else { wanted.remove(row) }
        unwritten.wanted[row] = isWanted
    }

    mutating func set(_ ban: BanRow) {
        let key = BanKey(subject: ban.subject, kind: ban.kind)
        bans[key] = ban
        unwritten.bans[key] = .some(ban)
    }

    private mutating func clear(_ key: BanKey) {
        bans[key] = nil
        unwritten.bans[key] = .some(nil)
    }

    // The file.

    var isUnwritten: Bool { !unwritten.isEmpty || !book.changed.isEmpty }

    /// The log of what was written last, to be synced without the store's lock; nil while no file takes writes.
    var log: StoreLog? { database?.log }

    /// Writes all that the file lacks, in one transaction. False if the file does not take it: it stays to be written.
    mutating func write() -> Bool {
        guard isUnwritten else { return true }
        var change = unwritten
        for endpoint in book.changed { change.addresses[endpoint] = .some(book.entries[endpoint]) }
        do {
            if database == nil { database = try StoreDatabase(path: path, options) }
            try database?.write(change)
            // Only a disk that takes a sync is well again.
            if trouble != nil { try database?.log.sync() }
        } catch let error where StoreCore.isDamage(error) {
            database?.close()
            database = nil
            setAside(error)
            rewriteAll()
            degrade(error)
            return false
        } catch {
            degrade(error)
            return false
        }
        unwritten = StoreChange()
        book.clearChanged()
        if trouble != nil {
            trouble = nil
            lines.add(.info, "store-recovered", ("file", .text(path)), ("message", .text("everything is written again")))
        }
        return true
    }

    /// A sync of `log`, or its folding, failed: nobody knows what of it the disk has. All is written anew.
    mutating func failed(_ error: any Error, _ log: StoreLog) {
        guard database?.log === log else { return }
        close()
        rewriteAll()
        degrade(error)
    }

    mutating func close() {
        database?.close()
        database = nil
    }

    private mutating func rewriteAll() {
        book.markAllChanged()
        for (key, ban) in bans { unwritten.bans[key] = .some(ban) }
        for row in wanted { unwritten.wanted[row] = true }
        unwritten.counters = counters
        unwritten.key = book.key
    }

    private mutating func degrade(_ error: any Error) {
        let why = StoreCore.text(error)
        guard trouble != why else { return }
        trouble = why
        lines.add(
            .error, "store-degraded", ("file", .text(path)),
            ("message", .text("\(why): the node goes on in memory and tries again; what it learns and is told now may be lost with it"))
        )
    }

    private mutating func setAside(_ error: any Error) {
        let name = "\(path).damaged-\(WallTime.now.milliseconds / 1_000)"
        for suffix in ["", "-wal", "-shm"] { _ = unsafe rename(path + suffix, name + suffix) }
        lines.add(
            .error, "store-damaged", ("file", .text(path)),
            ("message", .text("\(StoreCore.text(error)): set aside as \(name); the node starts with a new one, without its bans and trust"))
        )
    }

    private static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        return error.resultCode == .SQLITE_CORRUPT || error.resultCode == .SQLITE_NOTADB
            || error.resultCode == .SQLITE_ERROR && !(error.message ?? "").contains("disk")
    }

    private static func text(_ error: any Error) -> String {
        if let failure = error as? StoreLog.Failure { return "the disk does not take what was written (\(systemText(failure.code)))" }
        guard let error = error as? DatabaseError else { return "the store failed" }
        let words = error.message ?? "error \(error.resultCode.rawValue)"
        return error.resultCode == .SQLITE_FULL ? "the disk is full (\(words))" : "the store cannot be used (\(words))"
    }
}
