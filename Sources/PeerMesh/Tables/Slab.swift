// Fixed tables of plain values: the only memory that a mesh owns, all of it taken at birth. The one file of this module
// that touches raw memory; an index out of range traps.

/// Memory for `count` values that begins at a cache line: a record of two lines touches two.
private func lines<Element>(of type: Element.Type, count: Int) -> UnsafeMutablePointer<Element> {
    let bytes = max(count, 1) * MemoryLayout<Element>.stride
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: max(64, MemoryLayout<Element>.alignment))
    return unsafe raw.bindMemory(to: Element.self, capacity: max(count, 1))
}

/// A fixed array of plain values, owned once, copied only by `clone()`.
@safe
struct Slab<Element: BitwiseCopyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(count: Int, repeating value: Element) {
        precondition(count >= 0)
        self.count = count
        unsafe base = lines(of: Element.self, count: count)
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

    /// Where the record lies. See `Mesh+Lines.swift`.
    func address(_ index: Int) -> UInt {
        precondition(index >= 0 && index < count, "slab index out of range")
        return UInt(bitPattern: unsafe base + index)
    }

    /// A copy of its own. O(count).
    borrowing func clone() -> Slab {
        let copy = unsafe Slab(count: count, repeating: base.pointee)
        unsafe copy.base.update(from: base, count: count)
        return copy
    }
}

/// A fixed array of which few elements are in use at a time. Its memory is not touched before an element is set; which ones
/// are is the owner's to know.
@safe
struct SparseSlab<Element: BitwiseCopyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(count: Int) {
        precondition(count >= 0)
        self.count = count
        unsafe base = lines(of: Element.self, count: count)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// An element that was set.
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

    mutating func set(_ index: Int, to element: Element) {
        precondition(index >= 0 && index < count, "slab index out of range")
        unsafe (base + index).initialize(to: element)
    }
}

/// A first-in first-out queue over a fixed table. Its capacity is the caller's promise that it never overflows.
/// Sized for the worst event and nearly always empty: its memory is not touched before it is needed, and an empty queue
/// begins at its first slot again, so that the few lines in use stay in the cache (10,000 meshes: 2 GB less, and the
/// simulator a fifth faster).
@safe
struct FixedQueue<Element: BitwiseCopyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    private let capacity: Int
    private var head = 0
    private(set) var count = 0

    init(capacity: Int) {
        precondition(capacity > 0)
        self.capacity = capacity
        unsafe base = lines(of: Element.self, count: capacity)
    }

    deinit {
        unsafe base.deallocate()
    }

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { count == capacity }

    mutating func append(_ element: Element) {
        precondition(count < capacity, "queue overflow: take the actions after every event")
        var tail = head + count
        if tail >= capacity { tail -= capacity }
        unsafe (base + tail).initialize(to: element)
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = unsafe base[head]
        head += 1
        count -= 1
        if count == 0 || head == capacity { head = 0 }
        return element
    }

    /// The element `index` places behind the first one, or nil if there is none.
    func peek(_ index: Int) -> Element? {
        guard index < count else { return nil }
        let place = head + index
        return unsafe base[place < capacity ? place : place - capacity]
    }

    /// Where an empty queue begins. See `Mesh+Lines.swift`.
    var address: UInt { UInt(bitPattern: unsafe base) }

    /// A copy of its own. O(count).
    borrowing func clone() -> FixedQueue {
        var copy = FixedQueue(capacity: capacity)
        for offset in 0..<count {
            let place = head + offset
            unsafe copy.append(base[place < capacity ? place : place - capacity])
        }
        return copy
    }
}
