// What an owner wants to hear of a descriptor, and what the kernel said.

public import CEpoll

/// What a source wants to be told of a descriptor.
public struct Interest: OptionSet, Hashable, Sendable, BitwiseCopyable {
    /// The bits.
    public let rawValue: UInt8

    /// From the bits.
    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Bytes, an end of stream or a connection to accept can be taken.
    @inlinable
    public static var read: Interest { Interest(rawValue: 1) }
    /// Bytes can be written. Ask for it only after a short write.
    @inlinable
    public static var write: Interest { Interest(rawValue: 2) }

    /// Told once for each change instead of as long as it lasts, and of the peer's end and urgent bytes, too: for the tasks' own
    /// slots, where nobody may be waiting when something comes.
    @inlinable
    static var edge: Interest { Interest(rawValue: 4) }

    /// The loop's own: in what a slot of another kind than a source wants, unless it has `edge`. So what wants `read` and nothing
    /// else is a source's, and one comparison at each event tells.
    static var apart: Interest { Interest(rawValue: 8) }

    /// The loop's own: in what a slot has armed, if the kernel refused the last change.
    static var refused: Interest { Interest(rawValue: 16) }

    /// The kernel's mask. ERR and HUP need no asking, and cannot be declined.
    @inlinable
    var mask: UInt32 {
        #if REACTOR_FAULTS
            if isLeftOut(7) { return plainMask | CEPOLL_RDHUP }
            if isLeftOut(15) { return plainMask | CEPOLL_ET }
        #endif
        return plainMask
    }

    @inlinable
    var plainMask: UInt32 {
        let bits = UInt32(rawValue)
        let mask = bits & CEPOLL_IN | bits &<< 1 & CEPOLL_OUT
        return contains(.edge) ? mask | CEPOLL_ET | CEPOLL_RDHUP | CEPOLL_PRI : mask
    }
}

/// What the kernel said of a descriptor.
public struct Readiness: OptionSet, Hashable, Sendable, BitwiseCopyable {
    /// The bits.
    public let rawValue: UInt8

    /// From the bits.
    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Try to read. Set too, if reading is wanted, when the descriptor failed: the read then says why.
    @inlinable
    public static var readable: Readiness { Readiness(rawValue: 1) }
    /// Try to write. Set too, if writing is wanted, when the descriptor failed: the write then says why.
    @inlinable
    public static var writable: Readiness { Readiness(rawValue: 2) }
    /// Both sides are over (not: the peer will send no more; that is a read of zero bytes).
    @inlinable
    public static var hangup: Readiness { Readiness(rawValue: 4) }
    /// The descriptor has a pending error.
    @inlinable
    public static var error: Readiness { Readiness(rawValue: 8) }

    /// A failure sets what was wanted, so that whoever reads or writes finds out by doing so.
    init(events: UInt32, wanted: Interest) {
        // Nearly all are this one.
        guard events != CEPOLL_IN else {
            rawValue = 1
            return
        }
        var bits = UInt8(truncatingIfNeeded: events & CEPOLL_IN) | UInt8(truncatingIfNeeded: (events & CEPOLL_OUT) >> 1)
        #if REACTOR_FAULTS
            if isLeftOut(11) {
                rawValue = bits
                return
            }
            if isLeftOut(7), events & CEPOLL_RDHUP != 0 { bits |= 4 }
        #endif
        if events & (CEPOLL_ERR | CEPOLL_HUP) != 0 {
            bits |= wanted.rawValue
            if events & CEPOLL_HUP != 0 { bits |= 4 }
            if events & CEPOLL_ERR != 0 { bits |= 8 }
        }
        rawValue = bits
    }
}
