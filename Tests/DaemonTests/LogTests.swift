import CEpoll
import Foundation
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Daemon
@testable import Reactor

private let peer = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 24_201)

private func closed(_ reason: CloseReason = .refused, at milliseconds: UInt64 = 5_000, generation: UInt32 = 7) -> Transition {
    Transition(
        at: Instant(nanoseconds: milliseconds * 1_000_000),
        subject: .link(LinkID(slot: 3, generation: generation), from: .connecting, to: .closed, direction: .outbound),
        endpoint: peer, isPeer: true, role: .masternode, reason: reason, failures: 2,
        next: Instant(nanoseconds: (milliseconds + 10_250) * 1_000_000)
    )
}

/// A descriptor to write to, and what was written.
private final class Pipe {
    let reader: CInt
    let writer: CInt

    init() {
        var ends: [CInt] = [0, 0]
        precondition(Glibc.pipe(&ends) == 0)
        (reader, writer) = (ends[0], ends[1])
    }

    deinit {
        close(reader)
        close(writer)
    }

    /// What is there now, without waiting for more.
    func readAll() -> String {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        var set = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
        while poll(&set, 1, 0) > 0, set.revents & Int16(POLLIN) != 0 {
            let n = read(reader, &block, block.count)
            guard n > 0 else { break }
            bytes += block[..<n]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension RepeatTable {
    fileprivate mutating func admits(_ transition: Transition) -> Bool { admits(.transition(transition)) }
}

@Suite("The log")
struct LogTests {
    @Test("a wanted peer that the book has no room for is an error, and says what to raise")
    func bookFull() {
        let record = NodeRecord.bookFull(at: Instant(nanoseconds: 5_000_000_000), peer: peer, desire: .registry)
        let buffer = LineBuffer(capacity: 4_096)
        LogFormatter(format: .text, epoch: 1_709_210_091_789_000_000).append(record, to: buffer)
        #expect(LogFormatter.level(of: record) == .error)
        #expect(buffer.text.contains("error"))
        #expect(buffer.text.contains("book-full peer=127.0.0.1:24201 by=registry"))
        #expect(buffer.text.contains("--book-capacity"))
    }

    @Test("a ban that found no room is an error, and says what to raise")
    func banFull() throws {
        let subject = try #require(Subnet("2a00:1:2:3::/64"))
        let ban = BanRecord(subject: subject, kind: .ban(.automatic), until: .never, reason: nil)
        let record = NodeRecord.banFull(at: Instant(nanoseconds: 5_000_000_000), ban: ban)
        let buffer = LineBuffer(capacity: 4_096)
        LogFormatter(format: .text, epoch: 1_709_210_091_789_000_000).append(record, to: buffer)
        #expect(LogFormatter.level(of: record) == .error)
        #expect(buffer.text.contains("ban-full subject=2a00:1:2:3::/64 by=automatic"))
        #expect(buffer.text.contains("--ban-capacity"))
    }

    private func line(_ transition: Transition, _ format: LogFormat) -> String {
        let buffer = LineBuffer(capacity: 4_096)
        // 2024-02-29T12:34:56.789Z is 5 s after the epoch given here.
        LogFormatter(format: format, epoch: 1_709_210_091_789_000_000).append(transition, to: buffer)
        return buffer.text
    }

    @Test("a transition's text line names peer, states, reason, generation and next step")
    func text() {
        let expected =
            "2024-02-29T12:34:56.789Z info    link peer=127.0.0.1:24201 from=connecting to=closed reason=refused generation=7 "
            + "slot=3 direction=outbound role=masternode failures=2 next=10.250s\n"
        #expect(line(closed(), .text) == expected)
    }

    @Test("a JSON line is one well-formed object with the same fields")
    func json() throws {
        let text = line(closed(.io(104)), .json)
        #expect(text.hasSuffix("}\n") && text.count { $0 == "\n" } == 1)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2024-02-29T12:34:56.789Z")
        #expect(object["event"] as? String == "link")
        #expect(object["peer"] as? String == "127.0.0.1:24201")
        #expect(object["from"] as? String == "connecting")
        #expect(object["to"] as? String == "closed")
        #expect(object["reason"] as? String == "io(104)")
        #expect(object["generation"] as? Int == 7)
        #expect(object["failures"] as? Int == 2)
        #expect(object["next"] as? Double == 10.25)
    }

    @Test("any text is escaped so that a JSON parser reads back exactly it")
    func escaping() throws {
        for text in ["", "plain", "two words", "\"quoted\" \\ back", "line\nbreak\ttab\r", "\u{1}\u{1f}\u{7f}", "übergröße ▶ 🦊", "a=b"] {
            let buffer = LineBuffer(capacity: 4_096)
            let line = LogLine(buffer, .json, time: 0, level: .warning, event: "test")
            line.field("message", text: text)
            line.end()
            let object = try JSONSerialization.jsonObject(with: Data(buffer.text.utf8)) as? [String: Any]
            #expect(object?["message"] as? String == text)
            #expect(object?["time"] as? String == "1970-01-01T00:00:00.000Z")
        }
    }

    @Test("every kind of notice is one well-formed JSON line")
    func notices() throws {
        let notices: [Notice] = [
            .draining(signal: 15, links: 3), .ignored(signal: 10), .stopped(links: 0, after: .milliseconds(12)),
        ]
        for notice in notices {
            let buffer = LineBuffer(capacity: 4_096)
            LogFormatter(format: .json, epoch: 0).append(notice, at: 0, to: buffer)
            let object = try JSONSerialization.jsonObject(with: Data(buffer.text.utf8)) as? [String: Any]
            #expect(object?["event"] as? String != nil)
            #expect(buffer.text.count { $0 == "\n" } == 1)
        }
    }

    @Test("the first line of a kind is printed, further ones within the window are counted")
    func repeats() {
        var table = RepeatTable(window: .seconds(10))
        let first = table.admits(closed(at: 1_000))
        #expect(first)
        for step in 1...5 as ClosedRange<UInt32> {
            let isPrinted = table.admits(closed(at: 1_000 + UInt64(step) * 1_000, generation: 7 + step))
            #expect(!isPrinted)
        }
        let other = table.admits(closed(.dialTimeout, at: 6_500))
        #expect(other, "another reason is another line")
        var counted: [(UInt64, Nanoseconds)] = []
        table.expire(at: Instant(nanoseconds: 10_999_000_000)) { counted.append(($0.count, $0.lastAt - $0.printedAt)) }
        #expect(counted.isEmpty)
        table.expire(at: Instant(nanoseconds: 11_000_000_000)) { counted.append(($0.count, $0.lastAt - $0.printedAt)) }
        #expect(counted.count == 1)
        #expect(counted.first?.0 == 5 && counted.first?.1 == .seconds(5))
        let later = table.admits(closed(at: 12_000))
        #expect(later, "a new window prints again")
    }

    @Test("a full table of repeats prints more, and never less")
    func fullRepeatTable() {
        var table = RepeatTable(window: .seconds(10), capacity: 16)
        for port in 1...1_000 as ClosedRange<UInt16> {
            var transition = closed()
            transition.endpoint = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: port)
            let isPrinted = table.admits(transition)
            #expect(isPrinted)
        }
    }

    @Test("a window of zero prints everything")
    func noRepeats() {
        var table = RepeatTable(window: .zero)
        let admitted = (0..<5).map { _ in table.admits(closed()) }
        #expect(admitted == [true, true, true, true, true])
        #expect(table.nextExpiry == nil)
    }

    @Test("a log writes its opening, its records, and the count of what repeated")
    func endToEnd() throws {
        let pipe = Pipe()
        var settings = LogSettings()
        settings.descriptor = pipe.writer
        settings.format = .json
        let ring = try TransitionRing(capacity: 1_024)
        let log = Log(settings, records: ring)
        var opening = StartLines()
        opening.add(.info, "start", ("network", .word("reactor")))
        opening.add(.debug, "hidden")
        let thread = try log.start(opening)
        let now = cepoll_monotonic() / 1_000_000
        for step in 0..<20 { ring.push(.transition(closed(at: now + UInt64(step)))) }
        log.say(.stopped(links: 0, after: .zero))
        log.stop()
        #expect(thread.wait(milliseconds: 120_000))
        let lines = pipe.readAll().split(separator: "\n")
        let events = try lines.map { try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]) }
        #expect(events.compactMap { $0["event"] as? String } == ["start", "link", "stopped", "link"])
        #expect(events.last?["repeated"] as? Int == 19)
    }

    @Test("a reader that never reads stops nobody who logs, and every lost line is counted")
    func blockedReader() throws {
        let pipe = Pipe()
        var settings = LogSettings()
        settings.descriptor = pipe.writer
        settings.repeatWindow = .zero
        settings.format = .json
        let ring = try TransitionRing(capacity: 1_024)
        let log = Log(settings, records: ring)
        let thread = try log.start(StartLines())
        let pushed = 100_000
        let began = ContinuousClock.now
        for _ in 0..<pushed { ring.push(.transition(closed())) }
        // The pipe holds 64 KiB and the ring 1,024 records: pushing so many took no waiting for either.
        #expect(ContinuousClock.now - began < .seconds(5))
        #expect(ring.lost > 0)
        log.stop()
        #expect(!thread.wait(milliseconds: 50), "the thread is stuck in its write, as it should be")
        var text = ""
        while !thread.wait(milliseconds: 5) { text += pipe.readAll() }
        text += pipe.readAll()
        let events = try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        let printed = events.count { $0["event"] as? String == "link" }
        let lost = events.reduce(0) { $0 + (($1["lines"] as? Int) ?? 0) }
        #expect(printed + lost == pushed)
        #expect(lost > 0)
    }

    @Test("a reader that went away costs lines, not the thread")
    func brokenPipe() throws {
        signal(SIGPIPE, SIG_IGN)
        let pipe = Pipe()
        let gone = dup(pipe.writer)
        defer { close(gone) }
        var ends: [CInt] = [0, 0]
        precondition(Glibc.pipe(&ends) == 0)
        close(ends[0])
        var settings = LogSettings()
        settings.descriptor = ends[1]
        let ring = try TransitionRing(capacity: 1_024)
        let log = Log(settings, records: ring)
        let thread = try log.start(StartLines())
        for _ in 0..<100 { ring.push(.transition(closed())) }
        log.stop()
        #expect(thread.wait(milliseconds: 120_000))
        close(ends[1])
    }

    /// What a stranger's socket came to.
    private func stranger(_ address: IPAddress, port: UInt16, _ from: LinkState = .established, _ reason: CloseReason = .desync, at nanoseconds: UInt64) -> Transition {
        Transition(
            at: Instant(nanoseconds: nanoseconds), subject: .link(LinkID(slot: 1, generation: 1), from: from, to: .closed, direction: .inbound),
            endpoint: Endpoint(address, port: port), isPeer: false, role: .regular, reason: reason, failures: 0, next: .never
        )
    }

    /// What a writer writes of what `body` gives it.
    private func written(_ body: (inout LogWriter) -> Void) throws -> [Substring] {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("reactor-log-\(UUID().uuidString)").path
        defer { unlink(path) }
        var settings = LogSettings()
        settings.descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        settings.format = .json
        defer { close(settings.descriptor) }
        var writer = LogWriter(settings, StartLines())
        body(&writer)
        writer.report(lost: 0, isLast: true)
        writer.finish()
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    }

    @Test("strangers of one net are told by kind and net, whatever their ports and addresses are, and no event goes uncounted")
    func strangersOfOneNet() throws {
        let count = 20_000
        let now = cepoll_monotonic()
        let lines = try written { writer in
            for index in 0..<count {
                let address = IPAddress(v4: 203, 0, 113, UInt8(index % 250))
                writer.write(.transition(stranger(address, port: UInt16(1_024 + index % 60_000), at: now + UInt64(index) * 1_000)))
            }
        }
        let events = try lines.map { try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]) }
        #expect(lines.count <= 5, "\(lines.count) lines")
        let repeated = events.compactMap { $0["repeated"] as? Int }.reduce(0, +)
        #expect(repeated + events.count { $0["repeated"] == nil } == count)
        #expect(events.contains { $0["net"] as? String == "203.0.113.0/24" })
    }

    @Test("lines a second are bounded, what is left out is counted, and strangers keep no masternode's line out")
    func bound() throws {
        let count: UInt32 = 50_000
        let now = cepoll_monotonic()
        let lines = try written { writer in
            for index in 0..<count {
                // A net of its own each.
                writer.write(.transition(stranger(IPAddress(v4: 0x0b00_0000 + index << 8), port: 9, at: now + UInt64(index))))
            }
            writer.write(.transition(closed(at: now / 1_000_000)))
        }
        let events = try lines.map { try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]) }
        #expect(lines.count < 1_200, "\(lines.count) lines")
        let leftOut = events.filter { $0["event"] as? String == "left-out" }.compactMap { $0["lines"] as? Int }.reduce(0, +)
        #expect(leftOut + events.count { ($0["event"] as? String) == "link" && $0["role"] as? String == "regular" } == Int(count))
        #expect(events.contains { $0["role"] as? String == "masternode" })
    }

    @Test("a budget of lines refills by the clock, and never above its burst")
    func budget() {
        var budget = LineBudget(rate: 10, burst: 3, at: .zero)
        func take(_ count: Int, at milliseconds: UInt64) -> Int {
            (0..<count).count { _ in budget.takes(at: Instant(nanoseconds: milliseconds * 1_000_000)) }
        }
        #expect(take(10, at: 0) == 3)
        #expect(take(10, at: 50) == 0)
        #expect(take(10, at: 100) == 1)
        #expect(take(10, at: 300) == 2)
        #expect(take(10, at: 1_000_000_000) == 3)
    }

    @Test("no text is too long for its line, and no mark of control or direction is shown as it is")
    func unprintable() throws {
        for text in ["a\u{202e}b", "\u{9b}31m", "\u{2028}", "\u{feff}x", String(repeating: "\u{1}", count: 5_000), String(repeating: "é", count: 5_000)] {
            for format in LogFormat.allCases {
                let buffer = LineBuffer(capacity: 65_536)
                let line = LogLine(buffer, format, time: 0, level: .warning, event: "test")
                for name in ["message", "from", "to"] as [StaticString] { line.field(name, text: text) }
                line.end()
                #expect(buffer.count < 8_192 && buffer.text.hasSuffix("\n"))
                #expect(!buffer.text.dropLast().unicodeScalars.contains(where: VisibleText.isHidden))
                if format == .json { #expect((try? JSONSerialization.jsonObject(with: Data(buffer.text.utf8))) != nil) }
            }
        }
    }

    @Test("levels follow the table of close effects")
    func levels() {
        #expect(LogFormatter.level(of: closed(.protocolViolation)) == .warning)
        #expect(LogFormatter.level(of: closed(.remoteClosed)) == .info)
        for view in PeerView.allCases {
            var transition = closed()
            transition.subject = .peer(from: .idle, to: view)
            #expect(LogFormatter.level(of: transition) <= .info)
        }
    }
}
