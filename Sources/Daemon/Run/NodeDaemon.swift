// `reactor-node run`: one node, its log, its resolver and its signals, from the first line to the last. It owns the order in
// which things start and end; what each of them does is its own.

import CEpoll
import Glibc
import PeerMesh
import Reactor
import Timers

/// One node of this process. On the thread that calls `run`, which becomes the loop's.
public final class NodeDaemon {
    private let configuration: NodeConfiguration
    private let settingsFile: String?
    private let available: UInt64
    private let loop: EventLoop
    private let handler: DaemonHandler
    private let node: PeerNode
    private let log: Log
    private let resolver: Resolver
    private let keeper: Keeper
    /// The way of operators' actions to the loop.
    public let desk: OperatorDesk
    /// The settings in force.
    public let live: LiveSettings
    private let custodian: Custodian
    /// Nil where nothing is kept.
    let store: Store?
    private let inherited: [InheritedListener]

    /// How long a node that was asked to end may drain, and how long its log may then write: together under 5 s.
    static let drainLimit = Nanoseconds.milliseconds(4_300)
    /// Lines of the registry that are told in one iteration: far below the 20 ms that a turn may take, in a debug build as well.
    static let registrySlice = 256
    private static let logLimit: CInt = 400

    /// Opens everything that `settings` ask for, or says in one line what is in the way. `layers` are read anew at a reload.
    public convenience init(_ settings: ResolvedSettings, layers: SettingsLayers) throws(DaemonError) {
        do throws(DaemonError) {
            try self.init(opening: settings, layers: layers)
        } catch {
            guard layers.path == nil, settings.file == SettingsLayers.serviceFile else { throw error }
            throw DaemonError(
                error.status,
                "\(error.description); these settings are the service's, from \(SettingsLayers.serviceFile): `--config none` starts a node without them"
            )
        }
    }

    private init(opening settings: ResolvedSettings, layers: SettingsLayers) throws(DaemonError) {
        // Before any thread is started. The process is ours, so the choice is, too.
        try NodeSignals.claim()
        inherited = try InheritedListeners.take()
        var configuration = settings.configuration
        configuration.inherit(inherited.map(\.endpoint))
        self.configuration = configuration
        // Before anything else is opened: a second node on the same directory must touch nothing.
        store = if let directory = configuration.stateDirectory { try Store(directory: directory) } else { nil }
        settingsFile = settings.file
        let budget = configuration.budget
        available = try budget.claim()
        try budget.check(available: available, maxPeers: configuration.mesh.maxPeers)
        do throws(SystemError) {
            var capacity = EventLoop.Configuration()
            capacity.descriptorCapacity = Int(budget.needed)
            loop = try EventLoop(capacity)
            handler = DaemonHandler()
            node = try PeerNode(
                loop: loop, wire: configuration.network.makeWire(), settings: NodeDaemon.settings(configuration), handler: handler
            )
        } catch {
            throw DaemonError.system("cannot make the loop (\(error.call.rawValue))", error.code)
        }
        guard let records = node.transitions else { preconditionFailure("a daemon's node keeps records") }
        let log = Log(LogSettings(configuration), records: records)
        self.log = log
        resolver = try Resolver(scope: configuration.scope) { log.say($0) }
        desk = OperatorDesk(mailbox: loop.mailbox, names: resolver)
        live = LiveSettings(configuration, layers: layers, file: settings.file, desk: desk)
        custodian = try Custodian(configuration, live: live, desk: desk, log: log, store: store)
        let manager = ServiceManager()
        keeper = Keeper(
            node: node, log: log, resolver: resolver, custodian: custodian, store: store,
            service: manager.isPresent ? ServiceKeeper(manager: manager, node: node) : nil
        )
    }

    private static func settings(_ configuration: NodeConfiguration) -> NodeSettings {
        var settings = NodeSettings(mesh: configuration.mesh)
        settings.endpoint = configuration.effectiveAdvertise
        settings.recordCapacity = 8_192
        settings.memoryLimit = configuration.memory.limit
        settings.memoryReserve = Int(configuration.memory.reserve)
        settings.memoryPerStranger = configuration.memory.perStranger
        // Others recognise us by the address that we listen on; where that is one, we dial from it.
        if configuration.listen.count == 1, let only = configuration.listen.first, !only.address.isUnspecified {
            settings.dialFrom = only.address
        } else if let own = configuration.effectiveAdvertise?.address, configuration.listen.contains(where: { $0.address == own }) {
            settings.dialFrom = own
        }
        return settings
    }

    /// Runs until SIGTERM or SIGINT. Returns when the node has ended and its log is written.
    public func run() throws(DaemonError) {
        let bound = try listen()
        let control = try openControl(bound: bound)
        var opening = configuration.startLines(bound: bound, available: available, file: settingsFile)
        opening.add(control)
        let logThread = try log.start(opening)
        keeper.bound = bound
        keeper.control = control
        handler.keeper = keeper
        handler.chronicle = control?.chronicle
        try keeper.begin(desk)
        keeper.want(configuration)
        // Three quarters of the book: the rest is for those who are to come.
        let recalled = Int(configuration.mesh.bookCapacity) * 3 / 4
        let storeThread = try store?.start(
            { [log] in log.say($0) },
            tell: { [desk, store, custodian] in
                guard let store else { return true }
                let memory = store.recollect(limit: recalled)
                guard desk.post(LateMemory(memory)) != .full, desk.change(names: memory.names, removed: [], by: .operator) != .full else { return false }
                custodian.storeWasRead()
                return true
            }
        )
        try custodian.start(listening: bound) { keeper.take($0) }
        if let store {
            let memory = store.recollect(limit: recalled)
            keeper.recall(memory)
            // The loop does not run yet, so that its mailbox has room.
            _ = desk.change(names: memory.names, removed: [], by: .operator)
        }
        node.start()
        keeper.service?.begin()
        loop.run()
        control?.stop()
        resolver.stop()
        custodian.stop()
        store?.stop()
        _ = storeThread?.wait(milliseconds: NodeDaemon.logLimit)
        log.stop()
        // A reader that blocks the log keeps its lines; it does not keep the process.
        _ = logThread.wait(milliseconds: NodeDaemon.logLimit)
        handler.keeper = nil
    }

    private func openControl(bound: [Endpoint]) throws(DaemonError) -> ControlPlane? {
        guard let socket = try configuration.claimControlSocket(bound: bound) else { return nil }
        let memory = MemoryJournal()
        return try ControlPlane(
            socket, readOnly: configuration.control.readOnly,
            DeskParts(
                facts: configuration.facts(available: available), port: node.port,
                chronicle: Chronicle(capacity: Int(configuration.mesh.bookCapacity)), actions: desk,
                journal: store ?? memory, notes: store ?? memory, store: store, reloader: live, names: resolver,
                registered: { [custodian] in custodian.registered($0) }, custodian: custodian
            ),
            say: { [log] in log.say($0) }
        )
    }

    private func listen() throws(DaemonError) -> [Endpoint] {
        var bound: [Endpoint] = []
        for endpoint in configuration.listen {
            do throws(SystemError) {
                if let given = inherited.first(where: { $0.endpoint == endpoint }) {
                    bound.append(try node.listen(taking: Socket(adopting: given.descriptor)))
                } else {
                    bound.append(try node.listen(on: endpoint))
                }
            } catch {
                throw NodeDaemon.refusal(of: endpoint, error, configuration)
            }
        }
        if configuration.effectiveAdvertise == nil, bound.count == 1, let only = bound.first, only.isDialable {
            node.handle(.ownEndpoint(only))
        }
        return bound
    }

    private static func refusal(of endpoint: Endpoint, _ error: SystemError, _ configuration: NodeConfiguration) -> DaemonError {
        switch error.code {
        case EADDRINUSE:
            let free = Endpoint(endpoint.address, port: endpoint.port &+ 1 == 0 ? 1 : endpoint.port + 1)
            let link = endpoint.isDialable ? " --peer \(endpoint)" : ""
            let network = configuration.network.name == Network.reactor.name ? "" : " --network \(configuration.network.name)"
            return DaemonError(
                .unavailable,
                "\(endpoint) is taken: another program, perhaps another node, listens there. Choose another port: "
                    + "`reactor-node run\(network) --listen \(free)\(link)`"
            )
        case EADDRNOTAVAIL:
            return DaemonError(
                .unavailable, "cannot listen on \(endpoint): this machine has no such address; `ip address` lists those it has"
            )
        case EACCES:
            return DaemonError(
                .unavailable, "cannot listen on \(endpoint): ports below 1024 need a privilege; choose one from 1024 to 32767"
            )
        default:
            return DaemonError(.system, "cannot listen on \(endpoint): \(SystemError.text(of: error.code))")
        }
    }
}

/// Hands what the node tells its application to the keeper. The daemon itself has no use for frames: it holds links.
final class DaemonHandler: PeerHandler {
    var keeper: NodeDaemon.Keeper?
    var chronicle: Chronicle?

    override func changed(_ transition: Transition) {
        chronicle?.note(transition)
        keeper?.changed(transition)
    }

    override func learnt(_ endpoint: Endpoint, from source: IPAddress) -> Bool {
        keeper?.learnt(endpoint, from: source) ?? true
    }

    override func stopped() {
        keeper?.end()
    }
}
