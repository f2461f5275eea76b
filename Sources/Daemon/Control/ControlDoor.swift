// One way into the control API, the Unix socket or the loopback port, with places of its own: readers who fill the port leave
// the operators' socket as it was. Descriptors are counted where they are opened and closed, so the count is the kernel's.

import Synchronization

/// The places of one listener, and what happened to those who wanted one.
final class ControlDoor: Sendable {
    enum Kind: String, Sendable {
        case unix, tcp
    }

    /// What a door counted since the start.
    struct Counts: Hashable, Sendable {
        /// Descriptors of clients that are open now, those that are being told why they were refused among them.
        var connections = 0
        var followers = 0
        /// Clients that were closed to make room for another.
        var evicted: UInt64 = 0
        /// Requests for events that were refused, as all followers' places were taken.
        var refusedFollowers: UInt64 = 0
        /// Times that the listener rested, as the process had no descriptor left.
        var rests: UInt64 = 0
    }

    let kind: Kind
    /// With this many clients a newcomer takes another client's place.
    let places: Int
    /// How many of them may follow events: they are never closed for a newcomer, so they may not take all places.
    let followerPlaces: Int

    private let connections = Atomic<Int>(0)
    private let followers = Atomic<Int>(0)
    private let evicted = Atomic<UInt64>(0)
    private let refusedFollowers = Atomic<UInt64>(0)
    private let rests = Atomic<UInt64>(0)

    init(_ kind: Kind) {
        self.kind = kind
        switch kind {
        case .unix: (places, followerPlaces) = (ControlSettings.unixPlaces, ControlSettings.unixFollowers)
        case .tcp: (places, followerPlaces) = (ControlSettings.tcpPlaces, ControlSettings.tcpFollowers)
        }
    }

    var counts: Counts {
        Counts(
            connections: connections.load(ordering: .relaxed), followers: followers.load(ordering: .relaxed),
            evicted: evicted.load(ordering: .relaxed), refusedFollowers: refusedFollowers.load(ordering: .relaxed),
            rests: rests.load(ordering: .relaxed)
        )
    }

    // MARK: The doorman's side

    /// Whether another descriptor may be opened. Above `places` there is room for a few who wait until somebody is closed for them.
    var hasRoom: Bool { connections.load(ordering: .acquiring) < places + ControlSettings.spareConnections }

    func opened() { connections.wrappingAdd(1, ordering: .acquiringAndReleasing) }

    func rested() { rests.wrappingAdd(1, ordering: .relaxed) }

    // MARK: The control thread's side

    /// A client's descriptor was closed.
    func closed() { connections.wrappingSubtract(1, ordering: .acquiringAndReleasing) }

    func evictedOne() { evicted.wrappingAdd(1, ordering: .relaxed) }

    /// Takes a follower's place, if there is one.
    func follow() -> Bool {
        guard followers.load(ordering: .relaxed) < followerPlaces else {
            refusedFollowers.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        followers.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    func unfollow() { followers.wrappingSubtract(1, ordering: .relaxed) }
}
