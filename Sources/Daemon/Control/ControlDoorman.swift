// Who takes the control API's connections: one thread that waits at the listening sockets and hands each connection to the
// control thread. It owns the sockets, rests when the process is out of descriptors, and binds the Unix socket again when its
// file is gone. It never waits for a client.

import CEpoll
import Glibc
import PeerMesh
import Synchronization

/// The accepting side of the control API. Made and stopped by the daemon's thread.
final class ControlDoorman: Sendable {
    /// A connection that was taken.
    struct Arrival: Sendable {
        /// The receiver's to close.
        let descriptor: CInt
        let door: ControlDoor
        /// The user at the other end of a Unix socket.
        let user: UInt32?
    }

    private let unix: ControlDoor
    private let tcp: ControlDoor
    private let doorbell: Doorbell
    private let isStopping = Atomic<Bool>(false)
    private let wantsCheck = Atomic<Bool>(false)
    private let say: @Sendable (StartLines) -> Void
    private let take: @Sendable (Arrival) -> Void

    /// How often the Unix socket's file is looked for.
    private static let checkInterval: UInt64 = 5_000_000_000
    /// How long the listeners rest when the process is out of descriptors.
    private static let rest: UInt64 = 1_000_000_000
    /// Connections taken from one listener before the other has its turn.
    private static let burst = 16

    init(
        unix: ControlDoor, tcp: ControlDoor, say: @escaping @Sendable (StartLines) -> Void, take: @escaping @Sendable (Arrival) -> Void
    ) throws(DaemonError) {
        self.unix = unix
        self.tcp = tcp
        self.say = say
        self.take = take
        doorbell = try Doorbell()
    }

    /// Starts the thread. The thread owns `port`, -1 for none.
    func start(_ socket: ControlSocketBox, port: CInt) throws(DaemonError) -> DaemonThread {
        try DaemonThread.start("control-door") { self.run(socket, port) }
    }

    /// A client was closed: there may be room now. Any thread.
    func ring() { doorbell.ring() }

    /// Looks at once whether the Unix socket's file is still there. Any thread; nothing blocks.
    func check() {
        wantsCheck.store(true, ordering: .sequentiallyConsistent)
        doorbell.ring()
    }

    /// Asks the thread to end. Any thread.
    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        doorbell.ring()
    }

    // MARK: The thread

    private struct Watch {
        var nextCheck: UInt64
        var restUntil: UInt64 = 0
        /// Rests since the last connection; the first one is logged.
        var rests = 0
    }

    private func run(_ socket: ControlSocketBox, _ port: CInt) {
        var watch = Watch(nextCheck: cepoll_monotonic() + ControlDoorman.checkInterval)
        while !isStopping.load(ordering: .sequentiallyConsistent) {
            if wantsCheck.exchange(false, ordering: .sequentiallyConsistent) || cepoll_monotonic() >= watch.nextCheck {
                say(socket.check())
                watch.nextCheck = cepoll_monotonic() + ControlDoorman.checkInterval
            }
            doorbell.willSleep()
            let now = cepoll_monotonic()
            let isResting = now < watch.restUntil
            let first = isResting || !unix.hasRoom ? -1 : socket.descriptor
            let second = isResting || !tcp.hasRoom ? -1 : port
            if !isStopping.load(ordering: .sequentiallyConsistent), !wantsCheck.load(ordering: .sequentiallyConsistent) {
                let wake = isResting ? min(watch.restUntil, watch.nextCheck) : watch.nextCheck
                let milliseconds = CInt(clamping: (wake > now ? wake - now : 0) / 1_000_000 + 1)
                Descriptors.waitReadable(doorbell.descriptor, first, second, milliseconds: milliseconds)
            }
            doorbell.didWake()
            if first >= 0 { accept(first, unix, &watch) }
            if second >= 0 { accept(second, tcp, &watch) }
        }
        if port >= 0 { Descriptors.close(port) }
    }

    private func accept(_ listener: CInt, _ door: ControlDoor, _ watch: inout Watch) {
        for _ in 0..<ControlDoorman.burst where door.hasRoom {
            let result = cepoll_accept_unnamed(listener)
            if result >= 0 {
                if watch.rests > 0 { resumed(&watch) }
                door.opened()
                take(Arrival(descriptor: result, door: door, user: door.kind == .unix ? PeerCredentials.of(result)?.user : nil))
                continue
            }
            switch -result {
            case EAGAIN: return
            // The client was gone before it was ours: the next one may be there.
            case EINTR, ECONNABORTED: continue
            default: return rest(after: -result, door, &watch)
            }
        }
    }

    /// EMFILE and its like: a listener that is asked again at once is refused again at once, and takes a processor for it.
    private func rest(after code: CInt, _ door: ControlDoor, _ watch: inout Watch) {
        door.rested()
        watch.restUntil = cepoll_monotonic() + ControlDoorman.rest
        watch.rests += 1
        guard watch.rests == 1 else { return }
        var lines = StartLines()
        lines.add(
            .warning, "control-rests", ("door", .word(door.kind.rawValue)), ("errno", .number(UInt64(code))),
            ("message", .text("the control API takes no connections: \(systemText(code)); it tries again every second"))
        )
        say(lines)
    }

    private func resumed(_ watch: inout Watch) {
        var lines = StartLines()
        lines.add(.info, "control-resumes", ("rests", .number(UInt64(watch.rests))))
        watch.rests = 0
        say(lines)
    }
}

/// The Unix socket on its way between threads: the doorman's while it runs, and the server's afterwards.
final class ControlSocketBox: @unchecked Sendable {
    private var socket: ControlSocket?

    init(_ socket: consuming ControlSocket) {
        self.socket = consume socket
    }

    var descriptor: CInt { socket?.descriptor ?? -1 }

    /// Binds the socket again if its file is gone. What there is to tell of it.
    func check() -> StartLines {
        socket?.check() ?? StartLines()
    }

    func release() {
        socket = nil
    }
}
