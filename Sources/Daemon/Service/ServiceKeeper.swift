// Keeps the service manager informed, from the loop itself: a loop that is stuck feeds no watchdog, and is restarted. Without
// a manager it does not exist, and without a watchdog it wakes only after something has changed.

import PeerMesh
import Reactor
import Timers

/// The service manager's correspondent on the loop.
final class ServiceKeeper: Source {
    private let manager: ServiceManager
    private unowned let node: PeerNode
    private var timer: TimerID?
    private var isStopping = false

    /// How long changes are gathered before a status line tells of them.
    private static let gathering = Nanoseconds.seconds(1)

    init(manager: ServiceManager, node: PeerNode) {
        self.manager = manager
        self.node = node
    }

    /// The node serves from here on.
    func begin() {
        timer = node.loop.makeTimer(source: self, tag: 0)
        manager.ready(status: status)
        feedLater()
    }

    /// New settings are in force, or were refused: either way the node serves.
    func reloaded() { manager.ready(status: status) }

    /// New settings are about to be read.
    func reloading() { manager.reloading() }

    /// A link was established or has ended.
    func changed(_ transition: Transition) {
        guard manager.watchdogInterval == nil, !isStopping, let timer, !node.loop.isArmed(timer) else { return }
        guard case .link(_, let from, let to, _) = transition.subject, from == .established || to == .established else { return }
        node.loop.arm(timer, at: node.loop.now + ServiceKeeper.gathering)
    }

    /// The node drains. The watchdog is fed on: draining has a limit of its own.
    func stopping(links: UInt32) {
        isStopping = true
        manager.stopping(links: links)
    }

    override func timerFired(tag: UInt32) {
        guard manager.watchdogInterval != nil else { return manager.status(status) }
        manager.alive(status: status)
        feedLater()
    }

    /// Twice an interval, as sd_watchdog_enabled(3) asks.
    private func feedLater() {
        guard let interval = manager.watchdogInterval, let timer else { return }
        node.loop.arm(timer, at: node.loop.now + Nanoseconds(interval.count / 2))
    }

    /// What `systemctl status` shows.
    private var status: String {
        let census = node.census
        if isStopping { return "ending: \(census.establishedMasternodes + census.establishedRegular) links are being drained" }
        let dials = census.dialingMasternodes + census.dialingRegular
        return "\(census.linkedMasternodes) of \(census.wantedMasternodes) masternodes and \(census.establishedRegular) regular peers "
            + "linked, \(dials) being dialled"
    }
}
