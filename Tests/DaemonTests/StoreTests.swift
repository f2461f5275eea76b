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
        let until = WallTime.now + .seconds(3_600)
        do {
            let store = try Store(directory: folder.path)
            try store.record(.connect(peer), at: .now)
            try store.record(.addMasternode(masternode), at: .now)
            try store.record(.ban(range, until: until, reason: "spam", by: "uid 7"), at: .now)
            try store.record(.trust(Subnet(peer.address)), at: .now)
            try store.record(.ban(Subnet(masternode.address), until: nil, reason: "", by: "x"), at: .now)
            try store.record(.unban(Subnet(masternode.address)), at: .now)
            try store.record(.ban(Subnet("10.8.0.0/16")!, until: WallTime.now, reason: "over", by: "x"), at: .now)
        }
        do {
            let store = try Store(directory: folder.path)
            let memory = store.recollect(limit: 10)
            #expect(memory.wanted == [WantedRow(endpoint: peer, kind: .peer), WantedRow(endpoint: masternode, kind: .masternode)])
            #expect(Set(memory.bans.map(\.kind)) == [.operator, .trust] && memory.bans.count == 2)
            let ban = try #require(store.ban(range, .operator))
            #expect(ban.until == until && ban.reason == "spam" && ban.by == "uid 7")
            #expect(store.status.counters["starts"] == 2 && store.status.counters["operator-actions"] == 7)
            try store.record(.disconnect(peer), at: .now)
            try store.record(.removeMasternode(masternode), at: .now)
            try store.record(.untrust(Subnet(peer.address)), at: .now)
        }
        let store = try Store(directory: folder.path)
        #expect(store.recollect(limit: 10).wanted.isEmpty && store.ban(Subnet(peer.address), .trust) == nil)
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
            for index in 0..<200 { try store.record(.ban(Subnet(IPAddress(v4: UInt32(index + 1) << 8)), until: nil, reason: "r", by: "b"), at: .now) }
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
        let store = try Store(directory: folder.path, maximumPages: 12)
        var refused: JournalError?
        var count = 0
        while refused == nil, count < 2_000 {
            count += 1
            do throws(JournalError) { try store.record(.ban(Subnet(IPAddress(v4: UInt32(count) << 8)), until: nil, reason: String(repeating: "x", count: 200), by: "b"), at: .now) } catch {
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

/// The events of the lines that were said.
private final class Said: @unchecked Sendable {
    private let lock = NSLock()
    private var names: [String] = []

    var events: [String] { lock.withLock { names } }

    func add(_ lines: StartLines) {
        lock.withLock { names += lines.lines.map { "\($0.event)" } }
    }
}
