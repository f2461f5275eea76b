// The loop's descriptors: a fixed slab of slots with generations. A removed slot is over at once (its generation moves on)
// but free for reuse only in the close phase, so that nothing of one iteration is taken for another's.

import CEpoll

/// One registered descriptor of a loop, and the generation of its use.
public struct SlotID: Hashable, Sendable, BitwiseCopyable {
    let index: UInt32
    let generation: UInt32

    /// An id that no descriptor has: the value to keep where there is none.
    public static var none: SlotID { SlotID(index: .max, generation: 0) }
}

/// Who handles the slot's readiness.
enum SlotKind: UInt8, BitwiseCopyable {
    case source
    case signals
    /// The mailbox's eventfd: always slot 0.
    case mailbox
}

/// A slot. `wanted` is what the owner asked for, `armed` what the kernel was told.
@safe
struct Slot {
    var source: Unmanaged<Source>?
    var descriptor: CInt = -1
    var generation: UInt32 = 1
    var tag: UInt32 = 0
    /// The next slot of the free or the removed list; -1 ends it.
    var next: Int32 = -1
    /// The next slot whose interest changed; -1 ends it.
    var nextChanged: Int32 = -1
    var kind = SlotKind.source
    var isLive = false
    var wanted: Interest = []
    var armed: Interest = []
    /// In the list of changed slots; survives removal, because the list does.
    var isChanged = false
    /// The kernel knows it. False too after a hangup that nobody wanted to hear of.
    var isRegistered = false
}

/// The slab. Reserved whole at init; pages are touched as slots are used. Indices are checked once, by `holds`.
@safe
struct SlotTable: ~Copyable {
    private let base: UnsafeMutablePointer<Slot>
    let capacity: Int
    /// Slots 0 ..< used were used once and are initialised.
    private var used = 0
    private var free: Int32 = -1
    private var removed: Int32 = -1
    private(set) var live = 0

    init(capacity: Int) {
        precondition(capacity > 0 && capacity < Int(Int32.max), "a loop needs room for descriptors")
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit {
        for index in 0..<used {
            unsafe base[index].source?.endRegistration()
        }
        unsafe base.deallocate()
    }

    /// The slot at `index`, which must have been used before.
    subscript(index: Int) -> Slot {
        unsafeAddress {
            assert(index >= 0 && index < used)
            return unsafe UnsafePointer(base + index)
        }
        nonmutating unsafeMutableAddress {
            assert(index >= 0 && index < used)
            return unsafe base + index
        }
    }

    /// Whether `id` is a live slot. Every access by an id from outside, the kernel's included, is checked here first.
    /// Removal moves the generation on, so the generation alone tells a live slot from a free one.
    func holds(_ id: SlotID) -> Bool {
        let index = Int(id.index)
        return index < used && self[index].generation == id.generation
    }

    var hasRemoved: Bool { removed >= 0 }

    /// A slot, filled in and as if registered; nil if the table is full.
    mutating func open(
        _ descriptor: CInt, interest: Interest, source: Source, tag: UInt32, kind: SlotKind
    ) -> SlotID? {
        guard let index = take() else { return nil }
        let slot = unsafe base + index
        assert(unsafe !slot.pointee.isLive && slot.pointee.source == nil)
        unsafe slot.pointee.source = source.registered()
        unsafe slot.pointee.descriptor = descriptor
        unsafe slot.pointee.tag = tag
        unsafe slot.pointee.kind = kind
        unsafe slot.pointee.wanted = interest
        unsafe slot.pointee.armed = interest
        unsafe slot.pointee.isRegistered = true
        unsafe slot.pointee.isLive = true
        live &+= 1
        return unsafe SlotID(index: UInt32(truncatingIfNeeded: index), generation: slot.pointee.generation)
    }

    private mutating func take() -> Int? {
        if free >= 0 {
            let index = Int(free)
            free = self[index].next
            return index
        }
        guard used < capacity else { return nil }
        unsafe (base + used).initialize(to: Slot())
        used += 1
        return used - 1
    }

    /// Ends the slot's use. It keeps its source alive until `recycle`.
    mutating func remove(_ index: Int) {
        let slot = unsafe base + index
        assert(unsafe slot.pointee.isLive)
        unsafe slot.pointee.isLive = false
        unsafe slot.pointee.generation &+= 1
        unsafe slot.pointee.next = removed
        removed = Int32(truncatingIfNeeded: index)
        live &-= 1
    }

    /// Frees one removed slot, if any, and hands back the reference that it held: releasing it runs others' code, which
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
