// Whether a link still lives: pings, misses, started frames, and the probe that a newcomer asks for. A ping wants its pong; what else
// may excuse its absence, and for how long, is `excuse`.
// A byte costs one store; deadlines are looked at only when the link's timer fires.

import Timers

extension Mesh {
    mutating func startKeepalive(_ slot: Int, at now: Instant) {
        links[slot].keepalive = Keepalive()
        links[slot].keepalive.due = pingTime(after: now)
        links[slot].isPinged = false
        links[slot].roundTrip = .zero
        links[slot][.hasFrame] = false
        links[slot][.hasGrace] = false
    }

    /// When the next ping is due: an interval from `start`, shortened by the jitter, and by a little more, to a moment that it shares
    /// with other links. Pings that go together cost one wake, and all but the first find code and tables in the caches.
    mutating func pingTime(after start: Instant) -> Instant {
        // Field by field: the settings as a whole would be copied.
        let (interval, percent) = (settings.pingInterval, settings.jitterPercent)
        let due = start + random.shorten(interval, percent: percent)
        return percent > 0 ? due.aligned(within: interval / 64) : due
    }

    /// Bytes came. The answer to a probe, progress of a frame, and one extension of a ping's wait.
    mutating func received(_ slot: Int, frames: UInt32, partial: UInt32, at now: Instant) {
        links[slot].lastByte = now
        lastLife = now
        if partial == 0 {
            links[slot][.hasFrame] = false
        } else {
            let isNew = frames > 0 || !links[slot][.hasFrame]
            let before = isNew ? 0 : extras[slot].framePartial
            if partial > before { links[slot].keepalive.noteProgress(partial - before) }
            setFrame(ofLink: slot, partial: partial, started: isNew ? now : extras[slot].frameStarted)
            if isNew { frameBegan(slot, at: now) }
        }
        if links[slot][.isProbed] { probeAnswered(slot, at: now) }
    }

    /// At the defaults the keepalive looks at the link well before a frame's time is over; a shorter frame time needs its
    /// own deadline.
    private mutating func frameBegan(_ slot: Int, at now: Instant) {
        guard links[slot].state == .established, let armed = wheel.deadline(of: slot) else { return }
        let deadline = now + settings.frameTimeout
        if deadline < armed { wheel.arm(slot, at: deadline) }
    }

    mutating func sent(_ slot: Int, bytes: UInt32, controlEmpty: Bool, at now: Instant) {
        links[slot].keepalive.drained = links[slot].keepalive.drained.addingReportingOverflow(bytes).partialValue
        if controlEmpty, links[slot].isPinged, links[slot].keepalive.takenAt == nil {
            links[slot].keepalive.takenAt = now
            links[slot].keepalive.due = now
        }
    }

    mutating func pinged(_ slot: Int, nonce: UInt64) {
        guard links[slot].isLive else { return }
        actions.append(.pong(id(of: slot), nonce: nonce))
    }

    mutating func ponged(_ slot: Int, nonce: UInt64, at now: Instant) {
        guard links[slot].isPinged, links[slot].keepalive.nonce == nonce else { return }
        // After a miss the pong may be the first ping's, so that only the time since that one is sure.
        let isFirst = links[slot].keepalive.misses == 0
        let measured = now - (isFirst ? links[slot].keepalive.takenAt ?? links[slot].keepalive.queuedAt : links[slot].keepalive.queuedAt)
        roundTrip = measured
        links[slot].roundTrip = measured
        lifeSeen(slot, at: now)
    }

    // By slot, not by value: a copy of a link is two cache lines, and one of them is seldom warm. And in place: a call that borrows
    // the mesh copies it.

    @inline(__always)
    func keepaliveDeadline(ofLink slot: Int) -> Instant {
        links[slot].isPinged ? links[slot].keepalive.due + settings.pongTimeout : links[slot].keepalive.due
    }

    /// A started frame has `frameTimeout`, and more only while it keeps up the minimum rate, up to `frameLimit`.
    @inline(__always)
    func frameDeadline(ofLink slot: Int) -> Instant {
        guard links[slot][.hasFrame] else { return .never }
        let earned = Nanoseconds.seconds(UInt64(extras[slot].framePartial)) / UInt64(max(settings.frameMinimumRate, 1))
        return extras[slot].frameStarted + max(settings.frameTimeout, min(earned, settings.frameLimit))
    }

    mutating func establishedDue(_ slot: Int, at now: Instant) {
        if probeUntil(ofLink: slot) <= now {
            probeSilent(slot, at: now)
            return
        }
        if frameDeadline(ofLink: slot) <= now {
            close(slot, .frameTimeout, at: now)
            return
        }
        if keepaliveDeadline(ofLink: slot) <= now, !keepAlive(slot, at: now) {
            close(slot, .keepaliveTimeout, at: now)
            return
        }
        armLink(slot)
    }

    /// One step of the keepalive, due now. False if the link is dead.
    private mutating func keepAlive(_ slot: Int, at now: Instant) -> Bool {
        guard links[slot].isPinged else {
            noteStability(slot, at: now)
            ping(slot, at: now)
            return true
        }
        if links[slot].isUnread {
            // No miss, but asked again: a write is how a connection that is gone is found meanwhile.
            ping(slot, at: now)
            return true
        }
        if excuse(slot, at: now) {
            links[slot].keepalive.restart(at: now)
            return true
        }
        links[slot].keepalive.misses += 1
        #if MESH_CANARIES
            if has(.livenessTurnedOff) { links[slot].keepalive.misses = 0 }
        #endif
        guard links[slot].keepalive.misses < missLimit(of: slot) else { return false }
        ping(slot, at: now)
        return true
    }

    /// Whether a pong timeout that is over without a pong is no miss: a started frame, behind which the pong
    /// waits, keeps up the minimum rate, for `frameLimit` after the ping at most; the peer takes what we have queued, for
    /// `progressGrace` at most; or any other byte came, once.
    private mutating func excuse(_ slot: Int, at now: Instant) -> Bool {
        let queuedAt = links[slot].keepalive.queuedAt
        if links[slot].keepalive.progressed >= frameProgressWanted, now < queuedAt + settings.frameLimit { return true }
        let isDraining = links[slot].keepalive.drained >= settings.progressBytes
        if isDraining, !links[slot][.hasGrace] { beginGrace(ofLink: slot, until: now + settings.progressGrace) }
        if isDraining, now < graceUntil(ofLink: slot) { return true }
        guard links[slot].lastByte > queuedAt, !links[slot].keepalive.isExtended else { return false }
        links[slot].keepalive.isExtended = true
        return true
    }

    /// What comes of a frame at the minimum rate in one pong timeout, as far as it is counted.
    private var frameProgressWanted: UInt32 {
        let wanted = UInt64(max(settings.frameMinimumRate, 1)) * (settings.pongTimeout.count / 1_000_000) / 1_000
        return UInt32(min(max(wanted, 1), UInt64(Keepalive.mostProgress)))
    }

    func missLimit(of slot: Int) -> UInt32 {
        let row = Int(links[slot].row)
        return row >= 0 && peers[row].role == .masternode ? settings.masternodeMisses : settings.regularMisses
    }

    /// The outstanding ping is answered.
    private mutating func lifeSeen(_ slot: Int, at now: Instant) {
        let next = pingTime(after: links[slot].keepalive.queuedAt)
        links[slot].isPinged = false
        links[slot].keepalive.misses = 0
        links[slot].keepalive.isExtended = false
        links[slot][.hasGrace] = false
        links[slot].keepalive.due = max(next, now)
        armLink(slot)
    }

    /// Sends a ping, or repeats one with its nonce, so that a slow peer's pong to any of them is the answer; one that the kernel has
    /// not taken yet is not queued a second time.
    mutating func ping(_ slot: Int, at now: Instant) {
        let waits = links[slot].isPinged && links[slot].keepalive.takenAt == nil
        links[slot].keepalive.restart(at: now)
        if !links[slot].isPinged {
            links[slot].keepalive.queuedAt = now
            // Not the generator's own output, from which whoever is pinged could compute what orders the book and the evictions.
            links[slot].keepalive.nonce = mix(random.next() ^ bookSecret)
        }
        links[slot].isPinged = true
        if waits { return }
        links[slot].keepalive.takenAt = nil
        actions.append(.ping(id(of: slot), nonce: links[slot].keepalive.nonce))
    }

    /// A continuous link of `stableAfter`, to its last byte, clears the peer's failures. One that is to be dialled beside a doubtful link
    /// may be another queue's then.
    private mutating func noteStability(_ slot: Int, at now: Instant) {
        let row = Int(links[slot].row)
        guard row >= 0, peers[row].failures > 0 else { return }
        guard links[slot].lastByte - peers[row].linkedSince >= settings.stableAfter else { return }
        peers[row].failures = 0
        refresh(row, at: now)
    }
}

extension Instant {
    /// This point, or an earlier one within `span` that is a multiple of the largest power of two of ticks that fits into it: a slot
    /// of the wheel begins there, so that what is due then comes up at once.
    fileprivate func aligned(within span: Nanoseconds) -> Instant {
        let ticks = span.count / TimerWheel.tick.count
        guard ticks > 1, self != .never else { return self }
        let step = TimerWheel.tick.count << UInt64(63 - ticks.leadingZeroBitCount)
        return Instant(nanoseconds: nanoseconds - nanoseconds % step)
    }
}
