import Dispatch
import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Daemon

/// What a resolver delivered, and a way to wait for it.
private final class Deliveries: Sendable {
    private let all = Mutex<[(PeerName, [Endpoint])]>([])

    func add(_ answer: NameAnswer) -> Bool {
        all.withLock { $0.append((answer.handle.peer.name, answer.endpoints)) }
        return true
    }

    /// The deliveries, once `condition` holds of them.
    func wait(until condition: ([(PeerName, [Endpoint])]) -> Bool) async throws -> [(PeerName, [Endpoint])] {
        for _ in 0..<24_000 {
            let now = all.withLock { $0 }
            if condition(now) { return now }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("not delivered within two minutes")
        return all.withLock { $0 }
    }
}

/// A lookup that blocks as a dead name server makes it block, until the test opens it.
private final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func pass() {
        semaphore.wait()
        semaphore.signal()
    }

    func open() { semaphore.signal() }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}

private func named(_ text: String) -> NamedPeer { NamedPeer(name: PeerName(text)!, kind: .peer) }

private let one = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 5)
private let two = Endpoint(IPAddress(v4: 127, 0, 0, 2), port: 5)

@Suite("The resolver")
struct ResolverTests {
    @Test("dead names delay no other one, more of them than there are places included", arguments: [4, 40])
    func parallel(dead: Int) async throws {
        let gate = Gate()
        defer { gate.open() }
        var timing = NameTable.Timing()
        timing.deadline = .milliseconds(50)
        let resolver = try Resolver(timing: timing, scope: .loopback) { name in
            if name.host == "good.test" { return ([one], 0) }
            gate.pass()
            return ([], -2)
        } say: { _ in
        }
        for index in 0..<dead { _ = resolver.want(named("dead\(index).test:5"), by: .settings) }
        _ = resolver.want(named("good.test:5"), by: .settings)
        let deliveries = Deliveries()
        let thread = try resolver.start { deliveries.add($0) }
        // None of the dead lookups ever returns before this.
        #expect(try await deliveries.wait { !$0.isEmpty }.first?.0.host == "good.test")
        resolver.stop()
        #expect(thread.wait(milliseconds: 120_000))
    }

    @Test("a name is resolved when it is wanted, and anew when its peer fails")
    func again() async throws {
        let resolver = try Resolver(scope: .loopback) { name in
            (name.host == "a.test" ? [one] : [one, two], 0)
        } say: { _ in
        }
        let deliveries = Deliveries()
        let thread = try resolver.start { deliveries.add($0) }
        _ = resolver.want(named("a.test:5"), by: .settings)
        let b = try #require(resolver.want(named("B.test:5"), by: .settings))
        let first = try await deliveries.wait { $0.count >= 2 }
        #expect(first.first { $0.0.host == "b.test" }?.1 == [one, two])
        resolver.tell(b.number, .failed)
        // The other may be looked up again beside it, where the machine is slow.
        _ = try await deliveries.wait { $0.count { $0.0.host == "b.test" } >= 2 }
        resolver.stop()
        #expect(thread.wait(milliseconds: 120_000))
    }

    @Test("an answer that does not reach the loop is got again")
    func lost() async throws {
        var timing = NameTable.Timing()
        timing.firstRetry = .milliseconds(5)
        let resolver = try Resolver(timing: timing, scope: .loopback) { _ in ([one], 0) } say: { _ in }
        _ = resolver.want(named("a.test:5"), by: .settings)
        let deliveries = Deliveries()
        let refusals = Counter()
        let thread = try resolver.start { answer in
            guard refusals.next() >= 2 else { return false }
            return deliveries.add(answer)
        }
        #expect(try await deliveries.wait { !$0.isEmpty }.first?.1 == [one])
        resolver.stop()
        #expect(thread.wait(milliseconds: 120_000))
    }

    @Test("the system's resolver knows this machine")
    func system() {
        let (endpoints, code) = Resolver.system(PeerName("localhost:5")!)
        #expect(code == 0)
        #expect(endpoints.contains { $0.address.isLoopback && $0.port == 5 })
        #expect(!Resolver.errorText(-2).isEmpty && !Resolver.errorText(0).isEmpty)
    }
}

@Suite("Which name is looked up when")
struct NameTableTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func table(_ scope: AddressScope? = .loopback) -> NameTable { NameTable(timing: .init(), scope: scope) }

    private func text(_ lines: StartLines) -> String {
        let buffer = LineBuffer(capacity: 65_536)
        for line in lines.lines { line.append(to: buffer, .text, time: 0) }
        return buffer.text
    }

    @Test("a lookup that takes too long is told, keeps its name from no later answer, and gives its place to another name")
    func late() {
        var table = NameTable(timing: .init(parallel: 4), scope: .loopback)
        for index in 0..<5 { _ = table.want(named("dead\(index).test:5"), by: .settings) }
        let first = table.takeDue(at: start)
        #expect(first.count == 4 && table.takeDue(at: start).isEmpty)
        #expect(table.nextStep(at: start) <= start + .seconds(3))
        let lines = table.expire(at: start + .seconds(3))
        #expect(lines.lines.count == 4 && text(lines).contains("no answer within 3s"))
        #expect(table.takeDue(at: start + .seconds(3)).map(\.name.host) == ["dead4.test"])
        // One name has one lookup at a time, and a late answer is an answer.
        let outcome = table.finish(first[0].lookup, [one], 0, at: start + .seconds(9))
        #expect(outcome.answer?.endpoints == [one])
    }

    @Test("a lookup that never returns does not keep its name from another one for ever, and many of them are bounded")
    func hung() {
        var timing = NameTable.Timing()
        (timing.parallel, timing.total) = (2, 3)
        var table = NameTable(timing: timing, scope: .loopback)
        _ = table.want(named("dead.test:5"), by: .settings)
        var now = start
        for expected in [1, 1, 1, 0, 0] {
            #expect(table.takeDue(at: now).count == expected)
            now = now + timing.hang
            _ = table.expire(at: now)
            #expect(table.nextStep(at: now) > now, "the thread sleeps")
        }
    }

    @Test("names that failed never take the last places from those that have not")
    func places() {
        var timing = NameTable.Timing()
        timing.parallel = 4
        var table = NameTable(timing: timing, scope: .loopback)
        for index in 0..<9 { _ = table.want(named("dead\(index).test:5"), by: .settings) }
        var now = start
        for _ in 0..<9 {
            for due in table.takeDue(at: now) { _ = table.finish(due.lookup, [], -2, at: now) }
        }
        now = now + .seconds(100)
        _ = table.want(named("new.test:5"), by: .settings)
        let due = table.takeDue(at: now)
        #expect(due.first?.name.host == "new.test" && due.count == 3)
        _ = table.want(named("newer.test:5"), by: .settings)
        #expect(table.takeDue(at: now).map(\.name.host) == ["newer.test"])
    }

    @Test("a name that cannot be resolved is tried again after 1, 2, 4 … 60 s, and the same trouble is a warning once")
    func retry() {
        var table = table()
        _ = table.want(named("late.test:5"), by: .settings)
        var now = start
        var warnings = 0
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] as [UInt64] {
            let due = table.takeDue(at: now)
            #expect(due.count == 1)
            let lines = table.finish(due[0].lookup, [], -2, at: now).lines
            warnings += lines.lines.count { $0.level == .warning }
            #expect(table.nextStep(at: now) == now + .seconds(wait))
            now = now + .seconds(wait)
        }
        #expect(warnings == 1)
        let lines = table.finish(table.takeDue(at: now)[0].lookup, [one], 0, at: now).lines
        #expect(text(lines).contains("resolved") && table.reports.first?.trouble == nil)
    }

    @Test("a name without a link is looked up again by itself, one with a link seldom, and one whose peer failed at once")
    func refresh() {
        var table = table()
        let handle = table.want(named("a.test:5"), by: .settings)!
        _ = table.finish(table.takeDue(at: start)[0].lookup, [one], 0, at: start)
        #expect(table.nextStep(at: start) == start + .seconds(60))
        _ = table.note(NameWord(number: handle.number, what: .linked), at: start)
        #expect(table.nextStep(at: start) == start + .seconds(600))
        _ = table.note(NameWord(number: handle.number, what: .failed), at: start)
        #expect(table.nextStep(at: start) == start + .seconds(1), "but not twice within a second")
        _ = table.note(NameWord(number: handle.number, what: .unlinked), at: start + .seconds(5))
        #expect(table.takeDue(at: start + .seconds(5)).count == 1)
    }

    @Test("an answer that cannot be dialled is refused and told: no host, a loopback or link-local address of a node elsewhere, a zone that is missing")
    func refused() throws {
        let cases: [(String, String, AddressScope?, String?)] = [
            ("sink.test:5", "0.0.0.0:5", .loopback, "unspecified"), ("sink.test:5", "[::]:5", .global, "unspecified"),
            ("all.test:5", "255.255.255.255:5", .loopback, "broadcast"), ("many.test:5", "224.0.0.1:5", .private, "multicast"),
            ("self.test:5", "127.0.1.1:5", .global, "loopback"), ("self.test:5", "[::1]:5", nil, "loopback"),
            ("self.test:5", "127.0.1.1:5", .private, "loopback"), ("near.test:5", "[fe80::1]:5", .linkLocal, "zone"),
            ("cloud.test:5", "169.254.169.254:5", .global, "link-local"), ("cloud.test:5", "169.254.169.254:5", .private, "link-local"),
            ("self.test:5", "127.0.1.1:5", .loopback, nil), ("localhost:5", "127.0.0.1:5", .global, nil), ("a.localhost:5", "127.0.0.1:5", nil, nil),
            ("localhost.evil.test:5", "127.0.0.1:5", .global, "loopback"), ("inside.test:5", "10.0.0.5:5", .private, nil),
            ("near.test:5", "169.254.3.4:5", .linkLocal, nil),
        ]
        for (name, address, scope, refusal) in cases {
            var table = table(scope)
            _ = table.want(named(name), by: .settings)
            let outcome = table.finish(table.takeDue(at: start)[0].lookup, [try #require(Endpoint(address))], 0, at: start)
            #expect((outcome.answer == nil) == (refusal != nil), "\(name) \(address)")
            if let refusal { #expect(text(outcome.lines).contains(refusal), "\(text(outcome.lines))") }
        }
        // Beside one that can be dialled it is left out.
        var table = table(.private)
        _ = table.want(named("both.test:5"), by: .settings)
        let good = Endpoint("10.0.0.5:5")!
        #expect(table.finish(table.takeDue(at: start)[0].lookup, [one, good], 0, at: start).answer?.endpoints == [good])
    }

    @Test("a private address behind a name is dialled, and a node at a global address is told of it", arguments: [AddressScope.global, .private, nil])
    func doubtful(scope: AddressScope?) throws {
        var table = table(scope)
        _ = table.want(named("inside.test:5"), by: .settings)
        let outcome = table.finish(table.takeDue(at: start)[0].lookup, [Endpoint("10.0.0.5:5")!], 0, at: start)
        #expect(outcome.answer != nil)
        #expect(outcome.lines.lines.first?.level == (scope == .global ? .warning : .info))
    }

    @Test("a name is looked up until its last source drops it, and a limit holds")
    func bounds() {
        var table = table()
        let first = table.want(named("a.test:5"), by: .settings)
        #expect(table.want(named("a.test:5"), by: .operator) == first)
        table.drop(named("a.test:5"), by: .settings)
        #expect(table.takeDue(at: start).count == 1)
        table.drop(named("a.test:5"), by: .operator)
        #expect(table.reports.isEmpty)
        for index in 0..<NameTable.capacity { #expect(table.want(named("n\(index).test:5"), by: .registryFile) != nil) }
        #expect(table.want(named("more.test:5"), by: .registryFile) == nil)
    }
}
