// Which members share a range of addresses: a chain for each range. Kept so that no question about neighbours walks a table.

/// Members `0 ..< capacity`, each listed under at most one key. A change costs O(1), a walk as many steps as the range has members.
struct AddressChains: ~Copyable {
    struct Node: BitwiseCopyable {
        var key: UInt64 = 0
        /// The members before and after in the chain, or -1; `previous` is -2 for one that is not listed.
        var previous: Int32 = -2
        var next: Int32 = -1
    }

    private var nodes: Slab<Node>
    /// The first member of each chain, by its key's hash.
    private var heads: HashIndex
    private(set) var count = 0

    init(capacity: Int) {
        nodes = Slab(count: capacity, repeating: Node())
        heads = HashIndex(capacity: capacity)
    }

    private init(nodes: consuming Slab<Node>, heads: consuming HashIndex, count: Int) {
        self.nodes = nodes
        self.heads = heads
        self.count = count
    }

    func isListed(_ member: Int) -> Bool { nodes[member].previous != -2 }

    mutating func list(_ member: Int, under key: UInt64) {
        guard !isListed(member) else { return }
        count += 1
        let head = first(under: key)
        guard head >= 0 else {
            nodes[member] = Node(key: key, previous: -1, next: -1)
            heads.insert(member, hash: mix(key))
            return
        }
        // Behind the head: the index names the head alone, however many there are.
        let next = nodes[head].next
        nodes[member] = Node(key: key, previous: Int32(head), next: next)
        nodes[head].next = Int32(member)
        if next >= 0 { nodes[Int(next)].previous = Int32(member) }
    }

    mutating func unlist(_ member: Int) {
        guard isListed(member) else { return }
        count -= 1
        let node = nodes[member]
        if node.previous >= 0 {
            nodes[Int(node.previous)].next = node.next
        } else {
            heads.remove(member, hash: mix(node.key))
            if node.next >= 0 { heads.insert(Int(node.next), hash: mix(node.key)) }
        }
        if node.next >= 0 { nodes[Int(node.next)].previous = node.previous }
        nodes[member] = Node()
    }

    /// The first member under `key`, or -1.
    func first(under key: UInt64) -> Int {
        var cursor = 0
        while true {
            let member = heads.next(hash: mix(key), cursor: &cursor)
            if member < 0 || nodes[member].key == key { return member }
        }
    }

    /// The member after `member` in its chain, or -1.
    func next(after member: Int) -> Int { Int(nodes[member].next) }

    borrowing func clone() -> AddressChains {
        AddressChains(nodes: nodes.clone(), heads: heads.clone(), count: count)
    }
}

extension IPAddress {
    /// The address, or its IPv6 /64, as a number: an IPv4 address has its place among the multicast ones, which no peer has.
    var blockKey: UInt64 { family == .v4 ? 0xffff_ffff << 32 | low : high }
}
