// Every number of a node that is not the mesh's, in one value.

public import PeerMesh

/// The configuration of a `PeerNode`.
public struct NodeSettings: Hashable, Sendable {
    /// The policies' numbers; its nonce must come from the system's entropy.
    public var mesh: MeshSettings
    /// Where this node can be dialled, if it knows. Stated in its hello.
    public var endpoint: Endpoint?
    /// The address that dials come from; nil leaves the choice to the kernel. A node that listens on one of several
    /// addresses names it here: others recognise it by that address.
    public var dialFrom: IPAddress?
    /// TCP options of dialled and accepted sockets.
    public var socket = SocketOptions()
    /// Listeners of the node.
    public var listener = Listener.Settings()

    /// Queued bytes of a link from which on a yielding sender waits…
    public var highWater = 256 << 10
    /// …until so few are left.
    public var lowWater = 64 << 10
    /// Queued bytes at which a link is closed as `slowConsumer`. At least `highWater` and the largest frame.
    public var queueLimit = 16 << 20
    /// Queued bytes of pings and pongs at which it is, too. Both limits count what the kernel did not take: it is asked first.
    public var controlLimit = 64 << 10
    /// Bytes that all buffers of the node may hold together, at least 16 KiB. A frame that does not fit into it alone is refused:
    /// `tooLarge` to who sends it, `frameTooLarge` to who receives it.
    public var memoryLimit = 256 << 20
    /// The share of `memoryLimit` that strangers cannot use, in percent: 0 ... 90. It is kept for masternodes, for the operator's
    /// peers and for hellos.
    public var memoryReserve = 50
    /// Bytes that the buffers of one stranger may hold, in and out; at least one frame of the dialect, or its larger frames are
    /// `frameTooLarge`.
    public var memoryPerStranger = 16 << 20
    /// Bytes read from one link before the others have their turn; shared by those that are ready at once, but for 16 KiB each.
    public var readBudget = 256 << 10
    /// Bytes written to one link before the others have their turn.
    public var writeBudget = 1 << 20
    /// Records that wait for the log at most; a power of two; 0 for no ring.
    public var recordCapacity = 4_096

    /// The defaults. The nonce, which names this process to its peers, and the seed are drawn from the system's entropy.
    public init() {
        var entropy = SystemRandomNumberGenerator()
        self.init(mesh: MeshSettings(nonce: entropy.next(), seed: entropy.next()))
    }

    /// The defaults, with these policies.
    public init(mesh: MeshSettings) {
        self.mesh = mesh
    }

    /// Why no node of this dialect can be made with these settings, in words; nil if one can. `PeerNode.init` asks it, and traps with
    /// the words.
    public func contradiction(with wire: any Wire) -> String? {
        let frame = wire.maximumBody + 1_024
        if lowWater < 0 || lowWater > highWater { return "lowWater must be within 0...highWater" }
        if highWater < 1 { return "highWater must be at least 1: with none, every send would wait for ever" }
        if queueLimit > BufferPool.largestBlock { return "queueLimit must be at most \(BufferPool.largestBlock)" }
        if highWater >= queueLimit { return "highWater must be below queueLimit" }
        if queueLimit < highWater + frame, queueLimit < BufferPool.largestBlock {
            return "queueLimit must leave room for the largest frame above highWater: at least \(min(highWater + frame, BufferPool.largestBlock))"
        }
        if frame > ReadBuffer.largest { return "the dialect's maximumBody must be at most \(ReadBuffer.largest - 1_024)" }
        if !(256...1 << 20 ~= controlLimit) { return "controlLimit must be within 256...1048576: it holds pings and pongs" }
        if memoryLimit < Scratch.smallest * 4 { return "memoryLimit must be at least \(Scratch.smallest * 4)" }
        if !(0...90 ~= memoryReserve) { return "memoryReserve must be within 0...90: it is a percentage" }
        if memoryPerStranger < Scratch.smallest * 2 { return "memoryPerStranger must be at least \(Scratch.smallest * 2)" }
        if readBudget < 1 || writeBudget < 1 { return "readBudget and writeBudget must be at least 1" }
        if recordCapacity != 0, recordCapacity < 2 || recordCapacity & (recordCapacity - 1) != 0 {
            return "recordCapacity must be 0 or a power of two from 2 on"
        }
        if listener.burst < 1 { return "listener.burst must be at least 1" }
        return nil
    }

    /// What all strangers may hold together.
    public var strangersLimit: Int { memoryLimit - memoryLimit / 100 * min(max(memoryReserve, 0), 90) }

    /// The address that a dial to `endpoint` comes from. A loopback address reaches nothing but loopback, and the other
    /// way round, so there the choice is the kernel's.
    func source(for endpoint: Endpoint) -> IPAddress? {
        guard let dialFrom, dialFrom.isLoopback == endpoint.address.isLoopback else { return nil }
        return dialFrom
    }
}

/// What a node counted since it was made.
public struct NodeCounters: Hashable, Sendable, BitwiseCopyable {
    /// Connections that listeners handed over.
    public var accepted: UInt64 = 0
    /// Accepted sockets that were closed before they were links.
    public var refused: UInt64 = 0
    /// Dials begun.
    public var dials: UInt64 = 0
    /// Dials that ended without a connection, but for their deadline.
    public var dialsFailed: UInt64 = 0
    /// Of those, the ones that this machine refused: no descriptor, source address or route.
    public var dialsImpossible: UInt64 = 0
    /// Frames decoded, of all meanings.
    public var framesIn: UInt64 = 0
    /// Frames queued: the application's, the mesh's and the dialect's.
    public var framesOut: UInt64 = 0
    /// Bytes read from links.
    public var bytesIn: UInt64 = 0
    /// Bytes that the kernel took.
    public var bytesOut: UInt64 = 0
    /// Pings queued.
    public var pingsOut: UInt64 = 0
    /// Round trips that pongs measured.
    public var roundTrips = TimeHistogram()
    /// Pongs queued.
    public var pongsOut: UInt64 = 0
    /// Streams that broke their dialect's rules.
    public var wireErrors: UInt64 = 0
    /// Sends that were answered `wouldBlock`.
    public var blockedSends: UInt64 = 0
    /// Times that a link was not read on for want of memory.
    public var memoryPauses: UInt64 = 0
    /// Links that were closed because all buffers together were full: see `NodeSettings.memoryLimit`.
    public var memoryCloses: UInt64 = 0
    /// Frames that were dropped for an offence that does not end the link, a wrong checksum, say.
    public var spoiltFrames: UInt64 = 0
    /// Posts of a kind that no node knows.
    public var strangeJobs: UInt64 = 0
    /// Times that the table contradicted itself: a bug, which ended the link concerned and nothing else.
    public var contradictions: UInt64 = 0

    /// All zero.
    public init() {}
}
