// One TCP connection of the world: two ends, what is on its way, and what has become of it.

import PeerMesh

/// One end of a connection: 0 dialled, 1 accepted.
struct Side: BitwiseCopyable {
    /// Whose it is; -1 until a host has taken the connection.
    var node: Int32 = -1
    var slot: UInt32 = 0
    var generation: UInt32 = 0
    /// The last millisecond at which something arrives here: a stream keeps its order.
    var lastArrival: Int32 = 0
    private var flags: UInt8 = 0

    var link: LinkID {
        get { LinkID(slot: slot, generation: generation) }
        set { (slot, generation) = (newValue.slot, newValue.generation) }
    }

    private func flag(_ bit: UInt8) -> Bool { flags & bit != 0 }
    private mutating func set(_ bit: UInt8, _ isSet: Bool) { flags = isSet ? flags | bit : flags & ~bit }

    /// A process holds the descriptor.
    var isOpen: Bool { get { flag(1) } set { set(1, newValue) } }
    /// The mesh has told the driver the link's id.
    var isAdopted: Bool { get { flag(2) } set { set(2, newValue) } }
    /// The end was told to the other one.
    var isShut: Bool { get { flag(4) } set { set(4, newValue) } }
    /// A dial that is neither established nor over.
    var isDialing: Bool { get { flag(8) } set { set(8, newValue) } }
    /// The mesh calls the link established.
    var isUp: Bool { get { flag(16) } set { set(16, newValue) } }
}

/// One cache line: every packet touches one of these.
struct Connection: BitwiseCopyable {
    var dialled = Side()
    /// Half-open death: whatever is sent is lost.
    var isSilent = false
    /// A fault has touched it: its end is nobody's failure.
    var isFaulted = false
    var accepted = Side()
    /// Both ends are established and it is counted in the number of links.
    var isCounted = false
    /// An end has said why it ended the link.
    var hasReason = false
    /// Entries of the calendar, or of a frozen node's backlog, that name this connection.
    var inFlight: Int32 = 0
    /// Where the dial goes, and where its packets seem to come from. Of a free record, `to` is the next free one.
    var to: Address
    var from: Address

    init(to: Address, from: Address) {
        self.to = to
        self.from = from
    }

    subscript(_ end: UInt8) -> Side {
        get { end == 0 ? dialled : accepted }
        set { if end == 0 { dialled = newValue } else { accepted = newValue } }
    }

    /// That end, and the node at the other one: without a copy of the whole.
    @inline(__always)
    func ends(seenFrom end: UInt8) -> (Side, Int32) {
        end == 0 ? (dialled, accepted.node) : (accepted, dialled.node)
    }

    var isOver: Bool { !dialled.isOpen && !accepted.isOpen && inFlight == 0 }
}

/// An IPv4 endpoint in one word: what the world's tables hold instead of an `Endpoint`.
struct Address: Hashable, BitwiseCopyable {
    var bits: UInt64

    init(_ v4: UInt32, port: UInt16) {
        bits = UInt64(v4) << 16 | UInt64(port)
    }

    init(bits: UInt64) {
        self.bits = bits
    }

    init(_ endpoint: Endpoint) {
        self.init(endpoint.address.v4Bits, port: endpoint.port)
    }

    var v4: UInt32 { UInt32(truncatingIfNeeded: bits >> 16) }
    var endpoint: Endpoint { Endpoint(IPAddress(v4: v4), port: UInt16(truncatingIfNeeded: bits)) }

    /// Where node `index` listens: no two nodes below 65,536 share a /24.
    static func ofNode(_ index: Int) -> Address {
        Address(10 << 24 | UInt32(index & 0xffff) << 8 | UInt32(1 + index >> 16), port: 9_000)
    }

    /// The node that would listen here, if the world has so many.
    var node: Int {
        guard v4 >> 24 == 10, bits & 0xffff == 9_000, v4 & 0xff > 0 else { return -1 }
        return Int(v4 >> 8 & 0xffff) | Int(v4 & 0xff - 1) << 16
    }
}
