// A thread of the daemon's own: log, resolver. Started once, never joined without a limit: neither a blocked stderr nor a
// slow name server may keep the process from ending.

import CEpoll
import Glibc
import Synchronization

/// One POSIX thread that runs a body once.
package final class DaemonThread: Sendable {
    private let body: Mutex<(@Sendable () -> Void)?>
    private let hasEnded = Atomic<Bool>(false)
    /// Written when the body has returned.
    private let ended: CInt

    /// Starts `body` on a thread of its own, named `name` for `ps` and `top` (15 bytes at most).
    package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(DaemonError) -> DaemonThread {
        let descriptor = cepoll_eventfd()
        guard descriptor >= 0 else { throw DaemonError.system("cannot make an eventfd", -descriptor) }
        let thread = DaemonThread(ended: descriptor, body)
        try detach(name) { thread.run() }
        return thread
    }

    /// Starts `body` on a thread without an owner, named `name`: it may hang, and ends with the process.
    package static func detach(_ name: String, _ body: @escaping @Sendable () -> Void) throws(DaemonError) {
        let box = unsafe Unmanaged.passRetained(Body(name: name, run: body))
        var id = pthread_t()
        let result = unsafe pthread_create(&id, nil, { raw in
            let body = unsafe Unmanaged<Body>.fromOpaque(raw!).takeRetainedValue()
            Descriptors.nameThread(body.name)
            body.run()
            return nil
        }, box.toOpaque())
        guard result == 0 else {
            unsafe box.release()
            throw DaemonError.system("cannot start the \(name) thread", result)
        }
        pthread_detach(id)
    }

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    private init(ended: CInt, _ body: @escaping @Sendable () -> Void) {
        self.ended = ended
        self.body = Mutex(body)
    }

    deinit {
        Descriptors.close(ended)
    }

    private func run() {
        runBody()
        hasEnded.store(true, ordering: .releasing)
        _ = cepoll_eventfd_add(ended)
    }

    /// What the body holds is given back before its end is told: whoever waited may want it.
    @inline(never)
    private func runBody() {
        let body = body.withLock { $0.take() }
        body?()
    }

    /// Waits for the body to return, at most so long. True if it has.
    func wait(milliseconds: CInt) -> Bool {
        if !hasEnded.load(ordering: .acquiring) {
            Descriptors.waitReadable(ended, -1, milliseconds: milliseconds)
        }
        return hasEnded.load(ordering: .acquiring)
    }
}
