// How `top` looks: a model becomes lines of exactly the screen's width. Pure, so that tests can read it.

import Daemon

/// Draws a model.
struct TopView {
    let width: Int
    let height: Int
    var isColoured = true

    /// One line: its text without colours is never wider than the screen.
    typealias Line = String

    /// Rows of peers that fit.
    var pageHeight: Int { max(height - 6, 1) }

    func lines(_ model: TopModel) -> [Line] {
        var lines: [Line]
        switch model.page {
        case .peers: lines = head(model) + table(model)
        case .why(let peer, let from):
            lines = why(model, peer)
            lines.removeSubrange(TopView.whyHead..<(TopView.whyHead + min(from, hiddenLines(model))))
        case .help: lines = help()
        }
        while lines.count < height - 1 { lines.append("") }
        return Array(lines.prefix(height - 1)) + [foot(model)]
    }

    // MARK: Pieces

    private func paint(_ text: String, _ code: String?) -> String {
        guard isColoured, let code, !text.isEmpty else { return text }
        return "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }

    private func colour(_ state: String) -> String? { Output.colour(ofState: state)?.rawValue }

    /// `text` in so many columns, cut with an ellipsis.
    static func fit(_ text: String, _ columns: Int, right: Bool = false) -> String {
        guard columns > 0 else { return "" }
        if text.count > columns { return columns > 1 ? text.prefix(columns - 1) + "…" : "…" }
        let space = String(repeating: " ", count: columns - text.count)
        return right ? space + text : text + space
    }

    private func head(_ model: TopModel) -> [Line] {
        let status = model.status, links = status["links"], slots = model.slots
        let name = status["advertised"]?.text ?? status["listening"]?.elements.first?.text ?? "…"
        let health = model.trouble == nil ? Say.text(status["health"]) : "down"
        let left = " \(name)  \(Say.text(status["role"])) on \(Say.text(status["network"])), up \(Say.span(status["uptimeSeconds"]))"
        let first = paint(TopView.fit(left, width - health.count - 2), "1") + " " + paint(health, colour(health)) + " "
        func of(_ a: JSON?, _ b: JSON?) -> String { "\(Say.text(a))/\(Say.text(b))" }
        let numbers =
            " links \(of(links?["established"], slots["maxPeers"]))  masternodes \(of(links?["masternodes"], status["peers"]?["masternodes"]))"
            + "  regular \(of(links?["regular"], slots["regularSlots"]))  in \(Say.text(links?["inbound"])) out \(Say.text(links?["outbound"]))"
            + "  dialling \(Say.text(links?["dialing"]))"
        let notice: String
        if let trouble = model.trouble {
            notice = paint(TopView.fit(" " + trouble, width), "31")
        } else if let registered = status["peers"]?["masternodes"]?.whole, let linked = links?["masternodes"]?.whole, linked < registered {
            let missing = registered - linked
            let text = " \(missing) masternode\(missing == 1 ? " is" : "s are") not linked: s sorts by state, enter says why"
            notice = paint(TopView.fit(text, width), "33")
        } else if status["reach"]?["inboundSeen"]?.truth == false, status["reach"]?["inboundExpected"]?.truth == true, !model.peers.isEmpty {
            notice = paint(TopView.fit(" nobody who dialled this node is linked: `reactor-node status` says what to check", width), "33")
        } else {
            notice = ""
        }
        return [first, TopView.fit(numbers, width), notice]
    }

    private struct Column {
        let title: String
        let width: Int
        var right = false
        let order: TopModel.Order?
        let text: (JSON) -> String
    }

    /// What fits: 80 columns have all but the queue and the failures.
    private func columns(own: String?) -> [Column] {
        func link(_ row: JSON) -> JSON? { row["link"] }
        let spare = width - 80
        let isNarrow = width < 42
        let peer = isNarrow ? max(width - 13, 10) : 21 + max(0, min(spare - (spare >= 20 ? 16 : 0), 26))
        var columns = [
            Column(title: "PEER", width: peer, order: .peer) { Say.text($0["id"]) },
            Column(title: "CL", width: 2, order: nil) { $0["class"]?.text == "masternode" ? "MN" : "" },
            Column(title: "STATE", width: isNarrow ? 11 : 16, order: .state) { own != nil && $0["id"]?.text == own ? "this node" : Say.text($0["state"]) },
            Column(title: "DIR", width: 3, order: nil) { link($0)?["direction"].map { $0.text == "inbound" ? "in" : "out" } ?? "" },
            Column(title: "FOR", width: 6, right: true, order: .since) { TopModel.began($0).map(TopView.age) ?? "" },
            Column(title: "RTT", width: 7, right: true, order: .rtt) { link($0)?["rttSeconds"]?.real == nil ? "" : Say.milliseconds(link($0)?["rttSeconds"]) },
        ]
        if spare >= 20 {
            columns.append(Column(title: "QUEUE", width: 8, right: true, order: .queue) { link($0).map { $0.isNull ? "" : Say.bytes($0["queueBytes"]) } ?? "" })
            columns.append(Column(title: "FAILS", width: 6, right: true, order: .failures) { ($0["failures"]?.whole ?? 0) == 0 ? "" : Say.text($0["failures"]) })
        }
        columns.append(Column(title: "NEXT", width: 6, right: true, order: .next) { $0["nextSeconds"]?.real == nil ? "" : Say.span($0["nextSeconds"]) })
        // A narrow screen has the peer and its state, and of the others what fits.
        for title in ["CL", "NEXT", "FOR", "RTT", "DIR"] where TopView.room(columns) + 4 > width { columns.removeAll { $0.title == title } }
        let used = TopView.room(columns)
        guard used + 4 <= width else { return columns }
        columns.append(Column(title: "LAST CLOSE", width: max(width - used, 4), order: nil) { $0["lastCloseReason"]?.text == nil ? "" : Say.reason($0["lastCloseReason"]) })
        return columns
    }

    /// What columns take, each with the space before it, and the one before the last.
    private static func room(_ columns: [Column]) -> Int { columns.reduce(columns.count + 1) { $0 + $1.width } }

    private func table(_ model: TopModel) -> [Line] {
        let columns = columns(own: model.status["advertised"]?.text), rows = model.rows
        var title = ""
        for column in columns {
            let mark = column.order == model.order ? (model.isReversed ? "↓" : "↑") : ""
            title += (title.isEmpty ? " " : " ") + TopView.fit(column.title + mark, column.width, right: column.right)
        }
        var lines = [paint(TopView.fit(title, width), "7")]
        guard !rows.isEmpty else {
            return lines + ["", model.peers.isEmpty ? " no peers yet: `reactor-node connect ADDRESS:PORT` names one" : " no peer is like that"].map { TopView.fit($0, width) }
        }
        let chosen = model.chosenIndex(in: rows)
        for index in min(model.first, rows.count)..<min(model.first + pageHeight, rows.count) { lines.append(line(rows[index], columns, isChosen: index == chosen)) }
        return lines
    }

    private func line(_ row: JSON, _ columns: [Column], isChosen: Bool) -> Line {
        let state = Say.text(row["state"])
        var line = isChosen ? "▸" : " ", isFirst = true
        for column in columns {
            let cell = TopView.fit(column.text(row), column.width, right: column.right)
            line += (isFirst ? "" : " ") + (column.title == "STATE" ? paint(cell, colour(state)) : isChosen ? paint(cell, "1") : cell)
            isFirst = false
        }
        return line
    }

    /// How long ago an RFC 3339 time in UTC was.
    static func age(_ text: String) -> String {
        guard let then = UTC.seconds(text) else { return "" }
        return Say.span(.number(max(UTC.now - then, 0)))
    }

    // MARK: Other pages

    /// The lines of a `why` that stay where they are.
    private static let whyHead = 2

    /// How far the open `why` can be scrolled.
    func hiddenLines(_ model: TopModel) -> Int {
        guard case .why(let peer, _) = model.page else { return 0 }
        // The foot takes the screen's last line.
        return max(why(model, peer).count - (height - 1), 0)
    }

    private func why(_ model: TopModel, _ peer: String) -> [Line] {
        let why = model.why, trouble = model.trouble.map { paint(TopView.fit(" \($0)", width), "31") } ?? ""
        guard !why.isNull else { return [paint(TopView.fit(" \(peer)", width), "1"), trouble, trouble.isEmpty ? " …" : ""] }
        var lines = [paint(TopView.fit(" \(Say.text(why["id"]))", width - 17), "1") + paint(TopView.fit(Say.text(why["state"]), 16, right: true), colour(Say.text(why["state"]))) + " ", trouble]
        var facts: [(String, String)] = [("why", Say.text(why["sentence"])), ("advice", why["advice"]?.text ?? "")]
        let due = why["next"]?["seconds"]?.real == nil ? "" : ", in \(Say.span(why["next"]?["seconds"]))"
        facts.append(("next", Say.text(why["next"]?["step"]) + due))
        let by = (why["wanted"]?["by"]?.elements ?? []).compactMap(\.text).joined(separator: ", ")
        facts.append(("wanted", why["wanted"]?["is"]?.truth == true ? "by \(by)" : "no"))
        facts.append(("turn", why["turn"]?["text"]?.text ?? ""))
        if let attempts = why["attempts"], !attempts.isNull {
            facts.append(("attempts", "\(Say.text(attempts["dials"])) dials, \(Say.text(attempts["established"])) links, \(Say.text(attempts["failuresInARow"])) failures in a row"))
        }
        if let link = why["link"], !link.isNull {
            facts.append((
                "link", "\(Say.text(link["direction"])), rtt \(Say.milliseconds(link["rttSeconds"])), misses \(Say.text(link["misses"])), "
                    + "queue \(Say.bytes(link["queueBytes"])), in \(Say.bytes(link["bytesIn"])), out \(Say.bytes(link["bytesOut"]))"))
        }
        for (name, text) in facts where !text.isEmpty {
            for (index, piece) in TopView.wrap(text, width - 13).enumerated() {
                lines.append(" " + TopView.fit(index == 0 ? name : "", 10) + " " + piece)
            }
        }
        lines += ["", paint(" its last transitions", "1")]
        for entry in (why["history"]?.elements ?? []).reversed() {
            let to = Say.text(entry["to"]), reason = entry["reason"]?.text.map { ", \($0)" } ?? ""
            let text = TopView.fit("\(Say.time(entry["at"]).prefix(8))  \(TopView.fit(Say.text(entry["of"]), 4))  \(Say.text(entry["from"])) → \(to)\(reason)", width - 2)
            lines.append(" " + paint(text, colour(to)))
        }
        return lines
    }

    /// Text in lines of so many columns, broken between words.
    static func wrap(_ text: String, _ columns: Int) -> [String] {
        var lines: [String] = [], line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > columns {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [line]
    }

    private func help() -> [Line] {
        [
            "", " ↑ ↓ j k       choose a peer            g G      the first, the last", " enter         why is it so?            esc      back, or no filter",
            " s S           sort by the next column, by the one before; r turns it round",
            " /             show only what has these words: address, state, reason …", " q             end", "",
            " Times are counted from the node's own clock. Nothing here changes the node:", " `reactor-node connect`, `ban`, `redial` and others do.",
        ].map { String($0.prefix(width)) }
    }

    private func foot(_ model: TopModel) -> Line {
        var text: String, place = ""
        if model.isTyping {
            text = " /\(model.filter)▏"
        } else {
            switch model.page {
            case .peers:
                text = model.filter.isEmpty ? " ↑↓ choose  enter why  s sort  r reverse  / filter  ? help  q end" : " filter: \(model.filter)  esc: show all"
            case .why: text = " ↑↓ scroll  esc back"
            case .help: text = " any key: back"
            }
        }
        if case .why(_, let from) = model.page { place = from < hiddenLines(model) ? "more below " : "" }
        if model.page == .peers {
            let rows = model.rows
            place = rows.isEmpty ? "0 of \(model.peers.count) " : "\(model.chosenIndex(in: rows) + 1) of \(rows.count) "
        }
        text = TopView.fit(text, width - place.count) + place
        return paint(TopView.fit(text, width), "2")
    }
}
