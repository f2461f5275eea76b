// Who owns the wheel's indices: for each timer its source, tag and generation. The wheel itself knows numbers only.

/// One timer of a loop, and the generation of its use.
public struct TimerID: Hashable, Sendable, BitwiseCopyable {
    @usableFromInline let index: UInt32
    @usableFromInline let generation: UInt32

    /// An id that no timer has: the value to keep where there is none.
    public static var none: TimerID { TimerID(index: .max, generation: 0) }
}

/// The owner's side of a timer.
@safe @usableFromInline
struct TimerEntry: SlabEntry {
    @usableFromInline var source: Unmanaged<Source>?
    @usableFromInline var generation: UInt32 = 1
    var tag: UInt32 = 0
    @usableFromInline var next: Int32 = -1
    @usableFromInline var isLive = false

    @usableFromInline init() {}
}

@usableFromInline
typealias TimerTable = Slab<TimerEntry>

extension Slab<TimerEntry> {
    /// Whether `id` is a live timer.
    @inlinable
    func holds(_ id: TimerID) -> Bool { holds(id.index, id.generation) }
}
