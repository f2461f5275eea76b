// Where the control API listens, and its bounds.

public import PeerMesh
import Glibc

/// The control API of one node.
public struct ControlSettings: Hashable, Sendable {
    /// Where the socket lies.
    public enum Place: Hashable, Sendable {
        /// No control API.
        case none
        /// In the user's run directory, named after the first address that the node listens on.
        case automatic
        case path(String)
    }

    public var place = Place.automatic
    /// A loopback address where anybody on this machine may read, and change nothing. Nil for none.
    public var readOnly: Endpoint?
    /// The program, for `status`.
    public var version = "reactor-node"

    /// Clients of the Unix socket at once: operators' places, which readers of the loopback port cannot take.
    public static let unixPlaces = 32
    /// Clients of the loopback port at once.
    public static let tcpPlaces = 24
    /// How many of them may follow events.
    public static let unixFollowers = 24
    public static let tcpFollowers = 16
    /// Connections beyond a listener's places: newcomers for whom somebody is about to be closed.
    public static let spareConnections = 4
    /// Connections at once, all told.
    public static let connectionLimit = unixPlaces + tcpPlaces + 2 * spareConnections
    /// Seconds from a connection's (or the next request's) first moment to the end of its head.
    public static let headSeconds: Int64 = 10
    /// Seconds that a connection may be idle, take for a request's body, or not read what it asked for.
    public static let idleSeconds: Int64 = 30
    public static let headLimit = 64 << 10
    public static let bodyLimit = 1 << 20
    /// What the control threads need besides their connections: epoll, eventfd, timerfd, two listeners, the lock, the diary's two,
    /// the doorman's two and the snapshot's eventfds, and one to look at the others.
    public static let ownDescriptors: UInt64 = 14

    public init() {}

    /// Descriptors that the control API may come to need.
    public var descriptors: UInt64 {
        place == .none ? 0 : UInt64(ControlSettings.connectionLimit) + ControlSettings.ownDescriptors
    }

    /// Where a node's socket may lie, if it was not named: a command may run in another environment than the node, as one of cron's
    /// does, which knows no XDG_RUNTIME_DIR.
    public static var directories: [String] {
        var all = [directory, "/run/user/\(getuid())/reactor-node", "/tmp/reactor-node-\(getuid())"]
        if getuid() == 0 { all += [rootDirectory, serviceDirectory] }
        var seen: Set<String> = []
        return all.filter { seen.insert($0).inserted }
    }

    /// The service's, which systemd makes and deletes.
    private static let serviceDirectory = "/run/reactor-node"
    /// Of nodes that root runs by hand: apart from the service's, so that neither's start or end touches the other.
    private static let rootDirectory = "/run/reactor-node-root"

    /// The directory of sockets without a configured path: the user's run directory; for root, one in /run; else one below /tmp that only
    /// its user may enter.
    public static var directory: String {
        // A service manager names the directory that it has made for the service.
        if let text = unsafe getenv("RUNTIME_DIRECTORY"), let run = unsafe String(validatingCString: text), run.hasPrefix("/") {
            return run.split(separator: ":").first.map(String.init) ?? run
        }
        if let text = unsafe getenv("XDG_RUNTIME_DIR"), let run = unsafe String(validatingCString: text), run.hasPrefix("/") {
            return run + "/reactor-node"
        }
        return getuid() == 0 ? rootDirectory : "/tmp/reactor-node-\(getuid())"
    }

    /// The socket's path for a node that listens on `first`; nil for none.
    func path(listeningOn first: Endpoint?) -> String? {
        switch place {
        case .none: nil
        case .path(let path): path
        case .automatic: first.map { "\(ControlSettings.directory)/\($0).sock" }
        }
    }
}
