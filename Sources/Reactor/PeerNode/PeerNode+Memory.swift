// When the buffers come near their bound. Strangers have one account together, and cannot touch the rest, which is for masternodes,
// for the operator's peers and for hellos. Near the bound the largest readers rest. Where that is not enough, the largest
// idle stranger is closed; and if those that rest wait on, one link after the other is. So it comes to no standstill, although a link that
// is not read is not judged by its silence. And what the application does of that kind by itself.

import CEpoll
public import PeerMesh
import Timers

extension PeerNode {
    /// A stranger that holds memory and sent nothing for so long is idle. And so long a link that rests waits until another is closed.
    static let patience = Nanoseconds.seconds(2)
    /// Who holds less is not closed for the sake of others.
    static let leastWeight = 65_536

    /// The link's next bytes have no room: the largest idle stranger makes it, or the link rests.
    func memoryRefused(_ link: NodeLink) {
        if !makeRoom(for: link) { starve(link) }
    }

    /// Closes the largest idle stranger but `link`; false if there is none. What it held is free after this iteration. O(links).
    @discardableResult
    func makeRoom(for link: NodeLink?) -> Bool {
        classify()
        guard let idle = heaviest(where: { $0 !== link && !$0.isReserved && isIdle($0) }) else { return false }
        closeForMemory(idle)
        return true
    }

    /// Reads the link no longer until memory is free.
    private func starve(_ link: NodeLink) {
        guard !link.rest.contains(.starved), link.phase == .up || link.phase == .greeting else { return }
        link.rest.insert(.starved)
        starvedCount += 1
        if starvedCount == 1 { beginPatience() }
        counts.memoryPauses &+= 1
        applyInterest(link)
        let inUse = UInt64(link.account.inUse)
        record(.memoryShort(at: now, link: link.id, remote: mesh.remote(of: link.id), inUse: inUse))
    }

    /// Once a flush phase: slows the largest readers, or lets them go on.
    func balanceMemory() {
        if memory.strangers.isTight { slow(heaviest { !$0.isReserved && growsOn($0) }) }
        if memory.pool.isTight { slow(heaviest { !$0.isReserved && growsOn($0) } ?? heaviest(where: growsOn)) }
        if starvedCount + owedCount > 0, memory.pool.isEased || memory.strangers.isEased { easeAll() }
    }

    private func beginPatience() {
        starvedSince = now
        reliefAt = now + Self.patience
    }

    private func slow(_ link: NodeLink?) {
        if let link { starve(link) }
    }

    /// Whether reading on takes more memory. A frame whose block has room for the rest of it is the next to be complete.
    private func growsOn(_ link: NodeLink) -> Bool {
        link.phase == .up && link.wantsBytes && link.inboundMemory > 0 && link.receiveNeed > 0
    }

    private func easeAll() {
        let before = starvedCount
        for index in links.indices {
            guard let link = links[index], link.account.isEased else { continue }
            if link.rest.contains(.starved), link.mayHold(link.receiveNeed) {
                link.rest.remove(.starved)
                starvedCount -= 1
                applyInterest(link)
            }
            if link.isOwedLowWater, !link.isAboveMark {
                link.isOwedLowWater = false
                owedCount -= 1
                handler.lowWater(link.id)
            }
        }
        if starvedCount == 0 { reliefAt = .never } else if starvedCount < before { beginPatience() }
    }

    /// Links have rested for `patience`, and nothing became free: another link is closed. Strangers first, idle ones before others; a
    /// masternode or an operator's peer only if strangers hold nothing and it rests for `MeshSettings.frameTimeout`. O(links).
    func relieve() {
        guard starvedCount > 0 else {
            reliefAt = .never
            return
        }
        reliefAt = now + Self.patience
        classify()
        if !makeRoom(for: nil) {
            let isLate = now - starvedSince >= mesh.settings.frameTimeout
            let victim = heaviest { !$0.isReserved && $0.rest.contains(.starved) }
                ?? heaviest { !$0.isReserved }
                ?? (isLate ? heaviest { $0.rest.contains(.starved) } : nil)
            if let victim { closeForMemory(victim) }
        }
        askForFlush()
    }

    private func closeForMemory(_ link: NodeLink) {
        counts.memoryCloses &+= 1
        record(.memoryClosed(at: now, link: link.id, remote: mesh.remote(of: link.id), held: UInt64(link.weight)))
        report(.ended(link.id, .local(CEPOLL_ENOBUFS)))
    }

    /// Who is a stranger may have changed since a link came up: looked at only when memory is short. O(links).
    private func classify() {
        for link in links {
            guard let link, link.phase == .up else { continue }
            link.setReserved(mesh.isReserved(link.id))
        }
    }

    /// Read by us, and silent, or not reading what we queued.
    private func isIdle(_ link: NodeLink) -> Bool {
        link.rest.isDisjoint(with: .ours) && now - mesh.lastByte(of: link.id) >= Self.patience
            && (!link.isBlocked || now - link.traffic.lastSent >= Self.patience)
    }

    private func heaviest(where isEligible: (NodeLink) -> Bool) -> NodeLink? {
        var heaviest: NodeLink?
        for link in links {
            guard let link, link.phase == .up, isEligible(link) else { continue }
            let weight = link.weight
            if weight >= Self.leastWeight, weight > heaviest?.weight ?? 0 { heaviest = link }
        }
        return heaviest
    }

    /// Stops reading from a link: its peer is slowed by TCP. Its pongs are not seen meanwhile, so its silence is not judged: a
    /// peer that vanishes without a word is found when it is read again. False if the link is not established.
    @discardableResult
    public func pauseReading(of link: LinkID) -> Bool {
        guard let link = current(link), link.phase == .up else { return false }
        link.rest.insert(.paused)
        applyInterest(link)
        return true
    }

    /// Reads on. Frames that came before the pause are delivered in this iteration's flush phase or the next one's.
    @discardableResult
    public func resumeReading(of link: LinkID) -> Bool {
        guard let link = current(link), link.phase == .up else { return false }
        guard link.rest.contains(.paused) else { return true }
        link.rest.remove(.paused)
        listToRead(link)
        return true
    }

    func listToRead(_ link: NodeLink) {
        guard !link.isListedToRead else { return }
        link.isListedToRead = true
        toRead.append(link)
        askForFlush()
    }
}
