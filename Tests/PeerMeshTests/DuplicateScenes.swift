// What the tests of the duplicate rules set up: a harness that dials peer 1, and that peer's process calling.

import Testing
import Timers

@testable import PeerMesh

protocol DuplicateScenes {}

extension DuplicateScenes {
    func report(_ h: borrowing Harness, _ index: Int) -> PeerReport? { h.mesh.peer(at: peer(index), now: h.now) }
    func state(_ h: borrowing Harness, _ link: LinkID) -> LinkState? { h.mesh.link(link)?.state }
    static func away(_ index: Int) -> Endpoint { Endpoint(IPAddress(v4: 10, 9, 9, UInt8(index)), port: 40_000) }

    /// A harness that dials peer 1 and has its TCP connection: its subject.
    func dialling(own: Int? = 5, _ configure: (inout MeshSettings) -> Void = { _ in }) -> Harness {
        var h = Harness(own: own.map(peer), configure: configure)
        _ = h.tell(.connect(peer(1)))
        h.subject = report(h, 1)!.dial
        _ = h.tell(.connected(h.subject!))
        return h
    }

    func answer(_ h: inout Harness, nonce: UInt64 = 1, isNative: Bool = true, _ verdict: Verdict = .accepted) -> [Action] {
        h.tell(.hello(h.subject!, Hello(isNative: isNative, endpoint: peer(1), nonce: nonce, verdict: verdict)))
    }

    /// A further inbound link of peer 1, from its own address or from another.
    func call(_ h: inout Harness, nonce: UInt64 = 1, isNative: Bool = true, from remote: Endpoint? = nil, states: Int? = 1) -> (LinkID, [Action]) {
        let link = h.accept(from: remote ?? Endpoint(peer(1).address, port: 41_000))!
        return (link, h.tell(.hello(link, Hello(isNative: isNative, endpoint: states.map(peer), nonce: nonce))))
    }
}
