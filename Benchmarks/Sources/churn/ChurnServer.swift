// A server on the bare loop that answers a hello of 32 bytes and pings of 8 with the same bytes, and is done with a
// connection when its client is. Each connection has an idle timer, armed at its accept, extended by each message,
// cancelled at its end: what a node does for each link, without the node.

import PeerMesh
import Reactor
import Timers

/// What changes for each connection, at a constant address: a class's own variables are checked for exclusive access at
/// each use, and that would be measured instead of the loop.
struct ServerState: ~Copyable {
    let connections: UnsafeMutablePointer<Connection>
    /// The first free place; -1 if none.
    var free: Int32 = -1
    var finished = 0
    var failed = 0

    init(capacity: Int) {
        connections = .allocate(capacity: capacity)
    }
}

/// One accepted connection; its place is used again for another.
struct Connection: ~Copyable {
    var socket: Socket?
    var slot: SlotID
    let timer: TimerID
    var nextFree: Int32
}

final class ChurnServer: Source {
    static let idle = Nanoseconds.seconds(120)

    private let loop: EventLoop
    private let target: Int
    private let state = UnsafeMutablePointer<ServerState>.allocate(capacity: 1)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 16)

    /// Ends the loop after `cycles` connections.
    init(loop: EventLoop, cycles: Int, capacity: Int) {
        self.loop = loop
        target = cycles
        state.initialize(to: ServerState(capacity: capacity))
        super.init()
        for index in 0..<capacity {
            let timer = loop.makeTimer(source: self, tag: UInt32(index))
            (state.pointee.connections + index).initialize(
                to: Connection(socket: nil, slot: .none, timer: timer, nextFree: state.pointee.free)
            )
            state.pointee.free = Int32(index)
        }
    }

    var finished: Int { state.pointee.finished }
    var failed: Int { state.pointee.failed }

    override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        let place = state.pointee.free
        guard place >= 0 else { return state.pointee.failed += 1 }
        let tag = UInt32(bitPattern: place)
        do throws(SystemError) {
            let slot = try loop.add(socket.descriptor, interest: .read, source: self, tag: tag)
            let connection = state.pointee.connections + Int(place)
            state.pointee.free = connection.pointee.nextFree
            connection.pointee.slot = slot
            connection.pointee.socket = consume socket
            loop.arm(connection.pointee.timer, at: loop.now + Self.idle)
        } catch {
            state.pointee.failed += 1
        }
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        let connection = state.pointee.connections + Int(tag)
        switch connection.pointee.socket!.receive(into: buffer) {
        case .bytes(let count):
            loop.arm(connection.pointee.timer, at: loop.now + Self.idle)
            let bytes = UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)
            guard case .bytes(count) = connection.pointee.socket!.send(RawSpan(_unsafeBytes: bytes)) else { return fail(tag) }
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

    private func fail(_ place: UInt32) {
        state.pointee.failed += 1
        close(place)
    }

    private func close(_ place: UInt32) {
        let connection = state.pointee.connections + Int(place)
        loop.cancel(connection.pointee.timer)
        loop.remove(connection.pointee.slot)
        connection.pointee.socket = nil
        connection.pointee.nextFree = state.pointee.free
        state.pointee.free = Int32(bitPattern: place)
        state.pointee.finished += 1
        if state.pointee.finished == target { loop.stop() }
    }
}
