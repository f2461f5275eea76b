// Whose link is it? A dialled link's peer is the one dialled; an inbound link's is decided once, at its hello, in the
// order of the design. Nothing in a hello is believed further than that.

import Timers

extension Mesh {
    /// A complete hello came.
    mutating func greeted(_ slot: Int, _ hello: Hello, at now: Instant) {
        guard links[slot].state == .greeting else { return }
        lastLife = now
        links[slot].isNative = hello.isNative && settings.isNativeDialect
        setStated(byLink: slot, hello.endpoint)
        if hello.nonce == settings.nonce {
            metOurselves(slot, at: now)
            return
        }
        if links[slot].isNative, let nonce = hello.nonce {
            links[slot].nonce = nonce
            nonces.insert(slot, hash: mix(nonce))
        }
        switch links[slot].direction {
        case .outbound: dialledHello(slot, hello, at: now)
        case .inbound: inboundHello(slot, at: now)
        }
    }

    /// Own nonce: on a dialled link that endpoint is ourselves for a while; on an inbound one remember nothing, score
    /// nothing, but answer, so that the dialling end learns it (model finding F12). Anybody who met us may answer with our nonce, and
    /// an address may be ours for a moment only: to the registry's peers it is a failed dial and no more, and whoever else is
    /// wanted rests no longer than after other failures.
    private mutating func metOurselves(_ slot: Int, at now: Instant) {
        let link = links[slot]
        let row = Int(link.row)
        if link.direction == .outbound, row >= 0 {
            if peers[row].desire.contains(.registry) {
                peers[row].selfUntil = .zero
            } else {
                let isOperators = peers[row].desire.contains(.operator)
                peers[row].selfUntil = now + (isOperators ? min(settings.selfMemory, settings.backoffMax) : settings.selfMemory)
            }
        } else if settings.isNativeDialect {
            actions.append(.answer(id(of: slot), .duplicate, isNative: link.isNative))
        }
        close(slot, .selfConnection, at: now)
    }

    // Dialled.

    private mutating func dialledHello(_ slot: Int, _ hello: Hello, at now: Instant) {
        let row = Int(links[slot].row)
        peers[row].isForeign = !links[slot].isNative
        noteVerified(row, at: now)
        if let nonce = links[slot].nonce {
            prove(row, nonce: nonce)
            settleClaims(row, against: slot, at: now)
            reclaim(for: row, nonce: nonce, by: slot, at: now)
            merge(into: row, nonce: nonce, at: now)
        }
        switch hello.verdict ?? .accepted {
        case .accepted: admitDialled(slot, at: now)
        case .duplicate: close(slot, .duplicate, at: now)
        case .full: close(slot, .full, at: now)
        case .banned(let span):
            peers[row].notBefore = now + min(span, settings.backoffMax)
            peers[row].waitReason = .bannedThere
            close(slot, .banned, at: now)
        }
        // Whatever the verdict was, the process is known now: rule 6 of the duplicates.
        settleSurplus(row, at: now)
    }

    /// The table may have filled while the dial was in flight.
    private mutating func admitDialled(_ slot: Int, at now: Instant) {
        let row = Int(links[slot].row)
        if linkLists.list(of: slot) == LinkList.feeler, peers[row].established < 0 {
            // It has shown what it was to show. With a slot for its peer it goes on as any other dial.
            guard hasOutboundRoom else {
                close(slot, .full, at: now)
                return
            }
            feeler = -1
            relist(slot)
        }
        if peers[row].established < 0, let reason = makeSlot(for: row, link: slot, at: now) {
            close(slot, reason, at: now)
        } else {
            settle(slot, at: now)
        }
    }

    /// Remembers the process that answers at the peer's endpoint.
    private mutating func prove(_ row: Int, nonce: UInt64) {
        if peers[row].provenNonce == nonce { return }
        forgetProof(of: row)
        peers[row].provenNonce = nonce
        nonces.insert(links.count + row, hash: mix(nonce))
    }

    mutating func forgetProof(of row: Int) {
        guard let nonce = peers[row].provenNonce else { return }
        nonces.remove(links.count + row, hash: mix(nonce))
        peers[row].provenNonce = nil
    }

    /// A dialled hello settles rival claims: the link with that nonce is proven, one with another becomes anonymous.
    private mutating func settleClaims(_ row: Int, against slot: Int, at now: Instant) {
        let incumbent = Int(peers[row].established)
        guard incumbent >= 0, incumbent != slot, links[incumbent].direction == .inbound else { return }
        guard links[incumbent].isNative else { return }
        if links[incumbent].nonce == links[slot].nonce {
            links[incumbent].identity = .proven
        } else if links[incumbent].identity == .claimed {
            dismissHeld(of: incumbent, at: now)
            disown(incumbent, of: row, at: now)
        }
    }

    /// The link stays, but it is nobody's; without a regular slot for it, it goes.
    private mutating func disown(_ slot: Int, of row: Int, at now: Instant) {
        guard hasRoomForNobodys(slot) else {
            close(slot, .full, at: now)
            return
        }
        orphan(slot)
        peers[row].linkedSince = .never
        links[slot].identity = .anonymous
        relist(slot)
        refresh(row, at: now)
        // It may show the nonce of another peer, beside that one's own link.
        nextSurplus(after: slot, at: now)
    }

    /// Anonymous links of the process that a dialled link has shown are that peer's (model finding F5). The first takes
    /// the row if it is free; further ones are put to the duplicate rule, one at a time, by `settleSurplus`.
    private mutating func merge(into row: Int, nonce: UInt64, at now: Instant) {
        guard peers[row].established < 0 else { return }
        let surplus = anonymousLink(with: nonce, besides: -1)
        guard surplus >= 0 else { return }
        links[surplus].identity = .proven
        attachMerged(surplus, to: row, at: now)
    }

    /// Two endpoints have shown one nonce: one of them copies it, or both are one process. An inbound link of that nonce which
    /// was given to the other endpoint, but states this one, is this one's: else a copier that answers our dial first
    /// would receive every link of its victim.
    private mutating func reclaim(for row: Int, nonce: UInt64, by dial: Int, at now: Instant) {
        guard peers[row].established < 0 else { return }
        let strayed = strayedLink(from: row, nonce: nonce)
        guard strayed >= 0 else { return }
        let other = Int(links[strayed].row)
        // A masternode's link took no regular slot.
        if peers[other].role == .masternode, makeSlot(for: row, link: dial, at: now) != nil { return }
        peers[other].linkedSince = .never
        attachMerged(strayed, to: row, at: now)
        beginWait(other, at: now)
        refresh(other, at: now)
    }

    /// An established inbound link that showed `nonce` and states the row's endpoint, but is another row's; or -1.
    private func strayedLink(from row: Int, nonce: UInt64) -> Int {
        lowestLink(with: nonce) { slot in
            let link = links[slot]
            return link.direction == .inbound && link.state == .established && link.rival < 0 && link.row >= 0
                && stated(byLink: slot) == peers[row].endpoint
        }
    }

    private mutating func attachMerged(_ slot: Int, to row: Int, at now: Instant) {
        give(slot, to: row, as: .established)
        if peers[row].linkedSince == .never { peers[row].linkedSince = links[slot].establishedAt }
        peers[row].lastSuccess = now
        if isDoubtful(slot, of: row) { waitInDoubt(row, at: now) }
        relist(slot)
        refresh(row, at: now)
    }

    /// An established anonymous link whose hello showed `nonce`, and that waits in nobody's probe; or -1.
    func anonymousLink(with nonce: UInt64, besides other: Int) -> Int {
        lowestLink(with: nonce) { isAnonymous($0) && $0 != other && !waitsInProbe($0) }
    }

    /// One that is in no probe at all, or -1.
    func unprobedAnonymousLink(with nonce: UInt64, besides other: Int) -> Int {
        lowestLink(with: nonce) { isAnonymous($0) && $0 != other && links[$0].rival < 0 }
    }

    private func isAnonymous(_ slot: Int) -> Bool {
        links[slot].identity == .anonymous && links[slot].state == .established
    }

    /// Of the links that showed `nonce` and are as asked, the one in the lowest slot; or -1. What the index's own order is depends on
    /// its past, and must decide nothing.
    private func lowestLink(with nonce: UInt64, where isRight: (Int) -> Bool) -> Int {
        var cursor = 0
        var lowest = -1
        while true {
            let index = nonces.next(hash: mix(nonce), cursor: &cursor)
            if index < 0 { return lowest }
            guard index < links.count, lowest < 0 || index < lowest else { continue }
            if links[index].nonce == nonce, isRight(index) { lowest = index }
        }
    }

    // Inbound.

    private mutating func inboundHello(_ slot: Int, at now: Instant) {
        let (identity, row) = identify(slot, at: now)
        links[slot].identity = identity
        name(identity == .anonymous ? -1 : row, forLink: slot)
        let (verdict, reason) = admitGreeted(slot, at: now)
        if verdict == .accepted { settle(slot, at: now) } else { refuse(slot, verdict, reason, at: now) }
    }

    /// Every well-formed hello of our dialect is answered, so that no one guesses.
    mutating func refuse(_ slot: Int, _ verdict: Verdict, _ reason: CloseReason, at now: Instant) {
        if links[slot].direction == .inbound, links[slot].state != .established {
            actions.append(.answer(id(of: slot), verdict, isNative: links[slot].isNative))
        }
        close(slot, reason, at: now)
    }

    /// The design's order: proven nonce, stated endpoint at the source address, for foreign links the only registered
    /// masternode there that has no link, else nobody. Before it: an endpoint that has shown a copied nonce must not receive
    /// the calls of the nonce's owner, so that a call from an address which is wanted for itself is that peer's.
    private mutating func identify(_ slot: Int, at now: Instant) -> (LinkIdentity, Int) {
        let link = links[slot]
        let home = homeEndpoint(ofLink: slot)
        if let nonce = link.nonce {
            let row = provenRow(nonce, stated: stated(byLink: slot))
            if row >= 0, !isWantedBeside(row, home) {
                welcome(row, at: now)
                return (.proven, row)
            }
        }
        if let home {
            let row = rowForHello(home, from: link.remote.address, at: now)
            if row >= 0 { return (.claimed, row) }
        }
        if !link.isNative {
            let row = soleMasternode(at: link.remote.address)
            if row >= 0 { return (.weak, row) }
        }
        return (.anonymous, -1)
    }

    /// The endpoint that the hello states, if the packets come from its address and it can be a peer's.
    private func homeEndpoint(ofLink slot: Int) -> Endpoint? {
        guard let stated = stated(byLink: slot), stated.address == links[slot].remote.address else { return nil }
        return stated.isDialable && stated != ownEndpoint ? stated : nil
    }

    /// A learnt peer whose process calls from another address and states that one has moved: the link is the new endpoint's. What
    /// was learnt of the old one stays in the book, without a link, for a nonce alone must not take an entry out of it.
    mutating func moveHome(_ slot: Int, at now: Instant) {
        let old = Int(links[slot].row)
        guard old >= 0, links[slot].direction == .inbound, links[slot].identity == .proven else { return }
        guard peers[old].desire == .learnt, peers[old].role == .regular, peers[old].dial < 0 else { return }
        guard let home = homeEndpoint(ofLink: slot), home != peers[old].endpoint else { return }
        let new = rowForHello(home, from: links[slot].remote.address, at: now)
        guard new >= 0, !peers[new].hasLinks else { return }
        links[slot].identity = .claimed
        name(new, forLink: slot)
        // The slot that it kept when it was demoted goes along.
        (peers[new].keepsSlot, peers[old].keepsSlot) = (peers[old].keepsSlot, false)
        refresh(old, at: now)
    }

    /// Whether `home` is another peer than the one in `row`, and named by the registry or the operator.
    private func isWantedBeside(_ row: Int, _ home: Endpoint?) -> Bool {
        guard let home, peers[row].endpoint != home else { return false }
        let other = self.row(of: home)
        return other >= 0 && !peers[other].desire.isDisjoint(with: [.registry, .operator])
    }

    /// The row whose endpoint has shown `nonce` to a dial of ours; of several the one that the hello states, else the lowest.
    func provenRow(_ nonce: UInt64, stated: Endpoint?) -> Int {
        if let stated {
            let row = row(of: stated)
            if row >= 0, peers[row].provenNonce == nonce { return row }
        }
        return lowestProvenRow(nonce, after: -1) { _ in true }
    }

    /// The lowest row beyond `last` whose endpoint has shown `nonce` to a dial of ours and whose own link, which shows it too, is in no
    /// probe: nothing keeps the peer's next surplus link waiting. Or -1.
    func rowFreeForSurplus(_ nonce: UInt64, after last: Int) -> Int {
        lowestProvenRow(nonce, after: last) { row in
            let incumbent = Int(peers[row].established)
            return incumbent >= 0 && links[incumbent].nonce == nonce && links[incumbent].rival < 0
        }
    }

    private func lowestProvenRow(_ nonce: UInt64, after last: Int, where isRight: (Int) -> Bool) -> Int {
        var cursor = 0
        var lowest = -1
        while true {
            let index = nonces.next(hash: mix(nonce), cursor: &cursor)
            if index < 0 { return lowest }
            let row = index - links.count
            guard row > last, lowest < 0 || row < lowest else { continue }
            if peers[row].provenNonce == nonce, isRight(row) { lowest = row }
        }
    }

    /// The only registered masternode at `address`, if it has no link; else -1. Looks at the registered ones of the address's block,
    /// until it has found two; of very many in one /64 at the first only.
    private func soleMasternode(at address: IPAddress) -> Int {
        var found = -1
        var row = registered.first(inBlockOf: address)
        var looked = 0
        while row >= 0, looked < Self.blockReach {
            looked += 1
            if peers[row].endpoint.address == address, peers[row].endpoint != ownEndpoint {
                if found >= 0 { return -1 }
                found = row
            }
            row = registered.next(after: row)
        }
        return found >= 0 && peers[found].established < 0 ? found : -1
    }
}
