// The compared protocol on the bare loop: frames are answered where they were received, in a scratch that all connections
// share, and sent from there. Memory of its own a connection holds only for half a frame, or for answers that the
// kernel did not take; while it does, nothing more is read from it.

import Reactor
import Timers

/// One connection. Its place is its descriptor's number; the next connection of that number takes it over, with its timer.
struct Connection: ~Copyable {
    let socket: Socket
    let slot: SlotID
    var isGreeted = false
    /// One of the two below is there: asked first at each readiness.
    var isBusy = false
    /// Half a frame.
    var half: Bytes?
    /// Answers that wait for room.
    var unsent: Bytes?
}

final class FrameServer: Source {
    static let capacity = 19_990
    static let scratchSize = 256 << 10

    private let loop: EventLoop
    private let idle: Nanoseconds
    // By place.
    private let connections = UnsafeMutablePointer<Connection>.allocate(capacity: capacity)
    private let timers = UnsafeMutablePointer<TimerID>.allocate(capacity: capacity)
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: scratchSize, alignment: 64)
    /// Places below have a timer. Unchecked: nobody is called while it changes.
    @exclusivity(unchecked) private var used = 0

    init(loop: EventLoop, idle: Nanoseconds) {
        self.loop = loop
        self.idle = idle
        super.init()
    }

    // MARK: Coming and going

    override func accepted(_ socket: consuming Socket, listenerTag: UInt32) {
        let place = Int(socket.descriptor)
        if place >= used { guard openPlaces(through: place) else { return } }
        // Without a slot the socket closes by itself.
        let added = try? loop.add(socket.descriptor, interest: .read, source: self, tag: UInt32(truncatingIfNeeded: place))
        guard let slot = added else { return }
        (connections + place).initialize(to: Connection(socket: socket, slot: slot))
        loop.arm(timers[place], afterNow: idle)
    }

    /// The kernel gives out the lowest number that is free, so few places are made that none comes to.
    @inline(never)
    private func openPlaces(through last: Int) -> Bool {
        guard last < Self.capacity else { return false }
        while used <= last {
            (timers + used).initialize(to: loop.makeTimer(source: self, tag: UInt32(used)))
            used += 1
        }
        return true
    }

    /// For all but the common end.
    @inline(never)
    private func close(_ place: Int) {
        end(place)
    }

    @inline(__always)
    private func end(_ place: Int) {
        let connection = connections + place
        loop.cancel(timers[place])
        loop.remove(connection.pointee.slot, staysOpen: false)
        if connection.pointee.isBusy { freeBytes(connection) }
        connection.deinitialize(count: 1)
    }

    @inline(never)
    private func freeBytes(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.half?.free()
        connection.pointee.unsent?.free()
    }

    override func timerFired(tag: UInt32) {
        close(Int(tag))
    }

    // MARK: Reading

    override func ready(_ readiness: Readiness, tag: UInt32) {
        let place = Int(tag)
        let connection = connections + place
        guard !connection.pointee.isBusy else { return goOn(place) }
        let buffer = UnsafeMutableRawBufferPointer(start: scratch, count: Self.scratchSize)
        switch connection.pointee.socket.receive(into: buffer) {
        case .bytes(let count): received(count, place)
        case .wouldBlock: break
        case .ended: end(place)
        case .failed: close(place)
        }
    }

    @inline(__always)
    private func received(_ count: Int, _ place: Int) {
        let connection = connections + place
        guard let answered = Frames.answer(scratch, count, isGreeted: &connection.pointee.isGreeted) else { return close(place) }
        guard answered.length == count else { return receivedPart(count, answered, place) }
        answer(scratch, count, place)
    }

    @inline(never)
    private func receivedPart(_ count: Int, _ answered: Frames.Answered, _ place: Int) {
        keepHalf(count, answered, place)
        if answered.length > 0 { answer(scratch, answered.length, place) }
    }

    private func keepHalf(_ count: Int, _ answered: Frames.Answered, _ place: Int) {
        let rest = count - answered.length
        connections[place].half = Bytes(copying: scratch + answered.length, rest, room: Bytes.room(rest, of: answered.needed))
        connections[place].isBusy = true
    }

    /// The connection has half a frame, or unsent answers, which go first.
    @inline(never)
    private func goOn(_ place: Int) {
        if connections[place].unsent != nil { sendRest(place) } else { receiveRest(place) }
    }

    /// Goes on with a frame of which a part is here. Of the next frame no byte is received.
    private func receiveRest(_ place: Int) {
        guard var half = connections[place].half else { return }
        let needed = Frames.needed(half.base, half.count)
        if half.count == half.capacity || half.capacity < needed { half = half.grown(room: Bytes.room(half.count, of: needed)) }
        connections[place].half = half
        let room = min(half.capacity, needed) - half.count
        switch connections[place].socket.receive(into: UnsafeMutableRawBufferPointer(start: half.base + half.count, count: room)) {
        case .bytes(let count):
            half.count += count
            guard let answered = Frames.answer(half.base, half.count, isGreeted: &connections[place].isGreeted) else {
                return close(place)
            }
            guard answered.length > 0 else { return }
            connections[place].half = nil
            connections[place].isBusy = false
            answer(half.base, answered.length, place)
            half.free()
        case .wouldBlock: break
        case .ended, .failed: close(place)
        }
    }

    // MARK: Writing

    @inline(__always)
    private func answer(_ bytes: UnsafeMutableRawPointer, _ count: Int, _ place: Int) {
        loop.arm(timers[place], afterNow: idle)
        let span = RawSpan(_unsafeStart: UnsafeRawPointer(bytes), byteCount: count)
        switch connections[place].socket.send(span) {
        case .bytes(let sent): if sent < count { keep(bytes + sent, count - sent, place) }
        case .wouldBlock: keep(bytes, count, place)
        case .ended, .failed: close(place)
        }
    }

    @inline(never)
    private func keep(_ bytes: UnsafeMutableRawPointer, _ count: Int, _ place: Int) {
        connections[place].unsent = Bytes(copying: bytes, count, room: count)
        connections[place].isBusy = true
        loop.setInterest(connections[place].slot, .write)
    }

    private func sendRest(_ place: Int) {
        guard let unsent = connections[place].unsent else { return }
        let span = RawSpan(_unsafeStart: UnsafeRawPointer(unsent.base + unsent.start), byteCount: unsent.count - unsent.start)
        switch connections[place].socket.send(span) {
        case .bytes(let sent):
            unsent.start += sent
            guard unsent.start == unsent.count else { return }
            connections[place].unsent = nil
            connections[place].isBusy = connections[place].half != nil
            unsent.free()
            loop.setInterest(connections[place].slot, .read)
        case .wouldBlock: break
        case .ended, .failed: close(place)
        }
    }
}
