// Which use of an index is meant, for a caller that lends its indices to others: each use has a generation, and an id that carries
// it is good as long as the use. The generation lies in the timer's own node: whoever checks an id is about to touch that.

extension TimerWheel {
    /// Begins a use of the index, whose last one is over, and returns its generation. Never zero. O(1).
    public mutating func beginUse(of index: Int) -> UInt32 {
        let node = unsafe node(checked: index)
        assert(unsafe node.pointee.list == Wheel.none, "a timer in use is not begun again")
        unsafe node.pointee.generation = max(node.pointee.generation, 1)
        return unsafe node.pointee.generation
    }

    /// Ends the use under way: the timer is cancelled, and its generation is over. O(1).
    public mutating func endUse(of index: Int) {
        cancel(index)
        unsafe node(checked: index).pointee.generation &+= 1
    }

    /// Whether the index is in that use. False for any index that is not the wheel's. O(1).
    @inlinable @inline(__always)
    public func isInUse(_ index: Int, _ generation: UInt32) -> Bool {
        unsafe UInt(bitPattern: index) < UInt(bitPattern: capacity) && memory.node(index).pointee.generation == generation
    }
}
