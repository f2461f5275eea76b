// What tasks wait for: one place for each socket, timer or queue, with room for one waiter to read and one to write. A slab,
// like the loop's own tables: waiting allocates nothing.

import CEpoll

/// One place, and the generation of its use.
struct PlaceID: Hashable, Sendable, BitwiseCopyable {
    let index: Int32
    let generation: UInt32
}

/// What a waiter of a place waits for.
@usableFromInline
enum Lane: UInt8, BitwiseCopyable {
    /// Something to take: bytes, a connection, an event, the end of a sleep.
    case reading
    /// Room to write, or the end of a dial.
    case writing
}

/// A place. The descriptor is its own, and closed with it.
@safe
struct AsyncPlace {
    var descriptor: CInt = -1
    /// None until a task must wait for the descriptor.
    var slot = SlotID.none
    var generation: UInt32 = 1
    /// The next free place; -1 ends the list.
    var next: Int32 = -1
    var isLive = false
    /// What the kernel said last, as long as no call has found otherwise. A new connection is tried before it is waited for.
    var isReadable = false
    var isWritable = false
    /// A short read does not mean that there is no more: the other end has ended, the connection failed (which the kernel tells once),
    /// or an urgent byte lies between, at which a read stops. Stays so: only a read that finds nothing counts.
    var readsUntilEmpty = false
    /// Writability was asked for; it stays so.
    var wantsWrite = false
    /// The jobs of the tasks that wait, as bits of a `TaskJob`; 0 is nobody.
    var reader: UInt = 0
    var writer: UInt = 0
    /// The task whose waits here are ended by who owns it, not by a handler of their own; 0 is none. See Crew.
    var ownedTask: UInt = 0
    /// Who has that task, and with it its handle.
    var owner: Unmanaged<Crew.Worker>?
    /// That task was cancelled by who owns it.
    var isCancelled = false

    subscript(lane: Lane) -> UInt {
        get { lane == .reading ? reader : writer }
        set { if lane == .reading { reader = newValue } else { writer = newValue } }
    }
}

/// The slab: chunks that never move, added as they are needed.
@safe
struct AsyncPlaces: ~Copyable {
    private static let chunkShift = 8
    private static let chunkSize = 1 << chunkShift

    private var chunks: [UnsafeMutablePointer<AsyncPlace>] = unsafe []
    private var used = 0
    private var free: Int32 = -1
    private(set) var live = 0

    deinit {
        for index in unsafe chunks.indices { unsafe chunks[index].deallocate() }
    }

    subscript(index: Int) -> AsyncPlace {
        unsafeAddress {
            assert(index >= 0 && index < used)
            return unsafe UnsafePointer(pointer(index))
        }
        nonmutating unsafeMutableAddress {
            assert(index >= 0 && index < used)
            return unsafe pointer(index)
        }
    }

    /// The place at `index`, which never moves.
    func pointer(_ index: Int) -> UnsafeMutablePointer<AsyncPlace> {
        assert(index >= 0 && index < used)
        return unsafe chunks[index >> Self.chunkShift] + index & (Self.chunkSize - 1)
    }

    /// The indices that were ever used.
    var indices: Range<Int> { 0..<used }

    func holds(_ id: PlaceID) -> Bool {
        let index = Int(id.index)
        return index < used && self[index].generation == id.generation
    }

    mutating func open() -> PlaceID {
        let index: Int
        if free >= 0 {
            index = Int(free)
            free = self[index].next
        } else {
            index = used
            if unsafe index >> Self.chunkShift == chunks.count { addChunk() }
            used += 1
        }
        assert(!self[index].isLive)
        self[index].isLive = true
        live += 1
        return PlaceID(index: Int32(truncatingIfNeeded: index), generation: self[index].generation)
    }

    private mutating func addChunk() {
        let chunk = UnsafeMutablePointer<AsyncPlace>.allocate(capacity: Self.chunkSize)
        unsafe chunk.initialize(repeating: AsyncPlace(), count: Self.chunkSize)
        unsafe chunks.append(chunk)
    }

    /// Ends the use of a place that has no waiter any more.
    mutating func close(_ index: Int) {
        let place = unsafe pointer(index)
        assert(unsafe place.pointee.isLive)
        assert(unsafe place.pointee.reader == 0 && place.pointee.writer == 0)
        unsafe place.pointee.descriptor = -1
        unsafe place.pointee.slot = .none
        unsafe place.pointee.generation &+= 1
        unsafe place.pointee.next = free
        unsafe place.pointee.isLive = false
        unsafe place.pointee.isReadable = false
        unsafe place.pointee.isWritable = false
        unsafe place.pointee.readsUntilEmpty = false
        unsafe place.pointee.wantsWrite = false
        unsafe place.pointee.ownedTask = 0
        unsafe place.pointee.owner = nil
        unsafe place.pointee.isCancelled = false
        free = Int32(truncatingIfNeeded: index)
        live -= 1
    }
}
