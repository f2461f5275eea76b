// `reactor-node demo`: a network of real nodes on one loop in one thread, that forms, loses nodes and heals, before the
// eyes of whoever started it.

import CEpoll
import Glibc
import PeerMesh
public import Reactor
public import Timers

/// How the demo runs.
public struct DemoSettings: Sendable {
    public var nodes = 12
    public var runs = Nanoseconds.seconds(60)
    /// Time between kills.
    public var killEvery = Nanoseconds.seconds(4)

    public init() {}

    /// The mesh's numbers, short so that a minute shows what else takes hours. Everything else is as in `run`.
    static func mesh(nodes: Int) -> MeshSettings {
        var mesh = MeshSettings(nonce: 0, seed: 0)
        mesh.maxPeers = UInt32(max(2 * nodes, 32))
        mesh.reservedSlots = UInt32(nodes)
        mesh.pendingLimit = UInt32(max(nodes, 16))
        mesh.pendingPerSubnet = UInt32(max(nodes, 16))
        mesh.regularPerAddress = UInt32(max(nodes, 16))
        mesh.regularPerSubnet = UInt32(max(nodes, 16))
        mesh.dialLimit = UInt32(max(nodes, 16))
        mesh.drainingLimit = UInt32(max(nodes, 16))
        mesh.bookCapacity = UInt32(max(2 * nodes, 64))
        mesh.dialTimeout = .seconds(1)
        mesh.probeTimeout = .milliseconds(250)
        mesh.greetingTimeout = .seconds(1)
        mesh.drainTimeout = .milliseconds(250)
        mesh.pingInterval = .milliseconds(500)
        mesh.pongTimeout = .milliseconds(500)
        mesh.backoffInitial = .milliseconds(400)
        mesh.backoffMax = .seconds(3)
        mesh.stableAfter = .milliseconds(1_500)
        mesh.passiveWait = .milliseconds(600)
        mesh.discoveryInterval = .seconds(1)
        mesh.feelerInterval = .milliseconds(250)
        mesh.targetPeriod = .milliseconds(500)
        return mesh
    }
}

/// The demo's world: nodes, their fates, and what is shown of them. On the thread that calls `run`.
public final class Demo: Source {
    private let settings: DemoSettings
    private let mesh: MeshSettings
    private let loop: EventLoop
    private let terminal = Terminal()
    private var nodes: [DemoNode] = []
    private var indices: [Endpoint: Int] = [:]
    private var registry: [Endpoint] = []
    private var sampler: DemoSampler
    private var snapshot = DemoSnapshot()
    private var timer: TimerID?
    private var began = Instant.zero
    private var nextKill = Instant.never
    /// The restarts that are not healed yet.
    private var healingSince: Instant?
    private var formedAfter: Nanoseconds?
    private var failure: DaemonError?
    private var generator = SystemRandomNumberGenerator()

    /// One look at the network, and one frame.
    private static let frame = Nanoseconds.milliseconds(66)
    private static let port: UInt16 = 24_200

    public init(_ settings: DemoSettings) throws(DaemonError) {
        self.settings = settings
        mesh = DemoSettings.mesh(nodes: settings.nodes)
        sampler = DemoSampler(count: settings.nodes)
        // Both ends of every link are in this process, and each node has its pools besides.
        let links = UInt64(settings.nodes) * UInt64(mesh.linkCapacity)
        let budget = DescriptorBudget(links: links, listeners: UInt64(settings.nodes) * 4)
        let available = try budget.claim()
        let least = UInt64(settings.nodes * (settings.nodes + 8)) + DescriptorBudget.ownDescriptors
        guard available >= least else {
            throw DaemonError(
                .configuration,
                "\(settings.nodes) nodes need \(least) descriptors but the system grants \(available): choose fewer with --nodes"
            )
        }
        _ = signal(SIGPIPE, SIG_IGN)
        do throws(SystemError) {
            try EventLoop.blockSignals([SIGTERM, SIGINT])
            var capacity = EventLoop.Configuration()
            capacity.descriptorCapacity = Int(budget.needed)
            loop = try EventLoop(capacity)
        } catch {
            throw DaemonError.system("cannot make the loop (\(error.call.rawValue))", error.code)
        }
    }

    /// Runs the demo, and prints what came of it.
    public func run() throws(DaemonError) {
        do throws(SystemError) {
            try loop.watch(signals: [SIGTERM, SIGINT], source: self)
        } catch {
            throw DaemonError.system("cannot watch for signals (\(error.call.rawValue))", error.code)
        }
        populate()
        terminal.enter()
        timer = loop.makeTimer(source: self, tag: 0)
        tick()
        loop.run()
        look(at: loop.now)
        terminal.leave()
        if let failure { throw failure }
        terminal.write(summary().joined(separator: "\n") + "\n")
    }

    /// Two of three nodes are masternodes; they start one after the other, so that one can watch the mesh form.
    private func populate() {
        began = loop.now
        nextKill = began + .seconds(5)
        let masternodes = max(settings.nodes * 2 / 3, 1)
        let stagger = Nanoseconds.seconds(3) / UInt64(settings.nodes)
        for index in 0..<settings.nodes {
            let address = IPAddress(v4: 127, 0, 1, UInt8(index + 1))
            let endpoint = Endpoint(address, port: Demo.port)
            let role: Role = index < masternodes ? .masternode : .regular
            if role == .masternode { registry.append(endpoint) }
            indices[endpoint] = index
            nodes.append(DemoNode(endpoint: endpoint, role: role, startsAt: began + stagger * UInt64(index)))
        }
        say(.note, "\(masternodes) masternodes and \(settings.nodes - masternodes) regular nodes start, each at its own address")
    }

    public override func timerFired(tag: UInt32) {
        tick()
    }

    public override func signalled(_ signal: CInt) {
        loop.stop()
    }

    private func tick() {
        let now = loop.now
        if now - began >= settings.runs || failure != nil {
            loop.stop()
            return
        }
        startDue(at: now)
        look(at: now)
        killDue(at: now)
        if terminal.isLive {
            let size = terminal.size
            terminal.show(DemoRenderer.frame(snapshot, width: size.width, height: size.height))
        }
        if let timer { loop.arm(timer, at: now + Demo.frame) }
    }

    private func startDue(at now: Instant) {
        for (index, place) in nodes.enumerated() where place.startsAt <= now {
            let isFirst = now - began < .seconds(4)
            do throws(SystemError) {
                try place.start(on: loop, registry: registry, settings: mesh)
            } catch {
                // Its last listener may still be closing; a port that somebody else has stays taken.
                guard error.code == EADDRINUSE, !isFirst else {
                    failure = DaemonError(
                        .unavailable,
                        "cannot listen on \(place.endpoint): \(SystemError.text(of: error.code)); the demo needs port \(Demo.port) at "
                            + "127.0.1.1 to 127.0.1.\(nodes.count): end what listens there, perhaps another demo"
                    )
                    return
                }
                place.startsAt = now + .milliseconds(100)
                continue
            }
            if !isFirst {
                healingSince = healingSince ?? now
                say(.restart, "node \(index + 1) is back")
            }
        }
    }

    private func killDue(at now: Instant) {
        // Whoever is left must be enough to be a network, and the last seconds are for healing.
        guard now >= nextKill, now - began + .seconds(4) < settings.runs, nodes.count > 2 else { return }
        nextKill = now + settings.killEvery
        guard let index = nodes.indices.filter({ nodes[$0].isUp }).randomElement(using: &generator), nodes.allSatisfy(\.isUp)
        else { return }
        let links = snapshot.nodes[index].outbound + snapshot.nodes[index].inbound
        nodes[index].kill(until: now + .milliseconds(UInt64.random(in: 1_200...2_200, using: &generator)))
        snapshot.kills += 1
        say(.kill, "node \(index + 1) is killed: \(links) links break")
    }

    // MARK: Looking

    private func look(at now: Instant) {
        snapshot.elapsed = now - began
        snapshot.total = settings.runs
        sampler.sample(nodes, indices: indices, at: now, into: &snapshot)
        takeRecords()
        snapshot.history.append(snapshot.links * 100 / max(snapshot.wantedLinks, 1))
        if snapshot.history.count > 4_096 { snapshot.history.removeFirst(2_048) }
        guard snapshot.links == snapshot.wantedLinks else { return }
        if formedAfter == nil {
            formedAfter = now - began
            snapshot.hasFormed = true
            say(.whole, "the mesh is whole after \(DemoText.span(now - began)): \(snapshot.links) links")
        }
        if let since = healingSince {
            healingSince = nil
            snapshot.heals.append(now - since)
            say(.whole, "whole again \(DemoText.span(now - since)) after its return: \(snapshot.links) links")
        }
    }

    /// Reads what the nodes noted, as a log's thread would.
    private func takeRecords() {
        for (index, place) in nodes.enumerated() {
            guard let ring = place.node?.transitions else { continue }
            while let record = ring.pop() {
                guard case .transition(let transition) = record, case .link(_, _, let to, let direction) = transition.subject,
                    let other = indices[transition.endpoint]
                else { continue }
                if to == .closed, let reason = transition.reason { place.lastReason = reason }
                if to == .established, direction == .outbound {
                    say(.up, "\(index + 1) ▶ \(other + 1)  linked", at: transition.at)
                }
                if to == .closed, let reason = transition.reason, reason != .refused {
                    say(.down, "\(index + 1) × \(other + 1)  \(reason.name)", at: transition.at)
                }
            }
        }
    }

    private func say(_ kind: DemoSnapshot.Event.Kind, _ text: String, at: Instant? = nil) {
        let event = DemoSnapshot.Event(at: (at ?? loop.now) - began, kind: kind, text: text)
        snapshot.events.append(event)
        if snapshot.events.count > 256 { snapshot.events.removeFirst(128) }
        if !terminal.isLive, event.isLoud { terminal.write(DemoText.seconds(event.at, width: 7) + "  \(text)\n") }
    }

    // MARK: The end

    private func summary() -> [String] {
        let masternodes = registry.count
        var lines = [
            "reactor demo: \(nodes.count) nodes (\(masternodes) masternodes, \(nodes.count - masternodes) regular), "
                + "one process, one loop, one thread",
            "  ran              \(DemoText.span(snapshot.elapsed)), \(sampler.samples) looks at every node's table",
            "  links            \(snapshot.links) of \(snapshot.wantedLinks) stand, counted at both ends"
                + (formedAfter.map { "; the mesh formed in \(DemoText.span($0))" } ?? ""),
            "  kills            \(snapshot.kills), healed \(snapshot.heals.count)",
        ]
        if let median = DemoText.median(snapshot.heals), let most = snapshot.heals.max() {
            lines.append(
                "  time to heal     median \(DemoText.span(median)), most \(DemoText.span(most)), from a node's return to the last link"
            )
        }
        lines.append("  duplicate links  \(sampler.duplicates)")
        lines.append("Next: reactor-node run")
        return lines
    }
}
