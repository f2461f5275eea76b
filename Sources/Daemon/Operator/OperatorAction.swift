// What an operator can do to a running node, and the way that each such thing takes: written to disk, posted to the loop,
// answered. The control API and the store meet here; neither knows the other.

public import PeerMesh
public import Reactor
public import Timers

/// One thing that an operator does.
public enum OperatorAction: Hashable, Sendable {
    /// Keep a link to this peer for ever.
    case connect(Endpoint)
    /// Close its links and want it no longer. A registered masternode is dialled again all the same.
    case disconnect(Endpoint)
    /// Dial now: this peer, or every peer that waits. Nothing that is kept.
    case redial(Endpoint?)
    /// Ban an address or a range for this long from when it is done; nil is for ever. A length, not an end: the system's clock may be set
    /// meanwhile.
    case ban(Subnet, for: Nanoseconds?, reason: String, by: String)
    case unban(Subnet)
    case trust(Subnet)
    case untrust(Subnet)
    /// Keep a masternode's link, beside those of the registry file and the settings.
    case addMasternode(Endpoint)
    /// Take back `addMasternode`. One that the registry file or the settings name stays until they do not.
    case removeMasternode(Endpoint)
    /// Keep a link to the peer or masternode behind this name.
    case wantName(NamedPeer)
    /// Want the peer behind this name no longer, whoever gave the name; of a masternode, take back what the operator added.
    case dropName(NamedPeer)
    /// End the node in order. Nothing that is kept.
    case drain
    /// Read settings and registry anew. Nothing that is kept. `Reloader` does it and tells what became of it.
    case reload
    /// Until the next reload that says otherwise, or the end. Nothing that is kept.
    case logLevel(LogLevel)
}

/// What keeps an operator's actions. Any thread but the loop's: it waits for the disk.
public protocol OperatorJournal: Sendable {
    /// Writes `action` down. When this returns, it survives a crash of the process and of the machine. Actions that are not
    /// kept are only counted.
    func record(_ action: OperatorAction, at time: WallTime) throws(JournalError)
}

/// An action could not be written down: the node may do it all the same, and must say that a restart forgets it.
public struct JournalError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What happened, and what to do.
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// The way of an action to the loop, where it is done in the order of posting. Any thread; nothing blocks.
public protocol OperatorPort: Sendable {
    func post(_ action: PostedAction) -> PostResult
}

/// Reads the settings again and applies what can be applied to a running node. Any thread but the loop's.
public protocol Reloader: Sendable {
    /// What is in force now: the thresholds of health, for one.
    var configuration: NodeConfiguration { get }
    /// Refused settings change nothing: the report says why.
    func reload() -> ReloadReport
}

/// What a reload did.
public struct ReloadReport: Hashable, Sendable {
    public struct Change: Hashable, Sendable {
        /// The setting's name.
        public var key: String
        /// Its value before, and the one asked for, as the file takes them.
        public var old: String
        public var new: String

        public init(key: String, old: String, new: String) {
            self.key = key
            self.old = old
            self.new = new
        }
    }

    /// In force now.
    public var applied: [Change] = []
    /// Asked for, and in force after a restart only.
    public var needRestart: [Change] = []
    /// Why nothing was changed: one line an error; empty if all went well.
    public var errors: [String] = []

    public init() {}

    /// Nothing was changed, for this reason.
    static func refused(_ why: String) -> ReloadReport {
        var report = ReloadReport()
        report.errors = [why]
        return report
    }
}
