// A state of the whole model: which state each node is in, every connection with what is under way on it, and what the
// environment may still do. Packed into 88 bytes for the table of states.

/// One TCP connection. Side 0 dialled, side 1 accepted.
struct Connection: Hashable {
    var opener: Int
    var acceptor: Int
    /// Which side's descriptor is open and a link of its node.
    var isOpen = [true, false]
    /// Which side has sent its end of stream.
    var hasEnded = [false, false]
    /// Died without a word: nothing is delivered any more.
    var isSilent = false
    /// What is under way to each side.
    var queues: [[Packet]] = [[], []]

    func node(_ side: Int) -> Int { side == 0 ? opener : acceptor }
}

struct World: Hashable {
    var nodes: [Int32]
    var isUp: [Bool]
    var incarnations: [Int]
    var bans: [Bool]
    /// The registry that the node follows does not name another one any more.
    var strikes: [Bool]
    var connections: [Connection] = []
    var crashes = 0
    var breaks = 0
    var operatorMoves = 0
    var registryMoves = 0
    var overtakes = 0
    /// An operator took back a desire that the registry does not restore.
    var isUnwanted = false

    /// A packet more does not fit into a word: the model's bound on what is under way.
    static let queueLimit = 5
    static let connectionLimit = 8

    /// The rank of `connection` among the links of `node`.
    func rank(of connection: Int, at node: Int) -> Int {
        var rank = 0
        for index in 0..<connection where hasLink(index, node) { rank += 1 }
        return rank
    }

    func hasLink(_ connection: Int, _ node: Int) -> Bool {
        let it = connections[connection]
        return (it.opener == node && it.isOpen[0]) || (it.acceptor == node && it.isOpen[1])
    }

    /// The connection of each rank of `node`.
    func connectionsByRank(_ node: Int) -> [Int] {
        connections.indices.filter { hasLink($0, node) }
    }

    func side(_ connection: Int, of node: Int) -> Int { connections[connection].opener == node ? 0 : 1 }
}

/// 88 bytes.
struct PackedWorld: Equatable {
    private(set) var words = [11 of UInt64](repeating: 0)

    static func == (one: PackedWorld, other: PackedWorld) -> Bool {
        for index in 0..<11 where one.words[index] != other.words[index] { return false }
        return true
    }

    /// Words 0 and 1: nodes; word 2: flags and budgets; words 3 to 10: one connection each.
    init(_ world: World) {
        for (index, node) in world.nodes.enumerated() {
            words[index / 2] |= UInt64(UInt32(bitPattern: node)) << UInt64(index % 2 * 32)
        }
        var flags: UInt64 = UInt64(world.nodes.count)
        for index in world.nodes.indices {
            flags |= (world.isUp[index] ? 1 : 0) << UInt64(4 + index) | UInt64(world.incarnations[index]) << UInt64(8 + 4 * index)
            flags |= (world.bans[index] ? 1 : 0) << UInt64(24 + index) | (world.strikes[index] ? 1 : 0) << UInt64(20 + index)
        }
        flags |= (world.isUnwanted ? 1 : 0) << 28 | UInt64(world.crashes) << 32 | UInt64(world.breaks) << 40
        flags |= UInt64(world.operatorMoves) << 48 | UInt64(world.registryMoves) << 52 | UInt64(world.overtakes) << 56
        words[2] = flags
        for (index, connection) in world.connections.enumerated() { words[3 + index] = PackedWorld.pack(connection) }
    }

    private static func pack(_ it: Connection) -> UInt64 {
        var word: UInt64 = 1 | UInt64(it.opener) << 1 | UInt64(it.acceptor) << 3
        word |= (it.isOpen[0] ? 1 : 0) << 5 | (it.isOpen[1] ? 1 : 0) << 6 | (it.hasEnded[0] ? 1 : 0) << 7
        word |= (it.hasEnded[1] ? 1 : 0) << 8 | (it.isSilent ? 1 : 0) << 9
        for side in 0..<2 {
            for (place, packet) in it.queues[side].enumerated() {
                word |= UInt64(packet.code) << UInt64(10 + 27 * side + 5 * place)
            }
        }
        return word
    }

    var world: World {
        let c = words[2]
        let count = Int(c & 0xf)
        var world = World(nodes: [], isUp: [], incarnations: [], bans: [], strikes: [])
        for index in 0..<count {
            world.nodes.append(Int32(bitPattern: UInt32(truncatingIfNeeded: words[index / 2] >> UInt64(index % 2 * 32))))
            world.isUp.append(c >> UInt64(4 + index) & 1 == 1)
            world.incarnations.append(Int(c >> UInt64(8 + 4 * index) & 0xf))
            world.bans.append(c >> UInt64(24 + index) & 1 == 1)
            world.strikes.append(c >> UInt64(20 + index) & 1 == 1)
        }
        world.isUnwanted = c >> 28 & 1 == 1
        world.crashes = Int(c >> 32 & 0xff)
        world.breaks = Int(c >> 40 & 0xff)
        world.operatorMoves = Int(c >> 48 & 0xf)
        world.registryMoves = Int(c >> 52 & 0xf)
        world.overtakes = Int(c >> 56 & 0xff)
        for index in 0..<World.connectionLimit where words[3 + index] != 0 {
            world.connections.append(PackedWorld.unpack(words[3 + index]))
        }
        return world
    }

    private static func unpack(_ word: UInt64) -> Connection {
        var it = Connection(opener: Int(word >> 1 & 3), acceptor: Int(word >> 3 & 3))
        it.isOpen = [word >> 5 & 1 == 1, word >> 6 & 1 == 1]
        it.hasEnded = [word >> 7 & 1 == 1, word >> 8 & 1 == 1]
        it.isSilent = word >> 9 & 1 == 1
        for side in 0..<2 {
            for place in 0..<World.queueLimit {
                let code = UInt8(truncatingIfNeeded: word >> UInt64(10 + 27 * side + 5 * place) & 0x1f)
                if code != 0 { it.queues[side].append(Packet(code: code)) }
            }
        }
        return it
    }
}
