// What each error of accept(2) means for a listener. Total and pure, so that a test can walk every errno (trap 14): no
// error of one connection may ever end the listening.

import CEpoll

/// What a listener does after an error of accept.
enum AcceptClass: Hashable, Sendable {
    /// Nothing to accept: wait for readiness.
    case drained
    /// That one connection failed before it was ours; go on with the next.
    case retry
    /// Some table is full: shed load if possible, then rest.
    case pause
    /// The descriptor is not what we think. Rest for long; only the owner ends a listener.
    case fatal

    /// The class of a positive error number. The pending network errors are the list of accept(2), "treat like EAGAIN
    /// by retrying"; EPERM is a firewall's verdict on one connection, ETIMEDOUT one that died in the queue.
    init(_ error: Int32) {
        #if REACTOR_FAULTS
            if isLeftOut(14) {
                self = error == CEPOLL_EAGAIN ? .drained : .fatal
                return
            }
        #endif
        switch error {
        case CEPOLL_EAGAIN:
            self = .drained
        case CEPOLL_EINTR, CEPOLL_ECONNABORTED, CEPOLL_EPROTO, CEPOLL_ENETDOWN, CEPOLL_EHOSTDOWN, CEPOLL_ENOPROTOOPT,
            CEPOLL_ENONET, CEPOLL_EHOSTUNREACH, CEPOLL_EOPNOTSUPP, CEPOLL_ENETUNREACH, CEPOLL_EPERM, CEPOLL_ETIMEDOUT:
            self = .retry
        case CEPOLL_EMFILE, CEPOLL_ENFILE, CEPOLL_ENOBUFS, CEPOLL_ENOMEM:
            self = .pause
        default:
            self = .fatal
        }
    }
}
