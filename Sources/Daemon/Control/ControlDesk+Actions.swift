// What changes the node: posted to the loop, looked up in its tables, written down, and then answered with what the loop made of it.

import PeerMesh
import Reactor
import Timers

extension ControlDesk {
    /// `done` is the loop's word, looked at in its tables, and what it refused is not written down.
    func act(_ request: Request) throws(Problem) -> Answer {
        if let answer = try retry(request) { return answer }
        let action = try action(of: request)
        if case .disconnect(let endpoint) = action { forgetNames(at: endpoint) }
        let stood: Endpoint? = if case .dropName(let peer) = action { reports.first { $0.peer == peer }?.current } else { nil }
        let posted = PostedAction(action)
        switch actions.post(posted) {
        case .posted: break
        case .full: throw Problem.unavailable("the loop has too much to do; try again")
        case .closed: throw Problem.unavailable("the node has ended")
        }
        view.forget()
        // The post came before the question: the answer knows of it.
        let snapshot: NodeSnapshot
        do throws(Problem) { snapshot = try view.snapshot(age: .zero) } catch {
            // A node without links has drained before it could be asked.
            if action == .drain, posted.wasTaken { return .json(.members(("done", .string(action.name)), ("warning", nil))) }
            throw Problem.unavailable("\(error.detail): whether '\(action.name)' is done is not known, and it is not written down")
        }
        guard posted.wasTaken else { throw Problem.unavailable("the node is ending: nothing was changed") }
        if let refusal = refusal(of: action, snapshot) { throw refusal }
        var note: String?
        let time = WallTime.now
        do throws(JournalError) { try journal.record(action, at: time) } catch {
            // The operator's word counts even where the disk does not take it; that it will be forgotten is said.
            note = "done, but not written down: \(error)"
        }
        return .json(try outcome(of: action, at: time, snapshot, note, stood))
    }

    /// Why the loop did not do what it was asked; nil if its tables show that it did.
    private func refusal(of action: OperatorAction, _ snapshot: NodeSnapshot) -> Problem? {
        let moments = Moments()
        func has(_ subject: Subnet, isTrust: Bool) -> Bool {
            snapshot.bans.contains {
                $0.subject == subject && $0.until > moments.now && (isTrust ? $0.kind == .trust : $0.kind == .ban(.operator))
            }
        }
        func full(_ what: String) -> Problem {
            Problem(409, "No room", "\(what) was not set: all \(mesh.banCapacity) places of the ban table are taken; raise --ban-capacity, or unban")
        }
        switch action {
        case .ban(let subject, let length, _, _):
            // One that is over by now was in force.
            if let length, length <= ControlDesk.momentary { return nil }
            return has(subject, isTrust: false) ? nil : full("the ban of \(subject.text)")
        case .trust(let subject):
            return has(subject, isTrust: true) ? nil : full("the trust in \(subject.text)")
        case .unban(let subject):
            return snapshot.bans.contains { $0.subject == subject && $0.kind != .trust } ? Problem.unavailable("\(subject.text) is still banned; try again") : nil
        case .untrust(let subject):
            return has(subject, isTrust: true) ? Problem.unavailable("\(subject.text) is still trusted; try again") : nil
        case .connect(let peer):
            return isWanted(peer, .operator, snapshot)
        case .addMasternode(let peer):
            return isWanted(peer, .registry, snapshot)
        case .redial(.some(let peer)):
            guard let report = snapshot.peers.first(where: { $0.endpoint == peer }) else {
                return Problem.notFound("\(peer) is not in the book any more; `GET /peers` lists who is")
            }
            switch report.verdict {
            case .no(.banned), .no(.off), .no(.unknownPeer):
                let why = Why(snapshot: snapshot, settings: mesh, moments: moments, notes: notes)
                return Problem(409, "Not dialled", "\(peer) is not dialled: \(why.sentence(for: report))")
            case .no(.alreadyLinked), .no(.dialInFlight), .wait, .queue, .yes: return nil
            }
        case .disconnect, .removeMasternode, .wantName, .dropName, .redial(.none), .drain, .reload, .logLevel: return nil
        }
    }

    private func isWanted(_ peer: Endpoint, _ source: Desire, _ snapshot: NodeSnapshot) -> Problem? {
        if snapshot.peers.contains(where: { $0.endpoint == peer && $0.desire.contains(source) }) { return nil }
        return Problem(409, "No room", "\(peer) has no place in the book of \(mesh.bookCapacity) peers: raise --book-capacity, or disconnect others")
    }

    private func action(of request: Request) throws(Problem) -> OperatorAction {
        switch request.operation {
        case .connect:
            switch try target(request, "peer", isNew: true) {
            case .endpoint(let endpoint): return .connect(try ControlDesk.dialable(endpoint))
            case .name(let name): return .wantName(try room(NamedPeer(name: name, kind: .peer)))
            }
        case .disconnect:
            let target = try target(request, "peer")
            guard let report = try report(of: target) else { return .disconnect(try known(target)) }
            guard reports.contains(where: { $0.peer.name == report.peer.name && $0.peer.kind == .peer }) else {
                throw .badValue("\(report.peer.name) is a masternode; `reactor-node masternodes remove` takes back one that was added")
            }
            return .dropName(NamedPeer(name: report.peer.name, kind: .peer))
        case .redial:
            if request.flag("all") {
                guard request.peer("peer") == nil else { throw Problem.badRequest("give 'peer' or 'all', not both") }
                return .redial(nil)
            }
            guard request.peer("peer") != nil else { throw Problem.badRequest("give 'peer', or 'all' as true") }
            return .redial(try known(target(request, "peer")))
        case .ban:
            let by = request.text("by") ?? request.user.map { "uid \($0)" } ?? "operator"
            if request.span("for") == .zero { throw Problem.badValue("'for' is no time at all: give a span of at least 1ms, or leave it out for ever") }
            return .ban(try bounded(request, "banned"), for: request.span("for"), reason: request.text("reason") ?? "", by: by)
        case .unban: return .unban(try inForce(request, isTrust: false))
        case .trust: return .trust(try bounded(request, "trusted"))
        case .untrust: return .untrust(try inForce(request, isTrust: true))
        case .addMasternode:
            switch try target(request, "peer", isNew: true) {
            case .endpoint(let endpoint): return .addMasternode(try ControlDesk.dialable(endpoint))
            case .name(let name): return .wantName(try room(NamedPeer(name: name, kind: .masternode)))
            }
        case .removeMasternode:
            let target = try target(request)
            guard let report = try report(of: target) else { return .removeMasternode(try registered(target)) }
            guard report.peer.kind == .masternode else { throw .notFound("\(report.peer.name) is not a masternode; `GET /masternodes` lists them") }
            return .dropName(report.peer)
        case .drain: return .drain
        case .logLevel:
            guard let level = request.text("level").flatMap(LogLevel.init) else { preconditionFailure("a required value was not asked for") }
            return .logLevel(level)
        case .index, .openapi, .dashboard, .dashboardStyle, .dashboardScript, .status, .peers, .peer, .why, .masternodes, .slots, .bans,
            .loop, .metrics, .live, .ready, .events, .reload:
            preconditionFailure("\(request.operation) changes nothing")
        }
    }

    /// A ban that is as short may be over before the loop answers.
    private static let momentary = Nanoseconds.seconds(2)

    /// The range, or the address that a name means. Several addresses are named, not chosen from.
    private func subject(_ request: Request, among candidates: (Subnet) -> Bool = { _ in true }) throws(Problem) -> Subnet {
        if let subject = request.subnet("subject") { return subject }
        let target = try target(request, "subject")
        guard case .name(let name) = target else {
            throw .badValue("bans and trust are of addresses, whatever the port: give \(target.endpoint?.address.description ?? "an address")")
        }
        _ = try report(of: target)
        let addresses = Set((names?.addresses(of: name) ?? []).map { Subnet($0.address) })
        let found = addresses.filter(candidates)
        if found.count == 1, let only = found.first { return only }
        guard !addresses.isEmpty else { throw .notFound("\(name) has no address yet: give an address or a range") }
        let list = addresses.map(\.text).sorted().prefix(8).joined(separator: ", ")
        if found.isEmpty { throw .notFound("none of the addresses of \(name) is listed in `reactor-node bans`: it is at \(list)") }
        throw .badValue("\(name) has \(addresses.count) addresses: give one of \(list)")
    }

    /// A range that holds a 256th of all addresses or more is a slip of a finger, unless it is said to be meant.
    private func bounded(_ request: Request, _ what: String) throws(Problem) -> Subnet {
        let subject = try subject(request)
        let least: UInt8 = subject.address.family == .v4 ? 8 : 16
        guard subject.prefix >= least || request.flag("wide") else {
            let extent = subject.prefix == 0 ? "every \(subject.address.family == .v4 ? "IPv4" : "IPv6") address" : "a range wider than /\(least)"
            throw Problem.badValue("\(subject.text) is \(extent), and all of it would be \(what): give 'wide' (--wide) if that is meant")
        }
        return subject
    }

    private static func dialable(_ endpoint: Endpoint) throws(Problem) -> Endpoint {
        if let why = endpoint.refusal { throw Problem.badValue("\(endpoint) cannot be dialled: it is \(why)") }
        return endpoint
    }

    private func room(_ peer: NamedPeer) throws(Problem) -> NamedPeer {
        guard names?.hasRoom(for: peer) == true else {
            throw Problem.unavailable("this node looks up \(NameTable.capacity) names already, which is the limit; give an address")
        }
        return peer
    }

    /// A redial of a name that has no address yet: the name is looked up.
    private func retry(_ request: Request) throws(Problem) -> Answer? {
        guard request.operation == .redial, request.peer("peer") != nil else { return nil }
        guard let report = try report(of: target(request, "peer")) else { return nil }
        names?.retry(report.peer)
        guard report.current == nil else { return nil }
        return .json(try named(report.peer.name, "redial", nil))
    }

    /// What stands for an address that the operator wants no longer is wanted no longer either.
    private func forgetNames(at endpoint: Endpoint) {
        for report in reports where report.peer.kind == .peer && report.current == endpoint {
            do throws(JournalError) { try journal.record(.dropName(report.peer), at: .now) } catch {}
            names?.drop(report.peer, by: .all)
        }
    }

    /// What was done with a name, and how it stands now.
    /// - Parameter stood: the address that the name stood for, if it is wanted no longer.
    private func named(_ name: PeerName, _ done: String, _ warning: String?, stood: Endpoint? = nil) throws(Problem) -> JSON {
        let (snapshot, names) = try sight(age: .zero)
        let row = PeerRow(snapshot, chronicle, Moments(), names, added: addedMasternodes)
        let report = names.first { $0.peer.name == name }
        let peer = (report?.current ?? stood).flatMap { endpoint in snapshot.peers.first { $0.endpoint == endpoint } }
        let isWanted = report == nil && peer.map { !$0.desire.isDisjoint(with: [.registry, .operator]) } ?? false
        let warning = warning ?? (isWanted ? peer.map { "\($0.endpoint) is still wanted, by another name or by its address" } : nil)
        let now = peer.map { row.json($0, since: chronicle.history(of: $0.endpoint)?.viewSince) } ?? report.map { row.json($0) } ?? .null
        return .members(("done", .string(done)), ("peer", .string(name.description)), ("now", now), ("warning", warning.map(JSON.string)))
    }

    private func known(_ target: PeerTarget) throws(Problem) -> Endpoint {
        let endpoint = try endpoint(of: target)
        guard try view.snapshot().peers.contains(where: { $0.endpoint == endpoint }) else {
            throw Problem.notFound("\(endpoint) is not in the book; `GET /peers` lists who is")
        }
        return endpoint
    }

    private func registered(_ target: PeerTarget) throws(Problem) -> Endpoint {
        let endpoint = try known(target)
        guard try view.snapshot().peers.contains(where: { $0.endpoint == endpoint && $0.desire.contains(.registry) }) else {
            throw Problem.notFound("\(endpoint) is no masternode; `GET /masternodes` lists who is")
        }
        return endpoint
    }

    /// Lifting what is not there is a mistake in the subject, and said so: the list shows what is in force.
    private func inForce(_ request: Request, isTrust: Bool) throws(Problem) -> Subnet {
        let bans = try view.snapshot(age: .zero).bans
        let subject = try subject(request) { subject in bans.contains { $0.subject == subject && ($0.kind == .trust) == isTrust } }
        guard bans.contains(where: { $0.subject == subject && ($0.kind == .trust) == isTrust }) else {
            let covering = bans.first { ($0.kind == .trust) == isTrust && $0.subject.contains(subject.address) }
            let hint = covering.map { "; \($0.subject.text) covers it" } ?? ""
            throw Problem.notFound("\(subject.text) is not \(isTrust ? "trusted" : "banned")\(hint)")
        }
        return subject
    }

    /// What the node looks like after the action: the post came before the question, so the answer knows of it.
    private func outcome(of action: OperatorAction, at time: WallTime, _ snapshot: NodeSnapshot, _ note: String?, _ stood: Endpoint?) throws(Problem) -> JSON {
        let warning = note.map(JSON.string)
        switch action {
        case .connect(let peer), .disconnect(let peer), .redial(.some(let peer)), .addMasternode(let peer), .removeMasternode(let peer):
            let row = PeerRow(snapshot, chronicle, Moments(), reports, added: addedMasternodes)
            let report = snapshot.peers.first { $0.endpoint == peer }
            let warning = warning ?? (ControlDesk.isWantedStill(action, report) ?? isHeldBack(action, report, snapshot)).map(JSON.string)
            return .members(
                ("done", .string(action.name)), ("peer", .string(peer.description)),
                ("now", report.map { row.json($0, since: chronicle.history(of: peer)?.viewSince) } ?? .null), ("warning", warning)
            )
        case .wantName(let peer): return try named(peer.name, action.name, note)
        case .dropName(let peer):
            let isLeft = reports.contains { $0.peer == peer }
            return try named(peer.name, action.name, note ?? (isLeft ? "the settings or the registry file name it still: it stays a masternode" : nil), stood: stood)
        case .redial(.none):
            return .members(("done", .string(action.name)), ("warning", warning))
        case .ban(let subject, let length, _, _):
            let covered = snapshot.peers.filter { subject.contains($0.endpoint.address) }
            return .members(
                ("done", .string(action.name)), ("subject", .string(subject.text)),
                ("from", Moments.json(time)), ("until", Moments.json(length.map { time + $0 })), ("seconds", length.map(Moments.seconds) ?? .null),
                ("peers", .array(covered.map { .string($0.endpoint.description) })), ("warning", warning)
            )
        case .unban(let subject), .trust(let subject), .untrust(let subject):
            return .members(("done", .string(action.name)), ("subject", .string(subject.text)), ("warning", warning))
        case .drain: return .members(("done", .string(action.name)), ("warning", warning))
        case .reload: return .members(("done", .string(action.name)))
        case .logLevel(let level): return .members(("done", .string(action.name)), ("level", .string(level.name)), ("warning", warning))
        }
    }

    /// What was taken back, and stays wanted by somebody else's word.
    private static func isWantedStill(_ action: OperatorAction, _ report: PeerReport?) -> String? {
        guard report?.desire.contains(.registry) == true else { return nil }
        switch action {
        case .removeMasternode: return "the registry file or the settings name it still: it stays a masternode"
        case .disconnect: return "it is a masternode and dialled again; a ban keeps it away"
        case .connect, .redial, .addMasternode, .wantName, .dropName, .ban, .unban, .trust, .untrust, .drain, .reload, .logLevel: return nil
        }
    }

    /// What is wanted from now on, and not dialled all the same.
    private func isHeldBack(_ action: OperatorAction, _ report: PeerReport?, _ snapshot: NodeSnapshot) -> String? {
        switch action {
        case .connect, .addMasternode: break
        case .disconnect, .removeMasternode, .wantName, .dropName, .redial, .ban, .unban, .trust, .untrust, .drain, .reload, .logLevel: return nil
        }
        guard let report else { return nil }
        switch report.verdict {
        case .no(.banned), .no(.off):
            return "it is not dialled: \(Why(snapshot: snapshot, settings: mesh, moments: Moments(), notes: notes).sentence(for: report))"
        case .no(.alreadyLinked), .no(.dialInFlight), .no(.unknownPeer), .wait, .queue, .yes: return nil
        }
    }

    func reload() throws(Problem) -> Answer {
        do throws(JournalError) { try journal.record(.reload, at: .now) } catch {}
        let report = reloader.reload()
        view.forget()
        func json(_ changes: [ReloadReport.Change]) -> JSON {
            .array(changes.map { .members(("key", .string($0.key)), ("old", .string($0.old)), ("new", .string($0.new))) })
        }
        guard report.errors.isEmpty else {
            throw Problem.badValue("nothing was changed: \(report.errors.joined(separator: "; "))")
        }
        return .json(.members(("done", .string("reload")), ("applied", json(report.applied)), ("needRestart", json(report.needRestart))))
    }
}

extension OperatorAction {
    /// The action's name, as the command line has it.
    var name: String {
        switch self {
        case .connect: "connect"
        case .disconnect: "disconnect"
        case .redial: "redial"
        case .ban: "ban"
        case .unban: "unban"
        case .trust: "trust"
        case .untrust: "untrust"
        case .addMasternode: "add-masternode"
        case .removeMasternode: "remove-masternode"
        case .wantName(let peer): peer.kind == .peer ? "connect" : "add-masternode"
        case .dropName(let peer): peer.kind == .peer ? "disconnect" : "remove-masternode"
        case .drain: "drain"
        case .reload: "reload"
        case .logLevel: "log-level"
        }
    }
}
