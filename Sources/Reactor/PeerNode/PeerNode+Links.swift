// How sockets become links and stop being ones: accept, dial, drain, close.

import CEpoll
import PeerMesh

extension PeerNode {
    // MARK: Accepted sockets

    func consider(_ socket: consuming Socket, from remote: Endpoint) {
        guard !isEnding else { return }
        counts.accepted &+= 1
        ticket &+= 1
        candidate = consume socket
        report(.accepted(ticket: ticket, from: remote))
        // Adopted or refused by now, unless the node was abandoned meanwhile.
        candidate = nil
    }

    func adopt(_ ticket: UInt32, _ id: LinkID) {
        guard ticket == self.ticket, let socket = candidate.take() else { return }
        let link = newLink(id, .inbound, .greeting)
        link.open(socket)
        register(link)
    }

    func refuse(_ ticket: UInt32) {
        guard ticket == self.ticket else { return }
        counts.refused &+= 1
        candidate = nil
    }

    // MARK: Dials

    func dial(_ id: LinkID, _ endpoint: Endpoint) {
        counts.dials &+= 1
        let link = newLink(id, .outbound, .connecting)
        switch Socket.dial(endpoint, from: settings.source(for: endpoint), options: settings.socket) {
        case .connected(let socket):
            link.open(socket)
            link.phase = .greeting
            if register(link) { report(.connected(id)) }
        case .pending(let socket):
            link.open(socket)
            register(link)
        case .failed(let error):
            // Nothing has left this machine: a peer is not blamed for it.
            if error == CEPOLL_ECONNREFUSED { dialFailed(link, error) } else { dialImpossible(link, error) }
        }
    }

    private func dialImpossible(_ link: NodeLink, _ error: Int32) {
        counts.dialsFailed &+= 1
        counts.dialsImpossible &+= 1
        report(.dialFailed(link.id, .local(error)))
    }

    /// The first news of a pending dial.
    func finishDial(_ link: NodeLink, _ readiness: Readiness) {
        switch link.dialResult() {
        case .pending:
            #if REACTOR_FAULTS
                if isLeftOut(10) { return }
            #endif
            // Neither error nor peer, and yet a hangup, which no waiting ends (trap 10): somebody took the error.
            if readiness.contains(.hangup) { dialFailed(link, CEPOLL_ENOTCONN) }
        case .connected:
            link.phase = .greeting
            applyInterest(link)
            report(.connected(link.id))
        case .connectedToItself:
            // Nobody listens there: the kernel picked the dialled port as our own.
            dialFailed(link, CEPOLL_ECONNREFUSED)
        case .failed(let error):
            dialFailed(link, error)
        }
    }

    private func dialFailed(_ link: NodeLink, _ error: Int32) {
        counts.dialsFailed &+= 1
        report(.dialFailed(link.id, error == CEPOLL_ECONNREFUSED ? .refused : .io(error)))
    }

    // MARK: The table

    private func newLink(_ id: LinkID, _ direction: Direction, _ phase: NodeLink.Phase) -> NodeLink {
        if let left = links[Int(id.slot)] {
            // The mesh closes a link before it uses its slot again.
            counts.contradictions &+= 1
            condemn(left)
        }
        let link = spare.popLast() ?? NodeLink(memory: memory)
        link.begin(id, direction, phase)
        links[Int(id.slot)] = link
        linkCount += 1
        return link
    }

    /// Tells the loop of the link's socket; false if it has no place for it.
    @discardableResult
    private func register(_ link: NodeLink) -> Bool {
        do throws(SystemError) {
            link.slot = try loop.add(link.descriptor, interest: link.interest, source: self, tag: link.id.slot)
            return true
        } catch {
            if link.phase == .connecting {
                dialImpossible(link, error.code)
            } else {
                report(.ended(link.id, .local(error.code)))
            }
            return false
        }
    }

    func applyInterest(_ link: NodeLink) {
        if link.slot != .none { loop.setInterest(link.slot, link.interest) }
        let isUnread = link.phase == .up && !link.rest.isDisjoint(with: .ours)
        guard isUnread != link.isToldUnread, link.phase == .up else { return }
        link.isToldUnread = isUnread
        report(.reading(link.id, !isUnread))
    }

    // MARK: The way out

    /// Flushes, then shuts the sending side, then reads and drops until the end.
    func drain(_ id: LinkID) {
        guard let link = current(id) else { return }
        if link.phase == .connecting { return contradicted(link) }
        link.phase = .draining
        link.rest.remove(.stalled)
        forget(link)
        applyInterest(link)
        listToWrite(link)
    }

    /// Takes the link off the table and the loop; its descriptor is closed in the close phase. Its slot may be a new
    /// link's before that.
    func close(_ id: LinkID) {
        if let link = current(id) { condemn(link) }
    }

    private func condemn(_ link: NodeLink) {
        forget(link)
        link.phase = .condemned
        if link.slot != .none { loop.remove(link.slot, staysOpen: false) }
        link.slot = .none
        links[Int(link.id.slot)] = nil
        linkCount -= 1
        condemned.append(link)
        loop.requestReap(self)
    }

    func closePhase() {
        while let link = condemned.popLast() {
            link.end()
            if !link.isListedToWrite && !link.isListedToRead { spare.append(link) }
        }
        // Memory came back: whoever waits for it is looked at in the next flush phase.
        if starvedCount + owedCount > 0 { askForFlush() }
        assert(isAbandoned || isWhole, "the open descriptors are not the table's")
        end()
    }

    /// Whether the driver's links are the mesh's, one descriptor each. O(links).
    private var isWhole: Bool {
        var count = 0
        var isWhole = true
        mesh.forEachLink { report in
            count += 1
            if links[Int(report.link.slot)]?.id != report.link { isWhole = false }
            if links[Int(report.link.slot)]?.isOpen != true { isWhole = false }
        }
        return isWhole && count == linkCount
    }
}
