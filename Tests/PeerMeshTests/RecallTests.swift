import Testing
import Timers

@testable import PeerMesh

@Suite("A mesh that had an earlier life, and one that gets new settings")
struct RecallTests {
    private func endpoint(_ last: UInt8) -> Endpoint { Endpoint(IPAddress(v4: 10, 1, 0, last), port: 5) }

    private func dials(_ actions: [Action]) -> [Endpoint] {
        actions.compactMap { if case .dial(_, let endpoint) = $0 { endpoint } else { nil } }
    }

    @Test("who was linked at the end is dialled first, in the order of the recollection")
    func anchors() {
        var node = Harness(started: false) { $0.dialBurst = 4 }
        for last in [42, 40, 41] { _ = node.tell(.recalled(endpoint(UInt8(last)), .linked)) }
        for last in 1...30 { _ = node.tell(.recalled(endpoint(UInt8(last)), .known)) }
        let first = dials(node.tell(.start))
        #expect(first.prefix(3) == [endpoint(42), endpoint(40), endpoint(41)])
        #expect(first.count == 4, "and then others, as far as the budget goes")
    }

    @Test("who was forgotten is not learnt before its time, and a masternode is wanted whatever was kept of it")
    func forgotten() {
        var node = Harness()
        _ = node.tell(.recalled(endpoint(1), .forgotten(until: node.now + .seconds(60))))
        #expect(node.mesh.peer(at: endpoint(1), now: node.now)?.schedule == .off(.forgotten))
        #expect(dials(node.wait(.seconds(30))).isEmpty)
        _ = node.wait(.seconds(31))
        #expect(node.mesh.peer(at: endpoint(1), now: node.now) == nil, "its time is over")
        _ = node.tell(.recalled(endpoint(2), .forgotten(until: node.now + .seconds(60))))
        #expect(dials(node.tell(.registered(endpoint(2)))) == [endpoint(2)])
        _ = node.tell(.recalled(endpoint(2), .forgotten(until: node.now + .seconds(600))))
        #expect(node.mesh.peer(at: endpoint(2), now: node.now)?.desire == .registry)
    }

    @Test("a shorter longest wait holds at once, and closes nothing")
    func shorterBackoff() {
        var node = Harness { $0.backoffInitial = .seconds(200) }
        let dialled = node.tell(.connect(endpoint(1)))
        guard case .dial(let link, _)? = dialled.first else {
            Issue.record("no dial")
            return
        }
        _ = node.tell(.dialFailed(link, .refused))
        #expect(dials(node.wait(.seconds(20))).isEmpty)
        var settings = node.mesh.settings
        settings.backoffInitial = .seconds(5)
        settings.backoffMax = .seconds(10)
        node.mesh.apply(settings, at: node.now)
        #expect(node.mesh.brokenInvariant(at: node.now) == nil)
        #expect(dials(node.wait(.seconds(11))) == [endpoint(1)])
    }

    @Test("a shorter ping interval holds for the links that stand")
    func shorterPing() {
        var node = Harness { $0.pingInterval = .seconds(3_000) }
        guard case .dial(let link, _)? = node.tell(.connect(endpoint(1))).first else {
            Issue.record("no dial")
            return
        }
        _ = node.tell(.connected(link))
        _ = node.tell(.hello(link, Hello(isNative: true, endpoint: endpoint(1), nonce: 77, verdict: .accepted)))
        #expect(node.mesh.link(link)?.state == .established)
        #expect(node.wait(.seconds(100)).isEmpty)
        var settings = node.mesh.settings
        settings.pingInterval = .seconds(10)
        node.mesh.apply(settings, at: node.now)
        let actions = node.wait(.seconds(11))
        #expect(actions.contains { if case .ping(link, _) = $0 { true } else { false } })
        #expect(node.mesh.link(link)?.state == .established)
    }

    @Test("what sizes the tables does not change in a mesh at work")
    func fixed() {
        let old = MeshSettings(nonce: 1, seed: 2)
        var new = old
        new.maxPeers += 1
        #expect(!old.canBecome(new))
        new = old
        new.reservedSlots = 0
        #expect(!old.canBecome(new))
        new = old
        new.pingInterval = .seconds(1)
        #expect(old.canBecome(new))
    }
}
