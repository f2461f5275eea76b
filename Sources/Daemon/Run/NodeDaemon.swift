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
    private let available: UInt64
    private let loop: EventLoop
    private let handler: DaemonHandler
    private let node: PeerNode
    private let log: Log
    private let resolver: Resolver?
    private let keeper: Keeper
    private let inherited: [InheritedListener]

    /// How long a node that was asked to end may drain, and how long its log may then write: together under 5 s.
    private static let drainLimit = Nanoseconds.milliseconds(4_300)
    private static let logLimit: CInt = 400

    /// Opens everything that `configuration` asks for, or says in one line what is in the way.
    public init(_ configuration: NodeConfiguration) throws(DaemonError) {
        inherited = try InheritedListeners.take()
        var configuration = configuration
        configuration.inherit(inherited.map(\.endpoint))
        self.configuration = configuration
        let budget = configuration.budget
        available = try budget.claim()
        try budget.check(available: available, maxPeers: configuration.mesh.maxPeers)
        // SIGPIPE: a log whose reader went away must not end the links. The process is ours, so the choice is, too.
        _ = signal(SIGPIPE, SIG_IGN)
        do throws(SystemError) {
            try EventLoop.blockSignals([SIGTERM, SIGINT])
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
        let named = configuration.namedPeers
        var settings = LogSettings()
        settings.level = configuration.logLevel
        settings.format = configuration.logFormat
        settings.repeatWindow = configuration.logRepeat
        settings.names = named.map(\.name.description)
        let log = Log(settings, records: records)
        self.log = log
        resolver = named.isEmpty ? nil : try Resolver(names: named.map(\.name)) { log.sayFromResolver($0) }
        let manager = ServiceManager()
        keeper = Keeper(
            node: node, log: log, resolver: resolver,
            names: NamedPeers(named.map(\.kind), pinned: configuration.pinnedPeers),
            service: manager.isPresent ? ServiceKeeper(manager: manager, node: node) : nil
        )
    }

    private static func settings(_ configuration: NodeConfiguration) -> NodeSettings {
        var settings = NodeSettings(mesh: configuration.mesh)
        settings.endpoint = configuration.advertise
        settings.recordCapacity = 8_192
        // Others recognise us by the address that we listen on; where that is one, we dial from it.
        if configuration.listen.count == 1, let only = configuration.listen.first, !only.address.isUnspecified {
            settings.dialFrom = only.address
        } else if let own = configuration.advertise?.address, configuration.listen.contains(where: { $0.address == own }) {
            settings.dialFrom = own
        }
        return settings
    }

    /// Runs until SIGTERM or SIGINT. Returns when the node has ended and its log is written.
    public func run() throws(DaemonError) {
        let bound = try listen()
        let logThread = try log.start(configuration.startLines(bound: bound, available: available))
        handler.keeper = keeper
        try keeper.begin()
        for endpoint in configuration.masternodes.compactMap(\.endpoint) { node.handle(.registered(endpoint)) }
        for endpoint in configuration.peers.compactMap(\.endpoint) { node.handle(.connect(endpoint)) }
        node.start()
        keeper.service?.begin()
        loop.run()
        resolver?.stop()
        log.stop()
        // A reader that blocks the log keeps its lines; it does not keep the process.
        _ = logThread.wait(milliseconds: NodeDaemon.logLimit)
        handler.keeper = nil
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
        if configuration.advertise == nil, bound.count == 1, let only = bound.first, only.isDialable {
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
            return DaemonError(.system, "cannot listen on \(endpoint): \(error)")
        }
    }

    /// What the loop calls besides the node: signals, the resolver's answers, the limit on draining.
    final class Keeper: Source {
        private unowned let node: PeerNode
        private let log: Log
        private let resolver: Resolver?
        private var names: NamedPeers
        private var timer: TimerID?
        private var stoppingSince: Instant?
        /// Nil if no service manager started this process.
        let service: ServiceKeeper?

        init(node: PeerNode, log: Log, resolver: Resolver?, names: NamedPeers, service: ServiceKeeper? = nil) {
            self.node = node
            self.log = log
            self.resolver = resolver
            self.names = names
            self.service = service
        }

        /// Takes its place on the loop and starts the resolver.
        func begin() throws(DaemonError) {
            do throws(SystemError) {
                try node.loop.watch(signals: [SIGTERM, SIGINT], source: self)
            } catch {
                throw DaemonError.system("cannot watch for signals (\(error.call.rawValue))", error.code)
            }
            timer = node.loop.makeTimer(source: self, tag: 0)
            guard let resolver else { return }
            let (mailbox, handle) = (node.loop.mailbox, node.loop.makeHandle(for: self))
            _ = try resolver.start { index, addresses in
                // A full mailbox loses an answer; the row's next failure asks again.
                _ = mailbox.post(Job(kind: index, object: addresses), to: handle)
            }
        }

        override func posted(_ job: Job) {
            guard let addresses = job.object as? AddressList, stoppingSince == nil else { return }
            let name = Int(job.kind)
            let node = self.node
            let step = names.take(addresses.endpoints, for: name) { endpoint in
                node.peer(at: endpoint).map { $0.established != nil || $0.dial != nil || $0.held != nil } ?? false
            }
            if case .move(let from, let to) = step { log.say(.moved(name: job.kind, from: from, to: to)) }
            for event in names.events(for: step, of: name) { node.handle(event) }
        }

        /// A peer's schedule changed: one that waits for its redial is asked after anew, if it has a name.
        func changed(_ transition: Transition) {
            service?.changed(transition)
            guard let resolver, case .peer(_, let view) = transition.subject, view == .backoff || view == .dormant else { return }
            for name in 0..<names.count where names.stands(name, for: transition.endpoint) { resolver.request(name) }
        }

        override func signalled(_ signal: CInt) {
            if stoppingSince != nil {
                // Asked twice: at once. What is queued is lost, as whoever asks twice wants it.
                node.loop.stop()
                return
            }
            stoppingSince = node.loop.now
            log.say(.draining(signal: signal, links: links))
            service?.stopping(links: links)
            if let timer { node.loop.arm(timer, at: node.loop.now + NodeDaemon.drainLimit) }
            node.shutdown()
        }

        override func timerFired(tag: UInt32) {
            end()
        }

        /// The node is over, or its time is.
        func end() {
            log.say(.stopped(links: links, after: stoppingSince.map { node.loop.now - $0 } ?? .zero))
            node.loop.stop()
        }

        private var links: UInt32 {
            let census = node.census
            return UInt32(census.establishedMasternodes + census.establishedRegular)
        }
    }
}

/// Hands what the node tells its application to the keeper. The daemon itself has no use for frames: it holds links.
final class DaemonHandler: PeerHandler {
    var keeper: NodeDaemon.Keeper?

    override func changed(_ transition: Transition) {
        keeper?.changed(transition)
    }

    override func stopped() {
        keeper?.end()
    }
}
