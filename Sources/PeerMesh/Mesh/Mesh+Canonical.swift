// The state as a model checker compares it: what can still make a difference, and nothing else. Times are spans from now,
// ages stop where nothing asks for more, nonces are the checker's own numbers, slots and rows are named by what they hold.
// Each omission is a line of docs/ModelChecking.md with the reason that it hides no behaviour.

package import Timers

/// Where the canonical state goes, word by word.
package protocol CanonicalSink {
    mutating func feed(_ word: UInt64)
}

extension Mesh {
    /// Feeds everything that belongs to no link: flags and the rows of the book, in endpoint order.
    package borrowing func feedCanonicalPeers<Sink: CanonicalSink>(
        into sink: inout Sink, at now: Instant, nonceNumber: (UInt64) -> UInt64, linkNumber: (LinkID) -> UInt64
    ) {
        sink.feed((isStarted ? 1 : 0) | (isStopping ? 2 : 0) | (UInt64(bans.count) << 2))
        sink.feed(lastLife.map { 1 + age($0, at: now, upTo: settings.lifeWindow) } ?? 0)
        sink.feed(left(dialSlotAt, at: now) / 1_000_000)
        for index in 0..<bans.count { sink.feed(left(bans[index].until, at: now)) }
        // Beyond the threshold of dormancy one failure more makes no difference.
        let most = max(settings.masternodeFailures, settings.regularFailures)
        for row in 0..<rowLimit where peers[row].isUsed {
            let peer = peers[row]
            sink.feed(peer.endpoint.stableHash)
            var flags = UInt64(peer.desire.rawValue) | UInt64(peer.role.rawValue) << 8
            flags |= (peer.keepsSlot ? 1 : 0) << 16 | (peer.isBeyondTable ? 1 : 0) << 17 | (peer.isChosen ? 1 : 0) << 18
            flags |= UInt64(peer.part.rawValue) << 20 | (peer.isVerified ? 1 : 0) << 22 | (peer.isBooked ? 1 : 0) << 23
            flags |= (peer.isForeign ? 1 : 0) << 19 | UInt64(peer.waitReason.rawValue) << 24 | UInt64(min(peer.failures, most)) << 32
            sink.feed(flags)
            sink.feed(number(peer.established, linkNumber) | number(peer.held, linkNumber) << 16 | number(peer.dial, linkNumber) << 32)
            sink.feed(left(peer.demoteAt, at: now))
            sink.feed(left(peer.notBefore, at: now))
            sink.feed(left(peer.turnAt, at: now))
            sink.feed(left(peer.selfUntil, at: now))
            sink.feed(left(peer.tombstoneUntil, at: now))
            sink.feed(peer.lastVerify.map { age($0, at: now, upTo: settings.verifyInterval) } ?? .max)
            sink.feed(peer.provenNonce.map(nonceNumber) ?? .max)
            sink.feed(wheel.deadline(of: rowTimer(row)).map { left($0, at: now) } ?? .max)
        }
    }

    /// Feeds one link, or a lone zero if its generation is over.
    package borrowing func feedCanonical<Sink: CanonicalSink>(
        _ id: LinkID, into sink: inout Sink, at now: Instant, nonceNumber: (UInt64) -> UInt64, linkNumber: (LinkID) -> UInt64
    ) {
        guard let slot = live(id) else {
            sink.feed(0)
            return
        }
        let link = links[slot]
        var flags: UInt64 = 1 | UInt64(link.state.rawValue) << 8 | UInt64(link.identity.rawValue) << 16
        flags |= (link.isNative ? 1 : 0) << 24 | (link.isPinged ? 1 : 0) << 26
        flags |= (link.keepalive.takenAt != nil ? 1 : 0) << 27
        flags |= (link.keepalive.isExtended ? 1 : 0) << 28
        flags |= (link.lastByte > link.keepalive.queuedAt ? 1 : 0) << 29 | UInt64(link.keepalive.misses) << 32
        sink.feed(flags)
        sink.feed(Endpoint(link.remote.address, port: 0).stableHash)
        sink.feed(stated(byLink: slot).map { $0.stableHash } ?? 0)
        sink.feed(link.row >= 0 ? peers[Int(link.row)].endpoint.stableHash : 0)
        sink.feed(number(link.rival, linkNumber))
        sink.feed(link.nonce.map(nonceNumber) ?? .max)
        sink.feed(wheel.deadline(of: slot).map { left($0, at: now) } ?? .max)
        switch link.state {
        case .established:
            sink.feed(age(link.establishedAt, at: now, upTo: settings.dialTimeout + settings.greetingTimeout))
            sink.feed(left(keepaliveDeadline(ofLink: slot), at: now))
            sink.feed(left(probeUntil(ofLink: slot), at: now))
            if link.row >= 0 {
                // Whether the session counts as long, and how much is missing.
                let session = link.lastByte - peers[Int(link.row)].linkedSince
                sink.feed(min(session, settings.stableAfter).count)
                sink.feed(age(peers[Int(link.row)].linkedSince, at: now, upTo: settings.stableAfter))
            }
        case .closed, .connecting, .securing, .greeting, .held, .draining:
            sink.feed(left(deadline(ofLink: slot), at: now))
        }
    }

    /// Whether rule 6 of the duplicates is at work: an established link waits for another one's sign of life. O(links).
    package var hasSurplusUnderProbe: Bool {
        for slot in 0..<links.count where links[slot].state == .established {
            let rival = Int(links[slot].rival)
            if rival >= 0, links[rival].state == .established { return true }
        }
        return false
    }

    private borrowing func number(_ slot: Int32, _ linkNumber: (LinkID) -> UInt64) -> UInt64 {
        slot >= 0 ? linkNumber(id(of: Int(slot))) : 0xffff
    }

    private func left(_ deadline: Instant, at now: Instant) -> UInt64 {
        deadline == .never ? .max : (deadline - now).count
    }

    private func age(_ instant: Instant, at now: Instant, upTo limit: Nanoseconds) -> UInt64 {
        // A window without end has no age to tell.
        limit.count == .max ? 0 : min(now - instant, limit).count
    }

    /// The earliest deadline that is armed, exactly; `nextDeadline` may be early. O(timers).
    package borrowing func exactDeadline() -> Instant {
        var earliest = Instant.never
        for timer in 0..<(links.count + peers.count + GlobalTimer.count) {
            if let deadline = wheel.deadline(of: timer) { earliest = min(earliest, deadline) }
        }
        return earliest
    }
}

extension Mesh {
    /// A pong to whichever ping is outstanding: the checker's pongs carry no nonce.
    package mutating func answerPing(_ id: LinkID, at now: Instant) {
        if let slot = live(id) { handle(.pong(id, nonce: links[slot].keepalive.nonce), at: now) }
    }
}
