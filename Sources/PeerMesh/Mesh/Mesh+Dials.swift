// Who is dialled, and when: `mayDial` is the one gate for all dials (incidents P3: two gates disagree), `pump` the one
// place that opens it.

public import Timers

/// What stands between a peer and a dial. The same value that decides is the one that explains.
public enum DialVerdict: Hashable, Sendable, BitwiseCopyable {
    /// Nothing: it may be dialled now.
    case yes
    /// No clock will end it; the obstacle must go.
    case no(DialObstacle)
    /// The clock: not before this instant, for this reason.
    case wait(until: Instant, WaitReason)
    /// A place: it is dialled as soon as there is one.
    case queue(DialQueue)
}

/// Why a peer is not dialled, where waiting does not help.
public enum DialObstacle: Hashable, Sendable, BitwiseCopyable {
    /// Its schedule is off.
    case off(OffReason)
    /// Until `.never` if the ban has no end.
    case banned(until: Instant)
    /// A link to it stands.
    case alreadyLinked
    /// It is being dialled.
    case dialInFlight
    /// It is not in the book.
    case unknownPeer
}

/// What a peer that may dial is queued for.
public enum DialQueue: UInt8, Hashable, Sendable, BitwiseCopyable {
    /// A slot for a regular peer.
    case slot
    /// Fewer links of regular peers at its address or in its subnet.
    case neighbours
    /// Fewer dials in flight.
    case dialBudget
    /// The dial rate.
    case dialRate
}

extension Mesh {
    /// Whether this node may open a link to the peer in `row` now.
    func mayDial(row: Int, at now: Instant) -> DialVerdict {
        switch peers[row].schedule {
        case .none: return .no(peers[row].dial >= 0 ? .dialInFlight : .alreadyLinked)
        case .off(.banned): return .no(.banned(until: bans.covering(peers[row].endpoint.address, at: now)?.until ?? now))
        case .off(let why): return .no(.off(why))
        case .wait(let until, let why): return .wait(until: until, why)
        case .ready: break
        }
        let turn = spacing(of: row)
        if turn > now { return .wait(until: turn, .spaced) }
        if let wait = slotQueue(of: row) { return .queue(wait) }
        if let full = dialBudget(of: readyList(for: row), at: now) { return .queue(full) }
        return .yes
    }

    /// What the dial budgets wait for, or nil if one more dial from that queue fits: 64 in flight; 64 a second, 16 at once.
    func dialBudget(of list: Int, at now: Instant) -> DialQueue? {
        if !hasDialRoom(for: list) || linkLists.count(LinkList.free) == 0 { return .dialBudget }
        return earliestDial > now ? .dialRate : nil
    }

    /// What a dial to the row's peer waits for before the dial budgets, or nil. Masternodes need no slot to be dialled.
    private func slotQueue(of row: Int) -> DialQueue? {
        if peers[row].role == .masternode { return nil }
        if peers[row].desire.contains(.operator) { return hasNamedRoom(for: readyList(for: row)) ? nil : .slot }
        if !hasOutboundRoom { return .slot }
        return isCrowded(peers[row].endpoint.address) ? .neighbours : nil
    }

    var regularDials: Int {
        linkLists.count(LinkList.dialRegular) + linkLists.count(LinkList.dialNamed) + linkLists.count(LinkList.dialNamedSlow)
            + linkLists.count(LinkList.feeler)
    }

    /// Peers that never answer each hold their place for the whole dial timeout. So of the dials in flight a quarter is kept for
    /// masternodes that were linked before, once there are any, and an eighth for operator's peers that are likely to answer, while the
    /// operator names any. While masternodes and regular peers both wait, regular peers have a quarter, and no more but that eighth:
    /// neither class can hold up the other.
    private func hasDialRoom(for list: Int) -> Bool {
        let limit = Int(settings.dialLimit)
        let regular = regularDials
        let room = limit - regular - linkLists.count(LinkList.dialMasternode)
        let keptForNamed = named.count > 0 ? max(limit / 8 - linkLists.count(LinkList.dialNamed), 0) : 0
        if list == PeerList.readyUrgent { return room > keptForNamed }
        if list == PeerList.readyNamed, keptForNamed > 0 { return room > 0 }
        let open = room - keptForNamed - (hasLinkedMasternode ? limit / 4 : 0)
        if list == PeerList.readyMasternode { return open > (regularWaits ? max(limit / 4 - regular, 0) : 0) }
        return open > 0 && (regular < limit / 4 || peerLists.first(PeerList.readyMasternode) < 0)
    }

    /// A regular peer may be dialled but for the dial budgets.
    private var regularWaits: Bool {
        if peerLists.first(PeerList.readyRegular) >= 0, hasOutboundRoom { return true }
        if peerLists.first(PeerList.readyNamed) >= 0, hasNamedRoom(for: PeerList.readyNamed) { return true }
        return peerLists.first(PeerList.readyNamedSlow) >= 0 && hasNamedRoom(for: PeerList.readyNamedSlow)
    }

    private var dialPeriod: Nanoseconds { Nanoseconds.seconds(1) / UInt64(settings.dialRate) }

    /// When the rate allows the next dial: the slot's time less what a burst may run ahead of it.
    private var earliestDial: Instant {
        let ahead = dialPeriod * UInt64(settings.dialBurst - 1)
        return dialSlotAt.nanoseconds > ahead.count ? Instant(nanoseconds: dialSlotAt.nanoseconds - ahead.count) : .zero
    }

    /// Starts every dial that is ready and fits: masternodes that were linked before, then the others, then the operator's peers, then
    /// learnt ones, each class first in, first out. Before the start, and once it is stopping, nobody is ready.
    mutating func pump(at now: Instant) {
        // Asked after every event, and nearly always there is nobody.
        if peerLists.first(PeerList.readyUrgent) >= 0 { pump(PeerList.readyUrgent, at: now) }
        if peerLists.first(PeerList.readyMasternode) >= 0 { pump(PeerList.readyMasternode, at: now) }
        // What waits for a slot waits: its row is not looked at for every event.
        if peerLists.first(PeerList.readyNamed) >= 0 { pump(PeerList.readyNamed, at: now) }
        if peerLists.first(PeerList.readyNamedSlow) >= 0 { pump(PeerList.readyNamedSlow, at: now) }
        if peerLists.first(PeerList.readyRegular) >= 0, hasOutboundRoom { pump(PeerList.readyRegular, at: now) }
    }

    private mutating func pump(_ list: Int, at now: Instant) {
        while true {
            let row = peerLists.first(list)
            guard row >= 0 else { return }
            switch mayDial(row: row, at: now) {
            case .yes: _ = startDial(row, at: now)
            case .queue(.dialRate):
                wheel.arm(globalTimer(GlobalTimer.dialRate), at: earliestDial)
                return
            case .queue(.slot), .queue(.dialBudget): return  // A link's end pumps again.
            case .queue(.neighbours): postpone(row, at: now)
            case .wait(_, .spaced): refresh(row, at: now)  // One of the same net was dialled just now.
            case .no, .wait:
                contradictions += 1
                refresh(row, at: now)
                return
            }
        }
    }

    /// A learnt peer with too many neighbours holds up no other one: it has the slow cadence, and its place is another's.
    private mutating func postpone(_ row: Int, at now: Instant) {
        setSlowCadence(row, .crowded, at: now)
        peers[row].notBefore = max(peers[row].notBefore, now + .milliseconds(1))
        if peers[row].isChosen { giveUpPlace(row, at: now) }
        refresh(row, at: now)
    }

    /// Opens a dial to the row's peer. The caller has asked `mayDial`.
    mutating func startDial(_ row: Int, at now: Instant) -> Int {
        let slot = makeLink(.outbound, remote: peers[row].endpoint, state: .connecting, row: row, at: now)
        guard slot >= 0 else { return -1 }
        give(slot, to: row, as: .dial)
        if peers[row].part == .new, !peers[row].isBooked { bookDial(row, at: now) }
        peers[row].isBooked = false
        dialSlotAt = max(dialSlotAt, now) + dialPeriod
        actions.append(.dial(id(of: slot), peers[row].endpoint))
        refresh(row, at: now)
        return slot
    }
}
