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
        let index = handles.firstIndex { $0.source == nil } ?? handles.count
        if index == handles.count { handles.append(HandleEntry(source: nil, generation: 0)) }
        handles[index].generation &+= 1
        handles[index].source = source
        return SourceHandle(index: UInt32(index), generation: handles[index].generation)
    }

    /// Ends a handle: what is still in the ring for it is dropped.
    public func withdraw(_ handle: SourceHandle) {
        assertOnThread()
        guard source(behind: handle) != nil else {
            counts.staleIDs &+= 1
            return
        }
        handles[Int(handle.index)].source = nil
    }

    func source(behind handle: SourceHandle) -> Source? {
        let index = Int(handle.index)
        guard index < handles.count, handles[index].generation == handle.generation else { return nil }
        return handles[index].source
    }
}
