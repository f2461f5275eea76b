import Foundation
import PeerMesh
import Testing
import Timers

@testable import Daemon
@testable import Reactor

@Suite("JSON")
struct JSONTests {
    @Test("what is written reads back as the same", arguments: [
        JSON.null, .bool(true), .integer(-7), .number(0.25), .string("a\"\\\n\u{1}é𝄞"), .array([.integer(1), .array([])]),
        .members(("a", .integer(1)), ("b", .members(("c", .null)))),
    ])
    func roundTrip(value: JSON) throws {
        #expect(try JSON(reading: value.line.utf8) == value)
        #expect(try JSON(reading: value.page.utf8) == value)
    }

    @Test("escapes and surrogate pairs are read")
    func escapes() throws {
        #expect(try JSON(reading: #" {"a":"\u00e9\ud834\udd1e\/\t"} "#.utf8)["a"]?.text == "é𝄞/\t")
    }

    @Test("what is not JSON is refused with its place", arguments: [
        "", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "tru", "01", "1.", "-", "+1", "1e", "\"\u{1}\"", "\"\\x\"", "\"\\ud800\"", "[1] 2", "{\"a\":1,\"a\":2}",
        String(repeating: "[", count: 40), "\"", "{\"a\"}", "1e999",
    ])
    func refused(text: String) {
        #expect(throws: JSONError.self) { try JSON(reading: text.utf8) }
    }

    @Test("no byte of a stranger's reaches a terminal as a command")
    func terminal() {
        #expect(!JSON.string("\u{1b}[31m\u{9b}2J\u{7f}").line.unicodeScalars.contains { $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) })
    }
}

@Suite("requests of the control API")
struct RequestTests {
    private func problem(_ method: String, _ target: String, _ body: String = "") -> Problem? {
        do throws(Problem) {
            _ = try Request(method: method, target: target, body: Array(body.utf8))
            return nil
        } catch { return error }
    }

    @Test("every route of the table is reached", arguments: Daemon.Operation.allCases)
    func routes(operation: Daemon.Operation) throws {
        var values: [String] = []
        for parameter in operation.route.parameters where parameter.isRequired && parameter.place == .body {
            let text = switch parameter.kind {
            case .peer: "192.0.2.1:1"
            case .subject: "192.0.2.0/24"
            case .span: "1s"
            case .count: "1"
            case .flag: "true"
            case .text: "x"
            case .choice(let choices): choices[0]
            }
            values.append("\"\(parameter.name)\":\"\(text)\"")
        }
        let target = operation.route.path.replacing("{id}", with: "%5B2001:db8::1%5D:24200")
        let request = try Request(
            method: operation.route.method.rawValue, target: target, body: Array((values.isEmpty ? "" : "{\(values.joined(separator: ","))}").utf8))
        #expect(request.operation == operation)
    }

    @Test(
        "a bad request is a problem that names the value and what is accepted",
        arguments: [
            ("GET", "/nope", "", 404, "GET /"), ("DELETE", "/peers", "", 405, "GET"), ("GET", "/peers/nons%20ense", "", 422, "ADDRESS:PORT"),
            ("GET", "/peers/1.2.3.4:0", "", 422, "ADDRESS:PORT"), ("GET", "/peers/%zz", "", 400, "hex"), ("GET", "/peers?colour=red", "", 400, "colour"),
            ("GET", "/peers?state=odd", "", 422, "backoff"), ("POST", "/ban", "{\"subject\":\"300.0.0.1\"}", 422, "192.0.2.0/24"),
            ("POST", "/ban", "{\"subject\":\"10.0.0.0/33\"}", 422, "192.0.2.0/24"), ("POST", "/ban", "{\"subject\":\"10.0.0.1\",\"for\":\"5x\"}", 422, "500ms"),
            ("POST", "/ban", "{\"subject\":\"10.0.0.1\",\"for\":-1}", 422, "500ms"), ("POST", "/ban", "{}", 400, "subject"), ("POST", "/ban", "[1]", 400, "object"),
            ("POST", "/ban", "{", 400, "byte"), ("POST", "/connect", "{\"peer\":\"example.org:0\"}", 422, "HOST:PORT"), ("POST", "/connect", "{\"peer\":7}", 422, "'7' is not a peer"),
            ("GET", "/peers/127.1:5/why", "", 422, "'127.1:5' is not a peer: give ADDRESS:PORT"),
            ("GET", "/peers/0x7f000001:5", "", 422, "ADDRESS:PORT"), ("GET", "/events?peer=example..org:80", "", 422, "ADDRESS:PORT"),
            ("POST", "/connect", "{\"peer\":\"1.2.3.4:5\",\"pear\":1}", 400, "pear"), ("POST", "/connect?peer=1.2.3.4:5", "{\"peer\":\"1.2.3.4:5\"}", 400, "twice"),
            ("POST", "/log-level", "{\"level\":\"loud\"}", 422, "debug"), ("GET", "/health/ready?min-links=-1", "", 422, "whole number"),
            ("POST", "/ban", "{\"subject\":\"10.0.0.1\",\"reason\":\"a\\u001bb\"}", 422, "one line"),
        ] as [(String, String, String, UInt, String)]
    )
    func bad(method: String, target: String, body: String, status: UInt, word: String) {
        let found = problem(method, target, body)
        #expect(found?.status == status)
        #expect(found?.detail.contains(word) == true, "\(found?.detail ?? "none")")
    }

    @Test("docs/openapi.yaml is what the table of operations says")
    func page() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let url = root.appendingPathComponent("docs/openapi.yaml")
        if ProcessInfo.processInfo.environment["REACTOR_WRITE_DOCS"] != nil { try OpenAPI.page.write(to: url, atomically: true, encoding: .utf8) }
        #expect(try String(contentsOf: url, encoding: .utf8) == OpenAPI.page, "REACTOR_WRITE_DOCS=1 swift test --filter DaemonTests writes it anew")
    }
}

@Suite("the chronicle")
struct ChronicleTests {
    private func transition(_ index: Int, _ subject: Transition.Subject, _ reason: CloseReason? = nil) -> Transition {
        Transition(
            at: Instant(nanoseconds: UInt64(index)), subject: subject, endpoint: Endpoint("192.0.2.1:24200")!, isPeer: true, role: .masternode,
            reason: reason, failures: 0, next: .never)
    }

    @Test("the last twenty transitions of a peer are kept, and ends are counted by reason")
    func history() throws {
        let chronicle = try Chronicle(capacity: 64)
        let link = LinkID(slot: 1, generation: 1)
        for index in 0..<30 {
            chronicle.note(transition(index * 3, .link(link, from: .closed, to: .connecting, direction: .outbound)))
            chronicle.note(transition(index * 3 + 1, .link(link, from: .connecting, to: .closed, direction: .outbound), index % 2 == 0 ? .refused : .io(113)))
            chronicle.note(transition(index * 3 + 2, .peer(from: .dialing, to: .backoff), .refused))
        }
        let thread = try chronicle.start()
        chronicle.stop()
        #expect(thread.wait(milliseconds: 120_000))
        let history = try #require(chronicle.history(of: Endpoint("192.0.2.1:24200")!))
        #expect(history.entries.count == PeerHistory.length)
        #expect(history.entries.last?.number == 90)
        #expect(history.dials == 30)
        #expect(history.viewSince == Instant(nanoseconds: 89))
        let counts = chronicle.counts
        #expect(counts.dials[.init(role: .masternode, direction: .outbound, reason: "refused")] == 15)
        #expect(counts.dials[.init(role: .masternode, direction: .outbound, reason: "io")] == 15)
    }

    @Test("it remembers so many peers, and forgets those that changed longest ago")
    func bounded() throws {
        let chronicle = try Chronicle(capacity: 64)
        for index in 0..<200 {
            var one = transition(index, .peer(from: .idle, to: .backoff))
            one.endpoint = Endpoint(IPAddress(v4: UInt32(index)), port: 1)
            chronicle.note(one)
        }
        let thread = try chronicle.start()
        chronicle.stop()
        #expect(thread.wait(milliseconds: 120_000))
        #expect(chronicle.history(of: Endpoint(IPAddress(v4: 199), port: 1)) != nil)
        #expect(chronicle.history(of: Endpoint(IPAddress(v4: 0), port: 1)) == nil)
    }
}

@Suite("the control socket")
struct ControlSocketTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("reactor-\(UUID().uuidString.prefix(8))").path

    @Test("it is 0600, and a stale one is replaced")
    func stale() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/node.sock"
        // What a killed node leaves behind: a socket that nobody listens on.
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #expect(UnixAddress(path).bind(dead) == 0)
        close(dead)
        let socket = try ControlSocket(claiming: path, makingDirectory: false)
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        _ = consume socket
        #expect(lstat(path, &status) != 0, "an ended node leaves no socket")
    }

    @Test("a file that is no socket is left alone")
    func file() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/node.sock"
        try "mine".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: DaemonError.self) { _ = try ControlSocket(claiming: path, makingDirectory: false) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    }

    @Test("a socket that another program listens on is refused, with its process")
    func held() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/node.sock"
        let live = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(live) }
        #expect(UnixAddress(path).bind(live) == 0)
        #expect(listen(live, 1) == 0)
        let error = #expect(throws: DaemonError.self) { _ = try ControlSocket(claiming: path, makingDirectory: false) }
        #expect(error?.description.contains("process \(getpid())") == true, "\(error?.description ?? "")")
    }
}

@Suite("metrics")
struct MetricsTests {
    @Test("a histogram's buckets are cumulative, and end at +Inf")
    func histogram() {
        let registry = PrometheusRegistry()
        let histogram = registry.histogram("a_seconds", [("k", "v")])
        histogram.recordNanoseconds(50_000)
        histogram.recordNanoseconds(100_000)
        histogram.recordNanoseconds(60_000_000_000)
        let lines = registry.page.split(separator: "\n")
        #expect(lines.contains("a_seconds_bucket{k=\"v\",le=\"6.5536e-05\"} 1"))
        #expect(lines.contains("a_seconds_bucket{k=\"v\",le=\"0.000131072\"} 2"))
        #expect(lines.contains("a_seconds_bucket{k=\"v\",le=\"+Inf\"} 3"))
        #expect(lines.contains("a_seconds_count{k=\"v\"} 3"))
    }

    @Test("other libraries' labels become names that Prometheus takes")
    func names() {
        let registry = PrometheusRegistry()
        registry.makeCounter(label: "http.requests", dimensions: [("path", "a\"b\\c\nd")]).increment(by: 2)
        #expect(registry.page.contains("http_requests_total{path=\"a\\\"b\\\\c\\nd\"} 2\n"))
    }
}

@Suite("where a control socket is looked for")
struct ControlDirectoryTests {
    @Test("also where another environment would put it, each place once")
    func directories() {
        let all = ControlSettings.directories
        #expect(all.contains("/run/user/\(getuid())/reactor-node"))
        #expect(all.contains("/tmp/reactor-node-\(getuid())"))
        #expect(all.first == ControlSettings.directory)
        #expect(Set(all).count == all.count)
        if getuid() == 0 { #expect(all.contains("/run/reactor-node"), "the service's, for root") }
    }
}
