// When the buffers of all links together come near their bound: the link with the most incoming bytes is read no longer,
// then the next one, until memory is free again. If all of it is held by frames that cannot go on, the keepalive ends the
// slowed links, as nothing is heard of them: there is no standstill. And what the application does of that kind by itself.

public import PeerMesh

extension PeerNode {
    /// Above `slowingMark` the largest reader is slowed, and below this all are read again.
    private var easingMark: Int { settings.memoryLimit / 4 * 3 }

    /// Reads the link no longer until memory is free.
    func starve(_ link: NodeLink) {
        guard !link.isStarved, link.phase != .condemned, link.phase != .draining else { return }
        link.isStarved = true
        starvedCount += 1
        counts.memoryPauses &+= 1
        applyInterest(link)
        let inUse = UInt64(memory.pool.inUse)
        record(.memoryShort(at: now, link: link.id, remote: mesh.remote(of: link.id), inUse: inUse))
    }

    /// Once a flush phase: slows the largest reader, or lets all go on.
    func balanceMemory() {
        let inUse = memory.pool.inUse
        if inUse > memory.slowingMark {
            if let largest = largestReader() { starve(largest) }
        } else if inUse <= easingMark, starvedCount + owedCount > 0 {
            easeAll()
        }
    }

    private func largestReader() -> NodeLink? {
        var largest: NodeLink?
        for link in links {
            guard let link, link.wantsBytes, link.phase != .draining, link.inboundMemory > 0 else { continue }
            if link.inboundMemory > largest?.inboundMemory ?? 0 { largest = link }
        }
        return largest
    }

    private func easeAll() {
        for index in links.indices {
            guard let link = links[index] else { continue }
            if link.isStarved {
                link.isStarved = false
                starvedCount -= 1
                applyInterest(link)
            }
            if link.isOwedLowWater, !link.isAboveMark {
                link.isOwedLowWater = false
                owedCount -= 1
                handler.lowWater(link.id)
            }
        }
    }

    /// Stops reading from a link: its peer is slowed by TCP. Pongs are not seen meanwhile, so a pause must be shorter
    /// than the keepalive's bound (60 s for a regular peer at the defaults). False if the link is not established.
    @discardableResult
    public func pauseReading(of link: LinkID) -> Bool {
        guard let link = current(link), link.phase == .up else { return false }
        link.isPaused = true
        applyInterest(link)
        return true
    }

    /// Reads on. Frames that came before the pause are delivered in this iteration's flush phase or the next one's.
    @discardableResult
    public func resumeReading(of link: LinkID) -> Bool {
        guard let link = current(link), link.phase == .up else { return false }
        guard link.isPaused else { return true }
        link.isPaused = false
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
