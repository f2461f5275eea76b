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

    /// Connections at once.
    public static let connectionLimit = 64
    /// Seconds from a connection's (or the next request's) first moment to the end of its head.
    public static let headSeconds: Int64 = 10
    /// Seconds that a connection may be idle, or not read what it asked for.
    public static let idleSeconds: Int64 = 30
    public static let headLimit = 64 << 10
    public static let bodyLimit = 1 << 20
    /// What the control thread needs besides its connections: epoll, eventfd, timerfd, two listeners, the lock, the diary's two
    /// and the snapshot's eventfds, and one to look at the others.
    public static let ownDescriptors: UInt64 = 12

    public init() {}

    /// Descriptors that the control API may come to need.
    public var descriptors: UInt64 {
        place == .none ? 0 : UInt64(ControlSettings.connectionLimit) + ControlSettings.ownDescriptors
    }

    /// The directory of sockets that nobody named: the user's run directory; for root, /run; else one below /tmp that only
    /// its user may enter.
    public static var directory: String {
        // A service manager names the directory that it has made for the service.
        if let text = unsafe getenv("RUNTIME_DIRECTORY"), let run = unsafe String(validatingCString: text), run.hasPrefix("/") {
            return run.split(separator: ":").first.map(String.init) ?? run
        }
        if let text = unsafe getenv("XDG_RUNTIME_DIR"), let run = unsafe String(validatingCString: text), run.hasPrefix("/") {
            return run + "/reactor-node"
        }
        return getuid() == 0 ? "/run/reactor-node" : "/tmp/reactor-node-\(getuid())"
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
