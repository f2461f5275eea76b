// What a node tells its log: plain records, formatted elsewhere.

public import PeerMesh
public import Timers

/// One record for the log.
public enum NodeRecord: Hashable, Sendable {
    /// A link or a peer's schedule changed its state.
    case transition(Transition)
    /// A peer's bytes broke the dialect's rules.
    case wireError(WireIncident)
    /// A listener stops accepting for a while, by itself; it will come back.
    case listenerRests(at: Instant, listener: Endpoint, span: Nanoseconds, error: SystemError)
    /// The buffers' bound was reached: the link, the one with the most incoming bytes, is not read for a while. `inUse` is what its
    /// account has out: the strangers' share, or all.
    case memoryShort(at: Instant, link: LinkID, remote: Endpoint, inUse: UInt64)
    /// The link was closed because it held the most while memory was short.
    case memoryClosed(at: Instant, link: LinkID, remote: Endpoint, held: UInt64)
    /// A peer that the registry or the operator wants found no place in the book, and is not dialled.
    case bookFull(at: Instant, peer: Endpoint, desire: Desire)
    /// A ban or trust is not in force, because the table of bans is full.
    case banFull(at: Instant, ban: BanRecord)
}

/// Bytes that broke the rules: what, where, and how they begin.
public struct WireIncident: Hashable, Sendable {
    /// When the bytes were read.
    public var at: Instant
    /// The link that they came by.
    public var link: LinkID
    /// Who opened it.
    public var direction: Direction
    /// Where the packets come from.
    public var remote: Endpoint
    /// What is wrong with them.
    public var error: WireError
    /// The first bytes of the offending frame, at most 16, big-endian from the top of `high`.
    public var high: UInt64
    /// The ninth to sixteenth byte, likewise.
    public var low: UInt64
    /// How many of them there are.
    public var count: UInt8

    init(at: Instant, link: LinkID, direction: Direction, remote: Endpoint, error: WireError, bytes: RawSpan) {
        self.at = at
        self.link = link
        self.direction = direction
        self.remote = remote
        self.error = error
        high = 0
        low = 0
        count = UInt8(min(bytes.byteCount, 16))
        for index in 0..<Int(count) {
            let byte = unsafe UInt64(bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
            let shift = UInt64(56 - 8 * (index % 8))
            if index < 8 { high |= byte << shift } else { low |= byte << shift }
        }
    }

    /// Byte `index` of the offending frame.
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < Int(count), "so many bytes were not kept")
        return UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(56 - 8 * (index % 8)))
    }
}
