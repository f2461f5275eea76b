// What a name's answers make of its address, as a table without loop and threads.

import PeerMesh
import Testing

@testable import Daemon

@Suite("Peers by name")
struct NamedPeersTests {
    private let one = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 5)
    private let two = Endpoint(IPAddress(v4: 127, 0, 0, 2), port: 5)
    private let three = Endpoint(IPAddress(v4: 127, 0, 0, 3), port: 5)
    private let peer = NamedPeer(name: PeerName("a.test:5")!, kind: .peer)

    private func names(_ wanted: NamedPeer...) -> NamedPeers {
        var names = NamedPeers()
        for (number, peer) in wanted.enumerated() { names.want(NameHandle(peer: peer, number: UInt64(number)), by: .settings) }
        return names
    }

    @Test("a name's addresses are tried in turn, one a failure")
    func turns() {
        var names = names(peer)
        var steps: [NamedPeers.Step] = []
        for _ in 0..<4 {
            steps.append(names.take([one, two, three], for: peer) { _ in .usable })
            // An answer alone, without a failure, moves nothing.
            let again = names.take([one, two, three], for: peer) { _ in .usable }
            #expect(again == .nothing)
            names.note(hasFailed: true, at: names.current(of: peer)!)
        }
        #expect(steps == [.want(one), .move(from: one, to: two), .move(from: two, to: three), .move(from: three, to: one)])
        #expect(names.isNamed(one, .peer) && !names.isNamed(two, .peer))
    }

    @Test("a name that cannot be resolved now goes on through the addresses known")
    func outage() {
        var names = names(peer)
        let nothing = names.take([], for: peer) { _ in .usable }
        #expect(nothing == .nothing)
        _ = names.take([one, two], for: peer) { _ in .usable }
        names.note(hasFailed: true, at: one)
        let step = names.take([], for: peer) { _ in .usable }
        #expect(step == .move(from: one, to: two))
    }

    @Test("a row with a link or a dial stays where it is, also when its address has left the answer")
    func busy() {
        var names = names(peer)
        _ = names.take([one, two], for: peer) { _ in .busy }
        names.note(hasFailed: true, at: one)
        for answer in [[one, two], [two], []] {
            let step = names.take(answer, for: peer) { _ in .busy }
            #expect(step == .nothing)
        }
        #expect(names.current(of: peer) == one)
    }

    @Test("an address that left the answer is left for the first one of it, without a failure")
    func changed() {
        var names = names(peer)
        _ = names.take([one], for: peer) { _ in .usable }
        let step = names.take([two, three], for: peer) { _ in .usable }
        #expect(step == .move(from: one, to: two))
    }

    @Test("an address that is ourselves or banned is left for another one, and kept where there is none")
    func useless() {
        var names = names(peer)
        let first = names.take([one, two], for: peer) { $0 == one ? .useless : .usable }
        #expect(first == .want(two))
        let other = names.take([one, two, three], for: peer) { $0 == three ? .usable : .useless }
        #expect(other == .move(from: two, to: three))
        let none = names.take([one, two, three], for: peer) { _ in .useless }
        #expect(none == .nothing)
        let only = names.take([one], for: peer) { _ in .useless }
        #expect(only == .move(from: three, to: one), "the name's wish follows its answer")
    }

    @Test("a name is wanted until its last source drops it, and is known by its newest number")
    func sources() {
        var names = names(peer)
        _ = names.take([one], for: peer) { _ in .usable }
        names.want(NameHandle(peer: peer, number: 9), by: .operator)
        names.want(NameHandle(peer: peer, number: 4), by: .operator)
        #expect(names.names(at: one).map(\.number) == [9])
        let first = names.drop(peer, by: .settings)
        #expect(first == nil && !names.isEmpty)
        let last = names.drop(peer, by: .operator)
        #expect(last == one && names.isEmpty && !names.isNamed(one, .peer))
        let gone = names.take([two], for: peer) { _ in .usable }
        #expect(gone == .nothing)
    }
}
