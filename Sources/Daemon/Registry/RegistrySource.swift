// The registry file of a running node: a thread of its own watches it, reads it and parses it. No other thread waits for that disk
// beyond a stated limit, and no lock is held meanwhile. What a reading changes goes to the loop.

import CEpoll
import PeerMesh
import Reactor
import Synchronization
import Timers

/// Watches one registry file. Any thread.
final class RegistrySource: Sendable {
    private let path: String
    private let desk: OperatorDesk
    private let log: Log
    /// What keeps the last good reading; nil where nothing is kept.
    private let store: Store?
    /// Held for moments only; changes reach the loop in the order in which they were made here.
    private let keeper: Mutex<RegistryKeeper>
    /// Changes that the node has before its loop runs; nil from then on.
    private let opening = Mutex<[RegistryChange]?>([])
    /// Reads and parses the file, on the thread here: for tests a disk that does not answer.
    private let load: @Sendable () -> RegistryKeeper.Reading
    private let doorbell: Doorbell
    /// Readings that were asked for, and the last of them that was begun before a reading that has ended.
    private let asked = Atomic<UInt64>(0)
    private let answered = Atomic<UInt64>(0)
    private let isStopping = Atomic<Bool>(false)

    /// How long the file must be quiet after its writer wrote and did not close.
    private static let quiet: CInt = 1_000
    /// How often the file is looked at without an event.
    private static let look: CInt = 3_000

    init(
        path: String, defaultPort: UInt16, desk: OperatorDesk, log: Log, store: Store?, load: (@Sendable () -> RegistryKeeper.Reading)? = nil
    ) throws(DaemonError) {
        self.path = path
        self.load = load ?? { RegistryKeeper.load(path, defaultPort: defaultPort) }
        self.desk = desk
        self.log = log
        self.store = store
        keeper = Mutex(RegistryKeeper(path: path))
        doorbell = try Doorbell()
    }

    var status: RegistryStatus { keeper.withLock { $0.status } }

    /// Which of `endpoints` the file names.
    func registered(_ endpoints: Set<Endpoint>) -> Set<Endpoint> {
        let believed = keeper.withLock { $0.believed }
        return endpoints.intersection(believed)
    }

    /// Starts the thread and gives `take` what the first reading brought. A file that is not read within `patience` does not hold up the
    /// node: what an earlier process believed is in force until it is, and `status` tells.
    func start(patience: Nanoseconds = RegistryStatus.patience, _ take: (RegistryChange) -> Void) throws(DaemonError) {
        let first = Opening()
        let kept = store?.registered(by: path) ?? []
        asked.store(1, ordering: .releasing)
        _ = try DaemonThread.start("registry") { [self] in run(kept, first) }
        let hasRead = wait(for: 1, patience)
        if let error = first.error.withLock({ $0 }) { throw error }
        if !hasRead {
            keeper.withLock { keeper in
                let outcome = keeper.recall(kept)
                deliver(outcome)
                var lines = StartLines()
                lines.add(
                    .error, "registry-slow", ("file", .text(path)), ("masternodes", .number(UInt64(keeper.status.masternodes))),
                    ("message", .text("it is not read within \(patience.span): the node starts without it, with the masternodes that the store kept; "
                        + "the file takes effect when it is read"))
                )
                log.say(lines)
            }
        }
        let changes = opening.withLock { opening in
            defer { opening = nil }
            return opening ?? []
        }
        for change in changes { take(change) }
    }

    /// Why the watch could not be made, on its way to the thread that starts the node.
    private final class Opening: Sendable {
        let error = Mutex<DaemonError?>(nil)
    }

    /// Reads the file again, and waits for that, but no longer than a healthy disk takes. Any thread but the loop's.
    func readAgain() {
        let ticket = asked.add(1, ordering: .acquiringAndReleasing).newValue
        doorbell.ring()
        _ = wait(for: ticket, RegistryStatus.patience)
    }

    /// The store was read after the start: what it kept is in force if nothing better is. Any thread but the loop's.
    func storeWasRead() {
        guard let kept = store?.registered(by: path) else { return }
        keeper.withLock { deliver($0.recall(kept)) }
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        doorbell.ring()
    }

    /// Whether the reading `ticket`, or a later one, ended in time.
    private func wait(for ticket: UInt64, _ patience: Nanoseconds) -> Bool {
        let deadline = RegistrySource.now + patience
        while answered.load(ordering: .acquiring) < ticket {
            if RegistrySource.now >= deadline || isStopping.load(ordering: .acquiring) { return false }
            Descriptors.waitReadable(-1, -1, milliseconds: 2)
        }
        return true
    }

    private static var now: Instant { Instant(nanoseconds: cepoll_monotonic()) }

    // The thread. Whatever asks the disk is here.

    private func run(_ kept: [PeerTarget], _ opening: Opening) {
        // A path that hangs hangs in its first look already.
        keeper.withLock { $0.status.readingSince = RegistrySource.now }
        // The watch first: what changes after the first reading is seen.
        let watch: FolderWatch
        do throws(DaemonError) { watch = try FolderWatch(path: path) } catch {
            opening.error.withLock { $0 = error }
            keeper.withLock { keeper in
                deliver(keeper.take(.failure(RegistryKeeper.Unbelievable(why: error.description)), fallback: kept))
                keeper.status.readingSince = nil
            }
            answered.store(.max, ordering: .releasing)
            return
        }
        read(watch, isOpen: false, fallback: kept)
        var hasWriter = false
        while !isStopping.load(ordering: .acquiring) {
            doorbell.willSleep()
            if asked.load(ordering: .acquiring) == answered.load(ordering: .relaxed), !isStopping.load(ordering: .acquiring) {
                let limit = hasWriter ? RegistrySource.quiet : RegistrySource.look
                Descriptors.waitReadable(doorbell.descriptor, watch.descriptor, milliseconds: limit)
            }
            doorbell.didWake()
            if asked.load(ordering: .acquiring) != answered.load(ordering: .relaxed) { read(watch, isOpen: false) }
            look(watch, &hasWriter)
        }
    }

    private func look(_ watch: FolderWatch, _ hasWriter: inout Bool) {
        let events = watch.take()
        if events.contains(.settled) || events.contains(.gone) || events.contains(.lost) {
            hasWriter = false
            return read(watch, isOpen: false)
        }
        if events.contains(.written) {
            // Its writer will close it, or let it rest.
            hasWriter = true
        } else if hasWriter {
            hasWriter = false
            read(watch, isOpen: true)
        } else if watch.follow() || watch.hasChangedUnseen() {
            read(watch, isOpen: false)
        }
    }

    /// Reads the file, says what became of it, and keeps what was believed.
    private func read(_ watch: FolderWatch, isOpen: Bool, fallback: [PeerTarget] = []) {
        let ticket = asked.load(ordering: .acquiring)
        keeper.withLock { $0.status.readingSince = RegistrySource.now }
        watch.willRead()
        let reading = load()
        let whole = keeper.withLock { keeper in
            let outcome = keeper.take(reading, isOpen: isOpen, fallback: fallback)
            keeper.status.readingSince = nil
            deliver(outcome)
            return outcome.whole
        }
        if let whole { store?.keep(registry: path, whole) }
        answered.store(ticket, ordering: .releasing)
    }

    /// Tells the log and the loop. Under the keeper's lock, so that changes arrive in order.
    private func deliver(_ outcome: RegistryKeeper.Outcome) {
        log.say(outcome.lines)
        if let change = outcome.change {
            let isOpening = opening.withLock { opening in
                opening?.append(change)
                return opening != nil
            }
            // The loop may be behind by a whole mailbox: what the registry says must reach it all the same.
            while !isOpening, desk.post(change) == .full, !isStopping.load(ordering: .acquiring) {
                Descriptors.waitReadable(-1, -1, milliseconds: 10)
            }
        }
        change(outcome)
    }

    /// Has the names that came looked up, and drops those that went.
    private func change(_ outcome: RegistryKeeper.Outcome) {
        func named(_ names: [PeerName]) -> [NamedPeer] { names.map { NamedPeer(name: $0, kind: .masternode) } }
        let (added, removed) = (named(outcome.addedNames), named(outcome.removedNames))
        guard !added.isEmpty || !removed.isEmpty else { return }
        while desk.change(names: added, removed: removed, by: .registryFile) == .full, !isStopping.load(ordering: .acquiring) {
            Descriptors.waitReadable(-1, -1, milliseconds: 10)
        }
        let left = added.filter { desk.names?.hasRoom(for: $0) == false }
        guard let first = left.first else { return }
        var lines = StartLines()
        lines.add(
            .error, "registry-names", ("count", .number(UInt64(left.count))), ("name", .text(first.name.description)),
            ("message", .text("this node looks up \(NameTable.capacity) names at most: these are not wanted; name them by address"))
        )
        log.say(lines)
    }
}
