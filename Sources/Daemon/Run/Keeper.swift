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
        let resolver: Resolver?
        private let custodian: Custodian?
        let store: Store?
        var names = NamedPeers()
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
            node: PeerNode, log: Log, resolver: Resolver?, custodian: Custodian? = nil, store: Store? = nil,
            service: ServiceKeeper? = nil
        ) {
            self.node = node
            self.log = log
            self.resolver = resolver
            self.custodian = custodian
            gate = IntakeGate(key: node.policies.seed, capacity: node.policies.bookCapacity)
            self.store = store
            self.service = service
        }

        /// Takes its place on the loop, opens the desk, and starts the resolver.
        func begin(_ desk: OperatorDesk) throws(DaemonError) {
            do throws(SystemError) {
                try node.loop.watch(signals: NodeSignals.watched, source: self)
            } catch {
                throw DaemonError.system("cannot watch for signals (\(error.call.rawValue))", error.code)
            }
            timer = node.loop.makeTimer(source: self, tag: 0)
            registryTimer = node.loop.makeTimer(source: self, tag: 1)
            let (mailbox, handle) = (node.loop.mailbox, node.loop.makeHandle(for: self))
            desk.open(handle)
            guard let resolver else { return }
            _ = try resolver.start { answer in mailbox.post(Job(kind: 0, object: answer), to: handle) == .posted }
        }

        override func posted(_ job: Job) {
            guard stoppingSince == nil else { return }
            switch job.object {
            case let answer as NameAnswer: take(answer)
            case let change as NamesChange: take(change)
            case let action as PostedAction:
                perform(action.action)
                action.taken()
            case let change as SettingsChange: apply(change)
            case let change as RegistryChange: take(change)
            case let late as LateMemory: recall(late.memory)
            case is ReloadEnd: service?.reloaded()
            default: break
            }
        }

        func tell(_ event: Event?) {
            if let event { node.handle(event) }
        }

        /// A link or a peer of the node changed its state.
        func changed(_ transition: Transition) {
            // What ends because the node ends is no news of its peers: who was linked is dialled first next time.
            if stoppingSince == nil { store?.note(transition, at: node.loop.now, of: node) }
            service?.changed(transition)
            noteNames(transition)
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
            if NodeSignals.told.contains(signal) { return log.say(.ignored(signal: signal)) }
            if signal == NodeSignals.reload {
                service?.reloading()
                control?.checkSocket()
                custodian?.requestReload()
                return
            }
            if stoppingSince != nil {
                // The kernel repeats these.
                guard signal == SIGTERM || signal == SIGINT else { return }
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
