// A registry of any length: who is wanted of it, and that a line costs little however long it is.

import Testing
import Timers

@testable import PeerMesh

@Suite("A long registry")
struct RegistryRankTests {
    private static func endpoint(_ index: Int) -> Endpoint { Endpoint(IPAddress(v4: 0x0a00_0000 + UInt32(index)), port: 9_000) }

    private func readBack(_ bytes: [UInt8], _ h: borrowing Harness) -> Int? {
        if let copy = Mesh(h.mesh.settings, decoding: bytes, now: h.now) { return copy.registeredCount }
        return nil
    }

    private func expectRegistered(_ h: borrowing Harness, _ endpoint: Endpoint, _ expected: Bool) {
        let isRegistered = h.mesh.hasRegistered(address: endpoint.address)
        #expect(isRegistered == expected, "\(endpoint)")
    }

    private func wanted(_ h: borrowing Harness) -> Set<Endpoint> {
        var wanted: Set<Endpoint> = []
        for row in 0..<h.mesh.rowLimit where h.mesh.isCounted(row) && !h.mesh.peers[row].isBeyondTable { wanted.insert(h.mesh.peers[row].endpoint) }
        return wanted
    }

    @Test("after every line that comes or goes, exactly the first in endpoint order are wanted", arguments: 1...6 as ClosedRange<UInt64>)
    func firstAreWanted(seed: UInt64) {
        var random = Random(state: seed)
        var h = Harness(own: Self.endpoint(7)) { ($0.maxPeers, $0.reservedSlots, $0.bookCapacity) = (5, 5, 64) }
        var registry: Set<Endpoint> = []
        var own = Self.endpoint(7)
        for step in 0..<400 {
            let endpoint = Self.endpoint(Int(random.next(below: 30)))
            if random.next(below: 20) == 0 {
                own = endpoint
                _ = h.tell(.ownEndpoint(own))
            } else if registry.contains(endpoint) {
                registry.remove(endpoint)
                _ = h.tell(.unregistered(endpoint))
            } else {
                registry.insert(endpoint)
                _ = h.tell(.registered(endpoint))
            }
            let expected = Set(registry.filter { $0 != own }.sorted().prefix(5))
            let (wanted, count) = (wanted(h), h.mesh.registeredCount)
            #expect(wanted == expected, "step \(step)")
            #expect(count == registry.subtracting([own]).count)
            for index in 0..<30 { expectRegistered(h, Self.endpoint(index), registry.contains(Self.endpoint(index))) }
            if step % 50 == 0 {
                var bytes: [UInt8] = []
                h.mesh.encode(into: &bytes)
                let copy = readBack(bytes, h)
                // Reading back asks for every invariant.
                #expect(copy == count)
            }
        }
    }

    @Test("many masternodes at one address are told apart, and the address is registered until the last of them goes")
    func oneAddress() {
        var h = Harness()
        let endpoints = (1...20).map { Endpoint(IPAddress(v4: 10, 0, 0, 1), port: UInt16($0)) }
        for endpoint in endpoints { _ = h.tell(.registered(endpoint)) }
        for endpoint in endpoints.reversed() {
            expectRegistered(h, endpoint, true)
            _ = h.tell(.unregistered(endpoint))
        }
        expectRegistered(h, endpoints[0], false)
    }

    /// The daemon tells the mesh 256 lines in one turn. What the thread itself took of the processor in the quietest slices of one run is
    /// compared, so neither the machine's speed nor its load matters: a cost that grew with the list would be some 15 times as high at its
    /// end, one that grew with its square 200 times.
    @Test("256 lines cost no more at the end of a registry of 100,000 than at its beginning", .timeLimit(.minutes(5)))
    func linear() {
        var settings = MeshSettings(nonce: 1, seed: 1)
        (settings.maxPeers, settings.bookCapacity) = (100, 131_072)
        let now = Instant(nanoseconds: 1_000_000_000)
        var mesh = Mesh(settings, now: now)
        mesh.handle(.start, at: now)
        var slices: [Int] = []
        func tell(_ event: Event) {
            mesh.handle(event, at: now)
            while mesh.nextAction() != nil {}
            while mesh.nextTransition() != nil {}
        }
        for slice in 0..<400 {
            let before = processorTime()
            // Downwards, so that each line moves another over the table's end.
            for line in 0..<256 { tell(.registered(Self.endpoint(200_000 - slice * 256 - line))) }
            slices.append(processorTime() - before)
        }
        let count = mesh.registeredCount
        #expect(count == 102_400)
        let (first, last) = (slices[1..<51].sorted()[5], slices[350..<400].sorted()[5])
        print("registry: 256 lines took \(first / 1_000) µs at the beginning and \(last / 1_000) µs at the end")
        #expect(last < first * 6)
    }
}
