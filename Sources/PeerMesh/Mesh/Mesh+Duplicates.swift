// Never two: what happens when a peer has a link and another one says hello. Rules 1 to 7 of the design, each needed
// (the findings of the model); no rule closes anything before a hello, and none lets each side close a different link.

import Timers

extension Mesh {
    /// Decides a link whose hello is complete and admitted.
    mutating func settle(_ newcomer: Int, at now: Instant) {
        let row = Int(links[newcomer].row)
        guard row >= 0 else {
            settleAnonymous(newcomer, at: now)
            return
        }
        let incumbent = Int(peers[row].established)
        #if MESH_CANARIES
            if has(.bothReject) && links[newcomer].direction == .inbound && (incumbent >= 0 || peers[row].dial >= 0)
                || has(.noProbe) && incumbent >= 0
            {
                refuse(newcomer, .duplicate, .duplicate, at: now)
                return
            }
            if has(.keepBoth), incumbent >= 0, links[incumbent].direction == links[newcomer].direction {
                establish(newcomer, at: now)
                return
            }
        #endif
        if !links[newcomer].isNative || (incumbent >= 0 && !links[incumbent].isNative) {
            settleForeign(newcomer, incumbent: incumbent, row: row, at: now)
        } else if incumbent >= 0 {
            let winsYoung = isYoung(incumbent, at: now) && winsByOrder(newcomer, over: links[incumbent].direction)
                && !speaksByNonceAlone(newcomer, of: row)
            if winsYoung || speaksLouder(newcomer, than: incumbent, at: now) {
                replace(incumbent, by: newcomer, at: now)
            } else {
                hold(newcomer, against: incumbent, at: now)
            }
        } else {
            let dial = Int(peers[row].dial)
            let beatsDial = dial >= 0 && winsByOrder(newcomer, over: .outbound)
            establish(newcomer, at: now)
            if beatsDial { close(dial, .superseded, at: now) }
        }
        settleSurplus(row, at: now)
    }

    /// Rule 3: the link opened by the lower stated endpoint wins; if one states none, or they are equal, by the lower
    /// node nonce. Both ends hold the same facts. Between links of one opener there is no order.
    func winsByOrder(_ newcomer: Int, over other: Direction) -> Bool {
        let link = links[newcomer]
        guard link.direction != other else { return false }
        #if MESH_CANARIES
            if has(.mutualKill) { return link.direction == .inbound }
        #endif
        let weAreLower: Bool
        if let own = ownEndpoint, let theirs = stated(byLink: newcomer), own != theirs {
            weAreLower = own < theirs
        } else if let nonce = link.nonce {
            weAreLower = settings.nonce < nonce
        } else {
            return false
        }
        return weAreLower == (link.direction == .outbound)
    }

    /// A nonce can be copied by whoever has met its owner; an address cannot. Where only its nonce speaks for an inbound
    /// incumbent, it gives way to the same process calling from the peer's own address, or answering there: else a copier
    /// would hold its victim's place by answering every probe. Both links are of one opener, or the incumbent is too old
    /// to cross a dial, so that the two ends never close different ones.
    private func speaksLouder(_ newcomer: Int, than incumbent: Int, at now: Instant) -> Bool {
        let row = Int(links[newcomer].row)
        guard speaksByNonceAlone(incumbent, of: row) else { return false }
        switch links[newcomer].direction {
        case .inbound: return !speaksByNonceAlone(newcomer, of: row)
        case .outbound: return !isYoung(incumbent, at: now)
        }
    }

    /// A link that a peer's process opened from elsewhere than the peer's address, as far as its nonce tells.
    func speaksByNonceAlone(_ slot: Int, of row: Int) -> Bool {
        links[slot].direction == .inbound && links[slot].remote.address != peers[row].endpoint.address
    }

    /// Whether a peer's link leaves open whose it is, so that the peer is dialled beside it at the slow cadence: a weak one; a
    /// masternode's for which only its nonce speaks. Two masternodes at which a copier holds the other one's place
    /// would otherwise both be content for ever.
    func isDoubtful(_ slot: Int, of row: Int) -> Bool {
        if links[slot].identity == .weak { return true }
        return peers[row].role == .masternode && speaksByNonceAlone(slot, of: row)
    }

    /// Rule 4's age: a correct peer cannot open a newcomer later while the incumbent lives at its end.
    private func isYoung(_ slot: Int, at now: Instant) -> Bool {
        now - links[slot].establishedAt < settings.dialTimeout + settings.greetingTimeout
    }

    /// The newcomer is established at once and the incumbent drains.
    private mutating func replace(_ incumbent: Int, by newcomer: Int, at now: Instant) {
        let row = Int(links[newcomer].row)
        dismissHeld(of: incumbent, at: now)
        establish(newcomer, at: now)
        close(incumbent, .superseded, at: now)
        let dial = Int(peers[row].dial)
        if dial >= 0, winsByOrder(newcomer, over: .outbound) { close(dial, .superseded, at: now) }
    }

    /// Rule 5: hold the newcomer and ask the incumbent for a sign of life. A newer newcomer replaces the held one.
    private mutating func hold(_ newcomer: Int, against incumbent: Int, at now: Instant) {
        // A probe under way is not prolonged: a stream of newcomers must not keep a dead incumbent.
        let until = links[incumbent][.isProbed] ? probeUntil(ofLink: incumbent) : now + settings.probeTimeout
        let older = links[incumbent][.isProbed] ? Int(links[incumbent].rival) : -1
        pair(incumbent, with: newcomer, until: until)
        // A merged surplus link is in use: it waits for its turn instead.
        if older >= 0, links[older].state == .held { refuse(older, .duplicate, .duplicate, at: now) }
        if links[newcomer].state == .greeting {
            let row = Int(links[newcomer].row)
            if row >= 0 { give(newcomer, to: row, as: .held) }
            move(newcomer, to: .held, reason: nil, at: now)
            // A doubtful incumbent has left the schedule open until now.
            if row >= 0 { refresh(row, at: now) }
        }
        if !links[incumbent].isPinged { ping(incumbent, at: now) }
        armLink(incumbent)
        if older >= 0, links[older].state == .established { nextSurplus(after: older, at: now) }
    }

    /// A newer newcomer is about to take the incumbent's place: the held one is replaced by it, as rule 5 says. A merged
    /// surplus link stays as it is.
    mutating func dismissHeld(of incumbent: Int, at now: Instant) {
        let held = unpair(incumbent)
        #if MESH_CANARIES
            if has(.heldIsForgotten) { return }
        #endif
        if held >= 0, links[held].state == .held { refuse(held, .duplicate, .duplicate, at: now) }
    }

    /// The incumbent's slot goes to another peer: the newcomer that waits for its end must not take it instead.
    mutating func turnAwayHeld(of incumbent: Int, at now: Instant) {
        guard links[incumbent][.isProbed] else { return }
        let held = unpair(incumbent)
        if held >= 0, links[held].state == .held { refuse(held, .full, .full, at: now) }
    }

    /// The incumbent lives: the newcomer is one too many. If both claim one endpoint, a verifying dial settles it.
    mutating func probeAnswered(_ incumbent: Int, at now: Instant) {
        let newcomer = unpair(incumbent)
        armLink(incumbent)
        guard newcomer >= 0 else { return }
        let row = Int(links[incumbent].row)
        let areRivals = links[incumbent].nonce != links[newcomer].nonce
        refuse(newcomer, .duplicate, .duplicate, at: now)
        if row >= 0, areRivals, links[incumbent].identity == .claimed { verify(row, at: now) }
        nextSurplus(after: incumbent, at: now)
    }

    /// The incumbent showed no life within the probe's time: the newcomer takes its place.
    mutating func probeSilent(_ incumbent: Int, at now: Instant) {
        let newcomer = unpair(incumbent)
        guard newcomer >= 0 else {
            contradicted(incumbent, at: now)
            return
        }
        succeed(newcomer, inRow: Int(links[incumbent].row), at: now)
        close(incumbent, .superseded, at: now)
        nextSurplus(after: newcomer, at: now)
    }

    /// One of a probed pair closed by itself; the pair is taken apart already.
    mutating func probeEnded(survivor: Int, ended: Link, at now: Instant) {
        if ended[.isProbed] {
            succeed(survivor, inRow: Int(ended.row), at: now)
        } else {
            armLink(survivor)
        }
        nextSurplus(after: survivor, at: now)
    }

    /// The held newcomer, or the merged surplus link, takes the place of a dead incumbent, whose row it was.
    private mutating func succeed(_ newcomer: Int, inRow row: Int, at now: Instant) {
        switch links[newcomer].state {
        case .held:
            // What ended the incumbent may be a reason against the newcomer, too.
            if isStopping {
                close(newcomer, .shutdown, at: now)
            } else if let span = banLeft(for: links[newcomer].remote.address, at: now) {
                refuse(newcomer, .banned(for: span), .banned, at: now)
            } else if row < 0 || links[newcomer].row >= 0 {
                establish(newcomer, at: now)
            } else if !peers[row].isUsed {
                refuse(newcomer, .full, .operator, at: now)
            } else if let span = banLeft(for: peers[row].endpoint.address, at: now) {
                refuse(newcomer, .banned(for: span), .banned, at: now)
            } else {
                // It was held against a nobody's link of its process, which has turned out to be this peer's.
                links[newcomer].identity = .proven
                name(row, forLink: newcomer)
                establish(newcomer, at: now)
            }
        case .established:
            guard row >= 0 else { return }
            // The incumbent's end was the row's: the operator took the peer back.
            guard peers[row].isUsed else {
                close(newcomer, .operator, at: now)
                return
            }
            // Before it is the row's: the row's session ends once, with its incumbent.
            guard banLeft(for: peers[row].endpoint.address, at: now) == nil else {
                close(newcomer, .banned, at: now)
                return
            }
            links[newcomer].identity = .proven
            attach(newcomer, to: row, at: now)
            relist(newcomer)
        case .closed, .connecting, .securing, .greeting, .draining: contradicted(newcomer, at: now)  // None of them is in a probe.
        }
    }

    /// Rule 6: links of the peer's proven process that are still nobody's are put to the rule one at a time: the
    /// incumbent is probed for the surplus one, which goes if it answers and takes its place if not.
    mutating func settleSurplus(_ row: Int, at now: Instant) {
        guard peers[row].isUsed, let nonce = peers[row].provenNonce else { return }
        let incumbent = Int(peers[row].established)
        guard incumbent >= 0, links[incumbent].nonce == nonce, links[incumbent].rival < 0 else { return }
        let surplus = unprobedAnonymousLink(with: nonce, besides: incumbent)
        #if MESH_CANARIES
            if has(.surplusStays) { return }
            if has(.surplusJoins), surplus >= 0 {
                joinBeside(surplus, row: row)
                relist(surplus)
                return
            }
        #endif
        if surplus >= 0 { hold(surplus, against: incumbent, at: now) }
    }

    /// A probe in which `slot` took part is over, or the link was taken from a peer: each peer that has shown its nonce gets its next
    /// surplus link to settle.
    mutating func nextSurplus(after slot: Int, at now: Instant) {
        guard !isStopping, let nonce = links[slot].nonce else { return }
        var row = -1
        while unprobedAnonymousLink(with: nonce, besides: -1) >= 0 {
            row = rowFreeForSurplus(nonce, after: row)
            guard row >= 0 else { return }
            settleSurplus(row, at: now)
        }
    }

    /// Two inbound links of one process that is nobody's: it redialled, so the older one is probed.
    private mutating func settleAnonymous(_ newcomer: Int, at now: Instant) {
        if let nonce = links[newcomer].nonce {
            let incumbent = anonymousLink(with: nonce, besides: newcomer)
            if incumbent >= 0 {
                hold(newcomer, against: incumbent, at: now)
                return
            }
        }
        establish(newcomer, at: now)
    }

    /// Rule 7: a link that a foreign peer dialled is never closed as a duplicate. The row keeps the one we dialled, else
    /// the newest; the other one goes on as nobody's, and as a surplus one if it shows the nonce of another peer.
    private mutating func settleForeign(_ newcomer: Int, incumbent: Int, row: Int, at now: Instant) {
        guard incumbent >= 0 else {
            establish(newcomer, at: now)
            return
        }
        let incumbentStays = links[incumbent].direction == .outbound || links[incumbent].isNative
        if links[newcomer].direction == .inbound, incumbentStays {
            guard hasRoomForNobodys(newcomer) else {
                refuse(newcomer, .full, .full, at: now)
                return
            }
            orphan(newcomer)
            links[newcomer].identity = .anonymous
            establish(newcomer, at: now)
            nextSurplus(after: newcomer, at: now)
        } else if hasRoomForNobodys(incumbent) {
            dismissHeld(of: incumbent, at: now)
            orphan(incumbent)
            links[incumbent].identity = .anonymous
            relist(incumbent)
            establish(newcomer, at: now)
            nextSurplus(after: incumbent, at: now)
        } else {
            // The newcomer first: the row is never without a link, so that a demoted masternode's keeps the slot that it had.
            turnAwayHeld(of: incumbent, at: now)
            establish(newcomer, at: now)
            close(incumbent, .full, at: now)
        }
    }

    /// One dial beside the live link, at most once in `verifyInterval`: whoever answers there is the peer.
    private mutating func verify(_ row: Int, at now: Instant) {
        if let last = peers[row].lastVerify, now - last < settings.verifyInterval { return }
        guard peers[row].dial < 0, dialBudget(of: readyList(for: row), at: now) == nil else { return }
        peers[row].lastVerify = now
        _ = startDial(row, at: now)
    }
}
