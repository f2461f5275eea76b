// Listening sockets that were opened before this process began, by a service manager (sd_listen_fds(3)): LISTEN_FDS of them,
// from descriptor 3 on, if LISTEN_PID is this process. They are checked before anything believes in them.

import CEpoll
import Glibc
import PeerMesh
import Reactor

/// A socket that this process was given, and where it listens.
struct InheritedListener: Sendable {
    /// Nobody's, until a socket adopts it.
    let descriptor: CInt
    let endpoint: Endpoint
}

/// The sockets that this process was given.
enum InheritedListeners {
    /// The first descriptor that is passed.
    private static let first: CInt = 3

    /// Takes them, closed on exec from here on. Each must be a listening TCP socket. Empty if none were meant for this process.
    static func take(environment: (String) -> String? = ServiceManager.variable) throws(DaemonError) -> [InheritedListener] {
        guard let owner = environment("LISTEN_PID"), pid_t(owner) == getpid() else { return [] }
        let text = environment("LISTEN_FDS") ?? ""
        guard let count = CInt(text), (0...1_024).contains(count) else {
            throw DaemonError(.configuration, "LISTEN_FDS is '\(text)': it must be the number of sockets passed, 1024 at most")
        }
        var listeners: [InheritedListener] = []
        for descriptor in first..<first + count {
            try check(descriptor)
            do throws(SystemError) {
                let socket = try Socket(adopting: descriptor)
                let endpoint = try socket.localEndpoint()
                listeners.append(InheritedListener(descriptor: socket.release(), endpoint: endpoint))
            } catch {
                throw DaemonError.system("cannot take over descriptor \(descriptor) (\(error.call.rawValue))", error.code)
            }
        }
        // What this process starts must not take them for its own.
        _ = unsafe unsetenv("LISTEN_PID")
        _ = unsafe unsetenv("LISTEN_FDS")
        _ = unsafe unsetenv("LISTEN_FDNAMES")
        return listeners
    }

    private static func check(_ descriptor: CInt) throws(DaemonError) {
        let what = "descriptor \(descriptor), which the service manager passed,"
        let advice = "in the socket unit use ListenStream=ADDRESS:PORT with Accept=no"
        let kind = cepoll_option_read(descriptor, SOL_SOCKET, SO_TYPE)
        guard kind >= 0 else {
            throw DaemonError(.configuration, "\(what) is not an open socket: \(advice)")
        }
        let family = cepoll_option_read(descriptor, SOL_SOCKET, SO_DOMAIN)
        guard kind == CInt(SOCK_STREAM.rawValue), family == AF_INET || family == AF_INET6 else {
            throw DaemonError(.configuration, "\(what) is not a TCP socket: \(advice)")
        }
        guard cepoll_option_read(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 1 else {
            throw DaemonError(.configuration, "\(what) does not listen: \(advice)")
        }
    }

}
