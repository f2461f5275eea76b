// Why a link ended. One list for the whole project: logs, metrics, `why` and the schedule all speak these words.

/// Why a link was closed. The effect of each on schedule and log is in one table, `CloseEffect`.
public enum CloseReason: Hashable, Sendable, BitwiseCopyable {
    /// The peer ended the stream, or its kernel did.
    case remoteClosed
    /// Nobody listens there.
    case refused
    /// The TCP connection did not stand within the dial deadline.
    case dialTimeout
    /// No complete hello within the greeting deadline.
    case greetingTimeout
    /// A started frame did not end in time.
    case frameTimeout
    /// No byte of life after the last permitted ping.
    case keepaliveTimeout
    /// The peer broke the protocol: a malformed body, a message before the hello, a hello that is not one.
    case protocolViolation
    /// The byte stream lost its frame boundaries: an impossible length or header.
    case desync
    /// A frame header announced more than the limit.
    case frameTooLarge
    /// The peer reads too slowly: our queue for it reached its limit.
    case slowConsumer
    /// Another link to the same peer took its place.
    case superseded
    /// The older link to the same peer answered its probe.
    case duplicate
    /// No slot.
    case full
    /// Regular peers at its address, or in its subnet, have as many links as they may.
    case crowded
    /// Another peer needed the slot.
    case evicted
    /// The address is banned, here or there.
    case banned
    /// The operator asked for it.
    case `operator`
    /// This node is stopping.
    case shutdown
    /// The other end is this node.
    case selfConnection
    /// The peer is on another network.
    case wrongNetwork
    /// The node's table contradicted itself about this link: a fault of this program.
    case internalError
    /// The kernel reported an error; the value is its errno.
    case io(Int32)
    /// This node itself could not go on: no source address, route, descriptor or memory. The value is the errno; the peer is
    /// not blamed for it.
    case local(Int32)

    /// The stable name that logs and metrics use.
    public var name: String {
        switch self {
        case .remoteClosed: "remoteClosed"
        case .refused: "refused"
        case .dialTimeout: "dialTimeout"
        case .greetingTimeout: "greetingTimeout"
        case .frameTimeout: "frameTimeout"
        case .keepaliveTimeout: "keepaliveTimeout"
        case .protocolViolation: "protocolViolation"
        case .desync: "desync"
        case .frameTooLarge: "frameTooLarge"
        case .slowConsumer: "slowConsumer"
        case .superseded: "superseded"
        case .duplicate: "duplicate"
        case .full: "full"
        case .crowded: "crowded"
        case .evicted: "evicted"
        case .banned: "banned"
        case .operator: "operator"
        case .shutdown: "shutdown"
        case .selfConnection: "selfConnection"
        case .wrongNetwork: "wrongNetwork"
        case .internalError: "internalError"
        case .io(let errno): "io(\(errno))"
        case .local(let errno): "local(\(errno))"
        }
    }
}
