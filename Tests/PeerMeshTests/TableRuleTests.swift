// Bans, trust and scores as tables: what is in force, what makes room, when points fade.

import Testing
import Timers

@testable import PeerMesh

@Suite("Bans and scores")
struct TableRuleTests {
    private static let start = Instant(nanoseconds: 1_000_000_000_000)

    private static func ban(_ index: Int, until: Instant = .never, by source: BanSource = .operator) -> BanRecord {
        BanRecord(subject: Subnet(peer(index).address), kind: .ban(source), until: until, reason: nil)
    }

    @Test("a ban holds until its time and not at it; trust likewise; the operator's ban stands above trust")
    func precedence() {
        var table = BanTable(capacity: 8)
        let now = Self.start
        let later = now + .seconds(10)
        #expect(table.set(Self.ban(1, until: later, by: .automatic), at: now).isPlain == true)
        #expect(table.covering(peer(1).address, at: now) != nil)
        #expect(table.covering(peer(1).address, at: later) == nil)
        #expect(table.covering(peer(2).address, at: now) == nil)
        #expect(table.isTrusted(peer(1).address, at: now) == false)
        #expect(table.set(BanRecord(subject: Subnet(peer(1).address), kind: .trust, until: later, reason: nil), at: now).isPlain == true)
        #expect(table.isTrusted(peer(1).address, at: now) == true)
        #expect(table.isTrusted(peer(1).address, at: later) == false)
        #expect(table.isTrusted(peer(2).address, at: now) == false)
        #expect(table.covering(peer(1).address, at: now) == nil)
        #expect(table.set(Self.ban(1, until: later), at: now).isPlain == true)
        #expect(table.covering(peer(1).address, at: now)?.kind == .ban(.operator))
        #expect(table.count == 3)
    }

    @Test("a record of the same range and kind is replaced; another kind, or another range, stands beside it")
    func replaced() {
        var table = BanTable(capacity: 4)
        for record in [Self.ban(1), Self.ban(2), Self.ban(1, by: .automatic), Self.ban(1, until: Self.start + .seconds(5))] {
            #expect(table.set(record, at: Self.start).isPlain == true)
        }
        #expect(table.count == 3)
        #expect(table.covering(peer(1).address, at: Self.start)?.until == Self.start + .seconds(5))
        #expect(table.covering(peer(2).address, at: Self.start)?.until == .never)
    }

    @Test("a full table gives up what has run out, and refuses when nothing has")
    func full() {
        var table = BanTable(capacity: 3)
        let soon = Self.start + .seconds(1)
        for index in 1...3 { #expect(table.set(Self.ban(index, until: index == 1 ? soon : .never), at: Self.start).isPlain == true) }
        #expect(table.set(Self.ban(4), at: Self.start).isPlain == false)
        #expect(table.count == 3)
        #expect(table.set(Self.ban(4), at: soon).isPlain == true)
        #expect(table.count == 3)
        #expect(table.covering(peer(1).address, at: Self.start) == nil)
        for index in 2...4 { #expect(table.covering(peer(index).address, at: soon) != nil) }
        #expect(table.set(Self.ban(5), at: soon).isPlain == false)
    }

    @Test("a table with room looks for nothing that has run out")
    func roomy() {
        var table = BanTable(capacity: 3)
        for (index, until) in [(1, Self.start), (2, .never)] as [(Int, Instant)] { #expect(table.set(Self.ban(index, until: until), at: Self.start).isPlain == true) }
        #expect(table.count == 2)
    }

    @Test("an unban takes every ban of exactly that range and leaves trust, an untrust leaves bans")
    func removed() {
        var table = BanTable(capacity: 8)
        let trust = BanRecord(subject: Subnet(peer(1).address), kind: .trust, until: .never, reason: nil)
        for record in [Self.ban(1), trust, Self.ban(1, by: .automatic), Self.ban(2)] { #expect(table.set(record, at: Self.start).isPlain == true) }
        table.remove(Subnet(peer(1).address), trust: true)
        #expect(table.count == 3)
        #expect(table.isTrusted(peer(1).address, at: Self.start) == false)
        #expect(table.set(trust, at: Self.start).isPlain == true)
        table.remove(Subnet(peer(1).address), trust: false)
        #expect(table.count == 2)
        #expect(table.isTrusted(peer(1).address, at: Self.start) == true)
        #expect(table.covering(peer(2).address, at: Self.start) != nil)
        table.sweep(at: Self.start)
        #expect(table.count == 2)
    }

    @Test("points add up by address, halve every ten minutes, and are gone when cleared")
    func points() {
        var table = ScoreTable(capacity: 2)
        let ten = Nanoseconds.seconds(600)
        #expect(table.add(40, to: peer(1).address, at: Self.start + .zero) == 40)
        #expect(table.add(40, to: peer(1).address, at: Self.start + .seconds(599)) == 80)
        #expect(table.add(0, to: peer(1).address, at: Self.start + .seconds(599) + ten) == 40)
        #expect(table.add(1, to: peer(1).address, at: Self.start + .seconds(599) + ten * 40) == 1)
        #expect(table.add(20, to: peer(2).address, at: Self.start + .seconds(599) + ten * 40) == 20)
        // A third address takes the place of the one not heard of for longest.
        #expect(table.add(5, to: peer(1).address, at: Self.start + ten * 42) == 5)
        #expect(table.add(7, to: peer(3).address, at: Self.start + ten * 42) == 7)
        var held: [IPAddress] = []
        table.forEach { address, _, _ in held.append(address) }
        #expect(Set(held) == [peer(1).address, peer(3).address])
        table.clear(peer(3).address)
        #expect(table.add(1, to: peer(3).address, at: Self.start + ten * 42) == 1)
        #expect(table.add(1, to: peer(1).address, at: Self.start + ten * 42) == 6)
        held = []
        table.clear(peer(1).address)
        table.forEach { address, _, _ in held.append(address) }
        #expect(held == [peer(3).address])
    }

    @Test("points are told by address, faded as they are by now")
    func pointsByAddress() {
        var table = ScoreTable(capacity: 3)
        #expect(table.add(40, to: peer(1).address, at: Self.start) == 40)
        #expect(table.add(20, to: peer(2).address, at: Self.start) == 20)
        #expect(table.points(of: peer(2).address, at: Self.start) == 20)
        #expect(table.points(of: peer(1).address, at: Self.start + .seconds(600)) == 20)
        #expect(table.points(of: peer(3).address, at: Self.start) == 0)
        table.clear(peer(2).address)
        #expect(table.points(of: peer(2).address, at: Self.start) == 0)
        #expect(table.points(of: peer(1).address, at: Self.start) == 40)
    }

    @Test("the table of a reason's effects is the one of docs/Closing.md")
    func effects() {
        let graceful: Set<CloseReason> = [
            .superseded, .duplicate, .full, .crowded, .evicted, .banned, .operator, .shutdown, .selfConnection, .wrongNetwork,
            .protocolViolation,
        ]
        let all: [CloseReason] = [
            .remoteClosed, .refused, .dialTimeout, .greetingTimeout, .frameTimeout, .keepaliveTimeout, .protocolViolation, .desync,
            .frameTooLarge, .slowConsumer, .superseded, .duplicate, .full, .crowded, .evicted, .banned, .operator, .shutdown, .selfConnection,
            .wrongNetwork, .internalError, .io(5), .local(99),
        ]
        for reason in all {
            #expect(reason.effect.drains == graceful.contains(reason), "\(reason)")
            #expect(reason.effect.score == (reason == .protocolViolation || reason == .frameTooLarge ? 20 : 0), "\(reason)")
            let schedule: CloseEffect.OnSchedule = switch reason {
            case .superseded, .duplicate, .operator, .internalError: .neutral
            case .full, .crowded, .evicted: .slow
            case .local: .ours
            case .banned, .shutdown: .nothing
            default: .counts
            }
            #expect(reason.effect.schedule == schedule, "\(reason)")
        }
    }
}
