// The live view without its terminal: keys change a model, a model becomes lines.

import Daemon
import Testing

@testable import reactor_node

@Suite("top")
struct TopTests {
    private func peer(_ id: String, _ state: String, rtt: Double? = nil, next: Double? = nil) -> JSON {
        .members(
            ("id", .string(id)), ("state", .string(state)), ("class", .string("masternode")), ("since", .null), ("failures", .integer(0)),
            ("nextSeconds", next.map(JSON.number) ?? .null), ("lastCloseReason", .string("keepaliveTimeout")),
            ("link", rtt.map { .members(("direction", .string("outbound")), ("rttSeconds", .number($0)), ("since", .string("2026-01-01T00:00:00.000Z"))) } ?? .null)
        )
    }

    private var model: TopModel {
        var model = TopModel()
        model.peers = [
            peer("192.0.2.1:24000", "established", rtt: 0.02), peer("192.0.2.2:24000", "backoff", next: 4), peer("192.0.2.3:24000", "established", rtt: 0.3),
            peer("[2001:db8:1111:2222:3333:4444:5555:6666]:24000", "backoff", next: 2),
        ]
        return model
    }

    private func ids(_ model: TopModel) -> [String] { model.rows.compactMap { $0["id"]?.text } }

    @Test("no line is wider than the screen, and a frame has exactly the screen's height", arguments: [(24, 8), (40, 8), (80, 24), (132, 50)])
    func sizes(width: Int, height: Int) {
        let view = TopView(width: width, height: height, isColoured: false)
        var model = model
        for key in [Key.down, .character("s"), .character("/"), .character("x"), .escape, .enter, .down, .escape, .character("?")] {
            let lines = view.lines(model)
            #expect(lines.count == height)
            for line in lines { #expect(line.count <= width, "\(key): '\(line)'") }
            model.take(key, height: view.pageHeight)
        }
    }

    @Test("sorting puts the slowest and the next first, and the chosen row stays chosen")
    func sorting() {
        var model = model
        model.take(.down, height: 10)
        #expect(model.chosenIndex(in: model.rows) == 1)
        model.order = .rtt
        #expect(ids(model).first == "192.0.2.3:24000")
        #expect(model.rows[model.chosenIndex(in: model.rows)]["id"]?.text == "192.0.2.2:24000")
        model.order = .next
        #expect(ids(model).prefix(2) == ["[2001:db8:1111:2222:3333:4444:5555:6666]:24000", "192.0.2.2:24000"])
        model.isReversed = true
        #expect(ids(model).last == "[2001:db8:1111:2222:3333:4444:5555:6666]:24000")
    }

    @Test("by state, what needs a look stands first; a sort goes both ways round")
    func sortingByState() {
        var model = model
        model.take(.character("s"), height: 10)
        #expect(model.order == .state)
        #expect(model.rows.compactMap { $0["state"]?.text } == ["backoff", "backoff", "established", "established"])
        model.take(.character("S"), height: 10)
        #expect(model.order == .peer)
        model.take(.character("S"), height: 10)
        #expect(model.order == .next)
    }

    @Test("a why is scrolled no further than it goes, and says that there is more; a node that is silent leaves it on the screen")
    func scrolling() {
        var model = model
        let view = TopView(width: 80, height: 12, isColoured: false)
        model.take(.enter, height: 6)
        let history = (0..<20).map { number in
            JSON.members(("at", .string("2026-01-01T00:00:\(number + 10).000Z")), ("of", .string("link")), ("from", .string("closed")), ("to", .string("connecting")))
        }
        var answers = TopReader.Answers()
        answers.asked = "192.0.2.1:24000"
        answers.why = .members(("id", .string("192.0.2.1:24000")), ("state", .string("backoff")), ("sentence", .string("waits")), ("history", .array(history)))
        answers.peers = model.peers
        model.take(answers)
        #expect(view.lines(model).last?.contains("more below") == true)
        model.take(.end, height: 6)
        model.scroll(atMost: view.hiddenLines(model))
        #expect(view.lines(model).dropLast().last?.contains("00:00:10") == true, "the oldest one is in sight")
        #expect(view.lines(model).last?.contains("more below") == false)
        model.take(.up, height: 6)
        #expect(view.lines(model).last?.contains("more below") == true, "one step back is one step back")
        answers.trouble = "the node did not answer within 2 s"
        model.take(answers)
        #expect(view.lines(model)[1].contains("did not answer"))
        answers.asked = nil
        model.take(answers)
        #expect(model.why.isNull, "an answer about another peer is not this one's")
    }

    @Test("a filter is typed, holds, and is taken back")
    func filtering() {
        var model = model
        for character in "/backoff 2001" { model.take(.character(character), height: 10) }
        model.take(.enter, height: 10)
        #expect(ids(model) == ["[2001:db8:1111:2222:3333:4444:5555:6666]:24000"])
        model.take(.character("q"), height: 10)
        #expect(model.isOver, "after the filter a q is a q again")
        model.take(.escape, height: 10)
        #expect(ids(model).count == 4)
    }

    @Test("the rows scroll no farther than the chosen one needs, and never past the end")
    func rowsInSight() {
        var model = TopModel()
        model.peers = (0..<30).map { peer("192.0.2.\($0):24000", "established") }
        func look() -> Int {
            model.keepInSight(height: 18)
            return model.first
        }
        #expect(look() == 0)
        for _ in 0..<17 { model.take(.down, height: 18) }
        #expect(look() == 0, "the last row of the first page")
        model.take(.down, height: 18)
        #expect(look() == 1)
        for _ in 0..<10 { model.take(.up, height: 18) }
        #expect(look() == 1)
        model.take(.end, height: 18)
        #expect(look() == 12)
        model.peers.removeLast(20)
        #expect(look() == 0, "fewer rows than the page has")
    }

    @Test("on 80 columns no word of the help is cut")
    func help() {
        var model = model
        model.take(.character("?"), height: 18)
        let (narrow, wide) = (TopView(width: 80, height: 24, isColoured: false), TopView(width: 200, height: 24, isColoured: false))
        func words(_ view: TopView) -> [String] { view.lines(model).map { $0.split(separator: " ").joined(separator: " ") } }
        #expect(words(narrow) == words(wide))
    }

    @Test("enter asks why, escape comes back, and a list without rows survives every key")
    func pages() {
        var model = model
        model.take(.end, height: 10)
        model.take(.enter, height: 10)
        #expect(model.page == .why("[2001:db8:1111:2222:3333:4444:5555:6666]:24000", from: 0))
        model.take(.escape, height: 10)
        #expect(model.page == .peers)
        model.peers = []
        for key in [Key.up, .down, .pageUp, .pageDown, .home, .end, .enter, .backspace, .escape] { model.take(key, height: 1) }
        #expect(model.page == .peers && !model.isOver)
        #expect(TopView(width: 80, height: 24).lines(model).contains { $0.contains("no peers yet") })
    }

    @Test("a keyboard's bytes become keys; what is unknown is swallowed")
    func keyboard() {
        #expect(TopScreen.keys(in: "j\u{1b}[A\u{1b}[B\u{1b}[5~\r\u{7f}".utf8) == [.character("j"), .up, .down, .pageUp, .enter, .backspace])
        #expect(TopScreen.keys(in: "\u{1b}".utf8) == [.escape])
        #expect(TopScreen.keys(in: "\u{1b}[15~q".utf8) == [.character("q")])
        #expect(TopScreen.keys(in: "é".utf8) == [.character("é")])
    }

    @Test("the API's times are read back")
    func times() {
        #expect(UTC.seconds("1970-01-01T00:00:00.000Z") == 0)
        #expect(UTC.seconds("2026-11-23T22:16:49.121Z") == 1_795_472_209.121)
        #expect(UTC.seconds("2024-02-29T23:59:59.999Z") == 1_709_251_199.999)
        for text in ["", "2026-11-23", "2026-13-23T22:16:49.121Z", "2026-11-23 22:16:49.121Z"] { #expect(UTC.seconds(text) == nil) }
    }

    @Test("a table on a narrow terminal leaves out its minor columns, the last first; without a terminal it is whole")
    func narrowTable() {
        let table = Table("PEER", "?CLASS", "#RTT", "?WANTED BY")
        let widths = [10, 10, 5, 9]
        #expect(table.shown(widths, in: nil) == [0, 1, 2, 3])
        #expect(table.shown(widths, in: 40) == [0, 1, 2, 3])
        #expect(table.shown(widths, in: 39) == [0, 1, 2])
        #expect(table.shown(widths, in: 28) == [0, 2])
        #expect(table.shown(widths, in: 5) == [0, 2], "what is needed stays")
        #expect(table.columns.map(\.title) == ["PEER", "CLASS", "RTT", "WANTED BY"])
    }
}
