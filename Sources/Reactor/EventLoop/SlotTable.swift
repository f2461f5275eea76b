// The loop's descriptors: what a slot of their slab holds, and the id by which it is known outside.

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
    /// A descriptor that tasks wait for: its source is the executor's `AsyncDriver`.
    case tasks
    /// The mailbox's eventfd: always slot 0.
    case mailbox
}

/// A slot. `wanted` is what the owner asked for, `armed` what the kernel was told. 32 bytes, so that none straddles two cache
/// lines, and an index becomes an address by a shift.
@safe
struct Slot: SlabEntry {
    var source: Unmanaged<Source>?
    var descriptor: CInt = -1
    var generation: UInt32 = 1
    var tag: UInt32 = 0
    var next: Int32 = -1
    /// The next slot whose interest changed; -1 ends it.
    var nextChanged: Int32 = -1
    var kind = SlotKind.source
    var wanted: Interest = []
    var armed: Interest = []
    private var flags: UInt8 = 0

    var isLive: Bool {
        get { flags & 1 != 0 }
        set { set(1, newValue) }
    }

    /// The kernel knows it. False too after a hangup that nobody wanted to hear of.
    var isRegistered: Bool {
        get { flags & 2 != 0 }
        set { set(2, newValue) }
    }

    /// In the list of changed slots; survives removal, because the list does.
    var isChanged: Bool {
        get { flags & 4 != 0 }
        set { set(4, newValue) }
    }

    @inline(__always)
    private mutating func set(_ flag: UInt8, _ isOn: Bool) {
        flags = isOn ? flags | flag : flags & ~flag
    }
}

typealias SlotTable = Slab<Slot>

extension Slab<Slot> {
    /// Whether `id` is a live slot.
    func holds(_ id: SlotID) -> Bool { holds(id.index, id.generation) }

    /// A slot, filled in and as if registered; nil if the table is full.
    @inline(__always)
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
