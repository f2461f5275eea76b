import Foundation
import PeerMesh
import Testing
import Timers

@testable import Daemon
@testable import Reactor

/// A mesh driven by hand until a peer of it stands as a test wants, and then asked why.
private final class Scene {
    var mesh: Mesh
    var now = Instant(nanoseconds: 1_000_000_000_000)
    let settings: MeshSettings
    private var tickets: UInt32 = 0
    private(set) var actions: [Action] = []

    init(own: Endpoint? = nil, started: Bool = true, _ configure: (inout MeshSettings) -> Void = { _ in }) {
        var settings = MeshSettings(nonce: 0x5eed, seed: 1)
        settings.jitterPercent = 0
        settings.bookCapacity = 64
        configure(&settings)
        self.settings = settings
        mesh = Mesh(settings, now: now)
        tell(.ownEndpoint(own))
        if started { tell(.start) }
    }

    func tell(_ event: Event) {
        mesh.handle(event, at: now)
        take()
    }

    private func take() {
        while let action = mesh.nextAction() { actions.append(action) }
        while mesh.nextTransition() != nil {}
    }

    func pass(_ span: Nanoseconds) {
        now = now + span
        mesh.advance(to: now)
        take()
    }

    /// The last dial to `endpoint`.
    func dial(to endpoint: Endpoint) throws -> LinkID {
        for case .dial(let link, endpoint) in actions.reversed() { return link }
        throw Missing()
    }

    struct Missing: Error {}

    func fail(_ endpoint: Endpoint, _ reason: CloseReason = .refused) throws {
        tell(.dialFailed(try dial(to: endpoint), reason))
    }

    func answer(_ endpoint: Endpoint, _ verdict: Verdict) throws {
        let link = try dial(to: endpoint)
        tell(.connected(link))
        tell(.hello(link, Hello(isNative: true, endpoint: endpoint, nonce: 99, verdict: verdict)))
    }

    func accept(from remote: Endpoint) throws -> LinkID {
        tickets += 1
        tell(.accepted(ticket: tickets, from: remote))
        for case .adopt(tickets, let link) in actions.reversed() { return link }
        throw Missing()
    }

    func why(_ endpoint: Endpoint) -> (standing: Standing, sentence: String) {
        let snapshot = NodeSnapshot()
        snapshot.at = now
        snapshot.census = mesh.census()
        mesh.forEachPeer(at: now) { snapshot.peers.append($0) }
        mesh.forEachBan { snapshot.bans.append($0) }
        mesh.forEachLink {
            snapshot.links.append(.init(report: $0, queued: 0, inbound: 0, traffic: LinkTraffic(), isPaused: false))
        }
        let why = Why(snapshot: snapshot, settings: settings, moments: Moments(now: now, epoch: 0))
        guard let peer = snapshot.peers.first(where: { $0.endpoint == endpoint }) else {
            let standing = Standing(mesh.mayDial(endpoint, at: now), isHeld: false, dial: nil)
            return (standing, standing.sentence)
        }
        return (why.standing(of: peer), why.sentence(for: peer))
    }
}

private let peer = Endpoint("192.0.2.1:24200")!
private let other = Endpoint("192.0.2.2:24200")!
private let own = Endpoint("192.0.2.100:24200")!

/// How each standing comes about.
private func produce(_ standing: Standing) throws -> (standing: Standing, sentence: String) {
    switch standing {
    case .linked:
        let scene = Scene()
        scene.tell(.connect(peer))
        try scene.answer(peer, .accepted)
        scene.pass(.seconds(20))
        return scene.why(peer)
    case .linkHeld:
        // An old link, and a newcomer of the same peer: the older one is asked whether it lives.
        let scene = Scene(own: own) { $0.role = .masternode }
        scene.tell(.registered(peer))
        let first = try scene.accept(from: Endpoint(peer.address, port: 40_000))
        scene.tell(.hello(first, Hello(isNative: true, endpoint: peer, nonce: 77)))
        scene.pass(.seconds(29))
        let second = try scene.accept(from: Endpoint(peer.address, port: 40_001))
        scene.tell(.hello(second, Hello(isNative: true, endpoint: peer, nonce: 77)))
        return scene.why(peer)
    case .dialing:
        let scene = Scene()
        scene.tell(.connect(peer))
        return scene.why(peer)
    case .securing:
        // No dialect of today secures its transport; the answer is ready for the one that will.
        let standing = Standing(.no(.dialInFlight), isHeld: false, dial: .securing)
        return (standing, standing.sentence)
    case .greeting:
        let scene = Scene()
        scene.tell(.connect(peer))
        scene.tell(.connected(try scene.dial(to: peer)))
        return scene.why(peer)
    case .ready:
        // The rate has room again, and the loop has not come round yet.
        let scene = Scene { ($0.dialRate, $0.dialBurst) = (1, 1) }
        scene.tell(.connect(other))
        scene.tell(.connect(peer))
        scene.now = scene.now + .seconds(2)
        return scene.why(peer)
    case .queuedSlot:
        let scene = Scene { ($0.maxPeers, $0.reservedSlots) = (2, 1) }
        scene.tell(.connect(other))
        scene.tell(.connect(peer))
        return scene.why(peer)
    case .queuedBudget:
        let scene = Scene { $0.dialLimit = 1 }
        scene.tell(.connect(other))
        scene.tell(.connect(peer))
        return scene.why(peer)
    case .queuedRate:
        let scene = Scene { ($0.dialRate, $0.dialBurst) = (1, 1) }
        scene.tell(.connect(other))
        scene.tell(.connect(peer))
        return scene.why(peer)
    case .backoff:
        let scene = Scene()
        scene.tell(.connect(peer))
        try scene.fail(peer)
        scene.pass(.seconds(1))
        return scene.why(peer)
    case .theirTurn:
        let scene = Scene(own: own) { $0.role = .masternode }
        scene.tell(.registered(peer))
        return scene.why(peer)
    case .dormant:
        let scene = Scene { $0.masternodeFailures = 1 }
        scene.tell(.registered(peer))
        try scene.fail(peer)
        return scene.why(peer)
    case .fullThere:
        let scene = Scene()
        scene.tell(.connect(peer))
        try scene.answer(peer, .full)
        return scene.why(peer)
    case .bannedThere:
        let scene = Scene()
        scene.tell(.connect(peer))
        try scene.answer(peer, .banned(for: .seconds(600)))
        return scene.why(peer)
    case .weakLink:
        // A foreign node behind a registered masternode's address: perhaps it, perhaps not.
        let scene = Scene(own: own) { ($0.role, $0.passiveWait) = (.masternode, .seconds(300)) }
        scene.tell(.registered(peer))
        let link = try scene.accept(from: Endpoint(peer.address, port: 40_000))
        scene.tell(.hello(link, Hello(isNative: false)))
        return scene.why(peer)
    case .crowded:
        let scene = Scene(started: false) { $0.regularPerSubnet = 1 }
        for known in [other, peer] { scene.tell(.recalled(known, .linked)) }
        scene.tell(.start)
        for known in [other, peer] { try scene.answer(known, .accepted) }
        return scene.why(peer)
    case .spaced:
        // Four peers at one address were told of, and none of them answers: each waits for its turn.
        let scene = Scene(started: false)
        let others = (1...3).map { Endpoint(peer.address, port: UInt16($0)) }
        for endpoint in others + [peer] { scene.tell(.recalled(endpoint, .known)) }
        scene.tell(.start)
        for endpoint in others + [peer] { try scene.fail(endpoint) }
        return scene.why(peer)
    case .notStarted:
        let scene = Scene(started: false)
        scene.tell(.connect(peer))
        return scene.why(peer)
    case .stopping:
        let scene = Scene()
        scene.tell(.connect(peer))
        try scene.fail(peer)
        scene.tell(.shutdown)
        return scene.why(peer)
    case .notWanted:
        // A row that nobody wants is gone in the same instant: only its verdict can be asked for.
        let standing = Standing(.no(.off(.notWanted)), isHeld: false, dial: nil)
        return (standing, standing.sentence)
    case .notChosen:
        let scene = Scene { ($0.maxPeers, $0.reservedSlots) = (2, 1) }
        scene.tell(.connect(other))
        try scene.answer(other, .accepted)
        scene.tell(.learnt(try scene.dial(to: other), peer))
        return scene.why(peer)
    case .tooMany:
        let scene = Scene { $0.maxPeers = 1 }
        scene.tell(.registered(peer))
        scene.tell(.registered(other))
        return scene.why(other)
    case .banned:
        let scene = Scene()
        scene.tell(.connect(peer))
        scene.tell(.ban(Subnet("192.0.2.0/24")!, until: scene.now + .seconds(600), by: .operator))
        return scene.why(peer)
    case .ourselves:
        let scene = Scene(own: own)
        scene.tell(.connect(own))
        return scene.why(own)
    case .forgotten:
        let scene = Scene { ($0.regularFailures, $0.bookFloor) = (1, 0) }
        scene.tell(.connect(other))
        try scene.answer(other, .accepted)
        scene.tell(.learnt(try scene.dial(to: other), peer))
        scene.pass(.seconds(130))
        try scene.fail(peer)
        return scene.why(peer)
    case .unknown:
        return Scene().why(peer)
    case .unresolved:
        let report = NameReport(
            peer: NamedPeer(name: PeerName("a.test:5")!, kind: .peer), sources: .settings, known: [], current: nil,
            trouble: "Name or service not known", next: nil)
        return (.unresolved, Why.sentence(for: report))
    }
}

@Suite("why")
struct WhyTests {
    @Test("every answer comes about, from the verdict that the core decides by", arguments: Standing.allCases)
    func eachStanding(standing: Standing) throws {
        let (found, sentence) = try produce(standing)
        #expect(found == standing)
        #expect(!sentence.isEmpty)
        // Those that no mesh can be brought to show their template.
        if standing != .securing, standing != .notWanted { #expect(!sentence.contains("{"), "\(sentence)") }
    }

    @Test(
        "the sentence holds the peer's own facts",
        arguments: [
            (Standing.backoff, "waits 4.0 s before the next dial: 1 failure in a row, the last one ended as refused"),
            (.banned, "banned for 10 min 0 s more by the operator, as 192.0.2.0/24"),
            (.tooMany, "the registry names 2 masternodes and the table holds 1: this one is beyond its end"),
            (.theirTurn, "it is the other side's turn to dial, as its address is lower; we dial in 2.0 s if it has not"),
            (.linked, "linked for 20 s, as we dialled it"),
            (.queuedSlot, "waits for a slot: all 1 that regular peers may take are in use"),
        ] as [(Standing, String)]
    )
    func sentences(standing: Standing, sentence: String) throws {
        #expect(try produce(standing).sentence == sentence)
    }

    @Test("docs/Why.md lists every answer with its sentence and what to do")
    func manual() throws {
        var table = ""
        for standing in Standing.allCases {
            table += "| `\(standing.rawValue)` | \(standing.sentence) | \(standing.nextStep) | \(standing.advice) |\n"
        }
        try expectManual("docs/Why.md", contains: table)
    }
}

/// Holds a page to what the code says. With `REACTOR_WRITE_DOCS` set, the text between the page's two marks is written anew.
func expectManual(_ page: String, contains text: String) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let url = root.appendingPathComponent(page)
    let manual = try String(contentsOf: url, encoding: .utf8)
    if !manual.contains(text), ProcessInfo.processInfo.environment["REACTOR_WRITE_DOCS"] != nil {
        let begin = "<!-- written by the code: begin -->\n", end = "<!-- written by the code: end -->"
        let start = try #require(manual.range(of: begin)), stop = try #require(manual.range(of: end))
        try (manual[..<start.upperBound] + text + manual[stop.lowerBound...]).write(to: url, atomically: true, encoding: .utf8)
        return
    }
    #expect(manual.contains(text), "\(page) is behind the code: REACTOR_WRITE_DOCS=1 swift test --filter DaemonTests writes it anew")
}
