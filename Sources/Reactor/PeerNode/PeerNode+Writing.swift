// Frames on their way out: queued at once, written in the flush phase, once for all of an iteration's events.

import CEpoll
public import PeerMesh

extension PeerNode {
    /// Queues an application frame for an established link. O(size of the body).
    @discardableResult
    public func send(
        _ body: RawSpan, type: MessageType, to link: LinkID, policy: SendPolicy = .yields
    ) -> SendResult {
        guard let link = current(link), link.phase == .up else { return .notLinked }
        guard body.byteCount <= wire.maximumBody else { return .tooLarge }
        let frame = frame
        frame.removeAll()
        wire.encode(body, type: type, into: frame)
        guard link.mayEverQueue(frame.count) else { return .tooLarge }
        let first = link.enqueue(frame.bytes, policy == .insists ? .insists : .yields)
        return finish(judged(first, on: link) { link.enqueue(frame.bytes, .insists) }, link)
    }

    /// Queues one application frame for every established link but `except`: encoded once, in one buffer that all of
    /// them share. Returns how many links took it. A link whose queue is at its limit is closed as `slowConsumer`; with
    /// `policy: .yields` one above its mark is passed over instead. Nothing is sent if the body is too large.
    @discardableResult
    public func broadcast(
        _ body: RawSpan, type: MessageType, except: LinkID? = nil, policy: SendPolicy = .insists
    ) -> Int {
        guard body.byteCount <= wire.maximumBody, linkCount > 0 else { return 0 }
        let frame = frame
        frame.removeAll()
        wire.encode(body, type: type, into: frame)
        guard memory.canQueue(frame.count) else { return 0 }
        guard let buffer = memory.shared.make(frame.bytes) else {
            counts.blockedSends &+= 1
            makeRoom(for: nil)
            return 0
        }
        var taken = 0
        for index in links.indices {
            guard let link = links[index], link.phase == .up, link.id != except else { continue }
            let first = link.enqueue(shared: buffer, policy == .insists ? .insists : .yields)
            if finish(judged(first, on: link) { link.enqueue(shared: buffer, .insists) }, link) == .queued { taken += 1 }
        }
        memory.shared.drop(buffer)
        return taken
    }

    private func finish(_ queued: Queued, _ link: NodeLink) -> SendResult {
        switch queued {
        case .queued:
            counts.framesOut &+= 1
            link.traffic.framesOut &+= 1
            noteQueued(link)
            return .queued
        case .wouldBlock:
            counts.blockedSends &+= 1
            if !link.isOwedLowWater {
                link.isOwedLowWater = true
                owedCount += 1
            }
            return .wouldBlock
        case .overLimit:
            report(.ended(link.id, .slowConsumer))
            return .notLinked
        }
    }

    func noteQueued(_ link: NodeLink) {
        listToWrite(link)
        if link.hasRisen(), link.phase == .up { handler.highWater(link.id) }
    }

    /// Has the link written in the flush phase, unless the kernel has no room anyway.
    func listToWrite(_ link: NodeLink) {
        guard !link.isListedToWrite, !link.isBlocked else { return }
        link.isListedToWrite = true
        toWrite.append(link)
        askForFlush()
    }

    func flushPhase() {
        flushes &+= 1
        isFlushing = true
        // Both lists may grow while they are worked off; a link is written and read once a phase, so they come to an end.
        while let link = toRead.popLast() {
            link.isListedToRead = false
            recycle(link)
            readAgain(link)
        }
        while let link = toWrite.popLast() {
            prefetchWrites()
            link.isListedToWrite = false
            recycle(link)
            write(link)
        }
        balanceMemory()
        armTimer()
        isFlushing = false
        // A handler of this phase's last calls asked for more.
        if !toRead.isEmpty || !toWrite.isEmpty { askForFlush() }
    }

    /// Has the flush phase work the lists off and follow the mesh's deadline. Within that phase it does so anyway; asking
    /// again would cost an iteration for nothing.
    func askForFlush() {
        if !isFlushing { loop.requestFlush(self) }
    }

    /// A link that was closed while it was listed is spare only now.
    private func recycle(_ link: NodeLink) {
        if link.phase == .free && !link.isListedToWrite && !link.isListedToRead { spare.append(link) }
    }

    private func write(_ link: NodeLink) {
        switch link.phase {
        case .free, .connecting, .condemned: return
        case .greeting, .up, .draining: break
        }
        let phase = UInt32(truncatingIfNeeded: flushes)
        guard link.lastFlush != phase else {
            // It has had its turn in this phase: what came since goes when the kernel says that there is room.
            block(link)
            return
        }
        link.lastFlush = phase
        let written = link.write(budget: settings.writeBudget)
        let id = link.id
        took(written.bytes, link, controlEmpty: link.controlCount == 0)
        guard link.phase != .condemned else { return }
        switch written.outcome {
        case .empty: emptied(link)
        case .blocked:
            loop.state.counts.shortWrites &+= 1
            block(link)
        case .budget:
            loop.state.counts.exhausted.writes &+= 1
            block(link)
        case .failed(let error): ended(link, Self.reason(error))
        }
        if link.phase == .up, link.hasSunk() {
            if link.isOwedLowWater {
                link.isOwedLowWater = false
                owedCount -= 1
            }
            handler.lowWater(id)
        }
    }

    /// The kernel took `bytes` of the link's queue.
    private func took(_ bytes: Int, _ link: NodeLink, controlEmpty: Bool) {
        guard bytes > 0 else { return }
        counts.bytesOut &+= UInt64(bytes)
        link.traffic.bytesOut &+= UInt64(bytes)
        link.traffic.lastSent = now
        report(.sent(link.id, bytes: UInt32(clamping: bytes), controlEmpty: controlEmpty))
    }

    // MARK: Limits

    /// What became of a frame for which `first` is the queue's answer. Where a limit refused it, the queue is offered to the kernel and
    /// the frame tried again: a limit is judged by what the kernel refuses.
    @inline(__always)
    func judged(_ first: Queued, on link: NodeLink, again: () -> Queued) -> Queued {
        guard first == .overLimit else { return first }
        let offered = offer(link)
        let second = again()
        settle(offered, link)
        return second
    }

    /// What one offer outside the flush phase did.
    private struct Offered {
        var written: Written
        /// No ping or pong waited after it.
        var controlEmpty: Bool
    }

    /// Offers the link's queue to the kernel at once: what waits only for the flush phase is not the peer's fault. Followed by
    /// `settle`, when the frame in hand is queued or refused.
    private func offer(_ link: NodeLink) -> Offered {
        switch link.phase {
        case .free, .connecting, .condemned: Offered(written: Written(outcome: .blocked, bytes: 0), controlEmpty: false)
        case .greeting, .up, .draining:
            Offered(written: link.write(budget: settings.writeBudget), controlEmpty: link.controlCount == 0)
        }
    }

    /// Tells the mesh and the loop of an offer. The mesh may act on it, and reuse the buffer of the frame in hand.
    private func settle(_ offered: Offered, _ link: NodeLink) {
        loop.charge(bytes: offered.written.bytes)
        took(offered.written.bytes, link, controlEmpty: offered.controlEmpty)
        guard link.phase != .condemned else { return }
        switch offered.written.outcome {
        case .empty, .budget: break
        case .blocked:
            loop.state.counts.shortWrites &+= 1
            block(link)
        case .failed(let error): ended(link, Self.reason(error))
        }
    }

    private func block(_ link: NodeLink) {
        link.isBlocked = true
        applyInterest(link)
    }

    private func emptied(_ link: NodeLink) {
        applyInterest(link)
        guard link.phase == .draining, !link.isShut else { return }
        link.isShut = true
        link.shutdownSending()
        if link.hasEnded { report(.ended(link.id, .remoteClosed)) }
    }
}
