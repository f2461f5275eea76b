// The store's file: its tables, and how rows become values. SQLite with a write-ahead log: what is committed survives the process,
// and what is synced besides (`StoreLog`) the machine.

import GRDB
import Glibc
import PeerMesh

/// A ban or a trust as it is kept: with who set it and why.
struct BanRow: Hashable, Sendable {
    enum Kind: String, Sendable {
        case `operator`, automatic, trust
    }

    var subject: Subnet
    var kind: Kind
    /// Nil for ever.
    var until: WallTime?
    var reason: String
    var by: String
    var at: WallTime

    func isOver(at now: WallTime) -> Bool { until.map { $0 <= now } ?? false }
}

/// A peer or masternode that the operator added at run time.
struct WantedRow: Hashable, Sendable {
    enum Kind: String, Sendable {
        case masternode, peer
    }

    var endpoint: Endpoint
    var kind: Kind
}

/// What the file held when it was opened.
struct StoredState {
    var key: (UInt64, UInt64) = (0, 0)
    var addresses: [AddressBook.Entry] = []
    var bans: [BanRow] = []
    var wanted: [WantedRow] = []
    var counters: [String: Int64] = [:]
}

/// The open file. One thread at a time.
struct StoreDatabase: Sendable {
    static let version = 1
    private let queue: DatabaseQueue
    let log: StoreLog

    /// How a file is opened: for tests a disk that is full, or slow.
    struct Options: Sendable {
        var maximumPages: Int?
        var synchronise = StoreLog.disk
    }

    /// Opens or makes the file at `path`.
    init(path: String, _ options: Options = Options()) throws {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.label = "store"
        configuration.busyMode = .timeout(2)
        configuration.prepareDatabase { database in
            // No commit waits for a sync, nor for the log's folding: `StoreLog` does both beside it.
            try database.execute(sql: "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0")
            if let pages = options.maximumPages { try database.execute(sql: "PRAGMA max_page_count = \(pages)") }
        }
        queue = try DatabaseQueue(path: path, configuration: configuration)
        try StoreDatabase.check(queue)
        try StoreDatabase.migrate(queue)
        log = try StoreLog(of: path, configuration, options.synchronise)
    }

    func close() {
        log.close()
        try? queue.close()
    }

    /// The file was written by a version of this program that knows more than this one.
    struct Newer: Error {
        let version: Int
    }

    private static func check(_ queue: DatabaseQueue) throws {
        let verdict = try queue.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
        guard verdict == "ok" else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: verdict) }
    }

    private static func migrate(_ queue: DatabaseQueue) throws {
        try queue.write { database in
            let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
            guard version <= StoreDatabase.version else { throw Newer(version: version) }
            guard version == 0 else { return }
            try database.execute(
                sql: """
                    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    CREATE TABLE address (
                        endpoint TEXT PRIMARY KEY, source TEXT NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
                        last_try INTEGER, last_success INTEGER, last_reason TEXT, failures INTEGER NOT NULL, sessions INTEGER NOT NULL,
                        forgotten_until INTEGER, linked_since INTEGER, tried INTEGER NOT NULL
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE ban (
                        subject TEXT NOT NULL, kind TEXT NOT NULL, until INTEGER, reason TEXT NOT NULL, set_by TEXT NOT NULL,
                        set_at INTEGER NOT NULL, PRIMARY KEY (subject, kind)
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE wanted (
                        endpoint TEXT NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (endpoint, kind)
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    PRAGMA user_version = \(StoreDatabase.version);
                    """)
        }
    }

    // Reading.

    /// Everything. A row that does not read as what it should be is left out.
    func load() throws -> StoredState {
        try queue.read { database in
            var state = StoredState()
            for row in try Row.fetchAll(database, sql: "SELECT name, value FROM meta") {
                let (name, value): (String, Int64) = (row["name"], row["value"])
                if name == "key0" { state.key.0 = UInt64(bitPattern: value) }
                if name == "key1" { state.key.1 = UInt64(bitPattern: value) }
            }
            state.addresses = try Row.fetchAll(database, sql: "SELECT * FROM address ORDER BY endpoint").compactMap(StoreDatabase.address)
            state.bans = try Row.fetchAll(database, sql: "SELECT * FROM ban ORDER BY subject, kind").compactMap(StoreDatabase.ban)
            state.wanted = try Row.fetchAll(database, sql: "SELECT * FROM wanted ORDER BY endpoint, kind").compactMap { row in
                guard let endpoint = Endpoint(row["endpoint"]), let kind = WantedRow.Kind(rawValue: row["kind"]) else { return nil }
                return WantedRow(endpoint: endpoint, kind: kind)
            }
            for row in try Row.fetchAll(database, sql: "SELECT name, value FROM counter") { state.counters[row["name"]] = row["value"] }
            return state
        }
    }

    private static func address(_ row: Row) -> AddressBook.Entry? {
        guard let endpoint = Endpoint(row["endpoint"]), let source = IPAddress(row["source"] as String) else { return nil }
        func time(_ column: String) -> WallTime? { (row[column] as Int64?).map { WallTime(milliseconds: $0) } }
        return AddressBook.Entry(
            endpoint: endpoint, source: source, firstSeen: WallTime(milliseconds: row["first_seen"]),
            lastSeen: WallTime(milliseconds: row["last_seen"]), lastTry: time("last_try"), lastSuccess: time("last_success"),
            lastReason: row["last_reason"], failures: UInt32(clamping: row["failures"] as Int64),
            sessions: UInt32(clamping: row["sessions"] as Int64), forgottenUntil: time("forgotten_until"), linkedSince: time("linked_since"),
            isTried: (row["tried"] as Int64) != 0
        )
    }

    private static func ban(_ row: Row) -> BanRow? {
        guard let subject = Subnet(row["subject"]), let kind = BanRow.Kind(rawValue: row["kind"]) else { return nil }
        return BanRow(
            subject: subject, kind: kind, until: (row["until"] as Int64?).map { WallTime(milliseconds: $0) }, reason: row["reason"],
            by: row["set_by"], at: WallTime(milliseconds: row["set_at"])
        )
    }

    // Writing. Each call is one transaction: when it returns, the end of the process costs nothing of it.

    func write(_ change: StoreChange) throws {
        try queue.write { database in
            if let key = change.key {
                for (name, value) in [("key0", key.0), ("key1", key.1)] {
                    try database.execute(sql: "INSERT OR REPLACE INTO meta VALUES (?, ?)", arguments: [name, Int64(bitPattern: value)])
                }
            }
            for (endpoint, entry) in change.addresses { try StoreDatabase.write(endpoint, entry, database) }
            for (key, ban) in change.bans { try StoreDatabase.write(key, ban, database) }
            for (wanted, isWanted) in change.wanted {
                try database.execute(
                    sql: isWanted ? "INSERT OR REPLACE INTO wanted VALUES (?, ?)" : "DELETE FROM wanted WHERE endpoint = ? AND kind = ?",
                    arguments: [wanted.endpoint.description, wanted.kind.rawValue]
                )
            }
            for (name, value) in change.counters {
                try database.execute(sql: "INSERT OR REPLACE INTO counter VALUES (?, ?)", arguments: [name, value])
            }
        }
        log.committed(rows: change.count)
    }

    private static func write(_ endpoint: Endpoint, _ entry: AddressBook.Entry?, _ database: Database) throws {
        guard let entry else {
            return try database.execute(sql: "DELETE FROM address WHERE endpoint = ?", arguments: [endpoint.description])
        }
        let statement = try database.cachedStatement(sql: "INSERT OR REPLACE INTO address VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        try statement.execute(arguments: [
            endpoint.description, entry.source.description, entry.firstSeen.milliseconds, entry.lastSeen.milliseconds,
            entry.lastTry?.milliseconds, entry.lastSuccess?.milliseconds, entry.lastReason, Int64(entry.failures), Int64(entry.sessions),
            entry.forgottenUntil?.milliseconds, entry.linkedSince?.milliseconds, entry.isTried ? 1 : 0,
        ])
    }

    private static func write(_ key: BanKey, _ ban: BanRow?, _ database: Database) throws {
        guard let ban else {
            return try database.execute(
                sql: "DELETE FROM ban WHERE subject = ? AND kind = ?", arguments: [key.subject.description, key.kind.rawValue])
        }
        try database.execute(
            sql: "INSERT OR REPLACE INTO ban VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [ban.subject.description, ban.kind.rawValue, ban.until?.milliseconds, ban.reason, ban.by, ban.at.milliseconds]
        )
    }
}

struct BanKey: Hashable, Sendable {
    var subject: Subnet
    var kind: BanRow.Kind
}

/// What one transaction writes; nil takes a row away.
struct StoreChange: Sendable {
    var key: (UInt64, UInt64)?
    var addresses: [Endpoint: AddressBook.Entry?] = [:]
    var bans: [BanKey: BanRow?] = [:]
    var wanted: [WantedRow: Bool] = [:]
    var counters: [String: Int64] = [:]

    /// Rows that it writes or takes away, the key's aside.
    var count: Int { addresses.count + bans.count + wanted.count + counters.count }

    var isEmpty: Bool { key == nil && count == 0 }
}
