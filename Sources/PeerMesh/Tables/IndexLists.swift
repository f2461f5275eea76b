// Intrusive doubly-linked lists over indices: each index is on at most one list. A list is the table's own order of
// its members, and its length is how many there are: no counter beside it can drift (incidents P12).

/// `lists` lists over the indices `0 ..< capacity`. All operations are O(1).
struct IndexLists: ~Copyable {
    /// Eight bytes: the list's number has the upper four bits of one word, 15 for none, and an index the other 28.
    struct Node: BitwiseCopyable {
        var previous: Int32 = -1
        private var word: Int32 = -1

        init() {}

        init(previous: Int32, next: Int32, list: Int32) {
            self.previous = previous
            word = list << 28 | next & 0x0fff_ffff
        }

        var next: Int32 {
            get { (word << 4) >> 4 }
            set { word = word & ~0x0fff_ffff | newValue & 0x0fff_ffff }
        }

        var list: Int32 { (word >> 28 &+ 1) & 15 &- 1 }
    }

    struct Head {
        var first: Int32 = -1
        var last: Int32 = -1
        var count: Int32 = 0
    }

    /// Inline, as every event asks for some of them: in a table of their own they are a cold line an event.
    private var heads = [12 of Head](repeating: Head())
    private var nodes: Slab<Node>

    init(lists: Int, capacity: Int) {
        precondition(lists <= 12 && capacity < 1 << 27, "so many lists and members have their bits")
        nodes = Slab(count: capacity, repeating: Node())
    }

    private init(nodes: consuming Slab<Node>, heads: [12 of Head]) {
        self.nodes = nodes
        self.heads = heads
    }

    func count(_ list: Int) -> Int { Int(heads[list].count) }

    /// The oldest member, or -1.
    func first(_ list: Int) -> Int { Int(heads[list].first) }

    /// The youngest member, or -1.
    func last(_ list: Int) -> Int { Int(heads[list].last) }

    /// The member after `index`, or -1.
    func next(_ index: Int) -> Int { Int(nodes[index].next) }

    /// The member before `index`, or -1.
    func previous(_ index: Int) -> Int { Int(nodes[index].previous) }

    /// The list that `index` is on, or -1.
    func list(of index: Int) -> Int { Int(nodes[index].list) }

    /// Puts `index` at the end of `list`; -1 takes it off whatever list it is on. Staying keeps its place.
    mutating func move(_ index: Int, to list: Int) {
        let current = Int(nodes[index].list)
        if current == list { return }
        if current >= 0 { unlink(index, from: current) }
        if list >= 0 { append(index, to: list) }
    }

    private mutating func unlink(_ index: Int, from list: Int) {
        let node = nodes[index]
        if node.previous >= 0 { nodes[Int(node.previous)].next = node.next } else { heads[list].first = node.next }
        if node.next >= 0 { nodes[Int(node.next)].previous = node.previous } else { heads[list].last = node.previous }
        heads[list].count -= 1
        nodes[index] = Node()
    }

    private mutating func append(_ index: Int, to list: Int) {
        let last = heads[list].last
        nodes[index] = Node(previous: last, next: -1, list: Int32(list))
        if last >= 0 { nodes[Int(last)].next = Int32(index) } else { heads[list].first = Int32(index) }
        heads[list].last = Int32(index)
        heads[list].count += 1
    }

    borrowing func clone() -> IndexLists {
        IndexLists(nodes: nodes.clone(), heads: heads)
    }
}
