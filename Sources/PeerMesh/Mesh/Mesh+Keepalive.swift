// Whether a link still lives: pings, misses, started frames, and the probe that a newcomer asks for.
// A byte costs one store; deadlines are looked at only when the link's timer fires.

import Timers

extension Mesh {
    mutating func startKeepalive(_ slot: Int, at now: Instant) {
        links[slot].keepalive = Keepalive()
        links[slot].keepalive.nextPing = now + random.shorten(settings.pingInterval, percent: settings.jitterPercent)
        links[slot].frameStarted = .never
        links[slot].framePartial = 0
        links[slot].probeUntil = .never
    }

    /// Bytes came. Life for the keepalive, the answer to a probe, and progress of a frame.
    mutating func received(_ slot: Int, frames: UInt32, partial: UInt32, at now: Instant) {
        links[slot].lastByte = now
        lastLife = now
        if partial == 0 {
            links[slot].frameStarted = .never
            links[slot].framePartial = 0
        } else {
            let isNew = frames > 0 || links[slot].framePartial == 0
            links[slot].framePartial = partial
            if isNew { frameBegan(slot, at: now) }
        }
        if links[slot].probeUntil != .never { probeAnswered(slot, at: now) }
    }

    /// At the defaults the keepalive looks at the link well before a frame's time is over; a shorter frame time needs its
    /// own deadline.
    private mutating func frameBegan(_ slot: Int, at now: Instant) {
        links[slot].frameStarted = now
        guard links[slot].state == .established, let armed = wheel.deadline(of: slot) else { return }
        let deadline = now + settings.frameTimeout
        if deadline < armed { wheel.arm(slot, at: deadline) }
    }

    mutating func sent(_ slot: Int, bytes: UInt32, controlEmpty: Bool, at now: Instant) {
        links[slot].keepalive.drained = links[slot].keepalive.drained.addingReportingOverflow(bytes).partialValue
        if controlEmpty, links[slot].keepalive.isOutstanding, links[slot].keepalive.takenAt == nil {
            links[slot].keepalive.takenAt = now
            links[slot].keepalive.countsFrom = now
        }
    }

    mutating func pinged(_ slot: Int, nonce: UInt64) {
        guard links[slot].isLive else { return }
        actions.append(.pong(id(of: slot), nonce: nonce))
    }

    mutating func ponged(_ slot: Int, nonce: UInt64, at now: Instant) {
        guard links[slot].keepalive.isOutstanding, links[slot].keepalive.nonce == nonce else { return }
        lastRoundTrip = now - (links[slot].keepalive.takenAt ?? links[slot].keepalive.queuedAt)
        roundTripsMeasured &+= 1
        links[slot].keepalive.roundTrip = lastRoundTrip
        lifeSeen(slot, at: now)
    }

    // By slot, not by value: a copy of a link is four cache lines, and two of them are seldom warm.

    func keepaliveDeadline(ofLink slot: Int) -> Instant {
        links[slot].keepalive.isOutstanding ? links[slot].keepalive.countsFrom + settings.pongTimeout : links[slot].keepalive.nextPing
    }

    /// A started frame has `frameTimeout`, and more only while it keeps up the minimum rate.
    func frameDeadline(ofLink slot: Int) -> Instant {
        guard links[slot].frameStarted != .never else { return .never }
        let earned = Nanoseconds.seconds(UInt64(links[slot].framePartial)) / UInt64(max(settings.frameMinimumRate, 1))
        return links[slot].frameStarted + max(settings.frameTimeout, earned)
    }

    mutating func establishedDue(_ slot: Int, at now: Instant) {
        if links[slot].probeUntil <= now {
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
        guard links[slot].keepalive.isOutstanding else {
            noteStability(slot)
            ping(slot, at: now)
            return true
        }
        if links[slot].lastByte > links[slot].keepalive.queuedAt {
            lifeSeen(slot, at: now)
            if links[slot].keepalive.nextPing <= now { ping(slot, at: now) }
            return true
        }
        let isDraining = links[slot].keepalive.drained >= settings.progressBytes
        if isDraining, links[slot].keepalive.graceUntil == .never {
            links[slot].keepalive.graceUntil = now + settings.progressGrace
        }
        if isDraining, now < links[slot].keepalive.graceUntil {
            links[slot].keepalive.drained = 0
            links[slot].keepalive.countsFrom = now
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

    func missLimit(of slot: Int) -> UInt32 {
        let row = Int(links[slot].row)
        return row >= 0 && peers[row].role == .masternode ? settings.masternodeMisses : settings.regularMisses
    }

    /// The outstanding ping is answered, by whatever byte.
    private mutating func lifeSeen(_ slot: Int, at now: Instant) {
        let next = links[slot].keepalive.queuedAt + random.shorten(settings.pingInterval, percent: settings.jitterPercent)
        links[slot].keepalive.isOutstanding = false
        links[slot].keepalive.misses = 0
        links[slot].keepalive.graceUntil = .never
        links[slot].keepalive.nextPing = max(next, now)
        armLink(slot)
    }

    /// Sends a ping, or repeats one; one that the kernel has not taken yet is not queued a second time.
    mutating func ping(_ slot: Int, at now: Instant) {
        let waits = links[slot].keepalive.isOutstanding && links[slot].keepalive.takenAt == nil
        links[slot].keepalive.drained = 0
        links[slot].keepalive.countsFrom = now
        if !links[slot].keepalive.isOutstanding { links[slot].keepalive.queuedAt = now }
        links[slot].keepalive.isOutstanding = true
        if waits { return }
        links[slot].keepalive.nonce = random.next()
        links[slot].keepalive.takenAt = nil
        actions.append(.ping(id(of: slot), nonce: links[slot].keepalive.nonce))
    }

    /// A continuous link of `stableAfter`, to its last byte, clears the peer's failures.
    private mutating func noteStability(_ slot: Int) {
        let row = Int(links[slot].row)
        guard row >= 0, peers[row].failures > 0 else { return }
        if links[slot].lastByte - peers[row].linkedSince >= settings.stableAfter { peers[row].failures = 0 }
    }
}
