// The loop alone: a daemon that gives back what it gets, for many clients on one thread.
//
//     echo-daemon 127.0.0.1:7000
//
// It ends at SIGTERM or SIGINT. A client that is silent for a minute is let go; one that does not read is not read from.

import Glibc
import PeerMesh
import Reactor
import Timers

/// One client. The loop keeps it as long as its descriptor or its timer is there; then its socket closes itself.
final class Client: Source {
    private unowned let loop: EventLoop
    private let socket: Socket
    private var slot = SlotID.none
    private var idle: TimerID?
    /// What the kernel did not take yet. While there is some, nothing more is read.
    private var unsent: ArraySlice<UInt8> = []

    init(loop: EventLoop, socket: consuming Socket) throws(SystemError) {
        self.loop = loop
        self.socket = socket
        super.init()
        slot = try loop.add(self.socket.descriptor, interest: .read, source: self, tag: 0)
        idle = loop.makeTimer(source: self, tag: 0)
        stillThere()
    }

    private func stillThere() {
        if let idle { loop.arm(idle, after: .seconds(60)) }
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        stillThere()
        if unsent.isEmpty { receive() } else { send(unsent) }
    }

    override func timerFired(tag: UInt32) { close() }

    private func receive() {
        withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { buffer in
            switch socket.receive(into: buffer) {
            case .bytes(let count): send(Array(buffer[..<count])[...])
            case .wouldBlock: break
            case .ended, .failed: close()
            }
        }
    }

    private func send(_ bytes: ArraySlice<UInt8>) {
        switch socket.send(bytes.span.bytes) {
        case .bytes(let count): unsent = bytes.dropFirst(count)
        case .wouldBlock: unsent = bytes
        case .ended, .failed: return close()
        }
        // A word to the loop; the kernel is told before the next wait, and only of what has changed.
        loop.setInterest(slot, unsent.isEmpty ? .read : .write)
    }

    private func close() {
        loop.remove(slot)
        if let idle { loop.destroy(idle) }
        idle = nil
    }
}

/// Takes connections and signals.
final class Daemon: Source {
    private unowned let loop: EventLoop

    init(loop: EventLoop) { self.loop = loop }

    override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        do {
            _ = try Client(loop: loop, socket: socket)
        } catch {
            print("\(remote): \(error)")
        }
    }

    override func signalled(_ signal: CInt) { loop.stop() }
}

guard CommandLine.arguments.count == 2, let here = Endpoint(CommandLine.arguments[1]) else {
    print("usage: echo-daemon ADDRESS:PORT")
    exit(64)
}
let signals = [SIGTERM, SIGINT]
try EventLoop.blockSignals(signals)
let loop = try EventLoop()
let daemon = Daemon(loop: loop)
try loop.watch(signals: signals, source: daemon)
let listener = try Listener(loop: loop, on: here, owner: daemon)
print("listening on \(listener.endpoint)")
loop.run()
print("ended")
