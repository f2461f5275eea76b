// Each record's fields in their written order: one function writes, its twin below reads.

import Timers

extension Mesh {
    borrowing func encodeLinks(_ writer: inout StateWriter) {
        for slot in 0..<links.count {
            let link = links[slot]
            writer.put(link.generation)
            writer.put(UInt32(link.state.rawValue))
            if link.state != .closed { encode(link, &writer) }
        }
    }

    mutating func decodeLinks(_ reader: inout StateReader) {
        for slot in 0..<links.count where !reader.isBad {
            links[slot].generation = reader.uint32()
            links[slot].state = reader.value(LinkState.closed)
            if links[slot].state != .closed { decodeLink(slot, &reader) }
        }
    }

    private func encode(_ link: Link, _ writer: inout StateWriter) {
        writer.put(UInt32(link.direction.rawValue))
        writer.put(UInt32(link.identity.rawValue))
        writer.put(link.isNative)
        writer.put(link.row)
        writer.put(link.rival)
        writer.put(link.remote)
        writer.put(link.stated)
        writer.put(link.nonce)
        writer.put(link.reason)
        writer.put(link.since)
        writer.put(link.establishedAt)
        writer.put(link.lastByte)
        writer.put(link.frameStarted)
        writer.put(link.framePartial)
        writer.put(link.probeUntil)
        writer.put(link.hasAsked)
        writer.put(link.answeredAt)
        writer.put(link.intakeTokens)
        writer.put(link.intakeAt)
        let keepalive = link.keepalive
        writer.put(keepalive.nonce)
        writer.put(keepalive.isOutstanding)
        writer.put(keepalive.nextPing)
        writer.put(keepalive.queuedAt)
        writer.put(keepalive.takenAt)
        writer.put(keepalive.countsFrom)
        writer.put(keepalive.misses)
        writer.put(keepalive.drained)
        writer.put(keepalive.graceUntil)
        writer.put(keepalive.roundTrip)
    }

    private mutating func decodeLink(_ slot: Int, _ reader: inout StateReader) {
        links[slot].direction = reader.value(Direction.inbound)
        links[slot].identity = reader.value(LinkIdentity.pending)
        links[slot].isNative = reader.flag()
        links[slot].row = reader.index(below: peers.count)
        links[slot].rival = reader.index(below: links.count)
        links[slot].remote = reader.endpoint()
        links[slot].stated = reader.optionalEndpoint()
        links[slot].nonce = reader.optionalWord()
        links[slot].reason = reader.reason() ?? .remoteClosed
        links[slot].since = reader.instant()
        links[slot].establishedAt = reader.instant()
        links[slot].lastByte = reader.instant()
        links[slot].frameStarted = reader.instant()
        links[slot].framePartial = reader.uint32()
        links[slot].probeUntil = reader.instant()
        links[slot].hasAsked = reader.flag()
        links[slot].answeredAt = reader.optionalInstant()
        links[slot].intakeTokens = reader.uint32()
        links[slot].intakeAt = reader.instant()
        links[slot].keepalive.nonce = reader.word()
        links[slot].keepalive.isOutstanding = reader.flag()
        links[slot].keepalive.nextPing = reader.instant()
        links[slot].keepalive.queuedAt = reader.instant()
        links[slot].keepalive.takenAt = reader.optionalInstant()
        links[slot].keepalive.countsFrom = reader.instant()
        links[slot].keepalive.misses = reader.uint32()
        links[slot].keepalive.drained = reader.uint32()
        links[slot].keepalive.graceUntil = reader.instant()
        links[slot].keepalive.roundTrip = reader.span()
    }

    borrowing func encodePeers(_ writer: inout StateWriter) {
        for row in 0..<peers.count {
            let peer = peers[row]
            writer.put(peer.generation)
            writer.put(peer.isUsed)
            if peer.isUsed { encode(peer, &writer) }
        }
    }

    mutating func decodePeers(_ reader: inout StateReader) {
        for row in 0..<peers.count where !reader.isBad {
            peers[row].generation = reader.uint32()
            peers[row].isUsed = reader.flag()
            if peers[row].isUsed { decodePeer(row, &reader) }
        }
    }

    private func encode(_ peer: Peer, _ writer: inout StateWriter) {
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
        peers[row].established = reader.index(below: links.count)
        peers[row].held = reader.index(below: links.count)
        peers[row].dial = reader.index(below: links.count)
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
