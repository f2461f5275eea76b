// Reads a store's file, whatever is in it. Another program, a disk or an operator may have changed any row, column or table: what
// reads as what it should be is taken, and the rest is named. Nothing in a file ends the process, and nothing is written here.

import GRDB
import Glibc
import PeerMesh

/// What a file held, and what of it could not be read.
struct StoreReading {
    var state = StoredState()
    /// One phrase each; empty if the file is whole.
    var faults: [String] = []
}

enum StoreReader {
    /// Rows of one table that are read at most: more than any of them can have.
    private static let most = 1 << 21

    /// Everything in the file at `path`; nil if there is none, or nothing in it. Throws what may pass: a lock, a full disk.
    static func read(path: String) throws -> StoreReading? {
        try StoreFiles.check(path)
        guard let identity = FileIdentity(path: path), identity.size > 0 else { return nil }
        do {
            return try read(path, alone: false)
        } catch let error as DatabaseError where error.resultCode != .SQLITE_BUSY && !isDamage(error) {
            // Without the memory that processes share, for which a full disk has no room.
            return try read(path, alone: true)
        }
    }

    private static func read(_ path: String, alone: Bool) throws -> StoreReading? {
        var configuration = Configuration()
        configuration.label = "store-reader"
        configuration.busyMode = .timeout(2)
        configuration.prepareDatabase { database in
            // SQLite reads nothing of a file that was cut, nor of one with one bad line in its schema, unless it may repair them. It does not.
            try database.execute(sql: "PRAGMA writable_schema = ON")
            if alone { try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE") }
        }
        var reading: StoreReading?
        do {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            defer { try? queue.close() }
            try queue.read { reading = try read($0) }
            return reading
        } catch let error where isDamage(error) {
            // A file that was cut does not even end its transaction: what was read of it counts.
            var found = reading ?? StoreReading()
            if found.faults.isEmpty { found.faults = [text(error)] }
            return found
        }
    }

    /// Everything in an open file; nil if it has no tables.
    static func read(_ database: Database) throws -> StoreReading? {
        var reading = StoreReading()
        let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        guard version <= StoreDatabase.version else { throw StoreDatabase.Newer(version: version) }
        let readable = try schema(database, version, &reading.faults)
        if readable.isEmpty, reading.faults.isEmpty { return nil }
        try check(database, &reading.faults)
        var reader = TableReader(database: database, readable: readable, faults: reading.faults)
        reading.state = try reader.state()
        reading.faults = reader.faults
        return reading
    }

    /// The tables that can be read, and what is wrong with them. A view in a table's place may never end: it is not read.
    private static func schema(_ database: Database, _ version: Int, _ faults: inout [String]) throws -> Set<String> {
        let rows = try Row.fetchAll(database, sql: "SELECT type, name, rootpage, sql FROM sqlite_schema LIMIT 1000").map(Cells.init)
        var readable: [String: String] = [:]
        for row in rows {
            guard let type = row.text("type"), let name = row.text("name") else { continue }
            if type == "table", row.whole("rootpage") ?? 0 > 0 { readable[name] = row.text("sql") ?? "" }
            if type == "trigger" || type == "view" { faults.append("an unexpected \(type) '\(name.prefix(40))'") }
        }
        if rows.isEmpty, version == 0 { return [] }
        for table in StoreDatabase.tables where table.name != StoreDatabase.registryTable.name || version > 1 {
            guard let sql = readable[table.name] else {
                faults.append("the table \(table.name) is missing")
                continue
            }
            if dense(sql) != dense(table.sql) { faults.append("the table \(table.name) has other columns") }
        }
        if version == 0 { faults.append("it has no version") }
        return Set(readable.keys).intersection(StoreDatabase.tables.map(\.name))
    }

    private static func dense(_ sql: String) -> [UInt8] { sql.utf8.filter { $0 > 0x20 } }

    private static func check(_ database: Database, _ faults: inout [String]) throws {
        do {
            let verdict = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "ok"
            if verdict != "ok" { faults.append(String(verdict.prefix(200))) }
        } catch let error where isDamage(error) {
            faults.append(text(error))
        }
    }

    /// Whether the file is wrong, as opposed to out of reach for now.
    static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        return error.resultCode == .SQLITE_CORRUPT || error.resultCode == .SQLITE_NOTADB || error.resultCode == .SQLITE_MISMATCH
            || error.resultCode == .SQLITE_CONSTRAINT || error.resultCode == .SQLITE_TOOBIG
            || error.resultCode == .SQLITE_ERROR && !(error.message ?? "").contains("disk")
    }

    fileprivate static func text(_ error: any Error) -> String {
        (error as? DatabaseError).map { $0.message ?? "error \($0.resultCode.rawValue)" } ?? "\(error)"
    }

    fileprivate static var limit: Int { most }
}

/// The columns of one row by name. A value of another type, a NULL and a column that does not exist are all nil.
private struct Cells {
    private let values: [String: DatabaseValue]

    init(_ row: Row) {
        values = Dictionary(row.map { ($0.0, $0.1) }) { first, _ in first }
    }

    func text(_ name: String) -> String? {
        guard case .string(let text)? = values[name]?.storage else { return nil }
        return text
    }

    func whole(_ name: String) -> Int64? {
        guard case .int64(let value)? = values[name]?.storage else { return nil }
        return value
    }

    func isNull(_ name: String) -> Bool { values[name]?.isNull ?? false }

    /// A time of the calendar, before the year 10000.
    func time(_ name: String) -> WallTime? {
        guard let value = whole(name), (0...253_402_300_799_999).contains(value) else { return nil }
        return WallTime(milliseconds: value)
    }

    /// An endpoint, or a host name with its port.
    func peer(_ name: String) -> PeerTarget? { text(name).flatMap { PeerTarget($0) } }

    func endpoint(_ name: String) -> Endpoint? {
        text(name).flatMap { Endpoint($0) }.flatMap { $0.isDialable ? $0 : nil }
    }
}

private struct TableReader {
    let database: Database
    let readable: Set<String>
    var faults: [String]

    mutating func state() throws -> StoredState {
        var state = StoredState()
        try rows("meta") { row in
            guard let name = row.text("name"), let value = row.whole("value") else { return false }
            if name == "key0" { state.key.0 = UInt64(bitPattern: value) }
            if name == "key1" { state.key.1 = UInt64(bitPattern: value) }
            return true
        }
        try rows("address") { row in TableReader.address(row).map { state.addresses.append($0) } != nil }
        try rows("ban") { row in TableReader.ban(row).map { state.bans.append($0) } != nil }
        try rows("wanted") { row in
            guard let peer = row.peer("endpoint"), let kind = row.text("kind").flatMap(WantedRow.Kind.init) else { return false }
            state.wanted.append(WantedRow(peer: peer, kind: kind))
            return true
        }
        try rows("counter") { row in
            guard let name = row.text("name"), let value = row.whole("value") else { return false }
            state.counters[name] = value
            return true
        }
        try rows("registry") { row in
            guard let file = row.text("file"), let peer = row.peer("endpoint") else { return false }
            state.registry.insert(RegisteredRow(file: file, peer: peer))
            return true
        }
        return state
    }

    /// Hands each row of `table` to `take`, which is false for one that does not read.
    private mutating func rows(_ table: String, _ take: (Cells) -> Bool) throws {
        guard readable.contains(table) else { return }
        var (count, bad) = (0, 0)
        do {
            let cursor = try Row.fetchCursor(database, sql: "SELECT * FROM \(table) LIMIT \(StoreReader.limit)")
            while let row = try cursor.next() {
                count += 1
                if !take(Cells(row)) { bad += 1 }
            }
        } catch let error where StoreReader.isDamage(error) {
            faults.append("the table \(table) after \(count) rows (\(StoreReader.text(error)))")
        }
        if bad > 0 { faults.append("\(bad) of \(count) rows of the table \(table)") }
    }

    private static func address(_ row: Cells) -> AddressBook.Entry? {
        guard let endpoint = row.endpoint("endpoint"), let source = row.text("source").flatMap({ IPAddress($0) }),
            let firstSeen = row.time("first_seen"), let lastSeen = row.time("last_seen"), let failures = row.whole("failures"),
            let sessions = row.whole("sessions"), let tried = row.whole("tried")
        else { return nil }
        return AddressBook.Entry(
            endpoint: endpoint, source: source, firstSeen: firstSeen, lastSeen: lastSeen, lastTry: row.time("last_try"),
            lastSuccess: row.time("last_success"), lastReason: row.text("last_reason").map { String($0.prefix(80)) },
            failures: UInt32(clamping: failures), sessions: UInt32(clamping: sessions), forgottenUntil: row.time("forgotten_until"),
            linkedSince: row.time("linked_since"), isTried: tried != 0
        )
    }

    /// Who is banned, by whom and until when must be whole; the words beside it need not.
    private static func ban(_ row: Cells) -> BanRow? {
        guard let subject = row.text("subject").flatMap({ Subnet($0) }), let kind = row.text("kind").flatMap(BanRow.Kind.init) else { return nil }
        let until = row.time("until")
        guard until != nil || row.isNull("until") else { return nil }
        // Without its begin nobody knows its length: its end alone counts.
        let at = row.time("set_at") ?? WallTime(milliseconds: 0)
        return BanRow(subject: subject, kind: kind, until: until, reason: row.text("reason") ?? "", by: row.text("set_by") ?? "", at: at)
    }
}
