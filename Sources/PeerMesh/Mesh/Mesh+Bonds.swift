// What is kept from both ends: whose a link is (link <-> row), and which two links share a probe (link <-> link). The fields can be
// written in this file only, so that one end never changes without the other.

import Timers

/// A link's ends of its two relations.
struct LinkBonds: BitwiseCopyable {
    /// The peer's row, or -1.
    fileprivate(set) var row: Int32 = -1
    /// The other link of a probe: the incumbent's newcomer, the newcomer's incumbent; or -1.
    fileprivate(set) var rival: Int32 = -1

    init() {}

    /// As they were written out. What reads them back checks that both ends agree.
    init(row: Int32, rival: Int32) {
        self.row = row
        self.rival = rival
    }
}

/// A row's ends: its links, at most one in each place, or -1.
struct PeerBonds: BitwiseCopyable {
    fileprivate(set) var established: Int32 = -1
    fileprivate(set) var held: Int32 = -1
    fileprivate(set) var dial: Int32 = -1

    init() {}

    /// As they were written out. What reads them back checks that both ends agree.
    init(established: Int32, held: Int32, dial: Int32) {
        self.established = established
        self.held = held
        self.dial = dial
    }
}

/// What a link is to its row.
enum RowPlace {
    case established
    case held
    case dial
}

extension Mesh {
    // Link and row.

    /// The link is the row's, in this place. It leaves whatever place it had, in this row or another: two rows never own one link.
    /// A link that had the place before is the caller's to close: until then it still names the row, for the diary.
    mutating func give(_ slot: Int, to row: Int, as place: RowPlace) {
        vacate(slot)
        links[slot].bonds.row = Int32(row)
        switch place {
        case .established: peers[row].bonds.established = Int32(slot)
        case .held: peers[row].bonds.held = Int32(slot)
        case .dial: peers[row].bonds.dial = Int32(slot)
        }
    }

    /// The link names the row whose it will be if it is let in, or -1; it has no place yet.
    mutating func name(_ row: Int, forLink slot: Int) {
        vacate(slot)
        links[slot].bonds.row = Int32(row)
    }

    /// The link has no place in its row any more. It names the row until `orphan`, for what its end says of the peer.
    mutating func vacate(_ slot: Int) {
        let row = Int(links[slot].row)
        guard row >= 0 else { return }
        #if MESH_CANARIES
            if has(.staleRow), links[slot].state != .greeting, links[slot].state != .held { return }
        #endif
        if peers[row].established == Int32(slot) { peers[row].bonds.established = -1 }
        if peers[row].held == Int32(slot) { peers[row].bonds.held = -1 }
        if peers[row].dial == Int32(slot) { peers[row].bonds.dial = -1 }
    }

    /// The link is nobody's.
    mutating func orphan(_ slot: Int) {
        vacate(slot)
        links[slot].bonds.row = -1
    }

    // The two links of a probe.

    /// `incumbent` must show life by `until` for the sake of `newcomer`. Each leaves the probe in which it was.
    mutating func pair(_ incumbent: Int, with newcomer: Int, until: Instant) {
        guard incumbent != newcomer else {
            contradictions += 1
            return
        }
        unpair(incumbent)
        unpair(newcomer)
        links[incumbent].bonds.rival = Int32(newcomer)
        links[newcomer].bonds.rival = Int32(incumbent)
        beginProbe(ofLink: incumbent, until: until)
    }

    /// Ends the probe in which the link is, at both ends, without a verdict. The other link, or -1 if there was no probe.
    @discardableResult
    mutating func unpair(_ slot: Int) -> Int {
        let other = Int(links[slot].rival)
        guard other >= 0 else { return -1 }
        links[slot].bonds.rival = -1
        links[slot][.isProbed] = false
        links[other].bonds.rival = -1
        links[other][.isProbed] = false
        return other
    }

    /// Whether the link waits in the probe of another one. It belongs to that probe: nothing else may take it meanwhile.
    func waitsInProbe(_ slot: Int) -> Bool { links[slot].rival >= 0 && !links[slot][.isProbed] }

    #if MESH_CANARIES
        /// The wrong version of rule 6: beside the link that the row has.
        mutating func joinBeside(_ slot: Int, row: Int) { links[slot].bonds.row = Int32(row) }
    #endif
}
