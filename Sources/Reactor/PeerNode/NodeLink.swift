// What the driver keeps of one link beside the mesh's own row: its stream, its dialect's memory, and what it waits for.
// One object serves many links, one after the other; a link's generation tells whose it is.

import PeerMesh

/// The driver's side of one link.
final class NodeLink {
    /// How far the driver is with the link. Finer states are the mesh's.
    enum Phase {
        /// A spare one.
        case free
        case connecting
        /// Connected; not the application's.
        case greeting
        case up
        /// Flush, shut the sending side, read and drop until the end.
        case draining
        /// Waits for the close phase.
        case condemned
    }

    let stream: Stream
    @safe @exclusivity(unchecked) var phase = Phase.free
    @safe @exclusivity(unchecked) var id = LinkID(slot: 0, generation: 0)
    @safe @exclusivity(unchecked) var slot: SlotID?
    @safe @exclusivity(unchecked) var remote = Endpoint(IPAddress(v4: 0), port: 0)
    @safe @exclusivity(unchecked) var wire = WireState(direction: .inbound)
    /// The peer's hello is complete.
    @safe @exclusivity(unchecked) var hasGreeted = false
    /// The last write was short: the loop is asked for writability.
    @safe @exclusivity(unchecked) var isBlocked = false
    /// Listed to be written in the flush phase.
    @safe @exclusivity(unchecked) var isListedToWrite = false
    /// Listed to be read in the flush phase, without news from the kernel.
    @safe @exclusivity(unchecked) var isListedToRead = false
    /// The flush phase in which it was written last.
    @safe @exclusivity(unchecked) var lastFlush: UInt64 = 0
    /// Was answered `wouldBlock` and waits for `lowWater`.
    @safe @exclusivity(unchecked) var isOwedLowWater = false

    @safe @exclusivity(unchecked) var traffic = LinkTraffic()

    // Why it is not read.

    /// The application asked for it.
    @safe @exclusivity(unchecked) var isPaused = false
    /// It sent an application frame before it was established (a peer that knows no verdict): kept until it is.
    @safe @exclusivity(unchecked) var isStalled = false
    /// The buffers' bound was reached.
    @safe @exclusivity(unchecked) var isStarved = false
    /// Its bytes broke the rules.
    @safe @exclusivity(unchecked) var isBroken = false
    /// The end of the stream was read.
    @safe @exclusivity(unchecked) var hasEnded = false
    /// Our sending side is shut.
    @safe @exclusivity(unchecked) var isShut = false

    init(stream: Stream) {
        self.stream = stream
    }

    /// Whether frames of it are decoded now.
    var isDecoded: Bool {
        (phase == .greeting || phase == .up) && !isPaused && !isStalled && !isBroken
    }

    /// Whether the loop is asked for readability.
    var wantsBytes: Bool {
        switch phase {
        case .greeting, .up: !isPaused && !isStalled && !isStarved && !isBroken && !hasEnded
        case .draining: !hasEnded
        case .free, .connecting, .condemned: false
        }
    }

    var interest: Interest {
        #if REACTOR_FAULTS
            if isLeftOut(25), phase == .draining { return isBlocked ? .write : [] }
            if isLeftOut(26), hasEnded { return [] }
        #endif
        var interest: Interest = wantsBytes ? .read : []
        if phase == .connecting || isBlocked && phase != .condemned { interest.insert(.write) }
        return interest
    }

    /// Begins a new use.
    func begin(_ id: LinkID, _ direction: Direction, _ remote: Endpoint, _ phase: Phase) {
        assert(self.phase == .free && slot == nil && !isListedToWrite && !isListedToRead)
        self.id = id
        self.remote = remote
        self.phase = phase
        wire = WireState(direction: direction)
        traffic = LinkTraffic()
        hasGreeted = false
        isBlocked = false
        isOwedLowWater = false
        isPaused = false
        isStalled = false
        isStarved = false
        isBroken = false
        hasEnded = false
        isShut = false
    }
}
