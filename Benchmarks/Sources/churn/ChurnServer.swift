// A server on the bare loop that answers a hello of 32 bytes and pings of 8 with the same bytes, and is done with a
// connection when its client is. Each connection has an idle timer, armed at its accept, extended by each message,
// cancelled at its end: what a node does for each link, without the node.

import Reactor
import Timers

/// One connection. Its place is its descriptor's number, as in the floor that it is compared with.
struct Connection: ~Copyable {
    let socket: Socket
    let slot: SlotID
    let timer: TimerID
}

final class ChurnServer: Source {
    static let idle = Nanoseconds.seconds(120)

    private let loop: EventLoop
    private let target: Int
    private let capacity: Int
    // By place. A place is initialised while it has a connection; the place's timer is kept for the next.
    private let connections: UnsafeMutablePointer<Connection>
    private let timers: UnsafeMutablePointer<TimerID>
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4_096, alignment: 16)

    // Unchecked, or their checks for exclusive access would be measured instead of the loop: nobody is called while they change.
    /// Messages answered and connections ended.
    @exclusivity(unchecked) private(set) var handled = 0
    @exclusivity(unchecked) private(set) var failed = 0
    @exclusivity(unchecked) private(set) var finished = 0

    /// Ends the loop after `cycles` connections.
    init(loop: EventLoop, cycles: Int, capacity: Int = 1_024) {
        self.loop = loop
        self.capacity = capacity
        target = cycles
        connections = .allocate(capacity: capacity)
        timers = .allocate(capacity: capacity)
        super.init()
        for place in 0..<capacity {
            (timers + place).initialize(to: loop.makeTimer(source: self, tag: UInt32(place)))
        }
    }

    override func accepted(_ socket: consuming Socket, listenerTag: UInt32) {
        let place = Int(socket.descriptor)
        guard place < capacity else { return failed &+= 1 }
        do throws(SystemError) {
            let slot = try loop.add(socket.descriptor, interest: .read, source: self, tag: UInt32(truncatingIfNeeded: place))
            let timer = timers[place]
            (connections + place).initialize(to: Connection(socket: socket, slot: slot, timer: timer))
            loop.arm(timer, afterNow: Self.idle)
        } catch {
            failed &+= 1
        }
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        let connection = connections + Int(tag)
        switch connection.pointee.socket.receive(into: UnsafeMutableRawBufferPointer(start: buffer, count: 4_096)) {
        case .bytes(let count): answer(count, connection)
        case .wouldBlock: break
        case .ended: close(connection)
        case .failed: fail(connection)
        }
    }

    @inline(__always)
    private func answer(_ count: Int, _ connection: UnsafeMutablePointer<Connection>) {
        loop.arm(connection.pointee.timer, afterNow: Self.idle)
        let bytes = UnsafeRawBufferPointer(start: buffer, count: count)
        guard case .bytes(count) = connection.pointee.socket.send(RawSpan(_unsafeBytes: bytes)) else { return fail(connection) }
        handled &+= 1
    }

    override func timerFired(tag: UInt32) {
        fail(connections + Int(tag))
    }

    @inline(never)
    private func fail(_ connection: UnsafeMutablePointer<Connection>) {
        failed &+= 1
        close(connection)
    }

    @inline(__always)
    private func close(_ connection: UnsafeMutablePointer<Connection>) {
        loop.cancel(connection.pointee.timer)
        loop.remove(connection.pointee.slot, staysOpen: false)
        connection.deinitialize(count: 1)
        handled &+= 1
        finished &+= 1
        if finished == target { loop.stop() }
    }
}
