// Where other threads leave what the loop is to do beside the node's own events.

public import Reactor
import PeerMesh
import Synchronization

/// The letter box of a daemon's keeper. Any thread; nothing blocks.
public final class OperatorDesk: OperatorPort {
    private let mailbox: Mailbox
    private let handle = Mutex<SourceHandle?>(nil)
    /// The names that are looked up.
    let names: Resolver?

    init(mailbox: Mailbox, names: Resolver? = nil) {
        self.mailbox = mailbox
        self.names = names
    }

    /// From now on the desk's letters are read.
    func open(_ handle: SourceHandle) {
        self.handle.withLock { $0 = handle }
    }

    public func post(_ action: PostedAction) -> PostResult {
        let result: PostResult
        switch action.action {
        case .wantName(let peer): result = change(names: [peer], removed: [], by: .operator)
        case .dropName(let peer): result = change(names: [], removed: [peer], by: peer.kind == .peer ? .all : .operator)
        case .connect, .disconnect, .redial, .ban, .unban, .trust, .untrust, .addMasternode, .removeMasternode, .drain, .reload, .logLevel:
            return post(action as any AnyObject & Sendable)
        }
        // The table of names is changed already; what the loop hears of it is a consequence.
        if result == .posted { action.taken() }
        return result
    }

    /// Has names wanted by `source`, and others no longer. `.full` changes nothing.
    func change(names added: [NamedPeer], removed: [NamedPeer], by source: WantedPeers.Sources) -> PostResult {
        guard let names, !added.isEmpty || !removed.isEmpty else { return .posted }
        let handles = added.compactMap { names.want($0, by: source) }
        let result = post(NamesChange(added: handles, removed: removed, source: source))
        // Dropped last: an answer in between finds the name on the loop or does not, and either is right.
        for peer in result == .full ? added : removed { names.drop(peer, by: source) }
        return result
    }

    func post(_ object: any AnyObject & Sendable) -> PostResult {
        guard let handle = handle.withLock({ $0 }) else { return .closed }
        return mailbox.post(Job(kind: 0, object: object), to: handle)
    }
}

/// An action on its way to the loop, and whether the loop took it.
public final class PostedAction: Sendable {
    public let action: OperatorAction
    private let isTaken = Atomic<Bool>(false)

    public init(_ action: OperatorAction) {
        self.action = action
    }

    /// Whether the loop has done it. A node that is ending does nothing more, and leaves it false.
    public var wasTaken: Bool { isTaken.load(ordering: .acquiring) }

    /// The loop has done it.
    public func taken() { isTaken.store(true, ordering: .releasing) }
}

/// New settings on their way to the loop.
final class SettingsChange: Sendable {
    let old: NodeConfiguration
    let new: NodeConfiguration

    init(old: NodeConfiguration, new: NodeConfiguration) {
        self.old = old
        self.new = new
    }
}

/// What changed in the registry file.
final class RegistryChange: Sendable {
    let added: [Endpoint]
    let removed: [Endpoint]

    init(added: [Endpoint], removed: [Endpoint]) {
        self.added = added
        self.removed = removed
    }
}

/// Names that are wanted from now on, or no longer, on their way to the loop.
final class NamesChange: Sendable {
    let added: [NameHandle]
    let removed: [NamedPeer]
    let source: WantedPeers.Sources

    init(added: [NameHandle], removed: [NamedPeer], source: WantedPeers.Sources) {
        self.added = added
        self.removed = removed
        self.source = source
    }
}

/// A reload that the service manager asked for is over: whoever asked is to be told.
final class ReloadEnd: Sendable {}

/// What the store could not tell at start, on its way to the loop.
final class LateMemory: Sendable {
    let memory: Store.Recollection

    init(_ memory: Store.Recollection) {
        self.memory = memory
    }
}
