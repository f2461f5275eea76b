// The sources that posts can reach. A handle is a number with a generation, so that a post to what is gone reaches nobody.

/// One place of the handle table.
struct HandleEntry {
    var source: Source?
    var generation: UInt32
}

extension EventLoop {
    /// A handle by which any thread can post to `source`. Valid until withdrawn; the loop keeps the source alive so long.
    public func makeHandle(for source: Source) -> SourceHandle {
        assertOnThread()
        let index = state.handles.firstIndex { $0.source == nil } ?? state.handles.count
        if index == state.handles.count { state.handles.append(HandleEntry(source: nil, generation: 0)) }
        state.handles[index].generation &+= 1
        state.handles[index].source = source
        return SourceHandle(index: UInt32(index), generation: state.handles[index].generation)
    }

    /// Ends a handle: what is still in the ring for it is dropped.
    public func withdraw(_ handle: SourceHandle) {
        assertOnThread()
        guard let source = source(behind: handle) else {
            state.counts.staleIDs &+= 1
            return
        }
        state.handles[Int(handle.index)].source = nil
        // If that was the last reference, the source ends here, when the table is no longer being changed.
        withExtendedLifetime(source) {}
    }

    func source(behind handle: SourceHandle) -> Source? {
        let index = Int(handle.index)
        guard index < state.handles.count, state.handles[index].generation == handle.generation else { return nil }
        return state.handles[index].source
    }
}
