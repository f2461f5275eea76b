// The store's file: its tables, and how values become rows. SQLite with a write-ahead log: what is committed survives the process,
// and what is synced besides (`StoreLog`) the machine.

import GRDB
import Glibc
import PeerMesh
import Timers

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

    /// How long it holds from `now` on; nil for ever. Never longer than it was set for: the clock may have been set since.
    func left(at now: WallTime) -> Nanoseconds? {
        // One that ends before it begins was written by somebody else: its end alone counts.
        until.map { $0 < at ? $0.since(now) : min($0.since(now), $0.since(at)) }
    }
}

/// A peer or masternode that the operator added at run time.
struct WantedRow: Hashable, Sendable {
    enum Kind: String, Sendable {
        case masternode, peer
    }

    var peer: PeerTarget
    var kind: Kind

    init(peer: PeerTarget, kind: Kind) {
        self.peer = peer
        self.kind = kind
    }

    init(_ named: NamedPeer) {
        self.init(peer: .name(named.name), kind: named.kind == .masternode ? .masternode : .peer)
    }

    /// Nil for one that is wanted by name.
    var endpoint: Endpoint? { peer.endpoint }
    /// Nil for one that is wanted by address.
    var named: NamedPeer? { peer.name.map { NamedPeer(name: $0, kind: kind == .masternode ? .masternode : .peer) } }
}

/// What the file held when it was opened.
struct StoredState {
    var key: (UInt64, UInt64) = (0, 0)
    var addresses: [AddressBook.Entry] = []
    var bans: [BanRow] = []
    var wanted: [WantedRow] = []
    var counters: [String: Int64] = [:]
    /// What each registry file named when it was last believed.
    var registry: Set<RegisteredRow> = []
}

/// A masternode that a registry file named.
struct RegisteredRow: Hashable, Sendable {
    var file: String
    var peer: PeerTarget
}

/// The open file. One thread at a time.
struct StoreDatabase: Sendable {
    static let version = 2
    private let queue: DatabaseQueue
    let log: StoreLog
    /// Which file this is: the name may lead to another one later.
    let identity: FileIdentity?

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
        try StoreDatabase.migrate(queue)
        log = try StoreLog(of: path, configuration, options.synchronise)
        identity = FileIdentity(path: path)
    }

    func close() {
        log.close()
        try? queue.close()
    }

    /// The file was written by a version of this program that knows more than this one.
    struct Newer: Error {
        let version: Int
    }

    /// The tables as they are made: a file whose tables differ is not whole. In `wanted` and `registry` the endpoint may be a host name
    /// with its port: the name is kept, not what it meant.
    static let tables: [(name: String, sql: String)] = [
        ("meta", "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID"),
        (
            "address",
            """
            CREATE TABLE address (
                endpoint TEXT PRIMARY KEY, source TEXT NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
                last_try INTEGER, last_success INTEGER, last_reason TEXT, failures INTEGER NOT NULL, sessions INTEGER NOT NULL,
                forgotten_until INTEGER, linked_since INTEGER, tried INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """
        ),
        (
            "ban",
            """
            CREATE TABLE ban (
                subject TEXT NOT NULL, kind TEXT NOT NULL, until INTEGER, reason TEXT NOT NULL, set_by TEXT NOT NULL,
                set_at INTEGER NOT NULL, PRIMARY KEY (subject, kind)
            ) STRICT, WITHOUT ROWID
            """
        ),
        ("wanted", "CREATE TABLE wanted ( endpoint TEXT NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (endpoint, kind) ) STRICT, WITHOUT ROWID"),
        ("counter", "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID"),
        registryTable,
    ]

    /// Since version 2.
    static let registryTable = (
        name: "registry",
        sql: "CREATE TABLE registry (file TEXT NOT NULL, endpoint TEXT NOT NULL, PRIMARY KEY (file, endpoint)) STRICT, WITHOUT ROWID"
    )

    private static func migrate(_ queue: DatabaseQueue) throws {
        // Read first: a file that is as it should be takes no write.
        let version = try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
        guard version <= StoreDatabase.version else { throw Newer(version: version) }
        guard version < StoreDatabase.version else { return }
        try queue.write { database in
            for table in version == 0 ? tables : [registryTable] { try database.execute(sql: table.sql) }
            try database.execute(sql: "PRAGMA user_version = \(StoreDatabase.version)")
        }
    }

    // Reading.

    /// Everything that can be read. `StoreReader` says what cannot.
    func load() throws -> StoredState {
        try queue.read { try StoreReader.read($0)?.state ?? StoredState() }
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
                    arguments: [wanted.peer.description, wanted.kind.rawValue]
                )
            }
            for (row, isNamed) in change.registry {
                try database.execute(
                    sql: isNamed ? "INSERT OR REPLACE INTO registry VALUES (?, ?)" : "DELETE FROM registry WHERE file = ? AND endpoint = ?",
                    arguments: [row.file, row.peer.description]
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
    var registry: [RegisteredRow: Bool] = [:]

    /// Rows that it writes or takes away, the key's aside.
    var count: Int { addresses.count + bans.count + wanted.count + counters.count + registry.count }

    var isEmpty: Bool { key == nil && count == 0 }
}
