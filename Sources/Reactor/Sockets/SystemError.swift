// The error of a system call: which call, which number. Built on rare paths only; "would block" and "end of stream" are
// results, never errors.

import CEpoll
public import PeerMesh

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done.
    public enum Call: String, Hashable, Sendable {
        /// Making the loop's epoll.
        case createEpoll = "epoll_create1"
        /// Registering a descriptor, or changing what is wanted of it.
        case control = "epoll_ctl"
        /// Waiting for readiness.
        case wait = "epoll_pwait2"
        /// Making what other threads wake a loop by.
        case eventfd
        /// Watching signals.
        case signalfd
        /// Making a socket.
        case socket
        /// Setting an option of a socket.
        case option = "setsockopt"
        /// Taking an address.
        case bind
        /// Listening.
        case listen
        /// Making a descriptor from outside non-blocking and close-on-exec.
        case adopt = "fcntl"
        /// Opening a connection.
        case connect
        /// Taking a connection.
        case accept = "accept4"
        /// Asking a socket for its addresses.
        case address = "getsockname"
        /// Opening a listener's reserve descriptor.
        case reserve = "open /dev/null"
        /// Blocking signals.
        case signalMask = "pthread_sigmask"
        /// Asking for the limit of descriptors.
        case descriptorLimit = "getrlimit"
        /// Drawing random bytes.
        case entropy = "getrandom"
        /// Reading from a socket.
        case receive = "recv"
        /// Writing to a socket.
        case send
        /// Putting a new descriptor in an old one's place, after a fork.
        case replace = "dup3"
        /// Making the page that tells a forked child from its parent.
        case forkMark = "mmap"
        /// No call: the loop or the socket that a task waited for was closed.
        case closedLoop = "the event loop"
        /// No call: the socket or listener was closed.
        case closedSocket = "the socket"
        /// No call: a fixed table of the loop is full.
        case slotTable = "the loop's slot table"
        /// No call: the loop has no room for a timer.
        case timerTable = "the loop's timer table"
    }

    /// What failed.
    public var call: Call
    /// The error number, positive.
    public var code: Int32
    /// Where: of a listener that could not take its address; nil elsewhere.
    public var endpoint: Endpoint?

    /// The error `code`, a positive errno, of `call`, at `endpoint` if that is known.
    public init(_ call: Call, _ code: Int32, at endpoint: Endpoint? = nil) {
        self.call = call
        self.code = code
        self.endpoint = endpoint
    }

    /// The call, its address if there is one, and the system's own words, for people: `bind 127.0.0.1:7001: Address already in use`.
    public var description: String {
        let place = endpoint.map { " \($0)" } ?? ""
        return "\(call.rawValue)\(place): \(Self.text(of: code))"
    }

    /// The system's words for an error number.
    public static func text(of code: Int32) -> String {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let start = buffer.baseAddress else { return "" }
            unsafe cepoll_error_text(code, start, buffer.count)
            return unsafe String(cString: start)
        }
    }

    /// `result` if it is not negative; else throws it as the error of `call`.
    @discardableResult
    static func check(_ result: CInt, _ call: Call, at endpoint: Endpoint? = nil) throws(SystemError) -> CInt {
        guard result >= 0 else { throw SystemError(call, -result, at: endpoint) }
        return result
    }
}
