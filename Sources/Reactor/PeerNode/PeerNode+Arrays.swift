// The same sends for who has an array: a span of it lasts as long as the call.

public import PeerMesh

extension PeerNode {
    /// Queues an application frame for an established link, as `send` of a span does: for callbacks, which cannot wait. In a task the
    /// form that waits is meant by the same words. On the loop's thread. O(size of the body).
    @discardableResult
    public func send(_ body: [UInt8], type: MessageType, to link: LinkID, policy: SendPolicy = .yields) -> SendResult {
        unsafe send(body.span.bytes, type: type, to: link, policy: policy)
    }

    /// Queues one application frame for every established link but `except`, as `broadcast` of a span does. On the loop's thread.
    /// O(size of the body + links).
    @discardableResult
    public func broadcast(_ body: [UInt8], type: MessageType, except: LinkID? = nil, policy: SendPolicy = .insists) -> Int {
        unsafe broadcast(body.span.bytes, type: type, except: except, policy: policy)
    }
}

extension NodePort {
    /// Copies `body` and has it sent, as `send` of a span does. Any thread.
    public func send(
        _ body: [UInt8], type: MessageType, to link: LinkID, policy: SendPolicy = .yields, token: UInt64 = 0
    ) -> PostResult {
        unsafe send(body.span.bytes, type: type, to: link, policy: policy, token: token)
    }

    /// Copies `body` and has it sent on every established link but `except`. Any thread.
    public func broadcast(
        _ body: [UInt8], type: MessageType, except: LinkID? = nil, policy: SendPolicy = .insists
    ) -> PostResult {
        unsafe broadcast(body.span.bytes, type: type, except: except, policy: policy)
    }
}
