// A server on the bare loop that answers a hello of 32 bytes and pings of 8 with the same bytes, and is done with a
// connection when its client is. Each connection has an idle timer, armed at its accept, extended by each message,
// cancelled at its end: what a node does for each link, without the node.

import Reactor
import Timers

/// The numbers that change, at a constant address: a class's own variables are checked for exclusive access at each use,
/// and that would be measured instead of the loop.
struct ServerCounts {
    /// Places that are free.
    var free: Int
    /// Messages answered and connections ended.
    var handled = 0
    var finished = 0
    var failed = 0
}

final class ChurnServer: Source {
    static let idle = Nanoseconds.seconds(120)

    private let loop: EventLoop
    private let target: Int
    // One place for each connection. A place's socket is initialised while a connection has the place.
    private let sockets: UnsafeMutablePointer<Socket>
    private let slots: UnsafeMutablePointer<SlotID>
    private let timers: UnsafeMutablePointer<TimerID>
    /// The free places, as a stack of `counts.free`.
    private let free: UnsafeMutablePointer<UInt32>
    private let counts = UnsafeMutablePointer<ServerCounts>.allocate(capacity: 1)
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4_096, alignment: 16)

    /// Ends the loop after `cycles` connections.
    init(loop: EventLoop, cycles: Int, capacity: Int = 1_024) {
        self.loop = loop
        target = cycles
        sockets = .allocate(capacity: capacity)
        slots = .allocate(capacity: capacity)
        timers = .allocate(capacity: capacity)
        free = .allocate(capacity: capacity)
        counts.initialize(to: ServerCounts(free: capacity))
        super.init()
        for place in 0..<capacity {
            (timers + place).initialize(to: loop.makeTimer(source: self, tag: UInt32(place)))
            (slots + place).initialize(to: .none)
            (free + place).initialize(to: UInt32(capacity - 1 - place))
        }
    }

    var handled: Int { counts.pointee.handled }
    var finished: Int { counts.pointee.finished }
    var failed: Int { counts.pointee.failed }

    override func accepted(_ socket: consuming Socket, listenerTag: UInt32) {
        guard counts.pointee.free > 0 else { return counts.pointee.failed &+= 1 }
        let tag = free[counts.pointee.free &- 1]
        do throws(SystemError) {
            slots[Int(tag)] = try loop.add(socket.descriptor, interest: .read, source: self, tag: tag)
            (sockets + Int(tag)).initialize(to: socket)
            counts.pointee.free &-= 1
            loop.arm(timers[Int(tag)], afterNow: Self.idle)
        } catch {
            counts.pointee.failed &+= 1
        }
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        let socket = sockets + Int(tag)
        switch socket.pointee.receive(into: UnsafeMutableRawBufferPointer(start: buffer, count: 4_096)) {
        case .bytes(let count):
            loop.arm(timers[Int(tag)], afterNow: Self.idle)
            let bytes = UnsafeRawBufferPointer(start: buffer, count: count)
            guard case .bytes(count) = socket.pointee.send(RawSpan(_unsafeBytes: bytes)) else { return fail(tag) }
            counts.pointee.handled &+= 1
        case .wouldBlock:
            break
        case .ended:
            close(tag)
        case .failed:
            fail(tag)
        }
    }

    override func timerFired(tag: UInt32) {
        fail(tag)
    }

    @inline(never)
    private func fail(_ place: UInt32) {
        counts.pointee.failed &+= 1
        close(place)
    }

    @inline(__always)
    private func close(_ place: UInt32) {
        loop.cancel(timers[Int(place)])
        loop.remove(slots[Int(place)])
        (sockets + Int(place)).deinitialize(count: 1)
        free[counts.pointee.free] = place
        counts.pointee.free &+= 1
        counts.pointee.handled &+= 1
        counts.pointee.finished &+= 1
        if counts.pointee.finished == target { loop.stop() }
    }
}
