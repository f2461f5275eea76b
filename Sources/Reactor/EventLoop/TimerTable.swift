// Who owns the wheel's indices: for each timer its source and tag. The wheel itself knows numbers only,
// and which use of each is under way.

/// One timer of a loop, and the generation of its use.
public struct TimerID: Hashable, Sendable, BitwiseCopyable {
    @usableFromInline let index: UInt32
    @usableFromInline let generation: UInt32

    /// An id that no timer has: the value to keep where there is none.
    public static var none: TimerID { TimerID(index: .max, generation: 0) }
}

/// The owner's side of a timer. Its generation is with the wheel: an id is checked there.
@safe @usableFromInline
struct TimerEntry: SlabEntry {
    @usableFromInline var source: Unmanaged<Source>?
    var tag: UInt32 = 0
    @usableFromInline var next: Int32 = -1
    @usableFromInline var isLive = false

    @usableFromInline init() {}

    @usableFromInline
    mutating func endUse() {
        isLive = false
    }
}

typealias TimerTable = Slab<TimerEntry>

extension Slab<TimerEntry> {
    /// A live entry for `source`; nil if the table is full.
    mutating func open(for source: Source, tag: UInt32) -> Int? {
        guard let index = open() else { return nil }
        unsafe self[index].source = source.registered()
        self[index].tag = tag
        self[index].isLive = true
        return index
    }
}
