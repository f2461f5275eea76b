// Who owns the wheel's indices: for each timer its source, tag and generation. The wheel itself knows numbers only.

/// One timer of a loop, and the generation of its use.
public struct TimerID: Hashable, Sendable, BitwiseCopyable {
    let index: UInt32
    let generation: UInt32

    /// An id that no timer has: the value to keep where there is none.
    public static var none: TimerID { TimerID(index: .max, generation: 0) }
}

/// The owner's side of a timer. `source` is nil in a free entry.
@safe
struct TimerEntry {
    var source: Unmanaged<Source>?
    var generation: UInt32 = 1
    var tag: UInt32 = 0
    /// The next entry of the free or the destroyed list; -1 ends it.
    var next: Int32 = -1
    var isLive = false
}

/// The slab of timers. A destroyed one is over at once and free for reuse in the close phase, like a slot.
/// Indices are checked once, by `holds`.
@safe
struct TimerTable: ~Copyable {
    private let base: UnsafeMutablePointer<TimerEntry>
    let capacity: Int
    private var used = 0
    private var free: Int32 = -1
    private var destroyed: Int32 = -1

    init(capacity: Int) {
        precondition(capacity > 0 && capacity < Int(Int32.max), "a loop needs room for timers")
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit {
        for index in 0..<used {
            unsafe base[index].source?.endRegistration()
        }
        unsafe base.deallocate()
    }

    subscript(index: Int) -> TimerEntry {
        unsafeAddress {
            assert(index >= 0 && index < used)
            return unsafe UnsafePointer(base + index)
        }
        nonmutating unsafeMutableAddress {
            assert(index >= 0 && index < used)
            return unsafe base + index
        }
    }

    /// Whether `id` is a live timer. Destroying moves the generation on, so the generation alone tells.
    func holds(_ id: TimerID) -> Bool {
        let index = Int(id.index)
        return index < used && self[index].generation == id.generation
    }

    var hasDestroyed: Bool { destroyed >= 0 }

    /// An entry to fill in, or nil if the table is full.
    mutating func take() -> Int? {
        if free >= 0 {
            let index = Int(free)
            free = self[index].next
            return index
        }
        guard used < capacity else { return nil }
        unsafe (base + used).initialize(to: TimerEntry())
        used += 1
        return used - 1
    }

    mutating func destroy(_ index: Int) {
        assert(self[index].isLive)
        self[index].isLive = false
        self[index].generation &+= 1
        self[index].next = destroyed
        destroyed = Int32(truncatingIfNeeded: index)
    }

    /// Frees one destroyed entry, if any, and hands back the reference that it held, to be released outside.
    mutating func recycle() -> Unmanaged<Source>? {
        guard destroyed >= 0 else { return nil }
        let index = Int(destroyed)
        destroyed = self[index].next
        self[index].next = free
        free = Int32(truncatingIfNeeded: index)
        let source = unsafe self[index].source
        unsafe self[index].source = nil
        return unsafe source
    }
}
