import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Daemon

/// What a resolver delivered, and a way to wait for it.
private final class Deliveries: Sendable {
    private let all = Mutex<[(UInt32, [Endpoint])]>([])

    func add(_ index: UInt32, _ list: AddressList) { all.withLock { $0.append((index, list.endpoints)) } }

    /// The deliveries, once there are `count` of them.
    func wait(for count: Int) async throws -> [(UInt32, [Endpoint])] {
        for _ in 0..<24_000 {
            let now = all.withLock { $0 }
            if now.count >= count { return now }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("no \(count) deliveries within two minutes")
        return all.withLock { $0 }
    }
}

@Suite("The resolver")
struct ResolverTests {
    private let one = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 5)
    private let two = Endpoint(IPAddress(v4: 127, 0, 0, 2), port: 5)

    @Test("every name is resolved at start, and anew when asked")
    func again() async throws {
        let (one, two) = (self.one, self.two)
        let resolver = try Resolver(names: [PeerName("a.test:5")!, PeerName("b.test:5")!]) { name in
            (name.host == "a.test" ? [one] : [one, two], 0)
        } say: { _ in
        }
        let deliveries = Deliveries()
        let thread = try resolver.start { deliveries.add($0, $1) }
        let first = try await deliveries.wait(for: 2)
        #expect(first.map(\.0) == [0, 1])
        #expect(first.last?.1 == [one, two])
        resolver.request(1)
        #expect(try await deliveries.wait(for: 3).last?.0 == 1)
        resolver.stop()
        #expect(thread.wait(milliseconds: 120_000))
    }

    @Test("a name that cannot be resolved is tried again until it can, and said each time")
    func retry() async throws {
        let one = self.one
        let notices = RecordRing<Notice>(capacity: 64)
        let deliveries = Deliveries()
        let box = Counter()
        let resolver = try Resolver(names: [PeerName("late.test:5")!]) { _ in
            box.next() < 2 ? ([], -2) : ([one], 0)
        } say: {
            notices.push($0)
        }
        let thread = try resolver.start { deliveries.add($0, $1) }
        #expect(try await deliveries.wait(for: 1).first?.1 == [one])
        resolver.stop()
        #expect(thread.wait(milliseconds: 120_000))
        #expect(notices.pop() == .unresolved(name: 0, code: -2, retryIn: .seconds(1)))
        #expect(notices.pop() == .unresolved(name: 0, code: -2, retryIn: .seconds(2)))
        #expect(notices.pop() == .resolved(name: 0, one, count: 1))
    }

    @Test("the system's resolver knows this machine")
    func system() {
        let (endpoints, code) = Resolver.system(PeerName("localhost:5")!)
        #expect(code == 0)
        #expect(endpoints.contains { $0.address.isLoopback && $0.port == 5 })
        let (none, failure) = Resolver.system(PeerName("no-such-host.invalid:5")!)
        #expect(none.isEmpty && failure != 0)
        #expect(!Resolver.errorText(failure).isEmpty)
    }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}
