// The TCP options that every link has. Set once, on the listener, and inherited by what it accepts; set on a dialled
// socket before it connects.

import CEpoll
public import Timers

/// TCP options of a link.
public struct SocketOptions: Hashable, Sendable {
    /// Send small frames at once (TCP_NODELAY).
    public var isNoDelay = true
    /// The first keepalive probe of the kernel after this much silence; nil leaves keepalive off.
    public var keepaliveIdle: Nanoseconds? = .seconds(60)
    /// Between two probes.
    public var keepaliveInterval: Nanoseconds = .seconds(10)
    /// How many unanswered probes end the connection.
    public var keepaliveCount: Int32 = 6
    /// How long sent bytes may stay unacknowledged; nil leaves it to the system.
    public var userTimeout: Nanoseconds? = .seconds(120)
    /// The kernel's sending buffer in bytes; nil leaves its tuning to the kernel.
    public var sendBuffer: Int32?
    /// The kernel's receiving buffer, likewise.
    public var receiveBuffer: Int32?
    /// A listener on `::` takes IPv6 alone, so that one on `0.0.0.0` may have the same port; IPv4 needs that one. If false, a
    /// listener on `::` takes both, and an IPv4 peer has its IPv4 endpoint.
    public var isV6Only = true

    /// The defaults.
    public init() {}
}

extension Nanoseconds {
    /// Whole seconds, at least 1, as far as a kernel option goes.
    fileprivate var optionSeconds: CInt { CInt(clamping: max(1, count / 1_000_000_000)) }
    fileprivate var optionMilliseconds: CInt { CInt(clamping: max(1, count / 1_000_000)) }
}

extension Socket {
    /// Sets the options that `options` names. Throws at the first that the kernel refuses.
    public func apply(_ options: SocketOptions) throws(SystemError) {
        if options.isNoDelay { try SystemError.check(cepoll_set_no_delay(descriptor, 1), .option) }
        if let idle = options.keepaliveIdle {
            let result = cepoll_set_keepalive(
                descriptor, idle.optionSeconds, options.keepaliveInterval.optionSeconds, options.keepaliveCount
            )
            try SystemError.check(result, .option)
        }
        if let timeout = options.userTimeout {
            try SystemError.check(cepoll_set_user_timeout(descriptor, timeout.optionMilliseconds), .option)
        }
        if let bytes = options.sendBuffer { try SystemError.check(cepoll_set_send_buffer(descriptor, bytes), .option) }
        if let bytes = options.receiveBuffer {
            try SystemError.check(cepoll_set_receive_buffer(descriptor, bytes), .option)
        }
    }
}
