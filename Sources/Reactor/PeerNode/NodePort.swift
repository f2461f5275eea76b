// The node for other threads: what they want is posted to the loop and done there, in the order of posting.

public import PeerMesh
import Synchronization

/// A node's letter box. Any thread; nothing blocks. After the node has stopped every post answers `.closed`.
public final class NodePort: Sendable {
    /// What a posted job means.
    enum Kind {
        static let send: UInt32 = 1
        static let broadcast: UInt32 = 2
        static let event: UInt32 = 3
        static let snapshot: UInt32 = 4
    }

    private let mailbox: Mailbox
    /// The handle's two numbers and a bit that says that there is one.
    private let target = Atomic<UInt64>(0)
    private let isBound = Atomic<Bool>(false)

    init(mailbox: Mailbox) {
        self.mailbox = mailbox
    }

    func bind(_ handle: SourceHandle) {
        target.store(UInt64(handle.index) << 32 | UInt64(handle.generation), ordering: .relaxed)
        isBound.store(true, ordering: .releasing)
    }

    /// No post reaches the node any more. Returns the handle, to be withdrawn.
    func unbind() -> SourceHandle? {
        isBound.exchange(false, ordering: .acquiringAndReleasing) ? handle : nil
    }

    private var handle: SourceHandle {
        let bits = target.load(ordering: .relaxed)
        return SourceHandle(index: UInt32(truncatingIfNeeded: bits >> 32), generation: UInt32(truncatingIfNeeded: bits))
    }

    private func post(_ kind: UInt32, _ object: any AnyObject & Sendable) -> PostResult {
        guard isBound.load(ordering: .acquiring) else { return .closed }
        return mailbox.post(Job(kind: kind, object: object), to: handle)
    }

    /// Copies `body` and has it sent. What becomes of it reaches `PeerHandler.sendResult` with `token`.
    public func send(
        _ body: RawSpan, type: MessageType, to link: LinkID, policy: SendPolicy = .yields, token: UInt64 = 0
    ) -> PostResult {
        post(Kind.send, PostedFrame(body, type: type, link: link, policy: policy, token: token))
    }

    /// Copies `body` and has it sent on every established link but `except`.
    public func broadcast(
        _ body: RawSpan, type: MessageType, except: LinkID? = nil, policy: SendPolicy = .insists
    ) -> PostResult {
        post(Kind.broadcast, PostedFrame(body, type: type, link: except, policy: policy, token: 0))
    }

    /// Hands an event of the operator or the registry to the node.
    public func post(_ event: Event) -> PostResult {
        post(Kind.event, PostedEvent(event))
    }

    /// Has the node's state written into `request`, whose `wait` tells when.
    public func request(_ request: SnapshotRequest) -> PostResult {
        post(Kind.snapshot, request)
    }
}

/// A frame on its way from another thread. Not changed once it is made.
final class PostedFrame: Sendable {
    let body: SharedBuffer
    let type: MessageType
    let link: LinkID?
    let policy: SendPolicy
    let token: UInt64

    init(_ body: RawSpan, type: MessageType, link: LinkID?, policy: SendPolicy, token: UInt64) {
        self.body = SharedBuffer(copying: body)
        self.type = type
        self.link = link
        self.policy = policy
        self.token = token
    }
}

/// An event on its way from another thread.
final class PostedEvent: Sendable {
    let event: Event

    init(_ event: Event) {
        self.event = event
    }
}

extension PeerNode {
    func take(_ job: Job) {
        switch (job.kind, job.object) {
        case (NodePort.Kind.send, let frame as PostedFrame):
            guard let link = frame.link else { return }
            let body = frame.body
            let result = send(body.bytes, type: frame.type, to: link, policy: frame.policy)
            handler.sendResult(frame.token, result, link)
        case (NodePort.Kind.broadcast, let frame as PostedFrame):
            let body = frame.body
            broadcast(body.bytes, type: frame.type, except: frame.link, policy: frame.policy)
        case (NodePort.Kind.event, let posted as PostedEvent):
            handle(posted.event)
        case (NodePort.Kind.snapshot, let request as SnapshotRequest):
            fill(request.snapshot, request.scope)
            request.complete()
        default:
            counts.strangeJobs &+= 1
        }
    }
}
