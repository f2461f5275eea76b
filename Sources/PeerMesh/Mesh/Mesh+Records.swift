// Each record's fields in their written order: one function writes, its twin below reads.

import Timers

extension Mesh {
    borrowing func encodeLinks(_ writer: inout StateWriter) {
        for slot in 0..<links.count {
            let link = links[slot]
            writer.put(link.generation)
            writer.put(UInt32(link.state.rawValue))
            if link.state != .closed { encode(link, slot, &writer) }
        }
    }

    mutating func decodeLinks(_ reader: inout StateReader) {
        for slot in 0..<links.count where !reader.isBad {
            links[slot].generation = reader.uint32()
            links[slot].state = reader.value(LinkState.closed)
            if links[slot].state != .closed { decodeLink(slot, &reader) }
        }
    }

    private func encode(_ link: Link, _ slot: Int, _ writer: inout StateWriter) {
        writer.put(UInt32(link.direction.rawValue))
        writer.put(UInt32(link.identity.rawValue))
        writer.put(link.isNative)
        writer.put(link.row)
        writer.put(link.rival)
        writer.put(link.remote)
        writer.put(stated(byLink: slot))
        writer.put(link.nonce)
        writer.put(link.reason)
        writer.put(link.since)
        writer.put(link.lastByte)
        writer.put(frameStarted(ofLink: slot))
        writer.put(framePartial(ofLink: slot))
        writer.put(probeUntil(ofLink: slot))
        writer.put(link[.hasAsked])
        writer.put(link.answeredAt)
        writer.put(link.intakeFullAt)
        let keepalive = link.keepalive
        writer.put(keepalive.nonce)
        writer.put(link.isPinged)
        writer.put(keepalive.due)
        writer.put(keepalive.queuedAt)
        writer.put(keepalive.takenAt)
        writer.put(keepalive.misses)
        writer.put(keepalive.isExtended)
        writer.put(keepalive.progressed)
        writer.put(keepalive.drained)
        writer.put(graceUntil(ofLink: slot))
        writer.put(link.isUnread)
        writer.put(link.roundTrip)
    }

    private mutating func decodeLink(_ slot: Int, _ reader: inout StateReader) {
        let (generation, state) = (links[slot].generation, links[slot].state)
        let direction = reader.value(Direction.inbound)
        let identity = reader.value(LinkIdentity.pending)
        let isNative = reader.flag()
        let (row, rival) = (reader.index(below: peers.count), reader.index(below: links.count))
        links[slot] = Link(remote: reader.endpoint())
        links[slot].generation = generation
        links[slot].state = state
        links[slot].direction = direction
        links[slot].identity = identity
        links[slot].isNative = isNative
        links[slot].bonds = LinkBonds(row: row, rival: rival)
        setStated(byLink: slot, reader.optionalEndpoint())
        links[slot].nonce = reader.optionalWord()
        links[slot].reason = reader.reason() ?? .remoteClosed
        links[slot].since = reader.instant()
        links[slot].lastByte = reader.instant()
        let (frameStarted, framePartial) = (reader.instant(), reader.uint32())
        if framePartial > 0 { setFrame(ofLink: slot, partial: framePartial, started: frameStarted) }
        let probeUntil = reader.instant()
        if probeUntil != .never { beginProbe(ofLink: slot, until: probeUntil) }
        links[slot][.hasAsked] = reader.flag()
        links[slot].answeredAt = reader.optionalInstant()
        links[slot].intakeFullAt = reader.instant()
        links[slot].keepalive.nonce = reader.word()
        links[slot].isPinged = reader.flag()
        links[slot].keepalive.due = reader.instant()
        links[slot].keepalive.queuedAt = reader.instant()
        links[slot].keepalive.takenAt = reader.optionalInstant()
        links[slot].keepalive.misses = reader.uint32()
        links[slot].keepalive.isExtended = reader.flag()
        links[slot].keepalive.noteProgress(reader.uint32())
        links[slot].keepalive.drained = reader.uint32()
        let graceUntil = reader.instant()
        if graceUntil != .never { beginGrace(ofLink: slot, until: graceUntil) }
        links[slot].isUnread = reader.flag()
        links[slot].roundTrip = reader.span()
    }

    borrowing func encodePeers(_ writer: inout StateWriter) {
        for row in 0..<peers.count {
            let peer = peers[row]
            writer.put(peer.generation)
            writer.put(peer.isUsed)
            if peer.isUsed { encode(peer, row, &writer) }
        }
    }

    mutating func decodePeers(_ reader: inout StateReader) {
        for row in 0..<peers.count where !reader.isBad {
            peers[row].generation = reader.uint32()
            peers[row].isUsed = reader.flag()
            if peers[row].isUsed { decodePeer(row, &reader) }
        }
    }

    private func encode(_ peer: Peer, _ row: Int, _ writer: inout StateWriter) {
        writer.put(peer.endpoint)
        writer.put(UInt32(peer.desire.rawValue))
        writer.put(UInt32(peer.role.rawValue))
        writer.put(peer.demoteAt)
        writer.put(peer.keepsSlot)
        writer.put(peer.isBeyondTable)
        writer.put(peer.isChosen)
        writer.put(peer.isForeign)
        encode(peer.schedule, &writer)
        writer.put(peer.failures)
        writer.put(peer.established)
        writer.put(peer.held)
        writer.put(peer.dial)
        writer.put(peer.notBefore)
        writer.put(UInt32(peer.waitReason.rawValue))
        writer.put(peer.turnAt)
        writer.put(peer.selfUntil)
        writer.put(peer.tombstoneUntil)
        writer.put(peer.linkedSince)
        writer.put(peer.lastSuccess)
        writer.put(peer.lastReason)
        writer.put(peer.lastVerify)
        writer.put(peer.provenNonce)
        writer.put(UInt32(peer.part.rawValue))
        writer.put(peer.isVerified)
        writer.put(peer.isBooked)
        writer.put(peer.source)
        writer.put(peer.sourceGroup)
        if peer.part != .none { writer.put(UInt64(parts.place(of: row))) }
    }

    private mutating func decodePeer(_ row: Int, _ reader: inout StateReader) {
        let generation = peers[row].generation
        peers[row] = Peer(endpoint: reader.endpoint())
        peers[row].generation = generation
        peers[row].isUsed = true
        peers[row].desire = Desire(rawValue: UInt8(reader.number(below: 8)))
        peers[row].role = reader.value(Role.regular)
        peers[row].demoteAt = reader.instant()
        peers[row].keepsSlot = reader.flag()
        peers[row].isBeyondTable = reader.flag()
        peers[row].isChosen = reader.flag()
        peers[row].isForeign = reader.flag()
        peers[row].schedule = decodeSchedule(&reader)
        peers[row].failures = reader.uint32()
        let (established, held, dial) = (reader.index(below: links.count), reader.index(below: links.count), reader.index(below: links.count))
        peers[row].bonds = PeerBonds(established: established, held: held, dial: dial)
        peers[row].notBefore = reader.instant()
        peers[row].waitReason = reader.value(WaitReason.backoff)
        peers[row].turnAt = reader.instant()
        peers[row].selfUntil = reader.instant()
        peers[row].tombstoneUntil = reader.instant()
        peers[row].linkedSince = reader.instant()
        peers[row].lastSuccess = reader.optionalInstant()
        peers[row].lastReason = reader.reason()
        peers[row].lastVerify = reader.optionalInstant()
        peers[row].provenNonce = reader.optionalWord()
        peers[row].part = reader.value(BookPart.none)
        peers[row].isVerified = reader.flag()
        peers[row].isBooked = reader.flag()
        peers[row].source = reader.uint32()
        peers[row].sourceGroup = reader.uint32()
        guard peers[row].part != .none else { return }
        if !parts.restore(row, at: reader.number(below: peers.count), of: peers[row].part) { reader.isBad = true }
    }

    private func encode(_ schedule: Schedule, _ writer: inout StateWriter) {
        switch schedule {
        case .none:
            writer.put(UInt32(0))
        case .wait(let until, let why):
            writer.put(UInt32(1))
            writer.put(until)
            writer.put(UInt32(why.rawValue))
        case .ready:
            writer.put(UInt32(2))
        case .off(let why):
            writer.put(UInt32(3))
            writer.put(UInt32(why.rawValue))
        }
    }

    private func decodeSchedule(_ reader: inout StateReader) -> Schedule {
        switch reader.number(below: 4) {
        case 0: return .none
        case 1:
            let until = reader.instant()
            return .wait(until: until, reader.value(WaitReason.backoff))
        case 2: return .ready
        default: return .off(reader.value(OffReason.notStarted))
        }
    }

    func encode(_ record: BanRecord, _ writer: inout StateWriter) {
        writer.put(record.subject.address)
        writer.put(UInt32(record.subject.prefix))
        switch record.kind {
        case .ban(let source): writer.put(UInt32(source.rawValue))
        case .trust: writer.put(UInt32(2))
        }
        writer.put(record.until)
        writer.put(record.reason)
    }

    func decodeBan(_ reader: inout StateReader) -> BanRecord {
        let subject = Subnet(reader.address(), prefix: UInt8(reader.number(below: 129)))
        let kind: BanRecord.Kind =
            switch reader.number(below: 3) {
            case 0: .ban(.automatic)
            case 1: .ban(.operator)
            default: .trust
            }
        let until = reader.instant()
        return BanRecord(subject: subject, kind: kind, until: until, reason: reader.reason())
    }
}
