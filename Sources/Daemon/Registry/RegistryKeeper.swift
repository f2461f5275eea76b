// The registry file over time: what was believed last, and what a new reading changes. A reading that is not believed leaves all
// as it is, and is said once.

import Glibc
import PeerMesh
import Timers

/// The registry file of one node. On the custodian's thread.
struct RegistryKeeper {
    let path: String
    private let defaultPort: UInt16
    /// What was believed last.
    private(set) var believed: [Endpoint] = []
    private var complaint: String?
    private var hasBelieved = false

    /// 65,536 masternodes with identities.
    private static let largest = 16 << 20

    init(path: String, defaultPort: UInt16) {
        self.path = path
        self.defaultPort = defaultPort
    }

    /// What a reading came to.
    struct Outcome {
        var change: RegistryChange?
        var lines = StartLines()
    }

    /// Reads the file. While its writer has it open (`isOpen`) nobody is missed: what is gone may only not be written yet.
    mutating func read(isOpen: Bool = false) -> Outcome {
        var outcome = Outcome()
        let bytes: [UInt8]
        do throws(FileFault) { bytes = try TextFile.text(path, limit: RegistryKeeper.largest) } catch {
            // A writer that is not done yet is no damage.
            if !isOpen { complain(error.description, &outcome) }
            return outcome
        }
        do throws(RegistryFile.Damage) {
            let file = try RegistryFile(bytes, defaultPort: defaultPort)
            believe(file.endpoints, isOpen: isOpen, &outcome)
        } catch {
            if !isOpen { complain(error.description, &outcome) }
        }
        return outcome
    }

    private mutating func believe(_ endpoints: [Endpoint], isOpen: Bool, _ outcome: inout Outcome) {
        let difference = Difference(believed, endpoints)
        let removed = isOpen ? [] : difference.removed
        believed = isOpen ? believed + difference.added : endpoints
        let isNews = !difference.added.isEmpty || !removed.isEmpty || complaint != nil || !hasBelieved
        hasBelieved = true
        if !isOpen { complaint = nil }
        guard isNews else { return }
        if !difference.added.isEmpty || !removed.isEmpty { outcome.change = RegistryChange(added: difference.added, removed: removed) }
        outcome.lines.add(
            .info, "registry", ("file", .text(path)), ("masternodes", .number(UInt64(believed.count))),
            ("added", .number(UInt64(difference.added.count))), ("removed", .number(UInt64(removed.count)))
        )
    }

    private mutating func complain(_ why: String, _ outcome: inout Outcome) {
        guard complaint != why else { return }
        complaint = why
        let kept = believed.isEmpty ? "no masternode comes from it" : "the \(believed.count) masternodes that it last named are kept"
        outcome.lines.add(.error, "registry-not-believed", ("file", .text(path)), ("message", .text("\(why); \(kept)")))
    }
}
