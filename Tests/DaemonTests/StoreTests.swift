import Foundation
import GRDB
import PeerMesh
import Testing
import Timers

@testable import Daemon

@Suite("The store")
struct StoreTests {
    /// A directory that ends with the test.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("store-\(UUID().uuidString)").path
        var file: String { path + "/" + Store.fileName }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private let peer = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)
    private let masternode = Endpoint(IPAddress(v4: 10, 0, 0, 2), port: 5)
    private let range = Subnet("10.9.0.0/16")!

    @Test("what an operator did is there after a restart, with who did it and why, and what was taken back is not")
    func operatorActions() throws {
        let folder = Folder()
        do {
            let store = try Store(directory: folder.path)
            try store.record(.connect(peer), at: .now)
            try store.record(.addMasternode(masternode), at: .now)
            try store.record(.ban(range, for: .seconds(3_600), reason: "spam", by: "uid 7"), at: .now)
            try store.record(.trust(Subnet(peer.address)), at: .now)
            try store.record(.ban(Subnet(masternode.address), for: nil, reason: "", by: "x"), at: .now)
            try store.record(.unban(Subnet(masternode.address)), at: .now)
            try store.record(.ban(Subnet("10.8.0.0/16")!, for: .zero, reason: "over", by: "x"), at: .now)
        }
        do {
            let store = try Store(directory: folder.path)
            let memory = store.recollect(limit: 10)
            #expect(memory.wanted == [WantedRow(peer: .endpoint(peer), kind: .peer), WantedRow(peer: .endpoint(masternode), kind: .masternode)])
            #expect(Set(memory.bans.map(\.kind)) == [.operator, .trust] && memory.bans.count == 2)
            let ban = try #require(store.ban(range, .operator))
            #expect(ban.until == ban.at + .seconds(3_600) && ban.reason == "spam" && ban.by == "uid 7")
            #expect(store.status.counters["starts"] == 2 && store.status.counters["operator-actions"] == 7)
            try store.record(.disconnect(peer), at: .now)
            try store.record(.removeMasternode(masternode), at: .now)
            try store.record(.untrust(Subnet(peer.address)), at: .now)
        }
        let store = try Store(directory: folder.path)
        #expect(store.recollect(limit: 10).wanted.isEmpty && store.ban(Subnet(peer.address), .trust) == nil)
    }

    @Test("a peer and a masternode that an operator named are kept by name, and taken back by name")
    func names() throws {
        let folder = Folder()
        let friend = NamedPeer(name: PeerName("Friend.test:5")!, kind: .peer)
        let both = [NamedPeer(name: friend.name, kind: .masternode), friend]
        do {
            let store = try Store(directory: folder.path)
            for name in both { try store.record(.wantName(name), at: .now) }
        }
        do {
            let store = try Store(directory: folder.path)
            let memory = store.recollect(limit: 10)
            #expect(Set(memory.names) == Set(both) && memory.wanted.allSatisfy { $0.endpoint == nil })
            #expect(memory.names.first?.name.description == "friend.test:5")
            try store.record(.dropName(friend), at: .now)
        }
        #expect(try Store(directory: folder.path).recollect(limit: 10).names == [both[0]])
    }

    @Test("a second store on one directory is refused, and told which process has it")
    func locked() throws {
        let folder = Folder()
        let first = try Store(directory: folder.path)
        let error = #expect(throws: DaemonError.self) { try Store(directory: folder.path) }
        #expect(error?.status == .unavailable)
        #expect(error?.description.contains("process \(getpid())") == true && error?.description.contains(folder.path) == true)
        _ = first.status
    }

    @Test("a damaged file is set aside, said, and the node has a new one", arguments: ["noise", "cut", "zeroed", "nothing of ours"])
    func damage(kind: String) throws {
        let folder = Folder()
        do {
            let store = try Store(directory: folder.path)
            for index in 0..<200 { try store.record(.ban(Subnet(IPAddress(v4: UInt32(index + 1) << 8)), for: nil, reason: "r", by: "b"), at: .now) }
        }
        let file = URL(fileURLWithPath: folder.file)
        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: folder.file + suffix) }
        var bytes = try Data(contentsOf: file)
        switch kind {
        case "noise": bytes = Data((0..<20_000).map { _ in UInt8.random(in: 0...255) })
        case "cut": bytes = bytes.prefix(bytes.count / 2 + 100)
        case "zeroed": bytes.replaceSubrange(4_096..<min(bytes.count, 12_288), with: Data(count: min(bytes.count, 12_288) - 4_096))
        default:
            try FileManager.default.removeItem(at: file)
            try DatabaseQueue(path: folder.file).write { try $0.execute(sql: "CREATE TABLE other (x); PRAGMA user_version = 1") }
            bytes = try Data(contentsOf: file)
        }
        try bytes.write(to: file)
        let store = try Store(directory: folder.path)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(names.contains { $0.hasPrefix(Store.fileName + ".damaged-") })
        try store.record(.connect(peer), at: .now)
        #expect(store.status.trouble == nil && store.recollect(limit: 1).wanted.count == 1)
        let said = Said()
        let thread = try store.start { said.add($0) }
        store.stop()
        #expect(thread.wait(milliseconds: 120_000))
        #expect(said.events.contains("store-damaged"))
    }

    @Test("a file of a newer version is refused, and left as it is")
    func newer() throws {
        let folder = Folder()
        do { _ = try Store(directory: folder.path) }
        let queue = try DatabaseQueue(path: folder.file)
        try queue.write { try $0.execute(sql: "PRAGMA user_version = 99") }
        try queue.close()
        let error = #expect(throws: DaemonError.self) { try Store(directory: folder.path) }
        #expect(error?.status == .configuration && error?.description.contains("99") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.contains("damaged") })
    }

    @Test("a directory that cannot be made is refused with its name")
    func noDirectory() {
        let error = #expect(throws: DaemonError.self) { try Store(directory: "/proc/none/here") }
        #expect(error?.description.contains("/proc/none") == true && error?.status == .configuration)
    }

    @Test("a full disk: the action counts, the answer says that it may be lost, and the store goes on in memory")
    func full() throws {
        let folder = Folder()
        let store = try Store(directory: folder.path, .init(maximumPages: 12))
        var refused: JournalError?
        var count = 0
        while refused == nil, count < 2_000 {
            count += 1
            do throws(JournalError) { try store.record(.ban(Subnet(IPAddress(v4: UInt32(count) << 8)), for: nil, reason: String(repeating: "x", count: 200), by: "b"), at: .now) } catch {
                refused = error
            }
        }
        #expect(refused?.description.contains("full") == true)
        #expect(store.status.trouble != nil)
        #expect(store.recollect(limit: 1).bans.count == count, "the memory has them all")
        let said = Said()
        let thread = try store.start { said.add($0) }
        store.stop()
        #expect(thread.wait(milliseconds: 120_000))
        #expect(said.events.filter { $0 == "store-degraded" }.count == 1, "said once")
    }

    @Test("a disk that was full and has room again is told everything")
    func recovered() throws {
        let folder = Folder()
        // The file's name is taken by a directory: nothing can be opened there, until it is gone.
        try FileManager.default.createDirectory(atPath: folder.file + "/x", withIntermediateDirectories: true)
        let store = try Store(directory: folder.path)
        #expect(throws: JournalError.self) { try store.record(.connect(peer), at: .now) }
        try FileManager.default.removeItem(atPath: folder.file)
        try store.record(.addMasternode(masternode), at: .now)
        #expect(store.status.trouble == nil)
        let said = Said()
        let thread = try store.start { said.add($0) }
        store.stop()
        #expect(thread.wait(milliseconds: 120_000))
        #expect(said.events.contains("store-degraded") && said.events.contains("store-recovered"))
        let rows = try StoreDatabase(path: folder.file).load()
        #expect(Set(rows.wanted.map(\.kind)) == [.peer, .masternode] && rows.key != (0, 0))
    }

    @Test("what a peer tells reaches the book, and the disk")
    func told() throws {
        let folder = Folder()
        do {
            let store = try Store(directory: folder.path)
            let thread = try store.start { _ in }
            store.note(told: peer, by: masternode.address)
            store.stop()
            #expect(thread.wait(milliseconds: 120_000))
        }
        let entry = try StoreDatabase(path: folder.file).load().addresses.first
        #expect(entry?.endpoint == peer && entry?.source == masternode.address && entry?.isTried == false)
    }
}

/// What the disk is made to do, and how far those who write have come.
private final class SlowDisk: @unchecked Sendable {
    private let condition = NSCondition()
    private var isOpen = true
    private var failure: Int32 = 0
    private var waiting = 0

    func hold() { condition.withLock { isOpen = false } }
    func fail(_ code: Int32) { condition.withLock { failure = code } }

    func release() {
        condition.withLock {
            isOpen = true
            condition.broadcast()
        }
    }

    /// Until somebody waits for a sync.
    func awaitWaiter() -> Bool {
        condition.withLock {
            while waiting == 0 { guard condition.wait(until: Date(timeIntervalSinceNow: 120)) else { return false } }
            return true
        }
    }

    func sync(_ descriptor: Int32) -> Int32 {
        condition.withLock {
            waiting += 1
            condition.broadcast()
            while !isOpen { condition.wait() }
            waiting -= 1
            return failure == 0 ? StoreLog.disk(descriptor) : failure
        }
    }
}

@Suite("The store and the disk beneath it")
struct StoreSyncTests {
    private final class Folder: Sendable {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("sync-\(UUID().uuidString)").path
        var file: String { path + "/" + Store.fileName }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private let peer = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)
    private let other = Endpoint(IPAddress(v4: 10, 0, 0, 2), port: 5)

    /// Until a look at the file, as after `kill -9`, satisfies `condition`.
    private func poll(_ folder: Folder, _ condition: (StoredState) -> Bool) throws -> Bool {
        let deadline = Date(timeIntervalSinceNow: 120)
        while Date() < deadline {
            if condition(try StoreDatabase(path: folder.file).load()) { return true }
            usleep(20_000)
        }
        return false
    }

    @Test("a disk that hangs over an operator's sync keeps him waiting, and nothing that was learnt from being written")
    func hanging() async throws {
        let (folder, disk) = (Folder(), SlowDisk())
        let store = try Store(directory: folder.path, .init(synchronise: { disk.sync($0) }))
        let thread = try store.start { _ in }
        disk.hold()
        let operatorIsDone = DispatchSemaphore(value: 0)
        Thread.detachNewThread { [peer] in
            try? store.record(.connect(peer), at: .now)
            operatorIsDone.signal()
        }
        #expect(disk.awaitWaiter())
        store.note(told: other, by: peer.address)
        #expect(try poll(folder) { $0.addresses.contains { $0.endpoint == other } && $0.wanted.count == 1 })
        #expect(store.status.trouble == nil, "whoever asks how the store is does not wait either")
        #expect(operatorIsDone.wait(timeout: .now()) == .timedOut, "the disk has not got it yet")
        disk.release()
        #expect(operatorIsDone.wait(timeout: .now() + 120) == .success)
        store.stop()
        #expect(thread.wait(milliseconds: 120_000))
    }

    @Test("a sync that fails is said, and all is written anew")
    func failing() throws {
        let (folder, disk) = (Folder(), SlowDisk())
        let store = try Store(directory: folder.path, .init(synchronise: { disk.sync($0) }))
        try store.record(.connect(peer), at: .now)
        disk.fail(EIO)
        let error = #expect(throws: JournalError.self) { try store.record(.connect(other), at: .now) }
        #expect(error?.description.contains("does not take what was written") == true)
        #expect(throws: JournalError.self) { try store.record(.connect(other), at: .now) }
        disk.fail(0)
        try store.record(.trust(Subnet(peer.address)), at: .now)
        #expect(store.status.trouble == nil)
        let state = try StoreDatabase(path: folder.file).load()
        #expect(state.wanted.count == 2 && state.bans.count == 1)
    }

    @Test("the log is folded into the file while the store is open")
    func folding() throws {
        let folder = Folder()
        let store = try Store(directory: folder.path)
        let thread = try store.start { _ in }
        for index in 1...2 * StoreLog.foldingRows {
            store.note(told: Endpoint(IPAddress(v4: UInt32(index) << 16 | 1), port: 5), by: IPAddress(v4: UInt32(index) << 16 | 2))
        }
        // The file alone, as if there were no log.
        let copy = Folder()
        try FileManager.default.createDirectory(atPath: copy.path, withIntermediateDirectories: true)
        let deadline = Date(timeIntervalSinceNow: 120)
        var count = 0
        while count == 0, Date() < deadline {
            try? FileManager.default.removeItem(atPath: copy.file)
            try FileManager.default.copyItem(atPath: folder.file, toPath: copy.file)
            count = (try? StoreDatabase(path: copy.file).load().addresses.count) ?? 0
            for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: copy.file + suffix) }
            usleep(20_000)
        }
        #expect(count > 500)
        store.stop()
        #expect(thread.wait(milliseconds: 120_000))
    }
}

/// The events of the lines that were said.
private final class Said: @unchecked Sendable {
    private let lock = NSLock()
    private var names: [String] = []

    var events: [String] { lock.withLock { names } }

    func add(_ lines: StartLines) {
        lock.withLock { names += lines.lines.map { "\($0.event)" } }
    }
}

@Suite("A store that others changed")
struct StoreReadingTests {
    private let folder = TestFolder(inMemory: true)
    private var file: String { folder.path + "/" + Store.fileName }
    private let range = Subnet("10.9.0.0/16")!
    private let peer = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)

    /// A store with a ban, a peer and an address, closed in order.
    private func fill() throws {
        let store = try Store(directory: folder.path)
        store.note(told: peer, by: peer.address)
        try store.record(.ban(range, for: nil, reason: "spam", by: "uid 7"), at: .now)
        try store.record(.connect(peer), at: .now)
    }

    /// Opens the store; a thread of the last one may still let go of it.
    private func open() throws -> Store {
        let deadline = Date(timeIntervalSinceNow: 120)
        while Date() < deadline {
            if let store = try? Store(directory: folder.path) { return store }
            usleep(1_000)
        }
        return try Store(directory: folder.path)
    }

    private func change(_ sql: String) throws {
        let queue = try DatabaseQueue(path: file)
        try queue.writeWithoutTransaction { try $0.execute(sql: sql) }
        try queue.close()
    }

    private func setAside() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.contains(".damaged-") }
    }

    /// Every column of every table gone, NULL, a BLOB, a text, a number out of all bounds; tables gone, views and triggers there.
    static let changes: [String] = {
        let columns = [
            ("meta", ["name", "value"]), ("counter", ["name", "value"]), ("wanted", ["endpoint", "kind"]), ("registry", ["file", "endpoint"]),
            ("ban", ["subject", "kind", "until", "reason", "set_by", "set_at"]),
            (
                "address",
                [
                    "endpoint", "source", "first_seen", "last_seen", "last_try", "last_success", "last_reason", "failures", "sessions",
                    "forgotten_until", "linked_since", "tried",
                ]
            ),
        ]
        var found: [String] = []
        for (table, names) in columns {
            found.append("DROP TABLE \(table)")
            found.append("DROP TABLE \(table); CREATE TABLE \(table) (x)")
            found.append("DROP TABLE \(table); CREATE VIEW \(table) AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n")
            let plain = "CREATE TABLE copy AS SELECT * FROM \(table); DROP TABLE \(table); ALTER TABLE copy RENAME TO \(table); "
            for name in names {
                found.append(plain + "ALTER TABLE \(table) RENAME COLUMN \(name) TO other")
                for value in ["NULL", "x'00ff'", "''", "'nonsense'", "9223372036854775807", "-9223372036854775808", "1.5e300", "4294967295"] {
                    found.append(plain + "UPDATE \(table) SET \(name) = \(value)")
                }
            }
        }
        found.append("CREATE TRIGGER t AFTER INSERT ON counter BEGIN DELETE FROM ban; END")
        found.append("PRAGMA user_version = 0")
        found.append("CREATE TABLE more (x)")
        return found
    }()

    @Test("whatever is in a row, a column or a table, the store opens; what is whole is kept, and the file is set aside", .timeLimit(.minutes(5)))
    func total() throws {
        try fill()
        let whole = try Data(contentsOf: URL(fileURLWithPath: file))
        for sql in StoreReadingTests.changes {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where name.hasPrefix(Store.fileName) {
                try FileManager.default.removeItem(atPath: folder.path + "/" + name)
            }
            try whole.write(to: URL(fileURLWithPath: file))
            try change(sql)
            let store = try open()
            let memory = store.recollect(limit: 10)
            try store.record(.trust(Subnet(peer.address)), at: .now)
            #expect(store.status.trouble == nil, "\(sql)")
            if !sql.contains(" ban") { #expect(memory.bans.map(\.subject) == [range], "\(sql)") }
            if !sql.contains(" wanted") { #expect(memory.wanted.map(\.endpoint) == [peer], "\(sql)") }
            if sql.contains("DROP TABLE") || sql.contains("TRIGGER") { #expect(try setAside().count == 1, "\(sql)") }
            // The clock's sum and the counts must not end the process either.
            store.note(told: peer, by: peer.address)
            let now = Instant(nanoseconds: 1)
            store.records.push(StoreRecord(at: now, endpoint: peer, what: .failed(.refused)))
            store.records.push(StoreRecord(at: now, endpoint: peer, what: .linked))
            let thread = try store.start { _ in }
            store.stop()
            #expect(thread.wait(milliseconds: 120_000), "\(sql)")
        }
    }

    @Test("a file that is damaged in one place gives up the rest")
    func damagedPlace() throws {
        try fill()
        // STRICT refuses this, a disk does not.
        try change("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'address'; PRAGMA writable_schema = RESET")
        try change("UPDATE address SET first_seen = NULL")
        let store = try open()
        let memory = store.recollect(limit: 10)
        #expect(memory.bans.count == 1 && memory.wanted.count == 1 && memory.addresses.isEmpty)
        #expect(try setAside().count == 1)
    }

    @Test("the store and all beside it are for its user alone, also where they were not")
    func rights() throws {
        try fill()
        #expect(chmod(file, 0o644) == 0)
        let store = try open()
        try store.record(.connect(peer), at: .now)
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            let mode = try FileManager.default.attributesOfItem(atPath: folder.path + "/" + name)[.posixPermissions] as? Int
            #expect(mode == 0o600, "\(name)")
        }
    }

    @Test("a lock that is a link, a pipe or a directory is refused, and what it leads to stays as it is", arguments: ["symbolic", "hard", "pipe", "directory"])
    func foreignLock(kind: String) throws {
        let victim = try folder.write("precious\n", "victim")
        let state = folder.path + "/state"
        try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
        switch kind {
        case "symbolic": #expect(symlink(victim, state + "/lock") == 0)
        case "hard": #expect(link(victim, state + "/lock") == 0)
        case "pipe": #expect(mkfifo(state + "/lock", 0o600) == 0)
        default: #expect(mkdir(state + "/lock", 0o700) == 0)
        }
        let error = #expect(throws: DaemonError.self) { try Store(directory: state) }
        #expect(error?.status == .configuration && error?.description.contains("/lock") == true || kind == "directory", "\(String(describing: error))")
        #expect(try String(contentsOfFile: victim, encoding: .utf8) == "precious\n")
    }

    @Test("a store that is a link is not followed: nothing is written, and the store says so")
    func foreignStore() throws {
        let state = folder.path + "/state"
        try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
        let victim = try folder.write("", "victim")
        #expect(symlink(victim, state + "/" + Store.fileName) == 0)
        let store = try Store(directory: state)
        #expect(throws: JournalError.self) { try store.record(.connect(peer), at: .now) }
        #expect(store.status.trouble?.contains("is a link") == true)
        #expect(try Data(contentsOf: URL(fileURLWithPath: victim)).isEmpty)
    }

    @Test("a store that vanished or was emptied is said at the next start; the first start of a directory is not")
    func absent() throws {
        func events() throws -> [String] {
            let store = try open()
            let said = Said()
            let thread = try store.start { said.add($0) }
            store.stop()
            #expect(thread.wait(milliseconds: 120_000))
            return said.events
        }
        #expect(try !events().contains("store-absent"))
        #expect(try !events().contains("store-absent"))
        try FileManager.default.removeItem(atPath: file)
        #expect(try events().contains("store-absent"))
        try Data().write(to: URL(fileURLWithPath: file))
        #expect(try events().contains("store-absent"))
    }

    @Test("a store that is removed or exchanged while it is open is written again, and merged with what took its place")
    func replaced() throws {
        let other = Endpoint(IPAddress(v4: 10, 0, 0, 9), port: 5)
        try fill()
        let backup = try Data(contentsOf: URL(fileURLWithPath: file))
        let store = try open()
        try FileManager.default.removeItem(atPath: file)
        try store.record(.connect(other), at: .now)
        #expect(try StoreDatabase(path: file).load().wanted.count == 2)
        try store.record(.disconnect(peer), at: .now)
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: file + suffix) }
        try backup.write(to: URL(fileURLWithPath: file))
        try store.record(.unban(range), at: .now)
        let state = try StoreDatabase(path: file).load()
        #expect(Set(state.wanted.map(\.endpoint)) == [peer, other] && state.bans.isEmpty)
    }
}

@Suite("A store that cannot be read at start")
struct UnreadStoreTests {
    private let folder = TestFolder(inMemory: true)
    private var file: String { folder.path + "/" + Store.fileName }
    private let range = Subnet("10.9.0.0/16")!
    private let peer = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)
    private let other = Endpoint(IPAddress(v4: 10, 0, 0, 2), port: 5)

    private func fill() throws {
        let store = try Store(directory: folder.path)
        for index in 0..<10 { try store.record(.ban(Subnet(IPAddress(v4: 10, 8, 0, UInt8(index))), for: nil, reason: "r", by: "b"), at: .now) }
        try store.record(.addMasternode(peer), at: .now)
    }

    @Test("of a file that was cut the tables that are left are in force, and the rest is set aside")
    func cut() throws {
        try fill()
        do {
            // All of it in the file, nothing in its log.
            let queue = try DatabaseQueue(path: file)
            _ = try queue.writeWithoutTransaction { try $0.checkpoint(.truncate) }
            try queue.close()
        }
        let size = try #require(FileIdentity(path: file)?.size)
        #expect(truncate(file, off_t(size - 5_000)) == 0)
        let store = try Store(directory: folder.path)
        #expect(store.recollect(limit: 10).bans.count == 10)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).contains { $0.contains("damaged") })
    }

    @Test("while another program holds the file, the store says so; then what it holds is told, and what was told meanwhile counts more", .timeLimit(.minutes(2)))
    func locked() throws {
        try fill()
        var unsafe = Configuration()
        unsafe.allowsUnsafeTransactions = true
        let backup = try DatabaseQueue(path: file, configuration: unsafe)
        try backup.writeWithoutTransaction { try $0.execute(sql: "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE counter SET value = value") }
        let store = try Store(directory: folder.path)
        #expect(store.status.trouble?.contains("it was not read") == true && store.recollect(limit: 10).bans.isEmpty)
        #expect(throws: JournalError.self) { try store.record(.connect(other), at: .now) }
        #expect(throws: JournalError.self) { try store.record(.unban(Subnet("10.8.0.3")!), at: .now) }
        let (said, told) = (Said(), DispatchSemaphore(value: 0))
        let thread = try store.start({ said.add($0) }, tell: { told.signal(); return true })
        try backup.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
        try backup.close()
        #expect(told.wait(timeout: .now() + 60) == .success)
        let memory = store.recollect(limit: 10)
        #expect(memory.bans.count == 9 && Set(memory.wanted.map(\.endpoint)) == [peer, other])
        store.stop()
        #expect(thread.wait(milliseconds: 120_000))
        #expect(said.events.contains("store-read") && store.status.trouble == nil)
        let state = try StoreDatabase(path: file).load()
        #expect(state.bans.count == 9 && state.wanted.count == 2)
    }

    @Test("a file that takes no writes is read all the same", .timeLimit(.minutes(2)))
    func full() throws {
        try fill()
        // No page may be added, and no table made: a full disk to SQLite.
        let store = try Store(directory: folder.path, .init(maximumPages: 1))
        #expect(store.recollect(limit: 10).bans.count == 10 && store.recollect(limit: 10).wanted.map(\.endpoint) == [peer])
        #expect(try StoreDatabase(path: file).load().bans.count == 10, "and keeps what it has")
    }
}
