// What the driver keeps of one link beside the mesh's own row: its stream, its dialect's memory, and what it waits for.
// One object serves many links, one after the other; a link's generation tells whose it is. 136 bytes, which malloc gives
// without a rest: a field more costs 16.

import PeerMesh

/// The driver's side of one link: a stream, and what the node does with it.
@safe
final class NodeLink: Stream {
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

    /// The cache lines that an object takes.
    static let lines: Int32 = 3

    @safe @exclusivity(unchecked) var phase = Phase.free
    /// The peer's hello is complete.
    @safe @exclusivity(unchecked) private(set) var hasGreeted = false
    /// The last write was short: the loop is asked for writability.
    @safe @exclusivity(unchecked) var isBlocked = false
    /// Listed to be written in the flush phase.
    @safe @exclusivity(unchecked) var isListedToWrite = false
    /// Listed to be read in the flush phase, without news from the kernel.
    @safe @exclusivity(unchecked) var isListedToRead = false
    /// Was answered `wouldBlock` and waits for `lowWater`.
    @safe @exclusivity(unchecked) var isOwedLowWater = false

    /// Why it is not read.
    struct Rest: OptionSet {
        let rawValue: UInt8

        /// The application asked for it.
        static let paused = Rest(rawValue: 1)
        /// It sent more than its hello before it was established (a peer that knows no verdict): kept until it is.
        static let stalled = Rest(rawValue: 2)
        /// The buffers' bound was reached.
        static let starved = Rest(rawValue: 4)
        /// Its bytes broke the rules.
        static let broken = Rest(rawValue: 8)
        /// Those that are our own doing on an established link: its silence is not its own.
        static let ours: Rest = [.paused, .starved]
    }

    @safe @exclusivity(unchecked) var rest: Rest = []
    /// The mesh was told that it is not read.
    @safe @exclusivity(unchecked) var isToldUnread = false
    /// The end of the stream was read.
    @safe @exclusivity(unchecked) var hasEnded = false
    /// Our sending side is shut.
    @safe @exclusivity(unchecked) var isShut = false

    // What the dialect remembers. See `wire`.

    @safe @exclusivity(unchecked) private(set) var direction = Direction.inbound
    @safe @exclusivity(unchecked) private(set) var isNative = false
    /// The flush phase in which it was written last: its number's lower half.
    @safe @exclusivity(unchecked) var lastFlush: UInt32 = 0
    @safe @exclusivity(unchecked) var id = LinkID(slot: 0, generation: 0)
    @safe @exclusivity(unchecked) var slot = SlotID.none
    @safe @exclusivity(unchecked) private var wireFlags: UInt32 = 0
    @safe @exclusivity(unchecked) private var peerVersion: UInt32 = 0
    /// What the hello has said so far, in a block of the pool, until it is complete.
    @exclusivity(unchecked) private var hello: UnsafeMutablePointer<Hello>?
    @safe @exclusivity(unchecked) var traffic = LinkTraffic()

    deinit {
        forgetHello()
    }

    /// What the dialect remembers of the link. Of the hello that is its kind, once it is complete: the mesh has the rest.
    var wire: WireState {
        get {
            var state = WireState(direction: direction)
            state.flags = wireFlags
            state.peerVersion = peerVersion
            if let hello = unsafe hello { state.hello = unsafe hello.pointee } else { state.hello.isNative = isNative }
            return state
        }
        set {
            wireFlags = newValue.flags
            peerVersion = newValue.peerVersion
            if !hasGreeted { keep(newValue.hello) }
        }
    }

    private func keep(_ new: Hello) {
        isNative = new.isNative
        if let hello = unsafe hello {
            unsafe hello.pointee = new
        } else if new != Hello(isNative: new.isNative) {
            let block = account.takeUrgently(atLeast: MemoryLayout<Hello>.size)
            unsafe hello = block.base.bindMemory(to: Hello.self, capacity: 1)
            unsafe hello?.initialize(to: new)
        }
    }

    private func forgetHello() {
        guard let hello = unsafe hello else { return }
        account.give(unsafe Block(base: UnsafeMutableRawPointer(hello), capacity: Self.helloSize))
        unsafe self.hello = nil
    }

    private static let helloSize = BufferPool.capacity(for: MemoryLayout<Hello>.size)

    /// Whether it may use the memory that strangers cannot.
    func setReserved(_ isReserved: Bool) {
        setReserved(isReserved, besides: unsafe hello == nil ? 0 : Self.helloSize)
    }

    /// What would be free without it; what it shares with other links may stay.
    var weight: Int { inboundMemory + max(heldMemory - inboundMemory, bulkCount) }

    /// The peer's hello is complete.
    func greeted() {
        hasGreeted = true
        forgetHello()
    }

    /// Closes the socket and gives all memory back.
    func end() {
        close()
        forgetHello()
        phase = .free
    }

    /// Whether frames of it are decoded now.
    var isDecoded: Bool {
        (phase == .greeting || phase == .up) && rest.isDisjoint(with: [.paused, .stalled, .broken])
    }

    /// Whether the loop is asked for readability.
    var wantsBytes: Bool {
        switch phase {
        case .greeting, .up: rest.isEmpty && !hasEnded
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
    func begin(_ id: LinkID, _ direction: Direction, _ phase: Phase) {
        assert(self.phase == .free && slot == .none && !isListedToWrite && !isListedToRead)
        assert(unsafe hello == nil)
        // Until it is established it holds no more than a hello, and is no stranger.
        setReserved(true)
        self.id = id
        self.phase = phase
        self.direction = direction
        isNative = false
        wireFlags = 0
        peerVersion = 0
        traffic = LinkTraffic()
        hasGreeted = false
        isBlocked = false
        isOwedLowWater = false
        rest = []
        isToldUnread = false
        hasEnded = false
        isShut = false
    }
}
