// The sources that posts can reach. A handle is a number with a generation, so that a post to what is gone reaches nobody.

/// One place of the handle table.
struct HandleEntry {
    /// Nil in a free place.
    var source: Source?
    var generation: UInt32 = 0
    /// The next free place; -1 ends the list.
    var next = -1
}

/// The places, and a list of the free ones.
struct HandleTable {
    private var entries: [HandleEntry] = []
    private var free = -1

    var indices: Range<Int> { entries.indices }

    /// A handle for `source`. O(1).
    mutating func open(for source: Source) -> SourceHandle {
        let index = free >= 0 ? free : entries.count
        if index == free { free = entries[index].next } else { entries.append(HandleEntry()) }
        entries[index].generation &+= 1
        entries[index].source = source
        return SourceHandle(index: UInt32(index), generation: entries[index].generation)
    }

    /// Frees a place, and hands back its source: what ends with it may use the table.
    mutating func close(_ index: Int) -> Source? {
        guard let source = entries[index].source else { return nil }
        entries[index].source = nil
        entries[index].next = free
        free = index
        return source
    }

    func source(behind handle: SourceHandle) -> Source? {
        let index = Int(handle.index)
        guard index < entries.count, entries[index].generation == handle.generation else { return nil }
        return entries[index].source
    }
}

extension EventLoop {
    /// A handle by which any thread can post to `source`. Valid until withdrawn; the loop keeps the source alive so long. O(1).
    public func makeHandle(for source: Source) -> SourceHandle {
        assertOnThread()
        return state.handles.open(for: source)
    }

    /// Ends a handle: what is still in the ring for it is dropped.
    public func withdraw(_ handle: SourceHandle) {
        assertOnThread()
        guard source(behind: handle) != nil else {
            state.counts.staleIDs &+= 1
            return
        }
        let source = state.handles.close(Int(handle.index))
        // If that was the last reference, the source ends here, when the table is no longer being changed.
        withExtendedLifetime(source) {}
    }

    func source(behind handle: SourceHandle) -> Source? { state.handles.source(behind: handle) }
}
