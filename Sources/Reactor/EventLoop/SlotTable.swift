// The loop's descriptors: what a slot of their slab holds, and the id by which it is known outside.

import CEpoll

/// One registered descriptor of a loop, and the generation of its use.
public struct SlotID: Hashable, Sendable, BitwiseCopyable {
    @usableFromInline let index: UInt32
    @usableFromInline let generation: UInt32

    @inlinable
    init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// An id that no descriptor has: the value to keep where there is none.
    public static var none: SlotID { SlotID(index: .max, generation: 0) }
}

/// Who handles the slot's readiness.
@usableFromInline @frozen
enum SlotKind: UInt8, BitwiseCopyable {
    case source
    case signals
    /// A descriptor that tasks wait for: its source is the executor's `AsyncDriver`.
    case tasks
    /// The mailbox's eventfd: always slot 0.
    case mailbox
}

/// A slot. `wanted` is what the owner asked for, `armed` what the kernel was told. 32 bytes, so that none straddles two cache
/// lines, and an index becomes an address by a shift.
@safe @usableFromInline
struct Slot: SlabEntry {
    @usableFromInline var source: Unmanaged<Source>?
    @usableFromInline var descriptor: CInt = -1
    @usableFromInline var generation: UInt32 = 1
    @usableFromInline var tag: UInt32 = 0
    @usableFromInline var next: Int32 = -1
    /// The next slot whose interest changed; -1 ends it.
    var nextChanged: Int32 = -1
    @usableFromInline var kind = SlotKind.source
    @usableFromInline var wanted: Interest = []
    @usableFromInline var armed: Interest = []
    @usableFromInline var flags: UInt8 = 0

    @usableFromInline init() {}

    @usableFromInline var isLive: Bool {
        @inlinable get { flags & 1 != 0 }
        @inlinable set { set(1, newValue) }
    }

    /// The kernel knows it. False too after a hangup that nobody wanted to hear of.
    @usableFromInline var isRegistered: Bool {
        @inlinable get { flags & 2 != 0 }
        @inlinable set { set(2, newValue) }
    }

    /// In the list of changed slots; survives removal, because the list does.
    var isChanged: Bool {
        get { flags & 4 != 0 }
        set { set(4, newValue) }
    }

    @inlinable @inline(__always)
    mutating func set(_ flag: UInt8, _ isOn: Bool) {
        flags = isOn ? flags | flag : flags & ~flag
    }

    @inlinable @inline(__always)
    mutating func endUse() {
        generation &+= 1
    }
}

@usableFromInline
typealias SlotTable = Slab<Slot>

extension Slab<Slot> {
    /// Whether `id` is a live slot. Removal moves the generation on, so the generation alone tells a live entry from a free one.
    @inlinable @inline(__always)
    func holds(_ id: SlotID) -> Bool {
        let index = Int(id.index)
        return unsafe index < used && base[index].generation == id.generation
    }

    /// A slot, filled in and as if registered; nil if the table is full.
    @inlinable @inline(__always)
    mutating func open(
        _ descriptor: CInt, interest: Interest, source: Source, tag: UInt32, kind: SlotKind
    ) -> SlotID? {
        guard let index = open(for: source) else { return nil }
        let slot = unsafe entry(index)
        unsafe slot.pointee.descriptor = descriptor
        unsafe slot.pointee.tag = tag
        unsafe slot.pointee.kind = kind
        unsafe slot.pointee.wanted = interest
        unsafe slot.pointee.armed = interest
        unsafe slot.pointee.isRegistered = true
        return unsafe SlotID(index: UInt32(truncatingIfNeeded: index), generation: slot.pointee.generation)
    }
}
