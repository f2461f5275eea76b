// The daemon's slow hand: what must not keep the loop. One thread waits for a request to reload, for the clock to be set, and looks
// whether the addresses are still there that the node listens on. The registry file has a thread of its own.

import CEpoll
import Glibc
import PeerMesh
import Reactor
import Synchronization
import Timers

/// Files, clock and addresses of one daemon.
final class Custodian: Sendable {
    private let live: LiveSettings
    private let desk: OperatorDesk
    private let log: Log
    private let store: Store?
    private let doorbell: Doorbell
    private let wantsReload = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    /// Nil if no file is named.
    let registry: RegistrySource?
    let addresses: ListenWatch

    /// How often the addresses are looked at.
    private static let look: CInt = 5_000

    init(_ configuration: NodeConfiguration, live: LiveSettings, desk: OperatorDesk, log: Log, store: Store?) throws(DaemonError) {
        self.live = live
        self.desk = desk
        self.log = log
        self.store = store
        doorbell = try Doorbell()
        addresses = ListenWatch { log.say($0) }
        registry =
            if let path = configuration.registryFile {
                try RegistrySource(path: path, defaultPort: configuration.network.defaultPort, desk: desk, log: log, store: store)
            } else {
                nil
            }
    }

    /// Starts the threads. `take` has what the registry's first reading brought, on this thread. The node listens at `bound`.
    func start(listening bound: [Endpoint], _ take: (RegistryChange) -> Void) throws(DaemonError) {
        addresses.watch(bound)
        live.listen { [weak self] in self?.say($0) }
        try registry?.start(take)
        _ = try DaemonThread.start("custodian") { [self] in run() }
    }

    /// Which of `endpoints` the registry file names. Any thread but the loop's.
    func registered(_ endpoints: Set<Endpoint>) -> Set<Endpoint> { registry?.registered(endpoints) ?? [] }

    /// Has the settings read again. Any thread.
    func requestReload() {
        wantsReload.store(true, ordering: .releasing)
        doorbell.ring()
    }

    /// The store was read after the start. Any thread but the loop's.
    func storeWasRead() { registry?.storeWasRead() }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        registry?.stop()
        doorbell.ring()
    }

    private func run() {
        let clock = ClockWatch()
        while !isStopping.load(ordering: .acquiring) {
            if wantsReload.exchange(false, ordering: .acquiring) { live.requestReload() }
            doorbell.willSleep()
            if !wantsReload.load(ordering: .acquiring), !isStopping.load(ordering: .acquiring) {
                Descriptors.waitReadable(doorbell.descriptor, clock.descriptor, milliseconds: Custodian.look)
            }
            doorbell.didWake()
            if let shift = clock.shift() { clockSet(by: shift) }
            addresses.check()
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
        if report.errors.isEmpty { registry?.readAgain() }
        // Whoever asked by a signal is a service manager, perhaps, and waits for this.
        _ = desk.post(ReloadEnd())
    }
}
