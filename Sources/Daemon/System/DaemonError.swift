// Why a daemon could not start. Each text tells the operator what to do; each kind has the exit status that sysexits.h
// gives it, so that a supervisor can tell a wrong command line from a full machine.

import CEpoll

/// An error that ends the process before it serves.
public struct DaemonError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Exit statuses, as in sysexits.h.
    public enum Status: Int32, Sendable {
        /// The command line is wrong.
        case usage = 64
        /// Something that is needed is not to be had: a port that somebody else has.
        case unavailable = 69
        /// The system refused.
        case system = 71
        /// The settings do not fit this machine.
        case configuration = 78
    }

    public let status: Status
    /// What happened, and what to do.
    public let description: String

    public init(_ status: Status, _ description: String) {
        self.status = status
        self.description = description
    }

    /// A failed system call: what could not be done, and its errno.
    static func system(_ what: String, _ errno: CInt) -> DaemonError {
        DaemonError(.system, "\(what): \(systemText(errno))")
    }
}

/// The system's words for an errno.
func systemText(_ errno: CInt) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    unsafe cepoll_error_text(errno, &buffer, buffer.count)
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
