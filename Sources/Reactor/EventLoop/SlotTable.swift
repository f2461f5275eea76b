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

/// How far a slot's registration has come.
@usableFromInline @frozen
enum SlotStage: UInt8, BitwiseCopyable {
    /// Free, or removed.
    case over
    /// Live, and the kernel does not know it: after a hangup that nobody wanted to hear of.
    case withdrawn
    /// Live, and the kernel was told `armed`.
    case registered
}

/// A slot. `wanted` is what the owner asked for, `armed` what the kernel was told. 32 bytes, so that none straddles two cache
/// lines, and an index becomes an address by a shift; the last four are filled in by one store.
@safe @usableFromInline
struct Slot: SlabEntry {
    @usableFromInline var source: Unmanaged<Source>?
    @usableFromInline var descriptor: CInt = -1
    @usableFromInline var generation: UInt32 = 1
    @usableFromInline var tag: UInt32 = 0
    @usableFromInline var next: Int32 = -1
    /// The next slot whose interest changed; -1 ends the list. Survives removal, because the list does.
    var nextChanged = Slot.unlisted
    @usableFromInline var kind = SlotKind.source
    @usableFromInline var wanted: Interest = []
    @usableFromInline var armed: Interest = []
    @usableFromInline var stage = SlotStage.over

    /// In `nextChanged`: not in the list.
    static var unlisted: Int32 { -2 }

    @usableFromInline init() {}

    @usableFromInline var isLive: Bool {
        @inlinable get { stage != .over }
    }

    @inlinable @inline(__always)
    mutating func endUse() {
        stage = .over
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
        guard let index = open() else { return nil }
        let slot = unsafe entry(index)
        unsafe slot.pointee.source = source.registered()
        unsafe slot.pointee.descriptor = descriptor
        unsafe slot.pointee.tag = tag
        unsafe slot.pointee.kind = kind
        unsafe slot.pointee.wanted = interest
        unsafe slot.pointee.armed = interest
        unsafe slot.pointee.stage = .registered
        return unsafe SlotID(index: UInt32(truncatingIfNeeded: index), generation: slot.pointee.generation)
    }
}
