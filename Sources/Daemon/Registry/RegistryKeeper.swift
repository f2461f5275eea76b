// The registry file over time: what was believed last, and what a new reading changes. A reading that is not believed leaves all
// as it is, and is said once.

import Glibc
import PeerMesh
import Timers

/// How a registry source is: whether what is in force comes from its last reading.
public struct RegistryStatus: Hashable, Sendable {
    public var file: String
    /// Masternodes of it that are in force.
    public var masternodes: Int
    /// Why its last reading is not believed; nil if it is.
    public var complaint: String?
    /// When it was believed last, in this process; nil if it never was.
    public var believedAt: WallTime?
}

/// The registry file of one node. On the custodian's thread.
struct RegistryKeeper {
    let path: String
    private let defaultPort: UInt16
    /// What was believed last.
    private(set) var believed: [Endpoint] = []
    private(set) var status: RegistryStatus
    private var hasBelieved = false

    /// 65,536 masternodes with identities.
    static let largest = 16 << 20

    init(path: String, defaultPort: UInt16) {
        self.path = path
        self.defaultPort = defaultPort
        status = RegistryStatus(file: path, masternodes: 0)
    }

    /// What a reading came to.
    struct Outcome {
        var change: RegistryChange?
        /// All that the file names, if it was believed as a whole and that is news: to be kept for the next start.
        var whole: [Endpoint]?
        var lines = StartLines()
    }

    /// Reads the file. While its writer has it open (`isOpen`) nobody is missed: what is gone may only not be written yet. A first
    /// reading that is not believed leaves `fallback` in force, which an earlier process believed.
    mutating func read(isOpen: Bool = false, fallback: [Endpoint] = []) -> Outcome {
        var outcome = Outcome()
        let bytes: [UInt8]
        do throws(FileFault) { bytes = try TextFile.text(path, limit: RegistryKeeper.largest) } catch {
            // A writer that is not done yet is no damage.
            if !isOpen { complain(error.description, fallback, &outcome) }
            return outcome
        }
        do throws(RegistryFile.Damage) {
            let file = try RegistryFile(bytes, defaultPort: defaultPort)
            believe(file.endpoints, isOpen: isOpen, &outcome)
        } catch {
            if !isOpen { complain(error.description, fallback, &outcome) }
        }
        return outcome
    }

    private mutating func believe(_ endpoints: [Endpoint], isOpen: Bool, _ outcome: inout Outcome) {
        let difference = Difference(believed, endpoints)
        let removed = isOpen ? [] : difference.removed
        believed = isOpen ? believed + difference.added : endpoints
        let isNews = !difference.added.isEmpty || !removed.isEmpty || status.complaint != nil || !hasBelieved
        if !isOpen {
            if isNews { outcome.whole = endpoints }
            status.complaint = nil
            status.believedAt = .now
            hasBelieved = true
        }
        status.masternodes = believed.count
        guard isNews else { return }
        if !difference.added.isEmpty || !removed.isEmpty { outcome.change = RegistryChange(added: difference.added, removed: removed) }
        outcome.lines.add(
            .info, "registry", ("file", .text(path)), ("masternodes", .number(UInt64(believed.count))),
            ("added", .number(UInt64(difference.added.count))), ("removed", .number(UInt64(removed.count)))
        )
    }

    /// What an earlier process believed, if nothing was believed since and nothing is in force.
    mutating func recall(_ endpoints: [Endpoint]) -> RegistryChange? {
        guard !hasBelieved, believed.isEmpty, !endpoints.isEmpty else { return nil }
        believed = endpoints
        status.masternodes = endpoints.count
        return RegistryChange(added: endpoints, removed: [])
    }

    private mutating func complain(_ why: String, _ fallback: [Endpoint], _ outcome: inout Outcome) {
        outcome.change = recall(fallback)
        guard status.complaint != why else { return }
        status.complaint = why
        let kept =
            believed.isEmpty
            ? "no masternode comes from it"
            : "the \(believed.count) masternodes of its last good reading\(hasBelieved ? "" : ", which the store kept,") stay in force"
        outcome.lines.add(.error, "registry-not-believed", ("file", .text(path)), ("message", .text("\(why); \(kept)")))
    }
}
