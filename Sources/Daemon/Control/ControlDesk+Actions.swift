// What changes the node: written down first, posted to the loop, and then answered with what the loop made of it.

import PeerMesh
import Reactor
import Timers

extension ControlDesk {
    func act(_ request: Request) throws(Problem) -> Answer {
        let action = try action(of: request)
        var note: String?
        do throws(JournalError) { try journal.record(action, at: .now) } catch {
            // The operator's word counts even where the disk does not take it; that it will be forgotten is said.
            note = "done, but not written down: \(error)"
        }
        switch actions.post(action) {
        case .posted: break
        case .full: throw Problem.unavailable("the loop has too much to do; try again")
        case .closed: throw Problem.unavailable("the node has ended")
        }
        view.forget()
        return .json(try outcome(of: action, note))
    }

    private func action(of request: Request) throws(Problem) -> OperatorAction {
        switch request.operation {
        case .connect: return .connect(try dialable(request, "peer"))
        case .disconnect: return .disconnect(try known(request, "peer"))
        case .redial:
            if request.flag("all") {
                guard request.endpoint("peer") == nil else { throw Problem.badRequest("give 'peer' or 'all', not both") }
                return .redial(nil)
            }
            guard request.endpoint("peer") != nil else { throw Problem.badRequest("give 'peer', or 'all' as true") }
            return .redial(try known(request, "peer"))
        case .ban:
            let until = request.span("for").map { WallTime.now + $0 }
            let by = request.text("by") ?? request.user.map { "uid \($0)" } ?? "operator"
            return .ban(subject(request), until: until, reason: request.text("reason") ?? "", by: by)
        case .unban: return .unban(try inForce(request, isTrust: false))
        case .trust: return .trust(subject(request))
        case .untrust: return .untrust(try inForce(request, isTrust: true))
        case .addMasternode: return .addMasternode(try dialable(request, "peer"))
        case .removeMasternode: return .removeMasternode(try registered(request))
        case .drain: return .drain
        case .logLevel:
            guard let level = request.text("level").flatMap(LogLevel.init) else { preconditionFailure("a required value was not asked for") }
            return .logLevel(level)
        case .index, .openapi, .dashboard, .dashboardStyle, .dashboardScript, .status, .peers, .peer, .why, .masternodes, .slots, .bans,
            .loop, .metrics, .live, .ready, .events, .reload:
            preconditionFailure("\(request.operation) changes nothing")
        }
    }

    private func subject(_ request: Request) -> Subnet {
        guard let subject = request.subnet("subject") else { preconditionFailure("a required value was not asked for") }
        return subject
    }

    private func dialable(_ request: Request, _ name: String) throws(Problem) -> Endpoint {
        let endpoint = named(request, name)
        guard endpoint.isDialable else { throw Problem.badValue("'\(name)' is \(endpoint): give an address that can be dialled") }
        return endpoint
    }

    private func known(_ request: Request, _ name: String) throws(Problem) -> Endpoint {
        let endpoint = named(request, name)
        guard try view.snapshot().peers.contains(where: { $0.endpoint == endpoint }) else {
            throw Problem.notFound("\(endpoint) is not in the book; `GET /peers` lists who is")
        }
        return endpoint
    }

    private func registered(_ request: Request) throws(Problem) -> Endpoint {
        let endpoint = try known(request, "id")
        guard try view.snapshot().peers.contains(where: { $0.endpoint == endpoint && $0.desire.contains(.registry) }) else {
            throw Problem.notFound("\(endpoint) is no masternode; `GET /masternodes` lists who is")
        }
        return endpoint
    }

    /// Lifting what is not there is a mistake in the subject, and said so: the list shows what is in force.
    private func inForce(_ request: Request, isTrust: Bool) throws(Problem) -> Subnet {
        let subject = subject(request)
        let bans = try view.snapshot(age: .zero).bans
        guard bans.contains(where: { $0.subject == subject && ($0.kind == .trust) == isTrust }) else {
            let covering = bans.first { ($0.kind == .trust) == isTrust && $0.subject.contains(subject.address) }
            let hint = covering.map { "; \($0.subject.text) covers it" } ?? ""
            throw Problem.notFound("\(subject.text) is not \(isTrust ? "trusted" : "banned")\(hint)")
        }
        return subject
    }

    /// What the node looks like after the action: the post came before the question, so the answer knows of it.
    private func outcome(of action: OperatorAction, _ note: String?) throws(Problem) -> JSON {
        let warning = note.map(JSON.string)
        switch action {
        case .connect(let peer), .disconnect(let peer), .redial(.some(let peer)), .addMasternode(let peer), .removeMasternode(let peer):
            let snapshot = try view.snapshot(age: .zero)
            let row = PeerRow(snapshot, chronicle, Moments())
            let report = snapshot.peers.first { $0.endpoint == peer }
            let warning = warning ?? ControlDesk.isWantedStill(action, report).map(JSON.string)
            return .members(
                ("done", .string(action.name)), ("peer", .string(peer.description)),
                ("now", report.map { row.json($0, since: chronicle.history(of: peer)?.viewSince) } ?? .null), ("warning", warning)
            )
        case .redial(.none):
            return .members(("done", .string(action.name)), ("warning", warning))
        case .ban(let subject, let until, _, _):
            let snapshot = try view.snapshot(age: .zero)
            let covered = snapshot.peers.filter { subject.contains($0.endpoint.address) }
            return .members(
                ("done", .string(action.name)), ("subject", .string(subject.text)),
                ("until", Moments.json(until)),
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
        case .connect, .redial, .addMasternode, .ban, .unban, .trust, .untrust, .drain, .reload, .logLevel: return nil
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
        case .drain: "drain"
        case .reload: "reload"
        case .logLevel: "log-level"
        }
    }
}
