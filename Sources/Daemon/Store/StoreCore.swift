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
    /// The bans whose begin and end this process has dated.
    private var dated: Set<BanKey> = []
    private(set) var wanted: Set<WantedRow> = []
    private(set) var registry: Set<RegisteredRow> = []
    private var counters: [String: Int64] = [:]
    /// What the file lacks beside the book's changes.
    private var unwritten = StoreChange()
    /// Why the file does not take writes, or was not read; nil if all is well.
    private(set) var trouble: String?
    private(set) var lines = StartLines()
    /// The file holds what was never read: nothing is written before it is.
    private(set) var isUnread = false
    /// Something was read after the start: the node has to be told.
    private var hasNews = false
    /// The file is to be moved away before a new one is made: why.
    private var damage: String?
    /// Bans that are over stay in the file: a clock that was ahead of time may have judged them.
    private var pruneAt = StoreCore.overAtMost
    static let overAtMost = 1_000

    /// Reads the file, sets a damaged one aside, and goes on in memory where no file can be had. `isFirst` tells that the directory
    /// was never used before: otherwise a missing file is said.
    init(path: String, _ options: StoreDatabase.Options = .init(), isFirst: Bool = true) throws(DaemonError) {
        self.path = path
        self.options = options
        book = AddressBook(key: (0, 0))
        do {
            let reading = try StoreReader.read(path: path)
            if reading == nil, !isFirst { sayAbsent() }
            take(reading ?? StoreReading())
        } catch let newer as StoreDatabase.Newer {
            throw DaemonError(
                .configuration,
                "the store '\(path)' has version \(newer.version), and this program reads up to \(StoreDatabase.version): run the newer program, "
                    + "or give this one another --state-dir"
            )
        } catch {
            isUnread = true
            degrade(error)
        }
        if book.key == (0, 0) { try makeKey() }
        count("starts")
        guard !isUnread else { return }
        do { try open() } catch { degrade(error) }
    }

    private mutating func makeKey() throws(DaemonError) {
        let key = (try NodeConfiguration.entropy(), try NodeConfiguration.entropy())
        book = AddressBook(key: key)
        unwritten.key = key
    }

    /// Takes over what was read. What was learnt and told since counts more.
    private mutating func take(_ reading: StoreReading) {
        let state = reading.state
        if state.key != (0, 0) {
            var read = AddressBook(key: state.key)
            for entry in state.addresses { read.restore(entry) }
            read.absorb(book)
            book = read
            unwritten.key = nil
        }
        for ban in state.bans {
            let key = BanKey(subject: ban.subject, kind: ban.kind)
            if unwritten.bans[key] == nil { bans[key] = ban }
        }
        for row in state.wanted where unwritten.wanted[row] == nil { wanted.insert(row) }
        let files = Set(unwritten.registry.keys.map(\.file))
        for row in state.registry where !files.contains(row.file) { registry.insert(row) }
        for (name, value) in state.counters {
            counters[name, default: 0] &+= value
            if unwritten.counters[name] != nil { unwritten.counters[name] = counters[name] }
        }
        prune()
        guard !reading.faults.isEmpty else { return }
        damage = reading.faults.prefix(3).joined(separator: "; ") + (reading.faults.count > 3 ? "; and \(reading.faults.count - 3) more" : "")
    }

    private mutating func sayAbsent() {
        lines.add(
            .warning, "store-absent", ("file", .text(path)),
            ("message", .text("the store does not exist or is empty, though this directory was used before: the node starts without earlier bans, "
                + "trust, added peers and masternodes, and addresses"))
        )
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
        case .connect(let endpoint): want(WantedRow(peer: .endpoint(endpoint), kind: .peer), true)
        case .disconnect(let endpoint): want(WantedRow(peer: .endpoint(endpoint), kind: .peer), false)
        case .addMasternode(let endpoint): want(WantedRow(peer: .endpoint(endpoint), kind: .masternode), true)
        case .removeMasternode(let endpoint): want(WantedRow(peer: .endpoint(endpoint), kind: .masternode), false)
        case .wantName(let peer): want(WantedRow(peer), true)
        case .dropName(let peer): want(WantedRow(peer), false)
        case .ban(let subject, let length, let reason, let by):
            set(BanRow(subject: subject, kind: .operator, until: length.map { time + $0 }, reason: reason, by: by, at: time))
        case .unban(let subject):
            clear(BanKey(subject: subject, kind: .operator))
            clear(BanKey(subject: subject, kind: .automatic))
        case .trust(let subject):
            set(BanRow(subject: subject, kind: .trust, until: nil, reason: "", by: "operator", at: time))
        case .untrust(let subject): clear(BanKey(subject: subject, kind: .trust))
        case .redial, .drain, .reload, .logLevel: break
        }
    }

    private mutating func want(_ row: WantedRow, _ isWanted: Bool) {
        if isWanted { wanted.insert(row) } else { wanted.remove(row) }
        unwritten.wanted[row] = isWanted
    }

    mutating func set(_ ban: BanRow) {
        let key = BanKey(subject: ban.subject, kind: ban.kind)
        bans[key] = ban
        dated.insert(key)
        unwritten.bans[key] = .some(ban)
        if bans.count > pruneAt { prune() }
    }

    /// Drops bans that are over, but for the last thousand.
    private mutating func prune() {
        let now = WallTime.now
        let over = bans.filter { $0.value.isOver(at: now) }.sorted { ($0.value.until ?? now) > ($1.value.until ?? now) }
        for (key, _) in over.dropFirst(StoreCore.overAtMost) { clear(key) }
        pruneAt = bans.count + StoreCore.overAtMost
    }

    /// The system's clock was set, ahead if `shift` (milliseconds) is positive: what this process dated moves along, and what
    /// the old time called over may not be.
    mutating func clockSet(by shift: Int64) {
        for key in dated {
            guard var ban = bans[key] else { continue }
            ban.at = ban.at.shifted(by: shift)
            ban.until = ban.until?.shifted(by: shift)
            bans[key] = ban
            unwritten.bans[key] = .some(ban)
        }
        hasNews = true
    }

    /// What `file` named when it was believed last.
    func registered(by file: String) -> [PeerTarget] {
        registry.filter { $0.file == file }.map(\.peer).sorted()
    }

    /// `file` was believed: it names these.
    mutating func keep(registry file: String, _ peers: [PeerTarget]) {
        let rows = Set(peers.map { RegisteredRow(file: file, peer: $0) })
        for row in registry where row.file == file && !rows.contains(row) { unwritten.registry[row] = false }
        for row in rows where !registry.contains(row) { unwritten.registry[row] = true }
        registry = registry.filter { $0.file != file }.union(rows)
    }

    private mutating func clear(_ key: BanKey) {
        bans[key] = nil
        dated.remove(key)
        unwritten.bans[key] = .some(nil)
    }

    // The file.

    var isUnwritten: Bool { !unwritten.isEmpty || !book.changed.isEmpty }

    /// The log of what was written last, to be synced without the store's lock; nil while no file takes writes.
    var log: StoreLog? { database?.log }

    /// Whether something was read that the node does not know yet; asked once.
    mutating func takeNews() -> Bool {
        defer { hasNews = false }
        return hasNews
    }

    /// Opens the file for writing. What could not be read is read first; what was damaged is moved first.
    private mutating func open() throws {
        if isUnread {
            let reading = try StoreReader.read(path: path)
            take(reading ?? StoreReading())
            isUnread = false
            hasNews = true
            lines.add(
                .info, "store-read", ("file", .text(path)), ("bans", .number(UInt64(bans.count))), ("wanted", .number(UInt64(wanted.count))),
                ("addresses", .number(UInt64(book.count))), ("message", .text("read late; what it holds takes effect"))
            )
        }
        if let damage {
            try setAside(damage)
            rewriteAll()
            self.damage = nil
        }
        try StoreFiles.prepare(path)
        database = try StoreDatabase(path: path, options)
    }

    /// Whether the name leads to the file that is open. If not, what is there now is read, and all is written to it.
    private mutating func followName() {
        guard let opened = database?.identity else { return }
        let found = FileIdentity(path: path)
        guard found?.inode != opened.inode || found?.device != opened.device else { return }
        close()
        rewriteAll()
        isUnread = found != nil
        lines.add(
            .warning, "store-replaced", ("file", .text(path)),
            ("message", .text(found == nil ? "the file was removed; it is written again from memory" : "another file took its place; both are merged"))
        )
    }

    /// Writes all that the file lacks, in one transaction. False if the file does not take it: it stays to be written.
    mutating func write() -> Bool {
        followName()
        guard isUnwritten || isUnread else { return true }
        do {
            if database == nil { try open() }
            var change = unwritten
            for endpoint in book.changed { change.addresses[endpoint] = .some(book.entries[endpoint]) }
            try database?.write(change)
            // Only a disk that takes a sync is well again.
            if trouble != nil { try database?.log.sync() }
        } catch let error where StoreReader.isDamage(error) && !isUnread {
            close()
            damage = StoreCore.text(error)
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
        for row in registry { unwritten.registry[row] = true }
        unwritten.counters = counters
        unwritten.key = book.key
    }

    private mutating func degrade(_ error: any Error) {
        let why = StoreCore.text(error)
        let consequence =
            isUnread
            ? "it was not read: its bans, trust, added peers and masternodes, and addresses are not in force; the node tries again"
            : "the node goes on in memory and tries again; what it learns and is told until then may be lost"
        guard trouble != "\(why): \(consequence)" else { return }
        trouble = "\(why): \(consequence)"
        lines.add(.error, "store-degraded", ("file", .text(path)), ("message", .text("\(why): \(consequence)")))
    }

    private mutating func setAside(_ why: String) throws {
        guard let name = StoreFiles.setAside(path, at: .now) else {
            let code = errno
            // Gone meanwhile: nothing is in the way.
            if code == ENOENT { return }
            throw CannotMove(code: code)
        }
        lines.add(
            .error, "store-damaged", ("file", .text(path)), ("aside", .text(name)), ("bans", .number(UInt64(bans.count))),
            ("wanted", .number(UInt64(wanted.count))), ("addresses", .number(UInt64(book.count))),
            ("message", .text("the store is not whole (\(why)): it was moved aside; what could be read is in force and written to a new file"))
        )
    }

    /// A damaged file cannot be moved, and is not written over.
    private struct CannotMove: Error {
        let code: CInt
    }

    private static func text(_ error: any Error) -> String {
        switch error {
        case let failure as StoreLog.Failure: return "the disk does not take what was written (\(systemText(failure.code)))"
        case let foreign as StoreFiles.Foreign:
            return "'\(foreign.path)' is a link or not a regular file: replace it, or give --state-dir the directory that it leads to"
        case let failure as CannotMove: return "the store is damaged and cannot be moved aside (\(systemText(failure.code)))"
        case is StoreDatabase.Newer: return "the store was written by a newer program"
        case let error as DatabaseError:
            let words = error.message ?? "error \(error.resultCode.rawValue)"
            return error.resultCode == .SQLITE_FULL ? "the disk is full (\(words))" : "the store cannot be used (\(words))"
        default: return "the store failed"
        }
    }
}
