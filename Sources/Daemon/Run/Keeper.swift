// What the loop calls besides the node: signals, the resolver's answers, what operators, settings and the registry file want, and
// the limit on draining. On the loop's thread: it never waits and never touches a disk.

import Glibc
import PeerMesh
import Reactor
import Timers

extension NodeDaemon {
    final class Keeper: Source {
        unowned let node: PeerNode
        let log: Log
        private let resolver: Resolver?
        private let custodian: Custodian?
        let store: Store?
        private var names: NamedPeers
        var wanted = WantedPeers()
        private var gate: IntakeGate
        /// Where the node really listens.
        var bound: [Endpoint] = []
        private var timer: TimerID?
        /// Changes of the registry that the node has not been told yet, in order, and how much of the first one it has.
        var registryChanges: [RegistryChange] = []
        var registryPlace = 0
        private(set) var registryTimer: TimerID?
        private(set) var stoppingSince: Instant?
        /// Nil if there is no control API.
        var control: ControlPlane?
        /// Nil if no service manager started this process.
        let service: ServiceKeeper?

        init(
            node: PeerNode, log: Log, resolver: Resolver?, names: NamedPeers, custodian: Custodian? = nil, store: Store? = nil,
            service: ServiceKeeper? = nil
        ) {
            self.node = node
            self.log = log
            self.resolver = resolver
            self.names = names
            self.custodian = custodian
            gate = IntakeGate(key: node.policies.seed, capacity: node.policies.bookCapacity)
            self.store = store
            self.service = service
        }

        /// Takes its place on the loop, opens the desk, and starts the resolver.
        func begin(_ desk: OperatorDesk) throws(DaemonError) {
            do throws(SystemError) {
                try node.loop.watch(signals: [SIGTERM, SIGINT, SIGHUP], source: self)
            } catch {
                throw DaemonError.system("cannot watch for signals (\(error.call.rawValue))", error.code)
            }
            timer = node.loop.makeTimer(source: self, tag: 0)
            registryTimer = node.loop.makeTimer(source: self, tag: 1)
            let (mailbox, handle) = (node.loop.mailbox, node.loop.makeHandle(for: self))
            desk.open(handle)
            guard let resolver else { return }
            _ = try resolver.start { index, addresses in
                // A full mailbox loses an answer; the row's next failure asks again.
                _ = mailbox.post(Job(kind: index, object: addresses), to: handle)
            }
        }

        override func posted(_ job: Job) {
            guard stoppingSince == nil else { return }
            switch job.object {
            case let addresses as AddressList: take(addresses, of: Int(job.kind))
            case let action as PostedAction: perform(action.action)
            case let change as SettingsChange: apply(change)
            case let change as RegistryChange: take(change)
            case is ReloadEnd: service?.reloaded()
            default: break
            }
        }

        private func take(_ addresses: AddressList, of name: Int) {
            let node = self.node
            let step = names.take(addresses.endpoints, for: name) { endpoint in
                node.peer(at: endpoint).map { $0.established != nil || $0.dial != nil || $0.held != nil } ?? false
            }
            if case .move(let from, let to) = step { log.say(.moved(name: UInt32(name), from: from, to: to)) }
            switch names.kind(of: name) {
            case .masternode: takeMasternode(step)
            case .peer: takePeer(step, of: name)
            }
        }

        private func takeMasternode(_ step: NamedPeers.Step) {
            switch step {
            case .nothing: break
            case .want(let endpoint): tell(wanted.name(masternode: endpoint, by: .name))
            case .move(let from, let to):
                tell(wanted.name(masternode: to, by: .name))
                if !names.isNamed(from, .masternode) { tell(wanted.drop(masternode: from, by: .name)) }
            }
        }

        private func takePeer(_ step: NamedPeers.Step, of name: Int) {
            if case .move(let from, let to) = step, wanted.isPinned(peer: from) {
                // It was named by its address, too: the row stays, and the name has one of its own.
                tell(.connect(to))
                return
            }
            for event in names.events(for: step, of: name) { tell(event) }
        }

        func tell(_ event: Event?) {
            if let event { node.handle(event) }
        }

        /// A peer's schedule changed: one that waits for its redial is asked after anew, if it has a name.
        func changed(_ transition: Transition) {
            // What ends because the node ends is no news of its peers: who was linked is dialled first next time.
            if stoppingSince == nil { store?.note(transition, at: node.loop.now, of: node) }
            service?.changed(transition)
            guard let resolver, case .peer(_, let view) = transition.subject, view == .backoff || view == .dormant else { return }
            for name in 0..<names.count where names.stands(name, for: transition.endpoint) { resolver.request(name) }
        }

        /// A peer named another. Whether the mesh is to hear of it.
        func learnt(_ endpoint: Endpoint, from source: IPAddress) -> Bool {
            // Nobody far away knows our loopback addresses.
            guard endpoint.isDialable, !endpoint.address.isLoopback || source.isLoopback else { return false }
            guard gate.admits(source, at: node.loop.now) else { return false }
            store?.note(told: endpoint, by: source)
            return true
        }

        override func signalled(_ signal: CInt) {
            if signal == SIGHUP {
                service?.reloading()
                control?.checkSocket()
                custodian?.requestReload()
                return
            }
            if stoppingSince != nil {
                // Asked twice: at once. What is queued is lost, as whoever asks twice wants it.
                node.loop.stop()
                return
            }
            drain(signal: signal)
        }

        /// Ends the node in order. `signal` is 0 where an operator asked.
        func drain(signal: CInt) {
            guard stoppingSince == nil else { return }
            stoppingSince = node.loop.now
            log.say(.draining(signal: signal, links: links))
            service?.stopping(links: links)
            if let timer { node.loop.arm(timer, at: node.loop.now + NodeDaemon.drainLimit) }
            node.shutdown()
        }

        override func timerFired(tag: UInt32) {
            if tag == 0 { end() } else if stoppingSince == nil { tellRegistrySlice() }
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
