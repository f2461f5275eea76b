// The daemon's slow hand: it reads files, so that the loop never does. One thread waits for the registry file to change, for
// a request to reload and for the clock to be set; what follows is posted to the loop.

import CEpoll
import Glibc
import PeerMesh
import Reactor
import Synchronization
import Timers

/// Files of one daemon.
final class Custodian: Sendable {
    private let live: LiveSettings
    private let desk: OperatorDesk
    private let log: Log
    /// What keeps the registry's last good reading; nil where nothing is kept.
    private let store: Store?
    private let doorbell: Doorbell
    private let wantsReload = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    /// Nil if no file is named. (Not an optional lock: the compiler loses track of one.)
    private let registry: Mutex<RegistryKeeper?>
    /// Beside the keeper, which is locked while it reads a disk.
    private let status: Mutex<RegistryStatus?>
    private let believed = Mutex<[Endpoint]>([])
    private let watchedPath: String?

    /// How long the file must be quiet after its writer wrote and did not close.
    private static let quiet: CInt = 1_000
    /// How often the file is looked at without an event.
    private static let look: CInt = 3_000

    init(_ configuration: NodeConfiguration, live: LiveSettings, desk: OperatorDesk, log: Log, store: Store?) throws(DaemonError) {
        self.live = live
        self.desk = desk
        self.log = log
        self.store = store
        doorbell = try Doorbell()
        watchedPath = configuration.registryFile
        let keeper = configuration.registryFile.map { RegistryKeeper(path: $0, defaultPort: configuration.network.defaultPort) }
        registry = Mutex(keeper)
        status = Mutex(keeper?.status)
    }

    /// How the registry file is; nil if none is named. Any thread.
    var registryStatus: RegistryStatus? { status.withLock { $0 } }

    /// Reads the registry and starts the thread. `take` has the first reading, on this thread.
    func start(_ take: (RegistryChange) -> Void) throws(DaemonError) {
        // The watch first: what changes after the first reading is seen.
        let watch = if let watchedPath { try FolderWatch(path: watchedPath) } else { FolderWatch?.none }
        watch?.willRead()
        let kept = watchedPath.flatMap { store?.registered(by: $0) } ?? []
        if let outcome = readRegistry(isOpen: false, fallback: kept), let change = outcome.change { take(change) }
        live.listen { [weak self] in self?.say($0) }
        let handed = SendableWatch(watch: watch)
        _ = try DaemonThread.start("custodian") { [self] in run(handed.watch) }
    }

    /// A watch on its way to its thread: whoever made it lets go of it.
    private struct SendableWatch: @unchecked Sendable {
        let watch: FolderWatch?
    }

    /// Which of `endpoints` the registry file names. Any thread but the loop's.
    func registered(_ endpoints: Set<Endpoint>) -> Set<Endpoint> {
        endpoints.intersection(believed.withLock { $0 })
    }

    /// Has the settings read again. Any thread.
    func requestReload() {
        wantsReload.store(true, ordering: .releasing)
        doorbell.ring()
    }

    /// The store was read after the start: what it kept of the registry is in force if nothing better is. Any thread but the loop's.
    func storeWasRead() {
        guard let watchedPath, let kept = store?.registered(by: watchedPath) else { return }
        let change = registry.withLock { keeper in
            defer { publish(keeper) }
            return keeper?.recall(kept)
        }
        if let change { post(change) }
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        doorbell.ring()
    }

    private func run(_ watch: FolderWatch?) {
        let clock = ClockWatch()
        var hasWriter = false
        while !isStopping.load(ordering: .acquiring) {
            if wantsReload.exchange(false, ordering: .acquiring) { live.requestReload() }
            doorbell.willSleep()
            let limit: CInt = watch == nil ? -1 : hasWriter ? Custodian.quiet : Custodian.look
            if !wantsReload.load(ordering: .acquiring), !isStopping.load(ordering: .acquiring) {
                Descriptors.waitReadable(doorbell.descriptor, watch?.descriptor ?? -1, clock.descriptor, milliseconds: limit)
            }
            doorbell.didWake()
            if let shift = clock.shift() { clockSet(by: shift) }
            if let watch { look(watch, &hasWriter) }
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

    private func read(_ watch: FolderWatch, isOpen: Bool) {
        watch.willRead()
        if let change = readRegistry(isOpen: isOpen)?.change { post(change) }
    }

    /// Reads the file, says what became of it, and keeps what was believed.
    private func readRegistry(isOpen: Bool, fallback: [Endpoint] = []) -> RegistryKeeper.Outcome? {
        let outcome = registry.withLock { keeper in
            defer { publish(keeper) }
            return keeper?.read(isOpen: isOpen, fallback: fallback)
        }
        guard let outcome else { return nil }
        log.say(outcome.lines)
        if let watchedPath, let whole = outcome.whole { store?.keep(registry: watchedPath, whole) }
        return outcome
    }

    /// Copies what other threads ask for: none of them waits for a disk.
    private func publish(_ keeper: RegistryKeeper?) {
        status.withLock { $0 = keeper?.status }
        believed.withLock { $0 = keeper?.believed ?? [] }
    }

    private func post(_ change: RegistryChange) {
        while desk.post(change) == .full, !isStopping.load(ordering: .acquiring) {
            // The loop is behind by a whole mailbox: what the registry says must reach it all the same.
            Descriptors.waitReadable(-1, -1, milliseconds: 10)
        }
    }

    /// What is dated by the calendar is judged again.
    private func clockSet(by shift: Int64) {
        var lines = StartLines()
        lines.add(
            .warning, "clock-set", ("by", .word("\(shift / 1_000)s")),
            ("message", .text("the system's clock was set; ends of bans are counted anew, none becomes longer"))
        )
        log.say(lines)
        store?.clockSet(by: shift)
    }

    /// Says what a reload did, and applies what only this side can.
    private func say(_ report: ReloadReport) {
        var lines = StartLines()
        for error in report.errors { lines.add(.error, "reload-refused", ("message", .text(error))) }
        for change in report.applied {
            lines.add(.info, "reloaded", ("setting", .word(change.key)), ("from", .text(change.old)), ("to", .text(change.new)))
        }
        for change in report.needRestart {
            lines.add(.warning, "needs-restart", ("setting", .word(change.key)), ("from", .text(change.old)), ("to", .text(change.new)))
        }
        if report.errors.isEmpty, report.applied.isEmpty, report.needRestart.isEmpty {
            lines.add(.info, "reloaded", ("message", .text("nothing changed")))
        }
        log.say(lines)
        if report.errors.isEmpty, let change = readRegistry(isOpen: false)?.change { post(change) }
        // Whoever asked by a signal is a service manager, perhaps, and waits for this.
        _ = desk.post(ReloadEnd())
    }
}
