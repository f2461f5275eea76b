// Fixed tables of plain values: the only memory that a mesh owns, all of it taken at birth. The one file of this module
// that touches raw memory; an index out of range traps.

/// A fixed array of plain values, owned once, copied only by `clone()`.
@safe
struct Slab<Element: BitwiseCopyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(count: Int, repeating value: Element) {
        precondition(count >= 0)
        self.count = count
        unsafe base = .allocate(capacity: max(count, 1))
        unsafe base.initialize(repeating: value, count: count)
    }

    deinit {
        unsafe base.deallocate()
    }

    subscript(_ index: Int) -> Element {
        unsafeAddress {
            precondition(index >= 0 && index < count, "slab index out of range")
            return unsafe UnsafePointer(base + index)
        }
        unsafeMutableAddress {
            precondition(index >= 0 && index < count, "slab index out of range")
            return unsafe base + index
        }
    }

    /// A copy of its own. O(count).
    borrowing func clone() -> Slab {
        let copy = unsafe Slab(count: count, repeating: base.pointee)
        unsafe copy.base.update(from: base, count: count)
        return copy
    }
}

/// A first-in first-out queue over a fixed table. Its capacity is the caller's promise that it never overflows.
struct FixedQueue<Element: BitwiseCopyable>: ~Copyable {
    private var slots: Slab<Element>
    private var head = 0
    private(set) var count = 0

    init(capacity: Int, filler: Element) {
        slots = Slab(count: capacity, repeating: filler)
    }

    private init(slots: consuming Slab<Element>, head: Int, count: Int) {
        self.slots = slots
        self.head = head
        self.count = count
    }

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { count == slots.count }

    mutating func append(_ element: Element) {
        precondition(count < slots.count, "queue overflow: take the actions after every event")
        var tail = head + count
        if tail >= slots.count { tail -= slots.count }
        slots[tail] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head]
        head += 1
        if head == slots.count { head = 0 }
        count -= 1
        return element
    }

    borrowing func clone() -> FixedQueue {
        FixedQueue(slots: slots.clone(), head: head, count: count)
    }
}
