// The error of a system call: which call, which number. Built on rare paths only; "would block" and "end of stream" are
// results, never errors.

import CEpoll

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done.
    public enum Call: String, Hashable, Sendable {
        case createEpoll = "epoll_create1"
        case control = "epoll_ctl"
        case wait = "epoll_pwait2"
        case eventfd
        case signalfd
        case socket
        case option = "setsockopt"
        case bind
        case listen
        case adopt = "fcntl"
        case connect
        case accept = "accept4"
        case address = "getsockname"
        case reserve = "open /dev/null"
        case signalMask = "pthread_sigmask"
        case descriptorLimit = "getrlimit"
        case entropy = "getrandom"
        case receive = "recv"
        case send
        case replace = "dup3"
        case forkMark = "mmap"
        /// No call: the loop or the socket that a task waited for was closed.
        case closedLoop = "the event loop"
        case closedSocket = "the socket"
        /// No call: a fixed table of the loop is full.
        case slotTable = "the loop's slot table"
        case timerTable = "the loop's timer table"
    }

    public var call: Call
    /// The error number, positive.
    public var code: Int32

    public init(_ call: Call, _ code: Int32) {
        self.call = call
        self.code = code
    }

    /// The call and the system's own words, for people: `bind: Address already in use`.
    public var description: String {
        "\(call.rawValue): \(Self.text(of: code))"
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
    static func check(_ result: CInt, _ call: Call) throws(SystemError) -> CInt {
        guard result >= 0 else { throw SystemError(call, -result) }
        return result
    }
}
