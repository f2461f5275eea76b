// What other threads hand to the loop: a plain record and at most one object.

/// A record posted to a source. Its fields mean what poster and source agree on.
public struct Job: Sendable {
    /// What it is about: a number of the source's own.
    public var kind: UInt32
    /// The first word.
    public var a: UInt64
    /// The second word.
    public var b: UInt64
    /// The third word.
    public var c: UInt64
    /// Travels along, retained, for what does not fit into numbers: a buffer to send, a place for the answer.
    public var object: (any AnyObject & Sendable)?

    /// A record; what it does not need is zero.
    public init(
        kind: UInt32, a: UInt64 = 0, b: UInt64 = 0, c: UInt64 = 0, object: (any AnyObject & Sendable)? = nil
    ) {
        self.kind = kind
        self.a = a
        self.b = b
        self.c = c
        self.object = object
    }
}

/// Where a job goes: a source that is known to the loop's mailbox. A handle that was withdrawn reaches nobody.
public struct SourceHandle: Hashable, Sendable, BitwiseCopyable {
    let index: UInt32
    let generation: UInt32
}

/// What became of a post.
public enum PostResult: Hashable, Sendable {
    /// It will be delivered, unless the handle is withdrawn or the loop ends first.
    case posted
    /// The ring is full: the loop is behind. Nothing was posted; try again later or drop it, and count.
    case full
    /// The loop is gone.
    case closed
}
