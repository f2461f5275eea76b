// The settings in force, and how new ones take their place: all layers are read again, what differs is put in force if the table
// calls it live, and the rest waits for a restart. Wrong settings change nothing.

import PeerMesh
import Reactor
import Synchronization

/// The settings of a running daemon. Any thread but the loop's.
public final class LiveSettings: Reloader {
    private let layers: SettingsLayers
    /// The file that was read at the start: a reload reads that one or none.
    private let file: String?
    private let desk: OperatorDesk
    private let inForce: Mutex<NodeConfiguration>
    /// Hears of each reload, on its thread.
    private let listener = Mutex<(@Sendable (ReloadReport) -> Void)?>(nil)

    private struct Turn {
        var isTaken = false
        /// Asked for while another was under way: it may have read the old files.
        var isAskedAgain = false
    }

    /// One reload at a time.
    private let turn = Mutex(Turn())
    /// How long a command waits for one.
    private static let patience: CInt = 5_000

    init(_ configuration: NodeConfiguration, layers: SettingsLayers, file: String?, desk: OperatorDesk) {
        self.layers = layers
        self.file = file
        self.desk = desk
        inForce = Mutex(configuration)
    }

    public var configuration: NodeConfiguration { inForce.withLock { $0 } }

    /// Reads the files on a thread of its own: a disk that hangs must not hang who asks, too.
    public func reload() -> ReloadReport {
        guard claim(orAskAgain: false) else { return .refused("another reload is in progress; try again") }
        let last = ReportBox()
        do throws(DaemonError) {
            let thread = try DaemonThread.start("settings") { self.run(last) }
            guard thread.wait(milliseconds: LiveSettings.patience), let report = last.report.withLock({ $0 }) else {
                return .refused("the settings were not read within \(LiveSettings.patience / 1_000) s; the log tells the result when they are")
            }
            return report
        } catch {
            return failed(error)
        }
    }

    /// The same without waiting. One that is in progress is followed by another.
    func requestReload() {
        guard claim(orAskAgain: true) else { return }
        do throws(DaemonError) { _ = try DaemonThread.start("settings") { self.run(nil) } } catch {
            let report = failed(error)
            if let listener = listener.withLock({ $0 }) { listener(report) }
        }
    }

    private func claim(orAskAgain: Bool) -> Bool {
        turn.withLock { turn in
            if turn.isTaken {
                turn.isAskedAgain = turn.isAskedAgain || orAskAgain
                return false
            }
            turn.isTaken = true
            return true
        }
    }

    private func failed(_ error: DaemonError) -> ReloadReport {
        turn.withLock { $0 = Turn() }
        return .refused(error.description)
    }

    private func run(_ box: ReportBox?) {
        while true {
            let report = reloadInTurn()
            if let listener = listener.withLock({ $0 }) { listener(report) }
            box?.report.withLock { $0 = report }
            let isOver = turn.withLock { turn in
                defer { turn = Turn(isTaken: turn.isAskedAgain) }
                return !turn.isAskedAgain
            }
            if isOver { return }
        }
    }

    private final class ReportBox: Sendable {
        let report = Mutex<ReloadReport?>(nil)
    }

    /// From now on `listener` hears of each reload.
    func listen(_ listener: @escaping @Sendable (ReloadReport) -> Void) {
        self.listener.withLock { $0 = listener }
    }

    private func reloadInTurn() -> ReloadReport {
        var report = ReloadReport()
        let old = configuration
        let merged: NodeConfiguration
        do throws(DaemonError) {
            let resolved = try layers.resolve()
            guard resolved.mistakes.isEmpty else {
                report.errors = resolved.mistakes.map(\.description)
                return report
            }
            guard resolved.file == file else {
                return .refused(
                    "the settings file is \(resolved.file.map { "'\($0)'" } ?? "gone") and was \(file.map { "'\($0)'" } ?? "none") at the start: "
                        + "nothing was changed; restore it, or restart the node"
                )
            }
            merged = LiveSettings.merge(resolved.configuration, into: old, &report)
        } catch {
            report.errors = [error.description]
            return report
        }
        do throws(OptionConflict) {
            try merged.check()
        } catch {
            let waiting = report.needRestart.map(\.key).joined(separator: ", ")
            report = ReloadReport()
            report.errors = ["\(error) (the new \(waiting) would allow it, after a restart)"]
            return report
        }
        guard !report.applied.isEmpty else { return report }
        switch desk.post(SettingsChange(old: old, new: merged)) {
        case .full:
            report = ReloadReport()
            report.errors = ["the loop's mailbox is full: nothing was changed; reload again"]
        case .posted, .closed:
            inForce.withLock { $0 = merged }
        }
        let (before, after) = (Set(old.namedPeers), Set(merged.namedPeers))
        // The change before it found room; this one follows it, however full the mailbox is now.
        while desk.change(names: Array(after.subtracting(before)), removed: Array(before.subtracting(after)), by: .settings) == .full {
            Descriptors.waitReadable(-1, -1, milliseconds: 10)
        }
        return report
    }

    /// `old` with every live setting as `new` has it, and what that changes.
    static func merge(
        _ new: NodeConfiguration, into old: NodeConfiguration, _ report: inout ReloadReport
    ) -> NodeConfiguration {
        var merged = old
        for setting in Setting.all {
            let (before, after) = (setting.text(in: old), setting.text(in: new))
            guard before != after else { continue }
            let change = ReloadReport.Change(key: setting.name, old: before, new: after)
            var candidate = merged
            do throws(OptionError) {
                try setting.read(setting.texts(in: new), into: &candidate)
            } catch {
                // It was read just now: it is valid.
                preconditionFailure("\(setting.name) does not read what it says: \(error.value)")
            }
            switch setting.change {
            case .live:
                merged = candidate
                report.applied.append(change)
            case .restart:
                report.needRestart.append(change)
            }
        }
        return merged
    }
}
