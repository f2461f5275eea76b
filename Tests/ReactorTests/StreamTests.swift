// Streams over real socket pairs: what is sent arrives, in order, in bounded memory.

import CEpoll
import Testing

@testable import Reactor

/// Two streams that are connected to each other.
private struct StreamPair {
    let memory: StreamMemory
    let left: Stream
    let right: Stream

    init(limit: Int = 256 << 20, limits: StreamLimits = StreamLimits(), sendBuffer: CInt? = nil) {
        memory = StreamMemory(limit: limit, limits: limits)
        left = Stream(memory: memory)
        right = Stream(memory: memory)
        var first: CInt = -1
        var second: CInt = -1
        #expect(cepoll_pair(&first, &second) == 0)
        if let sendBuffer { _ = cepoll_set_send_buffer(first, sendBuffer) }
        left.open(Socket(taking: first))
        right.open(Socket(taking: second))
    }
}

/// Frames of four bytes of length, big-endian, and a body; all that `stream` has now, at most `limit` receives.
private func frames(of stream: Stream, limit: Int = 1_000, _ body: (RawSpan) -> Void) -> Received {
    stream.beginReading()
    defer { stream.endReading() }
    var last = Received.wouldBlock
    for _ in 0..<limit {
        last = stream.receive()
        guard case .bytes = last else { return last }
        while stream.unreadCount >= 4 {
            let length = Int(UInt32(bigEndian: stream.unread.unsafeLoadUnaligned(as: UInt32.self)))
            guard stream.unreadCount >= 4 + length else {
                stream.expect(4 + length)
                break
            }
            body(stream.unread.extracting(4..<4 + length))
            stream.consume(4 + length)
        }
    }
    return last
}

private func frame(_ number: UInt32, _ length: Int) -> [UInt8] {
    precondition(length >= 4)
    var bytes: [UInt8] = []
    withUnsafeBytes(of: UInt32(length).bigEndian) { bytes += $0 }
    withUnsafeBytes(of: number.bigEndian) { bytes += $0 }
    return bytes + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: length - 4)
}

private func number(_ body: RawSpan) -> UInt32 {
    UInt32(bigEndian: body.unsafeLoadUnaligned(as: UInt32.self))
}

@Suite("Stream", .ownThread)
struct StreamTests {
    @Test("numbered frames of all sizes arrive once, in order, over short writes")
    func order() {
        let pair = StreamPair(sendBuffer: 4_096)
        let sizes = [4, 5, 100, 4_000, 65_532, 65_536, 70_000, 300_000]
        var next: UInt32 = 0
        var sent: UInt32 = 0
        var blocked = 0
        while next < 400 {
            while sent < 400 {
                let bytes = frame(sent, sizes[Int(sent) % sizes.count])
                guard pair.left.enqueue(bytes.span.bytes, .yields) == .queued else { break }
                sent += 1
            }
            let written = pair.left.write(budget: 1 << 20)
            if written.outcome == .blocked { blocked += 1 }
            _ = frames(of: pair.right, limit: 3) { body in
                #expect(number(body) == next)
                #expect(body.byteCount == sizes[Int(next) % sizes.count])
                do {
                    let value = body.unsafeLoad(fromByteOffset: body.byteCount - 1, as: UInt8.self)
                    #expect(value == UInt8(truncatingIfNeeded: next))
                }
                next += 1
            }
        }
        #expect(blocked > 100)
        #expect(pair.memory.pool.inUse == 0, "what is idle holds nothing")
    }

    @Test("an idle link holds no buffer; a part of a frame holds a small one; the rest gives it back")
    func idle() {
        let pair = StreamPair()
        let bytes = frame(1, 1_000)
        do {
            let value = pair.left.socket!.send(bytes.span.bytes.extracting(first: 480))
            #expect(value == .bytes(480))
        }
        #expect(frames(of: pair.right) { _ in Issue.record("half a frame is none") } == .wouldBlock)
        #expect(pair.right.inboundMemory == 512)
        do {
            let value = pair.left.socket!.send(bytes.span.bytes.extracting(droppingFirst: 480))
            #expect(value == .bytes(524))
        }
        var count = 0
        #expect(frames(of: pair.right) { _ in count += 1 } == .wouldBlock)
        #expect(count == 1)
        #expect(pair.right.inboundMemory == 0)
        #expect(pair.memory.pool.inUse == 0)
    }

    @Test("memory grows with what came, not with what was announced")
    func announced() {
        let pair = StreamPair()
        let header: [UInt8] = [0, 0x80, 0, 0]
        do {
            let value = pair.left.socket!.send(header.span.bytes)
            #expect(value == .bytes(4))
        }
        #expect(frames(of: pair.right) { _ in } == .wouldBlock)
        #expect(pair.right.inboundMemory <= 65_536 * 2)
    }

    @Test("a frame of 8 MiB arrives, in no more memory than itself and the scratch")
    func large() {
        let pair = StreamPair()
        let bytes = frame(7, 8 << 20)
        do {
            let value = pair.left.enqueue(bytes.span.bytes, .yields)
            #expect(value == .queued)
        }
        var arrived = 0
        var most = 0
        while arrived == 0 {
            _ = pair.left.write(budget: 1 << 20)
            _ = frames(of: pair.right) { body in
                #expect(number(body) == 7)
                arrived = body.byteCount
            }
            most = max(most, pair.right.inboundMemory)
        }
        #expect(arrived == 8 << 20)
        #expect(most <= 8 << 20 + 65_536)
        #expect(pair.memory.pool.inUse == 0)
    }

    @Test("the end of the stream comes after the last byte")
    func end() {
        let pair = StreamPair()
        let bytes = frame(1, 100)
        do {
            let value = pair.left.enqueue(bytes.span.bytes, .yields)
            #expect(value == .queued)
        }
        #expect(pair.left.write(budget: .max).outcome == .empty)
        pair.left.socket!.shutdownSending()
        var count = 0
        #expect(frames(of: pair.right) { _ in count += 1 } == .ended)
        #expect(count == 1)
    }

    @Test("a yielding sender waits at the mark, an insisting one at the limit; the marks are told once")
    func marks() {
        let limits = StreamLimits(highWater: 10_000, lowWater: 2_000, hardLimit: 50_000, controlLimit: 100)
        let pair = StreamPair(limits: limits)
        let bytes = frame(1, 996)
        var queued = 0
        while pair.left.enqueue(bytes.span.bytes, .yields) == .queued { queued += 1000 }
        #expect(queued == 10_000)
        #expect(pair.left.hasRisen())
        #expect(!pair.left.hasRisen())
        #expect(!pair.left.hasSunk())
        while pair.left.enqueue(bytes.span.bytes, .insists) == .queued { queued += 1000 }
        #expect(queued == 50_000)
        do {
            let value = pair.left.enqueue(bytes.span.bytes, .insists)
            #expect(value == .overLimit)
        }
        do {
            let value = pair.left.enqueue(control: bytes.span.bytes.extracting(first: 60))
            #expect(value == .queued)
        }
        do {
            let value = pair.left.enqueue(control: bytes.span.bytes.extracting(first: 60))
            #expect(value == .overLimit)
        }
        while pair.left.queuedCount > 0 {
            _ = pair.left.write(budget: 1 << 20)
            _ = pair.right.discard(budget: 1 << 20)
        }
        #expect(pair.left.hasSunk())
        #expect(!pair.left.hasSunk())
        #expect(pair.memory.pool.inUse == 0)
    }

    @Test("when the node's memory is used up a stream stops reading, and goes on when some is back")
    func noMemory() throws {
        let pair = StreamPair(limit: 300_000)
        let held = try #require(pair.memory.pool.take(atLeast: 262_144))
        let bytes = frame(1, 1_000)
        _ = pair.left.socket!.send(bytes.span.bytes)
        #expect(frames(of: pair.right) { _ in } == .noMemory)
        pair.memory.pool.give(held)
        var count = 0
        #expect(frames(of: pair.right) { _ in count += 1 } == .wouldBlock)
        #expect(count == 1)
    }

    @Test("closing gives everything back, in mid-frame too")
    func closing() throws {
        let pair = StreamPair()
        let bytes = frame(1, 200_000)
        let madeBuffer = pair.memory.shared.make(bytes.span.bytes)
        let buffer = try #require(madeBuffer)
        do {
            let value = pair.left.enqueue(shared: buffer, .yields)
            #expect(value == .queued)
        }
        do {
            let value = pair.left.enqueue(bytes.span.bytes, .yields)
            #expect(value == .queued)
        }
        pair.memory.shared.drop(buffer)
        _ = pair.left.write(budget: 1)
        _ = frames(of: pair.right, limit: 1) { _ in }
        #expect(pair.memory.pool.inUse > 0)
        pair.left.close()
        pair.right.close()
        #expect(pair.memory.pool.inUse == 0)
        #expect(!pair.left.isOpen)
    }

    @Test("writing to a peer that is gone is an error number, not a signal")
    func noSignal() {
        let pair = StreamPair()
        pair.right.close()
        let bytes = frame(1, 100)
        do {
            let value = pair.left.enqueue(bytes.span.bytes, .yields)
            #expect(value == .queued)
        }
        #expect(pair.left.write(budget: .max).outcome == .failed(CEPOLL_EPIPE))
    }
}
