// The daemon's slow hand: it reads files, so that the loop never does. One thread waits for the registry file to change and for
// somebody to ask for a reload; what follows from either is posted to the loop.

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
    private let doorbell: Doorbell
    private let wantsReload = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    /// Nil if no file is named. (Not an optional lock: the compiler loses track of one.)
    private let registry: Mutex<RegistryKeeper?>
    private let watchedPath: String?

    /// How long the file must be quiet after its writer wrote and did not close.
    private static let quiet: CInt = 1_000
    /// How often a folder that is gone is looked for.
    private static let search: CInt = 2_000

    init(_ configuration: NodeConfiguration, live: LiveSettings, desk: OperatorDesk, log: Log) throws(DaemonError) {
        self.live = live
        self.desk = desk
        self.log = log
        doorbell = try Doorbell()
        watchedPath = configuration.registryFile
        registry = Mutex(configuration.registryFile.map {
            RegistryKeeper(path: $0, defaultPort: configuration.network.defaultPort)
        })
    }

    /// Reads the registry and starts the thread. `take` has the first reading, on this thread.
    func start(_ take: (RegistryChange) -> Void) throws(DaemonError) {
        // The watch first: what changes after the first reading is seen.
        let watch = if let watchedPath { try FolderWatch(path: watchedPath) } else { FolderWatch?.none }
        if let outcome = registry.withLock({ $0?.read() }) {
            log.say(outcome.lines)
            if let change = outcome.change { take(change) }
        }
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
        registry.withLock { keeper in endpoints.intersection(keeper?.believed ?? []) }
    }

    /// Has the settings read again. Any thread.
    func requestReload() {
        wantsReload.store(true, ordering: .releasing)
        doorbell.ring()
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        doorbell.ring()
    }

    private func run(_ watch: FolderWatch?) {
        var isOpen = false
        while !isStopping.load(ordering: .acquiring) {
            if wantsReload.exchange(false, ordering: .acquiring) { _ = live.reload() }
            doorbell.willSleep()
            var limit: CInt = isOpen ? Custodian.quiet : -1
            if let watch, !watch.isWatching { limit = Custodian.search }
            if !wantsReload.load(ordering: .acquiring), !isStopping.load(ordering: .acquiring) {
                Descriptors.waitReadable(doorbell.descriptor, watch?.descriptor ?? -1, milliseconds: limit)
            }
            doorbell.didWake()
            if let watch { look(watch, &isOpen) }
        }
    }

    private func look(_ watch: FolderWatch, _ isOpen: inout Bool) {
        let events = watch.take()
        if !watch.isWatching, watch.rewatch() { return read(isOpen: false) }
        if events.contains(.settled) || events.contains(.gone) || events.contains(.lost) {
            isOpen = false
            return read(isOpen: false)
        }
        if events.contains(.written) {
            // Its writer will close it, or let it rest.
            isOpen = true
        } else if isOpen {
            isOpen = false
            read(isOpen: true)
        }
    }

    private func read(isOpen: Bool) {
        guard let outcome = registry.withLock({ $0?.read(isOpen: isOpen) }) else { return }
        log.say(outcome.lines)
        guard let change = outcome.change else { return }
        while desk.post(change) == .full, !isStopping.load(ordering: .acquiring) {
            // The loop is behind by a whole mailbox: what the registry says must reach it all the same.
            Descriptors.waitReadable(-1, -1, milliseconds: 10)
        }
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
        if report.errors.isEmpty { read(isOpen: false) }
        // Whoever asked by a signal is a service manager, perhaps, and waits for this.
        _ = desk.post(ReloadEnd())
    }

}
