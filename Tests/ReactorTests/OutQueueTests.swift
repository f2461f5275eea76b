// The queue of one link: frame boundaries, the lane that overtakes, sharing, and memory that returns to zero.

import CEpoll
import Testing

@testable import Reactor

/// Bytes that name the frame that they belong to: the number, over and over.
private func frame(_ number: UInt8, _ length: Int) -> [UInt8] {
    [UInt8](repeating: number, count: length)
}

/// What the queue would send next, cut at `limit` bytes, taken out of it.
private func send(_ queue: inout OutQueue, _ limit: Int, _ pool: BufferPool, _ shared: SharedBuffers) -> [UInt8] {
    var sent: [UInt8] = []
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: 64) { pieces in
        let (count, bytes) = queue.gather(into: pieces)
        for index in 0..<count {
            sent += UnsafeRawBufferPointer(start: pieces[index].iov_base, count: pieces[index].iov_len)
        }
        #expect(sent.count == bytes)
    }
    sent = Array(sent.prefix(limit))
    queue.take(sent.count, pool, shared)
    return sent
}

@Suite("OutQueue")
struct OutQueueTests {
    let pool = BufferPool(limit: 64 << 20)
    let shared: SharedBuffers

    init() {
        shared = SharedBuffers(pool: pool)
    }

    @Test("bulk frames leave in order, and an empty queue holds no memory")
    func order() {
        var queue = OutQueue()
        var expected: [UInt8] = []
        for number in 0..<200 {
            let bytes = frame(UInt8(number), 1 + number * 7 % 90)
            do {
                let value = queue.append(bytes.span.bytes, pool)
                #expect(value)
            }
            expected += bytes
        }
        do {
            let value = queue.bulkCount
            #expect(value == expected.count)
        }
        do {
            let value = queue.frameCount
            #expect(value == 200)
        }
        var sent: [UInt8] = []
        while !queue.isEmpty { sent += send(&queue, 37, pool, shared) }
        #expect(sent == expected)
        #expect(pool.inUse == 0)
    }

    @Test("a ping overtakes at the next frame boundary, never inside a frame", arguments: 0...10)
    func controlLane(cut: Int) {
        var queue = OutQueue()
        do {
            let value = queue.append(frame(1, 10).span.bytes, pool)
            #expect(value)
        }
        do {
            let value = queue.append(frame(2, 10).span.bytes, pool)
            #expect(value)
        }
        var sent = send(&queue, cut, pool, shared)
        queue.append(control: frame(9, 3).span.bytes, pool)
        while !queue.isEmpty { sent += send(&queue, 64, pool, shared) }
        let (one, two, ping) = (frame(1, 10), frame(2, 10), frame(9, 3))
        #expect(sent == (cut == 0 ? ping + one + two : one + ping + two))
        #expect(pool.inUse == 0)
    }

    @Test("a ping that was begun is ended before any bulk frame")
    func controlCut() {
        var queue = OutQueue()
        queue.append(control: frame(9, 8).span.bytes, pool)
        do {
            let value = queue.append(frame(1, 4).span.bytes, pool)
            #expect(value)
        }
        var sent = send(&queue, 5, pool, shared)
        queue.append(control: frame(8, 2).span.bytes, pool)
        do {
            let value = queue.controlCount
            #expect(value == 5)
        }
        while !queue.isEmpty { sent += send(&queue, 1, pool, shared) }
        #expect(sent == frame(9, 8) + frame(8, 2) + frame(1, 4))
    }

    @Test("shared and own frames keep their order, whatever the kernel takes at once", arguments: [1, 3, 16, 1_000, 100_000])
    func sharing(limit: Int) throws {
        var queue = OutQueue()
        var other = OutQueue()
        var expected: [UInt8] = []
        for number in 0..<150 {
            let bytes = frame(UInt8(number), 1 + number % 40)
            expected += bytes
            if number % 3 == 0 {
                let madeBuffer = shared.make(bytes.span.bytes)
                let buffer = try #require(madeBuffer)
                do {
                    let value = queue.append(shared: buffer, pool, shared)
                    #expect(value)
                }
                do {
                    let value = other.append(shared: buffer, pool, shared)
                    #expect(value)
                }
                shared.drop(buffer)
            } else {
                do {
                    let value = queue.append(bytes.span.bytes, pool)
                    #expect(value)
                }
            }
        }
        var sent: [UInt8] = []
        while !queue.isEmpty { sent += send(&queue, limit, pool, shared) }
        #expect(sent == expected)
        #expect(pool.inUse > 0, "the other queue still holds the shared buffers")
        other.removeAll(pool, shared)
        #expect(pool.inUse == 0)
    }

    @Test("one buffer is counted once, however many links send it")
    func oneBuffer() throws {
        var queues: [Int] = []
        let madeBuffer = shared.make(frame(7, 50_000).span.bytes)
        let buffer = try #require(madeBuffer)
        let before = pool.inUse
        var first = OutQueue()
        var second = OutQueue()
        do {
            let value = first.append(shared: buffer, pool, shared)
            #expect(value)
        }
        do {
            let value = second.append(shared: buffer, pool, shared)
            #expect(value)
        }
        queues += [first.bulkCount, second.bulkCount]
        #expect(queues == [50_000, 50_000])
        #expect(pool.inUse - before < 4_096, "the queues hold references, not copies")
        shared.drop(buffer)
        first.removeAll(pool, shared)
        second.removeAll(pool, shared)
        #expect(pool.inUse == 0)
    }

    @Test("what the bound refuses is not half queued")
    func bound() {
        let small = BufferPool(limit: 8_192)
        let owner = SharedBuffers(pool: small)
        var queue = OutQueue()
        var taken = 0
        while queue.append(frame(1, 1_000).span.bytes, small) { taken += 1 }
        #expect(taken > 0 && taken < 9)
        do {
            let value = queue.bulkCount
            #expect(value == taken * 1_000)
        }
        do {
            let value = queue.frameCount
            #expect(value == taken)
        }
        queue.append(control: frame(2, 20).span.bytes, small)
        do {
            let value = queue.controlCount
            #expect(value == 20, "the control lane has room all the same")
        }
        queue.removeAll(small, owner)
        #expect(small.inUse == 0)
    }

    @Test("steady state asks the system for nothing")
    func steady() {
        var queue = OutQueue()
        let bytes = frame(3, 900)
        var asked: UInt64 = 0
        for round in 0..<1_000 {
            for _ in 0..<8 {
                let isQueued = queue.append(bytes.span.bytes, pool)
                #expect(isQueued)
            }
            queue.append(control: bytes.span.bytes.extracting(first: 29), pool)
            while !queue.isEmpty { _ = send(&queue, 4_000, pool, shared) }
            if round == 10 { asked = pool.allocations }
        }
        #expect(pool.allocations == asked)
    }
}

@Suite("BufferPool")
struct BufferPoolTests {
    @Test("every size gets a block that holds it, at most twice as large beyond the smallest")
    func classes() throws {
        let pool = BufferPool(limit: 1 << 30, keep: 0)
        for size in [1, 255, 256, 257, 4_096, 4_097, 65_536, 1 << 20, 8 << 20, 8 << 20 + 1_024, BufferPool.largestBlock] {
            let block = try #require(pool.take(atLeast: size))
            #expect(block.capacity >= size)
            #expect(size < 256 || block.capacity <= size * 2 + 65_536)
            pool.give(block)
        }
        #expect(pool.inUse == 0)
        #expect(pool.spare == 0)
    }

    @Test("a block of pages grows with its bytes, and is counted as what it is")
    func grows() throws {
        let pool = BufferPool(limit: 20 << 20, keep: 0)
        let small = try #require(pool.take(atLeast: 100_000))
        #expect(pool.grow(small, toAtLeast: 2 << 20) == nil, "it is no pages")
        pool.give(small)
        let block = try #require(pool.take(atLeast: 1 << 20))
        for index in 0..<(1 << 20) { block.base.storeBytes(of: UInt8(truncatingIfNeeded: index &* 31), toByteOffset: index, as: UInt8.self) }
        let larger = try #require(pool.grow(block, toAtLeast: 8 << 20))
        #expect(larger.capacity >= 8 << 20 && pool.inUse == larger.capacity)
        #expect((0..<(1 << 20)).allSatisfy { larger.base.load(fromByteOffset: $0, as: UInt8.self) == UInt8(truncatingIfNeeded: $0 &* 31) })
        larger.base.storeBytes(of: 7, toByteOffset: larger.capacity - 1, as: UInt8.self)
        #expect(pool.grow(larger, toAtLeast: 16 << 20) == nil, "the bound has no room for it")
        #expect(pool.inUse == larger.capacity)
        pool.give(larger)
        #expect(pool.inUse == 0 && pool.spare == 0)
    }

    @Test("the bound holds, and what is given back can be taken again")
    func bound() throws {
        let pool = BufferPool(limit: 10_000)
        let first = try #require(pool.take(atLeast: 8_000))
        #expect(pool.take(atLeast: 8_000) == nil)
        #expect(pool.refusals == 1)
        #expect(!pool.charge(5_000))
        pool.give(first)
        let second = try #require(pool.take(atLeast: 8_000))
        #expect(pool.allocations == 1)
        pool.give(second)
        #expect(pool.peak <= 10_000)
    }
}
