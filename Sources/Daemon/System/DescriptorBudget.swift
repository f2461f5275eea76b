// How many descriptors a node's table may come to need, and whether the process may have them. A node that finds out at
// its busiest hour is a node that sheds its peers then; so it is asked at start.

import CEpoll

/// The descriptors that a table needs against those that the system grants.
public struct DescriptorBudget: Hashable, Sendable {
    /// Links in every state.
    public let links: UInt64
    public let listeners: UInt64
    /// Standard streams, epoll, eventfds, signals, the reserve, and what the resolver opens in passing.
    public let own: UInt64
    /// The control API's clients, and what it needs itself.
    public let control: UInt64

    /// What the daemon itself keeps open or opens in passing, besides links and listeners.
    public static let ownDescriptors: UInt64 = 40

    public init(links: UInt64, listeners: UInt64, own: UInt64 = Self.ownDescriptors, control: UInt64 = 0) {
        self.links = links
        self.listeners = listeners
        self.own = own
        self.control = control
    }

    public var needed: UInt64 { links + listeners + own + control }

    /// Refuses, in words that say what to do, if `available` descriptors are too few.
    ///
    /// - Parameters:
    ///   - available: what the process may have after its soft limit was raised.
    ///   - maxPeers: the option that the operator would lower.
    public func check(available: UInt64, maxPeers: UInt32) throws(DaemonError) {
        guard needed > available else { return }
        let excess = needed - available
        let lowered =
            UInt64(maxPeers) > excess
            ? "lower --max-peers to \(UInt64(maxPeers) - excess) or less"
            : "lower --max-peers, --dial-limit, --pending-limit and --draining-limit"
        throw DaemonError(
            .configuration,
            "this table needs \(needed) descriptors (\(links) for links, \(listeners) for listeners, \(own) for the node itself, \(control) for the control API) "
                + "but the system grants \(available): \(lowered), or raise the limit to \(needed) "
                + "(`ulimit -Hn \(needed)` as root, or LimitNOFILE=\(needed) in the systemd unit)"
        )
    }

    /// Raises the soft limit as far as the budget needs and the hard limit allows. Returns the descriptors available then.
    public func claim() throws(DaemonError) -> UInt64 {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        let result = unsafe cepoll_descriptor_limit(&soft, &hard)
        guard result == 0 else { throw DaemonError.system("cannot read the descriptor limit", -result) }
        if soft >= needed { return soft }
        let wanted = min(needed, hard)
        if cepoll_set_descriptor_limit(wanted) == 0 { return wanted }
        return soft
    }
}
