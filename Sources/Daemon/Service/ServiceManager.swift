// What a service manager is told: ready, reloading, stopping, one line of status, and that the loop still turns. The protocol
// is sd_notify(3): one datagram of `KEY=value` lines to the socket that NOTIFY_SOCKET names. Without it nothing is opened.
// No datagram ever waits: a manager that does not read loses lines, and the node loses nothing.

import CEpoll
import Glibc
import Timers

/// The way to the service manager that started this process. Messages may come from any thread; each is one system call.
final class ServiceManager: Sendable {
    /// How often the manager wants to hear of the loop; nil if it does not.
    let watchdogInterval: Nanoseconds?
    /// Connected to the manager; -1 if there is none.
    private let descriptor: CInt

    /// Finds the manager in the environment: NOTIFY_SOCKET (a path, or `@name` for an abstract one), WATCHDOG_USEC and
    /// WATCHDOG_PID. A socket that cannot be reached counts as none: the manager will say so itself.
    init(environment: (String) -> String? = ServiceManager.variable) {
        descriptor = environment("NOTIFY_SOCKET").map(ServiceManager.connect) ?? -1
        watchdogInterval = descriptor < 0 ? nil : ServiceManager.watchdog(environment, pid: getpid())
    }

    deinit {
        if descriptor >= 0 { Descriptors.close(descriptor) }
    }

    static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    /// Whether anybody listens.
    var isPresent: Bool { descriptor >= 0 }

    /// The interval that the environment asks for; nil if none, or if it is meant for another process.
    static func watchdog(_ environment: (String) -> String?, pid: pid_t) -> Nanoseconds? {
        guard let microseconds = environment("WATCHDOG_USEC").flatMap(UInt64.init), microseconds > 0,
            microseconds < UInt64.max / 1_000
        else { return nil }
        if let owner = environment("WATCHDOG_PID"), pid_t(owner) != pid { return nil }
        return Nanoseconds(microseconds * 1_000)
    }

    /// A datagram socket connected to `path`; -1 if that fails.
    private static func connect(to path: String) -> CInt {
        guard path.hasPrefix("/") || path.hasPrefix("@"), path.utf8.count < 108 else { return -1 }
        let address = path.hasPrefix("@") ? UnixAddress(abstract: String(path.dropFirst())) : UnixAddress(path)
        let kind = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { return -1 }
        let result = address.connect(descriptor)
        guard result == 0 else {
            Descriptors.close(descriptor)
            return -1
        }
        return descriptor
    }

    // MARK: What is said

    /// The node listens and dials.
    func ready(status: String) { send("READY=1\nSTATUS=\(status)") }

    /// New settings are being read; `ready` tells the end.
    func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(cepoll_monotonic() / 1_000)\nSTATUS=reading its settings anew") }

    /// The node was asked to end, and drains its links.
    func stopping(links: UInt32) { send("STOPPING=1\nSTATUS=ending: \(links) links are being drained") }

    /// The loop turns.
    func alive(status: String) { send("WATCHDOG=1\nSTATUS=\(status)") }

    /// One line for people, as `systemctl status` shows it.
    func status(_ text: String) { send("STATUS=\(text)") }

    private func send(_ text: String) {
        guard descriptor >= 0 else { return }
        var text = text
        text.withUTF8 { bytes in
            _ = unsafe cepoll_send(descriptor, bytes.baseAddress, bytes.count)
        }
    }
}
