// The application's side of a node: what it is told. An open class, as `Source` is, because nothing is boxed that way.

public import PeerMesh

/// What an application hears of its links. Subclass it and override what you need; the defaults do nothing.
///
/// Every method is called on the loop's thread. All of `PeerNode` may be called from within.
open class PeerHandler {
    /// A handler that ignores everything.
    public init() {}

    /// The link is established: frames may be sent and will be received.
    open func linkUp(_ link: LinkID, _ info: LinkInfo) {}
    /// The link is established no longer. Frames that were queued and not sent are sent if the reason allows it.
    open func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {}
    /// A frame of the application came. `body` is valid until this returns: copy what you keep.
    open func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {}
    /// The link's queue rose to the high-water mark: sends that yield are answered `wouldBlock` from now on.
    open func highWater(_ link: LinkID) {}
    /// The queue sank to the low-water mark, or memory is free again after a `wouldBlock`: send on.
    open func lowWater(_ link: LinkID) {}
    /// What became of a frame that was posted with this token.
    open func sendResult(_ token: UInt64, _ result: SendResult, _ link: LinkID) {}
    /// A peer named another to us; so many as its messages hold. False keeps it from the book; of true the mesh makes what its
    /// own rules say.
    open func learnt(_ endpoint: Endpoint, from source: IPAddress) -> Bool { true }
    /// A link or a peer's schedule changed its state. The same record reaches the log's ring.
    open func changed(_ transition: Transition) {}
    /// The last link is closed after `shutdown`: the node is over.
    open func stopped() {}
}

/// What became of a frame that was to be sent.
public enum SendResult: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// It is in the link's queue, and will be sent in order unless the link ends first.
    case queued
    /// The queue is above its mark, or the node's memory is used up. Nothing was queued; `lowWater` tells when to go on.
    case wouldBlock
    /// The body is larger than the dialect's `maximumBody`, or than the node's `queueLimit` or `memoryLimit` ever leave room for. The
    /// link is unharmed.
    case tooLarge
    /// The link is not established, or not any more.
    case notLinked
}

/// What to do with a frame when the link's queue is above its high-water mark.
public enum SendPolicy: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// Queue nothing and say `wouldBlock`.
    case yields
    /// Queue it all the same, up to the limit; there the link is closed as `slowConsumer`.
    case insists
}
