// The registry file over time: what was believed last, and what a new reading changes. A reading that is not believed leaves all
// as it is, and is said once.

import Glibc
import PeerMesh
public import Timers

/// How a registry source is: whether what is in force comes from its last reading.
public struct RegistryStatus: Hashable, Sendable {
    public var file: String
    /// Masternodes of it that are in force.
    public var masternodes: Int
    /// Why its last reading is not believed; nil if it is.
    public var complaint: String?
    /// When it was believed last, in this process; nil if it never was.
    public var believedAt: WallTime?
    /// Since when the disk has been asked for it without an answer; nil if it is not being read.
    public var readingSince: Instant?

    /// Longer than this no disk that works takes for a registry.
    static let patience = Nanoseconds.seconds(3)

    /// What is wrong with it at `now`; nil if it is believed.
    func trouble(at now: Instant) -> String? {
        if let since = readingSince, now > since, now - since >= RegistryStatus.patience {
            return "it has been read for \(Nanoseconds.seconds((now - since).count / 1_000_000_000).span) and is not read yet: its disk or file system does not answer"
        }
        return complaint ?? (believedAt == nil ? "it is not read yet" : nil)
    }
}

/// The registry file of one node. Under a lock, which nobody holds while a disk is asked.
struct RegistryKeeper {
    let path: String
    /// What was believed last.
    private(set) var believed: [Endpoint] = []
    private(set) var names: [PeerName] = []
    var status: RegistryStatus
    private var hasBelieved = false

    /// 65,536 masternodes with identities.
    static let largest = 16 << 20

    init(path: String) {
        self.path = path
        status = RegistryStatus(file: path, masternodes: 0)
    }

    /// What a reading came to.
    struct Outcome {
        var change: RegistryChange?
        /// All that the file names, if it was believed as a whole and that is news: to be kept for the next start.
        var whole: [PeerTarget]?
        /// Masternodes by host name that came and went.
        var addedNames: [PeerName] = []
        var removedNames: [PeerName] = []
        var lines = StartLines()
    }

    /// What one look at the file brought: what it says, or why it is not believed.
    typealias Reading = Result<RegistryFile, Unbelievable>

    struct Unbelievable: Error {
        let why: String
    }

    /// Reads and parses the file at `path`. Waits for the disk.
    static func load(_ path: String, defaultPort: UInt16) -> Reading {
        let bytes: [UInt8]
        do throws(FileFault) { bytes = try TextFile.text(path, limit: RegistryKeeper.largest) } catch { return .failure(Unbelievable(why: error.description)) }
        do throws(RegistryFile.Damage) { return .success(try RegistryFile(bytes, defaultPort: defaultPort)) } catch {
            return .failure(Unbelievable(why: error.description))
        }
    }

    /// Takes a reading. While its writer has the file open (`isOpen`) nobody is missed: what is gone may only not be written yet. A first
    /// reading that is not believed leaves `fallback` in force, which an earlier process believed.
    mutating func take(_ reading: Reading, isOpen: Bool = false, fallback: [PeerTarget] = []) -> Outcome {
        var outcome = Outcome()
        switch reading {
        case .success(let file): believe(file, isOpen: isOpen, &outcome)
        // A writer that is not done yet is no damage.
        case .failure(let error): if !isOpen { complain(error.why, fallback, &outcome) }
        }
        return outcome
    }

    private mutating func believe(_ file: RegistryFile, isOpen: Bool, _ outcome: inout Outcome) {
        let endpoints = file.endpoints
        let difference = Difference(believed, endpoints)
        let removed = isOpen ? [] : difference.removed
        believed = isOpen ? believed + difference.added : endpoints
        let (before, after) = (Set(names), Set(file.names))
        outcome.addedNames = file.names.filter { !before.contains($0) }
        outcome.removedNames = isOpen ? [] : names.filter { !after.contains($0) }
        names = isOpen ? names + outcome.addedNames : file.names
        let added = difference.added.count + outcome.addedNames.count
        let gone = removed.count + outcome.removedNames.count
        let isNews = added > 0 || gone > 0 || status.complaint != nil || !hasBelieved
        if !isOpen {
            if isNews { outcome.whole = endpoints.map(PeerTarget.endpoint) + file.names.map(PeerTarget.name) }
            status.complaint = nil
            status.believedAt = .now
            hasBelieved = true
        }
        status.masternodes = believed.count + names.count
        guard isNews else { return }
        if !difference.added.isEmpty || !removed.isEmpty { outcome.change = RegistryChange(added: difference.added, removed: removed) }
        outcome.lines.add(
            .info, "registry", ("file", .text(path)), ("masternodes", .number(UInt64(believed.count + names.count))),
            ("added", .number(UInt64(added))), ("removed", .number(UInt64(gone)))
        )
    }

    /// What an earlier process believed, if nothing was believed since and nothing is in force.
    mutating func recall(_ peers: [PeerTarget]) -> Outcome {
        var outcome = Outcome()
        guard !hasBelieved, believed.isEmpty, names.isEmpty, !peers.isEmpty else { return outcome }
        believed = peers.compactMap(\.endpoint)
        names = peers.compactMap(\.name)
        status.masternodes = peers.count
        if !believed.isEmpty { outcome.change = RegistryChange(added: believed, removed: []) }
        outcome.addedNames = names
        return outcome
    }

    private mutating func complain(_ why: String, _ fallback: [PeerTarget], _ outcome: inout Outcome) {
        outcome = recall(fallback)
        guard status.complaint != why else { return }
        status.complaint = why
        let kept =
            believed.isEmpty && names.isEmpty
            ? "no masternode comes from it"
            : "the \(believed.count + names.count) masternodes of its last good reading\(hasBelieved ? "" : ", which the store kept,") stay in force"
        outcome.lines.add(.error, "registry-not-believed", ("file", .text(path)), ("message", .text("\(why); \(kept)")))
    }
}
