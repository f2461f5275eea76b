// A node that wants peers by name, beside one that it may link to: what the tests of names share.

import Glibc
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Daemon
@testable import Reactor

/// Ends a test's loop that waits for what does not come.
private final class Limit: Source {
    var isOver = false
    override func timerFired(tag: UInt32) { isOver = true }
}

/// A node with a keeper, and another node that it may link to, on one loop; names mean what the test says.
final class NameScene {
    let loop: EventLoop
    let there: PeerNode
    let here: PeerNode
    let handler = DaemonHandler()
    let keeper: NodeDaemon.Keeper
    let resolver: Resolver
    let desk: OperatorDesk
    let live: Endpoint
    let own: Endpoint
    private let limit = Limit()

    init(address: UInt8, answer: @escaping @Sendable (PeerName, Endpoint, Endpoint) -> [Endpoint]) throws {
        func settings() -> MeshSettings {
            var mesh = MeshSettings(nonce: .random(in: 1 ... .max), seed: .random(in: 1 ... .max))
            mesh.backoffInitial = .milliseconds(20)
            mesh.backoffMax = .milliseconds(40)
            mesh.bookCapacity = 64
            return mesh
        }
        loop = try EventLoop()
        let wire = TimeWire(network: .reactor)
        there = try PeerNode(loop: loop, wire: wire, settings: NodeSettings(mesh: settings()), handler: PeerHandler())
        live = try there.listen(on: Endpoint(IPAddress(v4: 127, 0, address, 1), port: 0))
        there.handle(.ownEndpoint(live))
        there.start()
        here = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: NodeSettings(mesh: settings()), handler: handler)
        own = try here.listen(on: Endpoint(IPAddress(v4: 127, 0, address, 3), port: 0))
        here.handle(.ownEndpoint(own))
        let log = Log(LogSettings(), records: try #require(here.transitions))
        let loopThread = pthread_self()
        var timing = NameTable.Timing()
        (timing.refresh, timing.firstRetry) = (.milliseconds(20), .milliseconds(1))
        let (live, own) = (live, own)
        resolver = try Resolver(timing: timing, scope: .loopback) { name in
            #expect(pthread_equal(pthread_self(), loopThread) == 0)
            return (answer(name, live, own), 0)
        } say: {
            log.say($0)
        }
        desk = OperatorDesk(mailbox: loop.mailbox, names: resolver)
        keeper = NodeDaemon.Keeper(node: here, log: log, resolver: resolver)
        keeper.bound = [own]
        handler.keeper = keeper
        try keeper.begin(desk)
        here.start()
        loop.arm(loop.makeTimer(source: limit, tag: 0), at: loop.now + .seconds(120))
    }

    func settings(masternodes: [String] = [], peers: [String] = []) -> NodeConfiguration {
        var configuration = NodeConfiguration.blank
        configuration.masternodes = masternodes.map { PeerName($0)! }
        configuration.peers = peers.map { PeerName($0)! }
        return configuration
    }

    func wait(until condition: () -> Bool) {
        while !limit.isOver, !condition() { loop.runOnce() }
        #expect(!limit.isOver)
    }

    var isLinked: Bool { here.peer(at: live)?.established != nil }

    /// Runs `body` with the control API's desk, on a thread of its own, as the loop runs.
    func ask(_ body: @escaping @Sendable (Asker) -> Void) throws {
        let (port, desk, resolver, configuration) = (here.port, desk, resolver, settings())
        let hasEnded = Flag()
        _ = try DaemonThread.start("asker") {
            do {
                let memory = MemoryJournal()
                body(
                    Asker(
                        desk: try ControlDesk(
                            DeskParts(
                                facts: configuration.facts(available: 1_000), port: port, chronicle: try Chronicle(capacity: 64), actions: desk,
                                journal: memory, notes: memory, store: nil, reloader: FixedSettings(configuration: configuration), names: resolver))))
            } catch {
                Issue.record("no desk: \(error)")
            }
            hasEnded.raise()
        }
        while !limit.isOver, !hasEnded.isRaised {
            loop.runOnce(.noWait)
            sched_yield()
        }
        #expect(!limit.isOver)
    }

    deinit { resolver.stop() }
}

private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isRaised: Bool { value.load(ordering: .acquiring) }
    func raise() { value.store(true, ordering: .releasing) }
}

private struct FixedSettings: Reloader {
    let configuration: NodeConfiguration
    func reload() -> ReloadReport { ReloadReport() }
}

/// Asks the control API's desk as a client does.
struct Asker {
    let desk: ControlDesk

    func get(_ target: String) -> JSON { send("GET", target).body }

    /// The status, and the answer or the problem's detail.
    func send(_ method: String, _ target: String, _ body: String = "") -> (status: Int, body: JSON) {
        do throws(Problem) {
            let answer = try desk.answer(try Request(method: method, target: target, body: Array(body.utf8)))
            return (200, (try? JSON(reading: answer.body.utf8)) ?? .null)
        } catch {
            return (Int(error.status), .string(error.detail))
        }
    }

    /// Asks again and again until `condition` holds of the answer.
    func wait(_ target: String, until condition: (JSON) -> Bool) -> JSON {
        for _ in 0..<24_000 {
            let answer = get(target)
            if condition(answer) { return answer }
            usleep(5_000)
        }
        Issue.record("\(target) did not come to it within two minutes")
        return .null
    }
}
