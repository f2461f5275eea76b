// Readiness to bytes, bytes to frames, frames to events and handlers.

import CEpoll
import PeerMesh

extension PeerNode {
    func becameReady(_ readiness: Readiness, slot: Int) {
        prefetchReads(slot)
        guard let link = links[slot] else { return }
        #if REACTOR_FAULTS
            if isLeftOut(8), readiness.contains(.hangup) { return ended(link, .remoteClosed) }
        #endif
        if link.phase == .connecting {
            finishDial(link, readiness)
            return
        }
        if readiness.contains(.readable) { read(link) }
        if readiness.contains(.writable), link.isBlocked {
            link.isBlocked = false
            listToWrite(link)
        }
    }

    /// Reads until nothing is left or the budget is used up: then the kernel tells again after the others had their turn.
    func read(_ link: NodeLink) {
        if link.phase == .draining { return discard(link) }
        guard link.wantsBytes else { return }
        let id = link.id
        let turn = readTurn
        var budget = turn
        var outcome = Received.wouldBlock
        link.beginReading()
        while budget > 0, link.wantsBytes {
            outcome = link.phase == .up ? link.receive(atMost: budget) : receiveHello(link)
            guard case .bytes(let count) = outcome else { break }
            budget -= count
            counts.bytesIn &+= UInt64(count)
            link.traffic.bytesIn &+= UInt64(count)
            let frames = decode(link)
            guard link.phase != .condemned else { break }
            report(.received(id, frames: frames, partial: partial(of: link)))
            // A short receive took all there was; the kernel tells if more comes.
            if link.isDrained { break }
        }
        link.endReading()
        loop.charge(bytes: turn &- budget)
        if budget <= 0 { loop.state.counts.exhausted.reads &+= 1 }
        guard link.phase != .condemned else { return }
        switch outcome {
        case .bytes, .wouldBlock: break
        case .ended: ended(link, .remoteClosed)
        case .failed(let error): ended(link, Self.reason(error))
        case .noMemory: memoryRefused(link)
        case .overLimit: ended(link, .frameTooLarge)
        }
        applyInterest(link)
    }

    /// Bytes that one link may have in its turn. The budget is shared by all who are ready at once, but for 16 KiB each: so long as few
    /// flood, a ping waits for the budget's bytes at most, however many links and however large their frames are.
    private var readTurn: Int {
        let budget = settings.readBudget
        return min(budget, max(budget / max(loop.state.eventCount, 1), 16_384))
    }

    /// Before a link is established it buffers a hello, and no more: what follows waits in the kernel.
    private func receiveHello(_ link: NodeLink) -> Received {
        let bound = wire.maximumHello
        if link.unreadCount < bound, link.expectedCount <= bound { return link.receive(upTo: bound) }
        guard link.hasGreeted else { return .overLimit }
        link.rest.insert(.stalled)
        return .wouldBlock
    }

    /// Decodes what was read but not decoded: after a pause, without news from the kernel.
    func readAgain(_ link: NodeLink) {
        guard link.isDecoded else { return }
        link.beginReading()
        let frames = decode(link)
        if frames > 0, link.phase != .condemned {
            report(.received(link.id, frames: frames, partial: partial(of: link)))
        }
        link.endReading()
        applyInterest(link)
    }

    /// Bytes of a frame that the peer has yet to finish: none if it is we who do not read on.
    private func partial(of link: NodeLink) -> UInt32 {
        link.isDecoded ? UInt32(clamping: link.unreadCount) : 0
    }

    private func discard(_ link: NodeLink) {
        switch link.discard(budget: readTurn) {
        case .bytes(let count):
            loop.charge(bytes: count)
            loop.state.counts.exhausted.reads &+= 1
        case .wouldBlock, .overLimit, .noMemory: break
        case .ended:
            link.hasEnded = true
            applyInterest(link)
            if link.isShut { report(.ended(link.id, .remoteClosed)) }
        case .failed(let error): ended(link, Self.reason(error))
        }
    }

    /// A reset is the peer's word as much as an end is.
    static func reason(_ error: Int32) -> CloseReason {
        error == CEPOLL_ECONNRESET || error == CEPOLL_EPIPE ? .remoteClosed : .io(error)
    }

    func ended(_ link: NodeLink, _ reason: CloseReason) {
        link.hasEnded = true
        applyInterest(link)
        report(.ended(link.id, reason))
    }

    /// Cuts and delivers the frames that are complete. Returns how many.
    private func decode(_ link: NodeLink) -> UInt32 {
        let reply = reply
        var frames: UInt32 = 0
        while link.isDecoded {
            reply.removeAll()
            let decoded = wire.decode(link.unread, state: &link.wire, peers: told, reply: reply)
            if reply.count > 0 { queue(reply.bytes, on: link) }
            switch decoded {
            case .more(let count):
                link.expect(count)
                return frames
            case .broken(let error):
                broken(link, error)
                return frames
            case .frame(let length, _) where length <= 0 || length > link.unreadCount:
                contradicted(link)
                return frames
            case .frame(let length, .application(let type, let body)):
                guard 0 <= body.lowerBound, body.upperBound <= length else {
                    contradicted(link)
                    return frames
                }
                guard link.phase == .up else {
                    beforeUp(link)
                    return frames
                }
                frames += 1
                counts.framesIn &+= 1
                link.traffic.framesIn &+= 1
                handler.received(type, link.unread.extracting(body), from: link.id)
                link.consume(length)
            case .frame(let length, let meaning):
                frames += 1
                link.consume(length)
                dispatch(meaning, link)
            }
        }
        return frames
    }

    private func dispatch(_ meaning: Meaning, _ link: NodeLink) {
        let id = link.id
        counts.framesIn &+= 1
        link.traffic.framesIn &+= 1
        switch meaning {
        case .hello(let hello):
            noteSighting(link)
            link.greeted()
            report(.hello(id, hello))
        case .greet:
            noteSighting(link)
            greet(id)
        case .ping(let nonce): report(.ping(id, nonce: nonce))
        case .pong(let nonce):
            report(.pong(id, nonce: nonce))
            if let roundTrip = mesh.takeRoundTrip() { counts.roundTrips.add(roundTrip) }
        case .ask: report(.asked(id))
        case .peers:
            for index in 0..<told.count {
                guard link.phase == .up, handler.learnt(told[index], from: mesh.remote(of: id).address) else { continue }
                report(.learnt(id, told[index]))
            }
        case .housekeeping: noteSighting(link)
        case .spoilt(let points):
            counts.spoiltFrames &+= 1
            report(.offended(id, points: points))
        case .application: contradicted(link)  // These go to the handler.
        }
    }

    private func noteSighting(_ link: NodeLink) {
        guard let seenAs = told.seenAs, !seenAs.isUnspecified else { return }
        sightings.note(Sighting(seenAs: seenAs, by: mesh.remote(of: link.id).address))
    }

    /// An application frame on a link that is not up. After the hello it is no offence: a foreign peer knows no verdict.
    /// Its bytes stay where they are until the link is up or over.
    private func beforeUp(_ link: NodeLink) {
        if link.hasGreeted {
            link.rest.insert(.stalled)
        } else {
            broken(link, WireError(.protocolViolation, "an application frame before the hello"))
        }
    }

    private func broken(_ link: NodeLink, _ error: WireError) {
        counts.wireErrors &+= 1
        let incident = WireIncident(
            at: now, link: link.id, direction: link.direction, remote: mesh.remote(of: link.id), error: error,
            bytes: link.unread
        )
        record(.wireError(incident))
        link.rest.insert(.broken)
        if link.phase != .up { reject(link, error.reason) }
        report(.ended(link.id, error.reason))
    }

    /// Tells a human at the other end why, where the dialect can.
    private func reject(_ link: NodeLink, _ reason: CloseReason) {
        frame.removeAll()
        if reason == .wrongNetwork {
            wire.encodeReject("This node is on another network.", into: frame, state: &link.wire)
        } else if reason == .protocolViolation {
            wire.encodeReject("That is not this network's protocol.", into: frame, state: &link.wire)
        }
        sendFrame(on: link)
    }
}
