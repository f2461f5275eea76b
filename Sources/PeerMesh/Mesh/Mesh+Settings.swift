// New numbers for a mesh at work. Whatever waits is looked at again, so that a shorter wait holds from now on and not only
// from the next one; no link is closed for it.

public import Timers

extension Mesh {
    /// Runs on under `new`. What sizes the tables, what the slots are counted by, and who we are must be as it was: those are
    /// for a restart. O(table).
    public mutating func apply(_ new: MeshSettings, at now: Instant) {
        precondition(settings.canBecome(new), "a running mesh keeps its tables, its slots and its identity")
        precondition(new.greetingTimeout >= new.probeTimeout * 2, "greeting must outlast two probes")
        precondition(new.dialRate > 0 && new.dialBurst > 0 && new.jitterPercent <= 50)
        guard new != settings else { return }
        if new.targetPeriod != settings.targetPeriod { paces.reset() }
        settings = new
        for slot in 0..<links.count where links[slot].state != .closed { shortenWait(ofLink: slot, at: now) }
        for row in 0..<rowLimit where peers[row].isUsed { shortenWait(ofRow: row, at: now) }
        guard isStarted, !isStopping else { return }
        let round = globalTimer(GlobalTimer.discovery)
        let latest = now + settings.discoveryInterval * UInt64(100 + settings.jitterPercent) / 100
        if wheel.deadline(of: round).map({ $0 > latest }) ?? true { armDiscovery(at: now) }
        let feelerTimer = globalTimer(GlobalTimer.feeler)
        let latestFeeler = now + settings.feelerInterval * UInt64(100 + settings.jitterPercent) / 100
        if wheel.deadline(of: feelerTimer).map({ $0 > latestFeeler }) ?? false { armFeeler(at: now) }
        pump(at: now)
    }

    private mutating func shortenWait(ofLink slot: Int, at now: Instant) {
        if links[slot].state == .established, !links[slot].isPinged {
            links[slot].keepalive.due = min(links[slot].keepalive.due, pingTime(after: now))
        }
        armLink(slot)
    }

    private mutating func shortenWait(ofRow row: Int, at now: Instant) {
        let spread = UInt64(100 + settings.jitterPercent)
        if peers[row].notBefore > now + settings.backoffMax * spread / 100 {
            peers[row].notBefore = now + random.jitter(settings.backoffMax, percent: settings.jitterPercent)
        }
        if peers[row].turnAt > now + settings.passiveWait * spread / 100 { beginWait(row, at: now) }
        if peers[row].tombstoneUntil > now + settings.tombstoneTime { peers[row].tombstoneUntil = now + settings.tombstoneTime }
        refresh(row, at: now)
    }
}

extension MeshSettings {
    /// Whether a mesh with these settings may run on with `new`.
    public func canBecome(_ new: MeshSettings) -> Bool {
        role == new.role && nonce == new.nonce && seed == new.seed && isNativeDialect == new.isNativeDialect
            && maxPeers == new.maxPeers && reservedSlots == new.reservedSlots && pendingLimit == new.pendingLimit
            && drainingLimit == new.drainingLimit && dialLimit == new.dialLimit && bookCapacity == new.bookCapacity
            && banCapacity == new.banCapacity
    }
}
