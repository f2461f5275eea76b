// The fixed table behind the loop's ids: entries for descriptors and for timers. A removed entry is over and free at once: its
// generation moves on, so that nothing is taken for another's. The last entry of a source alone waits for the close phase, as
// it keeps the source alive. Reserved whole at init; pages are touched as entries are used.
//
// Opening and removing are inlinable: each connection does both, and with calls they were measured to cost 70 of 720 instructions more.

/// What a slab needs of its entries.
@safe @usableFromInline
protocol SlabEntry {
    /// A free entry.
    init()
    /// Whom the entry is registered for; nil in a free one.
    var source: Unmanaged<Source>? { get set }
    /// The next entry of the free or the removed list; -1 ends it.
    var next: Int32 { get set }
    var isLive: Bool { get }
    /// Is live no longer, and ids of the use that ends mean nothing.
    mutating func endUse()
}

/// A slab of entries. Indices are their users' to check, once.
@safe @usableFromInline
struct Slab<Entry: SlabEntry>: ~Copyable {
    @usableFromInline let base: UnsafeMutablePointer<Entry>
    @usableFromInline let capacity: Int
    /// Entries 0 ..< used were used once and are initialised.
    @usableFromInline private(set) var used = 0
    @usableFromInline private(set) var free: Int32 = -1
    @usableFromInline private(set) var removed: Int32 = -1
    /// Entries in use.
    @usableFromInline private(set) var live = 0

    init(capacity: Int) {
        precondition(capacity > 0 && capacity < Int(Int32.max), "a loop needs room for descriptors and for timers")
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    // Inlinable as its owner's setter is, which is so because the slots' table is: `EventLoop.add`.
    @inlinable
    deinit {
        for index in 0..<used {
            unsafe base[index].source?.endRegistration()
        }
        unsafe base.deallocate()
    }

    /// The entry at `index`, which must have been used before.
    subscript(index: Int) -> Entry {
        unsafeAddress {
            assert(index >= 0 && index < used)
            return unsafe UnsafePointer(base + index)
        }
        nonmutating unsafeMutableAddress {
            assert(index >= 0 && index < used)
            return unsafe base + index
        }
    }

    /// The same by its address, for whoever fills an entry in: good until the slab ends.
    @inlinable @inline(__always)
    func entry(_ index: Int) -> UnsafeMutablePointer<Entry> {
        assert(index >= 0 && index < used)
        return unsafe base + index
    }

    var hasRemoved: Bool { removed >= 0 }

    /// The entries in use. For rare occasions: it looks at all that ever were.
    var liveIndices: [Int] { (0..<used).filter { self[$0].isLive } }

    /// The index of a free entry, which its caller makes a live one of a registered source; nil if the table is full.
    @inlinable @inline(__always)
    mutating func open() -> Int? {
        let index = free >= 0 ? Int(free) : Self.touch(&self)
        guard index >= 0 else { return nil }
        assert(unsafe !base[index].isLive && base[index].source == nil)
        unsafe free = base[index].next
        live &+= 1
        return index
    }

    /// Puts an entry that was never used into the empty free list, and returns its index; -1 if the table is full.
    // Static for the reason that is given in SeldomCalled.swift.
    @usableFromInline @inline(never)
    static func touch(_ slab: inout Slab) -> Int {
        guard slab.used < slab.capacity else { return -1 }
        unsafe (slab.base + slab.used).initialize(to: Entry())
        slab.used += 1
        return slab.used - 1
    }

    /// Ends the entry's use. The last of its source keeps it alive until `recycle`.
    @inlinable @inline(__always)
    mutating func remove(_ index: Int) {
        let entry = unsafe base + index
        assert(unsafe entry.pointee.isLive)
        unsafe entry.pointee.endUse()
        live &-= 1
        if unsafe entry.pointee.source.unsafelyUnwrapped._withUnsafeGuaranteedRef({ $0.unregisteredBesideOthers() }) {
            unsafe entry.pointee.source = nil
            unsafe entry.pointee.next = free
            free = Int32(truncatingIfNeeded: index)
        } else {
            unsafe entry.pointee.next = removed
            removed = Int32(truncatingIfNeeded: index)
        }
    }

    /// Frees one removed entry, if any, and hands back the reference that it held: releasing it runs others' code, which
    /// must not happen in here.
    mutating func recycle() -> Unmanaged<Source>? {
        guard removed >= 0 else { return nil }
        let index = Int(removed)
        removed = self[index].next
        self[index].next = free
        free = Int32(truncatingIfNeeded: index)
        let source = unsafe self[index].source
        unsafe self[index].source = nil
        return unsafe source
    }
}
