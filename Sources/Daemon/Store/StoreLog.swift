// The way to the disk of what was committed. A commit ends in the system's memory, where `kill -9` takes nothing of it; what must
// survive the machine, too, is synced here, on a descriptor of its own and outside every lock. So a disk that takes seconds over a
// sync keeps whoever asked for it waiting, and nobody else's commit.

import GRDB
import Glibc
import Synchronization

/// The write-ahead log of an open store. Any thread.
final class StoreLog: Sendable {
    /// Syncs a descriptor; 0 or an errno.
    typealias Synchronise = @Sendable (CInt) -> CInt
    static let disk: Synchronise = { fdatasync($0) == 0 ? 0 : errno }

    /// The disk did not take what was written.
    struct Failure: Error {
        let code: CInt
    }

    private let file: CInt
    private let synchronise: Synchronise
    /// A connection of its own: it folds the log into the file while others commit.
    private let checkpointer: Mutex<DatabaseQueue?>
    private let rows = Atomic<Int>(0)

    /// Rows after which the log is folded into the file: some thousand pages.
    static let foldingRows = 1_000
    /// Pages of a log that grows because its writers never pause: from here on they wait for the folding. 64 MiB.
    private static let longest = 16_384

    /// The log of the database at `path`, which is open and has one.
    init(of path: String, _ configuration: Configuration, _ synchronise: @escaping Synchronise) throws {
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        _ = try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        file = unsafe open(path + "-wal", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Failure(code: errno) }
        self.synchronise = synchronise
        checkpointer = Mutex(queue)
    }

    deinit {
        Descriptors.close(file)
    }

    /// So many rows were committed.
    func committed(rows count: Int) {
        rows.wrappingAdd(count, ordering: .relaxed)
    }

    /// Returns when all that was committed before is on the disk.
    func sync() throws(Failure) {
        let code = synchronise(file)
        if code != 0 { throw Failure(code: code) }
    }

    /// Whether the log is long enough to be folded into the file.
    var isDue: Bool { rows.load(ordering: .relaxed) >= StoreLog.foldingRows }

    /// Folds the log into the file while others commit. False if it has grown too long for that: they must pause.
    func fold() throws -> Bool {
        rows.store(0, ordering: .relaxed)
        let pages = try checkpointer.withLock { queue throws -> Int in
            guard let queue else { return 0 }
            do {
                let (all, folded) = try queue.writeWithoutTransaction { try $0.checkpoint(.passive) }
                return all == folded ? 0 : all
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                // Somebody who looks at the file folds it just now.
                return 0
            }
        }
        return pages < StoreLog.longest
    }

    /// Ends the connection, after what it is doing. Before the store's own connection, which then takes the log away.
    func close() {
        checkpointer.withLock { queue in
            try? queue?.close()
            queue = nil
        }
    }
}
