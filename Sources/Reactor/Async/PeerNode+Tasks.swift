// A node for tasks: `for await event in node.events`, `try await node.send(...)`. No more than a handler that is a sequence, and
// a send that waits where the other says `wouldBlock`.

public import PeerMesh

/// Why an awaited send sent nothing.
public enum SendError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The link is not established, or not any more. What was queued on it before may be lost, too.
    case notLinked
    /// The body is larger than the dialect's `Wire.maximumBody`, or than the node's `queueLimit` or `memoryLimit` ever leave room
    /// for. The link is unharmed.
    case tooLarge

    /// The same in words.
    public var description: String {
        switch self {
        case .notLinked: "the link is not established, or not any more"
        case .tooLarge: "the body is larger than the dialect, the queue's limit or the memory limit allows"
        }
    }
}

extension PeerNode {
    /// Makes a node whose events tasks take from `events`. It does nothing yet: add listeners, tell it of peers, then `start`.
    ///
    /// On the loop's thread. At most `capacity` events wait, at least 2. Throws what the other initialiser throws.
    public convenience init(
        on executor: LoopExecutor, wire: any Wire, settings: NodeSettings = NodeSettings(), capacity: Int = 1_024
    ) throws(SystemError) {
        let events = NodeEvents(on: executor, capacity: capacity)
        try self.init(loop: executor.loop, wire: wire, settings: settings, handler: events)
        events.node = self
    }

    /// What the node tells, for one task at a time: `for await event in node.events`. Only of a node that was made with
    /// `init(on:)` or whose handler is a `NodeEvents`; else it traps. O(1).
    public var events: NodeEvents {
        guard let events = handler as? NodeEvents else {
            preconditionFailure("this node has a handler of its own: make it with PeerNode(on:wire:settings:) to await its events")
        }
        return events
    }

    /// Queues an application frame for an established link, and waits while the link's queue is above its mark: a task that
    /// sends more than its peer takes is slowed down. Returns when the frame is queued, in order with all others of the link.
    ///
    /// On the loop's thread, of a node that has `events`; events must be taken meanwhile only as far as `NodeEvents` asks for it. Throws
    /// `SendError`, and `CancellationError` when the task is cancelled: then nothing was queued. O(size of the body).
    public nonisolated(nonsending) func send(_ body: [UInt8], type: MessageType, to link: LinkID) async throws {
        while true {
            try Task.checkCancellation()
            switch unsafe send(body.span.bytes, type: type, to: link) {
            case .queued: return
            case .notLinked: throw SendError.notLinked
            case .tooLarge: throw SendError.tooLarge
            case .wouldBlock: try await events.roomToSend(on: link)
            }
        }
    }
}
