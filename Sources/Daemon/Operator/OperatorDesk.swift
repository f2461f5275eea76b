// Where other threads leave what the loop is to do beside the node's own events.

public import Reactor
import PeerMesh
import Synchronization

/// The letter box of a daemon's keeper. Any thread; nothing blocks.
public final class OperatorDesk: OperatorPort {
    private let mailbox: Mailbox
    private let handle = Mutex<SourceHandle?>(nil)

    init(mailbox: Mailbox) {
        self.mailbox = mailbox
    }

    /// From now on the desk's letters are read.
    func open(_ handle: SourceHandle) {
        self.handle.withLock { $0 = handle }
    }

    public func post(_ action: OperatorAction) -> PostResult {
        post(PostedAction(action))
    }

    func post(_ object: any AnyObject & Sendable) -> PostResult {
        guard let handle = handle.withLock({ $0 }) else { return .closed }
        return mailbox.post(Job(kind: 0, object: object), to: handle)
    }
}

/// An action on its way to the loop.
final class PostedAction: Sendable {
    let action: OperatorAction

    init(_ action: OperatorAction) {
        self.action = action
    }
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

/// A reload that the service manager asked for is over: whoever asked is to be told.
final class ReloadEnd: Sendable {}
