// What the daemon has to say besides transitions. Notices of running threads are plain records, formatted by the log's own
// thread; what is said before the threads start may be text.

import PeerMesh
import Timers

/// A record that one of the daemon's threads hands to the log.
enum Notice: Hashable, Sendable, BitwiseCopyable {
    /// A signal asked the node to end; it drains its links.
    case draining(signal: CInt, links: UInt32)
    /// A signal that has no effect on a node.
    case ignored(signal: CInt)
    /// The node has ended.
    case stopped(links: UInt32, after: Nanoseconds)

    var level: LogLevel {
        switch self {
        case .draining, .ignored, .stopped: .info
        }
    }
}
