// What the mesh wants done, done in order.

import CEpoll
import PeerMesh

extension PeerNode {
    /// Performs all that the mesh wants. What handlers and failures add meanwhile comes after, in the same round.
    func perform() {
        guard !isPerforming else { return }
        if mesh.hasOutput { performAll() }
        askForFlush()
    }

    private func performAll() {
        isPerforming = true
        while let action = mesh.nextAction() {
            // A handler may have abandoned the node meanwhile.
            if !isAbandoned { perform(action) }
        }
        isPerforming = false
        passRecords()
    }

    private func passRecords() {
        while let transition = mesh.nextTransition() {
            transitions?.push(.transition(transition))
            handler.changed(transition)
        }
    }

    private func perform(_ action: Action) {
        switch action {
        case .adopt(let ticket, let id): adopt(ticket, id)
        case .refuse(let ticket, _): refuse(ticket)
        case .dial(let id, let endpoint): dial(id, endpoint)
        case .greet(let id): greet(id)
        case .answer(let id, let verdict, let isNative): answer(id, verdict, isNative: isNative)
        case .ping(let id, let nonce): ping(id, nonce)
        case .pong(let id, let nonce): pong(id, nonce)
        case .ask(let id): ask(id)
        case .share(let id): share(id)
        case .up(let id, let info): up(id, info)
        case .down(let id, let info, let reason): down(id, info, reason)
        case .drain(let id, _): drain(id)
        case .close(let id, _): close(id)
        case .bookFull(let endpoint, let desire): record(.bookFull(at: now, peer: endpoint, desire: desire))
        case .banFull(let ban): record(.banFull(at: now, ban: ban))
        }
    }

    // MARK: Frames of the mesh

    var unixTime: Int64 { Int64(cepoll_realtime() / 1_000_000_000) }

    private func identity(for link: NodeLink) -> OwnIdentity {
        OwnIdentity(
            endpoint: ownEndpoint, nonce: settings.mesh.nonce, role: settings.mesh.role, unixTime: unixTime,
            remote: mesh.remote(of: link.id)
        )
    }

    func greet(_ id: LinkID) {
        guard let link = current(id) else { return }
        frame.removeAll()
        wire.encodeHello(into: frame, state: &link.wire, identity: identity(for: link))
        sendFrame(on: link)
    }

    private func answer(_ id: LinkID, _ verdict: Verdict, isNative: Bool) {
        guard let link = current(id) else { return }
        frame.removeAll()
        wire.encodeAnswer(verdict, isNative: isNative, into: frame, state: &link.wire, identity: identity(for: link))
        sendFrame(on: link)
    }

    private func ask(_ id: LinkID) {
        guard let link = current(id) else { return }
        frame.removeAll()
        wire.encodeAsk(into: frame, state: &link.wire)
        sendFrame(on: link)
    }

    private func share(_ id: LinkID) {
        guard let link = current(id) else { return }
        let list = sharing
        list.removeAll()
        mesh.sharePeers(with: id, at: now) { list.append($0) }
        frame.removeAll()
        wire.encodePeers(
            list, isNative: link.isNative, unixTime: unixTime, into: frame, state: &link.wire
        )
        sendFrame(on: link)
    }

    private func ping(_ id: LinkID, _ nonce: UInt64) {
        prefetchPing()
        guard let link = current(id) else { return }
        counts.pingsOut &+= 1
        frame.removeAll()
        wire.encodePing(nonce: nonce, unixTime: unixTime, into: frame, state: &link.wire)
        sendControl(on: link)
    }

    private func pong(_ id: LinkID, _ nonce: UInt64) {
        guard let link = current(id) else { return }
        counts.pongsOut &+= 1
        frame.removeAll()
        wire.encodePong(nonce: nonce, unixTime: unixTime, into: frame, state: &link.wire)
        sendControl(on: link)
    }

    /// Queues what is in `frame`, if there is anything (not every dialect has every message).
    func sendFrame(on link: NodeLink) {
        let frame = frame
        guard frame.count > 0 else { return }
        queue(frame.bytes, on: link)
    }

    /// Queues a frame of the dialect or the mesh: nobody could wait, so a full queue ends the link.
    func queue(_ bytes: RawSpan, on link: NodeLink) {
        guard link.phase != .condemned, !link.isShut else { return }
        switch judged(link.enqueue(bytes, .must), on: link, again: { link.enqueue(bytes, .must) }) {
        case .queued:
            counts.framesOut &+= 1
            link.traffic.framesOut &+= 1
            noteQueued(link)
        case .wouldBlock: report(.ended(link.id, .local(CEPOLL_ENOBUFS)))
        case .overLimit: report(.ended(link.id, .slowConsumer))
        }
    }

    private func sendControl(on link: NodeLink) {
        let frame = frame
        guard frame.count > 0, link.phase != .condemned, !link.isShut else { return }
        switch judged(link.enqueue(control: frame.bytes), on: link, again: { link.enqueue(control: frame.bytes) }) {
        case .queued:
            counts.framesOut &+= 1
            link.traffic.framesOut &+= 1
            listToWrite(link)
        case .wouldBlock, .overLimit: report(.ended(link.id, .slowConsumer))
        }
    }

    // MARK: The application's view

    private func up(_ id: LinkID, _ info: LinkInfo) {
        guard let link = current(id) else { return }
        guard link.phase == .greeting else { return contradicted(link) }
        link.phase = .up
        link.setReserved(mesh.isReserved(id))
        if link.rest.contains(.stalled) {
            link.rest.remove(.stalled)
            listToRead(link)
        }
        if link.rest.contains(.starved) { applyInterest(link) }
        handler.linkUp(id, info)
    }

    private func down(_ id: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        guard let link = current(id) else { return }
        guard link.phase == .up else { return contradicted(link) }
        link.phase = .greeting
        link.rest.insert(.stalled)
        forget(link)
        handler.linkDown(id, info, reason)
    }

    /// The link owes and is owed nothing any more.
    func forget(_ link: NodeLink) {
        if link.rest.contains(.starved) { starvedCount -= 1 }
        if link.isOwedLowWater { owedCount -= 1 }
        link.rest.remove(.starved)
        link.isOwedLowWater = false
    }

    /// Mesh, dialect or driver did what each of them says it never does. The link concerned ends, and the node goes on.
    func contradicted(_ link: NodeLink) {
        counts.contradictions &+= 1
        report(.ended(link.id, .internalError))
    }
}
