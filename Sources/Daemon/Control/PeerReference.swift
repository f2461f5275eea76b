// A peer as operators name it in a request: by its endpoint, by its name, or by either without the port.

import PeerMesh
import Reactor
import Timers

/// What a request calls a peer.
enum PeerReference: Hashable, Sendable {
    case endpoint(Endpoint)
    case name(PeerName)
    /// An address or a host name without a port.
    case bare(String)

    init?(_ text: String) {
        if let name = PeerName(text) {
            self = name.endpoint.map(PeerReference.endpoint) ?? .name(name)
        } else if let name = PeerName(text, defaultPort: 1) {
            // Any port: its text had none.
            self = .bare(name.host)
        } else {
            return nil
        }
    }
}

extension ControlDesk {
    var reports: [NameReport] { names?.reports ?? [] }

    /// A copy of the node's table, and the names beside it. A name whose address found no place in the table leads to no peer.
    func sight(age: Nanoseconds = NodeView.fresh) throws(Problem) -> (snapshot: NodeSnapshot, names: [NameReport]) {
        // The names first: an address that one of them has by now is in the table, or was refused there.
        var names = reports
        var snapshot = try view.snapshot(age: age)
        // The loop may have taken its time: while a node starts, its names come meanwhile.
        let later = reports
        if later.count != names.count {
            names = later
            snapshot = try view.snapshot(age: .zero)
        }
        guard names.contains(where: { $0.current != nil }) else { return (snapshot, names) }
        var known = Set(snapshot.peers.map(\.endpoint))
        func isLost(_ report: NameReport) -> Bool { report.current.map { !known.contains($0) } ?? false }
        if names.contains(where: isLost) {
            snapshot = try view.snapshot(age: .zero)
            known = Set(snapshot.peers.map(\.endpoint))
        }
        for index in names.indices where isLost(names[index]) {
            let address = names[index].current.map(\.description) ?? ""
            names[index].trouble = "\(address) has no place in the book of \(mesh.bookCapacity) peers: raise --book-capacity, or disconnect others"
            names[index].current = nil
        }
        return (snapshot, names)
    }

    /// The name that the target is, if it leads to no peer.
    func lost(_ target: PeerTarget, among names: [NameReport]) -> NameReport? {
        names.first { $0.peer.name == target.name && $0.current == nil }
    }

    /// The masternodes that the operator added, and neither the settings nor the registry file name.
    var addedMasternodes: Set<Endpoint> {
        var added = notes.addedMasternodes
        for report in reports where report.peer.kind == .masternode && report.sources == .operator {
            if let current = report.current { added.insert(current) }
        }
        guard !added.isEmpty else { return [] }
        for masternode in reloader.configuration.masternodes { if let endpoint = masternode.endpoint { added.remove(endpoint) } }
        for report in reports where report.peer.kind == .masternode && report.sources != .operator {
            if let current = report.current { added.remove(current) }
        }
        return added.subtracting(registered(added))
    }

    /// Whom the request means. `isNew` allows for one that the node does not know yet.
    func target(_ request: Request, _ name: String = "id", isNew: Bool = false) throws(Problem) -> PeerTarget {
        switch request.peer(name) {
        case .endpoint(let endpoint): return .endpoint(endpoint)
        case .name(let name): return .name(name)
        case .bare(let host): return try complete(host, isNew: isNew)
        case nil: preconditionFailure("a required value was not asked for")
        }
    }

    /// The only peer of the node with this address or name; where there is none, the network's own port is meant.
    private func complete(_ host: String, isNew: Bool) throws(Problem) -> PeerTarget {
        var found: [PeerTarget]
        if let address = IPAddress(host) {
            found = try view.snapshot().peers.map(\.endpoint).filter { $0.address == address }.sorted().map(PeerTarget.endpoint)
        } else {
            found = reports.map(\.peer.name).filter { $0.host == host }.map(PeerTarget.name)
        }
        if Set(found).count == 1 { return found[0] }
        let port = reloader.configuration.network.defaultPort
        if found.isEmpty, port != 0, let name = PeerName(host, defaultPort: port), isNew || name.endpoint != nil {
            return name.endpoint.map(PeerTarget.endpoint) ?? .name(name)
        }
        let shown = IPAddress(host)?.family == .v6 ? "[\(host)]" : host
        guard !found.isEmpty else {
            throw .badValue("'\(host)' has no port, and this node knows no peer there: give \(shown):PORT; accepted are \(PeerName.acceptedForm)")
        }
        let list = found.prefix(8).map(\.description).joined(separator: ", ")
        throw .badValue("'\(host)' has no port, and this node knows \(found.count) peers there: give one of \(list)")
    }

    /// Which endpoints' events are asked for. Those of a name are of every address that it means at the time, so that a name that moves is
    /// followed.
    func filter(ofEvents request: Request) throws(Problem) -> (Endpoint) -> Bool {
        guard request.peer("peer") != nil else { return { _ in true } }
        let target = try target(request, "peer")
        _ = try report(of: target)
        let names = names
        return switch target {
        case .endpoint(let endpoint): { $0 == endpoint }
        case .name(let name): { names?.addresses(of: name).contains($0) == true }
        }
    }

    /// Which rows are asked for.
    func filter(ofRows request: Request) throws(Problem) -> (PeerRow.Row) -> Bool {
        let isMeant = try filter(ofEvents: request)
        guard request.peer("peer") != nil else { return { _ in true } }
        let name = try target(request, "peer").name
        return { row in
            switch row {
            case .peer(let peer, _): isMeant(peer.endpoint)
            case .name(let report): report.peer.name == name
            case .link(let entry): isMeant(entry.report.info.remote)
            }
        }
    }

    /// The name that the target is, as it stands; nil for an address.
    func report(of target: PeerTarget) throws(Problem) -> NameReport? {
        guard case .name(let name) = target else { return nil }
        guard let report = reports.first(where: { $0.peer.name == name }) else {
            throw .notFound("this node was given no peer named \(name); `reactor-node peers` lists the peers")
        }
        return report
    }

    /// Where the target is in the node's table. A name without an address is refused with its trouble.
    func endpoint(of target: PeerTarget) throws(Problem) -> Endpoint {
        if case .endpoint(let endpoint) = target { return endpoint }
        guard let report = try report(of: target) else { preconditionFailure("a target is an endpoint or a name") }
        guard let current = report.current else {
            throw .notFound("\(report.peer.name) has no address yet: \(report.trouble ?? "its lookup is in flight")")
        }
        return current
    }
}
