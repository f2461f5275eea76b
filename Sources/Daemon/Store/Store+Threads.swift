// The store's two threads. One writes what was learnt: into the system's memory, at most 0.3 s after the first of it, behind no
// sync. The other brings what was written to the disk, and folds the log into the file.

import CEpoll
import PeerMesh
import Reactor
import Synchronization
import Timers

extension Store {
    /// How long records are gathered before they are written.
    private static let gathering: CInt = 300
    /// How long a file that failed rests.
    private static let retry: CInt = 5_000

    /// How long a file that was not read yet rests: what it holds is not in force.
    private static let rereading: CInt = 1_000

    /// Starts both threads; the first ends last. `tell` hears when something was read after the start, or what was read is to be
    /// judged again; it is false if the node is to be told later.
    func start(
        _ say: @escaping @Sendable (StartLines) -> Void, tell: @escaping @Sendable () -> Bool = { true }
    ) throws(DaemonError) -> DaemonThread {
        say(core.withLock { $0.takeLines() })
        let syncing = try DaemonThread.start("store-sync") { self.keepSynced() }
        return try DaemonThread.start("store") {
            self.run(say, tell)
            self.hasWritten.store(true, ordering: .sequentiallyConsistent)
            self.syncBell.ring()
            _ = syncing.wait(milliseconds: -1)
            self.core.withLock { $0.close() }
        }
    }

    /// Has the threads write what they have and end. Any thread.
    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        stopBell.ring()
        doorbell.ring()
    }

    private var hasRecords: Bool { !records.isEmpty || !told.isEmpty }

    private func run(_ say: (StartLines) -> Void, _ tell: () -> Bool) {
        var isFailing = false
        var hasNews = false
        while true {
            let isLast = isStopping.load(ordering: .sequentiallyConsistent)
            let moment = Moment()
            let lines = core.withLock { core in
                take(into: &core, moment)
                if !isFailing || isLast || !hasRecords { isFailing = !core.write() }
                if !isFailing { behindSince.store(0, ordering: .relaxed) }
                return core.takeLines()
            }
            requestSync()
            if !lines.lines.isEmpty { say(lines) }
            if isLast { return }
            let isUnread = core.withLock { core in
                hasNews = core.takeNews() || hasNews
                return core.isUnread
            }
            if hasNews { hasNews = !tell() }
            rest(isFailing || hasNews, isUnread || hasNews ? Store.rereading : Store.retry)
        }
    }

    /// Sleeps until there is something to write, then until enough of it has come together.
    private func rest(_ isFailing: Bool, _ retry: CInt) {
        doorbell.willSleep()
        if !hasRecords, !isStopping.load(ordering: .sequentiallyConsistent) {
            Descriptors.waitReadable(doorbell.descriptor, -1, milliseconds: isFailing ? retry : -1)
        }
        doorbell.didWake()
        guard hasRecords else { return }
        behindSince.store(cepoll_monotonic(), ordering: .relaxed)
        stopBell.willSleep()
        if !isStopping.load(ordering: .sequentiallyConsistent) {
            Descriptors.waitReadable(stopBell.descriptor, -1, milliseconds: isFailing ? retry : Store.gathering)
        }
        stopBell.didWake()
    }

    // The syncing thread: what was learnt survives the machine, too, if that stands a moment longer.

    func requestSync() {
        isUnsynced.store(true, ordering: .sequentiallyConsistent)
        syncBell.ring()
    }

    private func keepSynced() {
        while true {
            let isLast = hasWritten.load(ordering: .sequentiallyConsistent)
            if isUnsynced.exchange(false, ordering: .sequentiallyConsistent), let log = core.withLock({ $0.log }) {
                if sync(log) != nil { doorbell.ring() } else if log.isDue { fold(log) }
            }
            if isLast { return }
            syncBell.willSleep()
            if !isUnsynced.load(ordering: .sequentiallyConsistent), !hasWritten.load(ordering: .sequentiallyConsistent) {
                Descriptors.waitReadable(syncBell.descriptor, -1, milliseconds: -1)
            }
            syncBell.didWake()
        }
    }

    private func fold(_ log: StoreLog) {
        do {
            // Nobody paused for so long that it never came to its end: now they must.
            if try !log.fold() { try core.withLock { _ in _ = try log.fold() } }
        } catch {
            core.withLock { $0.failed(error, log) }
            doorbell.ring()
        }
    }

    /// One reading of both clocks, for what the loop dated by its own.
    struct Moment {
        let wall = WallTime.now
        let now = Instant(nanoseconds: cepoll_monotonic())

        func wall(of instant: Instant) -> WallTime {
            instant > now ? wall + (instant - now) : WallTime(milliseconds: wall.milliseconds - Int64((now - instant).count / 1_000_000))
        }
    }

    /// Empties the rings. Under the lock: whoever holds it is their one reader.
    func take(into core: inout StoreCore, _ moment: Moment) {
        while let record = told.pop() { core.book.heard(record.endpoint, from: record.source, at: moment.wall) }
        while let record = records.pop() {
            let at = moment.wall(of: record.at)
            switch record.what {
            case .dialled: core.book.dialled(record.endpoint, at: at)
            case .failed(let reason):
                core.book.failed(record.endpoint, reason.name, at: at)
                core.count("dials-failed")
            case .linked:
                core.book.linked(record.endpoint, at: at)
                core.count("links")
            case .unlinked(let reason): core.book.unlinked(record.endpoint, reason.name, at: at)
            case .forgotten(let until): core.book.forgotten(record.endpoint, until: moment.wall(of: until))
            case .banned(let subject, let until, let reason):
                let end = until == .never ? nil : moment.wall(of: until)
                core.set(BanRow(subject: subject, kind: .automatic, until: end, reason: reason?.name ?? "", by: "node", at: at))
                core.count("automatic-bans")
            }
        }
    }
}
