// Draws a moment of the demo. Three sizes: with the ring where the terminal has room for it, with matrix and table at
// 80 × 24, and with less of everything below that.

import PeerMesh
import Timers

/// Pure drawing: a snapshot and a size in, a canvas out.
struct DemoRenderer {
    let snapshot: DemoSnapshot
    private var canvas: Canvas

    init(_ snapshot: DemoSnapshot, width: Int, height: Int) {
        self.snapshot = snapshot
        canvas = Canvas(width: width, height: height)
    }

    static func frame(_ snapshot: DemoSnapshot, width: Int, height: Int) -> Canvas {
        var renderer = DemoRenderer(snapshot, width: width, height: height)
        renderer.drawAll()
        return renderer.canvas
    }

    private var count: Int { snapshot.nodes.count }
    private var matrixWidth: Int { 4 + 2 * count }

    private mutating func drawAll() {
        drawHeader()
        let body = 2
        let ringHeight = canvas.height - body - (count + 2) - 2
        if canvas.width >= max(104, matrixWidth + 60), ringHeight >= 14 {
            let left = max(matrixWidth + 1, min(ringHeight * 2 + 6, canvas.width - 60))
            drawRing(0, body, width: left - 1, height: ringHeight)
            drawTable(left + 1, body)
            let below = body + ringHeight
            drawMatrix(1, below)
            drawLegend(2, canvas.height - 2)
            drawEvents(left + 1, body + count + 2, until: canvas.height - 2)
        } else if canvas.width >= matrixWidth + 40, canvas.height >= count + 9 {
            drawMatrix(1, body)
            drawTable(matrixWidth + 2, body)
            drawLegend(2, body + count + 1)
            drawEvents(1, body + count + 2, until: canvas.height - 1)
        } else if canvas.width >= 100 {
            drawTable(1, body, columns: 66, until: canvas.height - 1)
            drawEvents(68, body + 1, until: canvas.height - 1)
        } else {
            let end = min(body + 1 + count, max(canvas.height - 7, body + 2))
            drawTable(1, body, until: end)
            drawEvents(1, end + 1, until: canvas.height - 1)
        }
        drawFooter()
    }

    // MARK: Head and foot

    private mutating func drawHeader() {
        var x = canvas.draw(" reactor ", 0, 0, .bright, bold: true)
        let running = snapshot.nodes.count { $0.downFor == nil }
        x = canvas.draw("\(running) of \(count) nodes", x, 0, .plain)
        let subtitle = canvas.width >= 100 ? " · one process, one loop, one thread" : canvas.width >= 72 ? " · one thread" : ""
        canvas.draw(subtitle, x, 0, .dim)
        let isWhole = snapshot.links >= snapshot.wantedLinks && running == count
        let state = "\(snapshot.links)/\(snapshot.wantedLinks) links"
        let clock = DemoText.clock(snapshot.elapsed) + (snapshot.total.map { " / " + DemoText.clock($0) } ?? "")
        canvas.drawRight(clock + " ", canvas.width, 0, .dim)
        canvas.drawRight((isWhole ? "● " : "◐ ") + state, canvas.width - clock.count - 4, 0, isWhole ? .green : .amber, bold: true)
        drawHistory(1)
    }

    /// Links that were missing, sample by sample: a flat line is a whole mesh.
    private mutating func drawHistory(_ y: Int) {
        let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        let shown = snapshot.history.suffix(max(canvas.width - 2, 0))
        var x = canvas.width - 1 - shown.count
        for present in shown {
            let missing = max(100 - present, 0)
            let level = missing == 0 ? 0 : min(1 + missing * 6 / 40, bars.count - 1)
            let ink: Ink = missing == 0 ? Ink(code: 29) : missing < 20 ? .amber : .red
            canvas[x, y] = Canvas.Cell(character: bars[level], ink: ink)
            x += 1
        }
    }

    private mutating func drawFooter() {
        let y = canvas.height - 1
        var x = canvas.draw(" kills ", 0, y, .dim)
        x = canvas.draw("\(snapshot.kills)", x, y, .bright)
        x = canvas.draw("   healed ", x, y, .dim)
        x = canvas.draw("\(snapshot.heals.count)", x, y, .bright)
        if let median = DemoText.median(snapshot.heals), let worst = snapshot.heals.max() {
            x = canvas.draw(" in ", x, y, .dim)
            x = canvas.draw(DemoText.span(median), x, y, .green)
            x = canvas.draw(" (most ", x, y, .dim)
            x = canvas.draw(DemoText.span(worst), x, y, .plain)
            x = canvas.draw(")", x, y, .dim)
        }
        x = canvas.draw("   duplicate links ", x, y, .dim)
        canvas.draw("\(snapshot.duplicates)", x, y, snapshot.duplicates == 0 ? .green : .red, bold: true)
        canvas.drawRight("^C ends ", canvas.width, y, .faint)
    }

    // MARK: The ring

    private mutating func drawRing(_ left: Int, _ top: Int, width: Int, height: Int) {
        var field = DotField(width: width, height: height)
        let points = (0..<count).map { ringPoint($0, width: width, height: height) }
        for row in 0..<count {
            for column in 0..<row {
                // One line a pair: the livelier of what its two ends say.
                let (one, other) = (stroke(row, column), stroke(column, row))
                let (ink, rank, gap) = one.rank >= other.rank ? one : other
                if rank > 0 { field.line(from: points[row], to: points[column], ink, rank: rank, gap: gap) }
            }
        }
        field.draw(on: &canvas, left, top)
        for (index, node) in snapshot.nodes.enumerated() {
            let (x, y) = (left + points[index].x / 2, top + points[index].y / 4)
            let label = "\(index + 1)"
            let isLeft = points[index].x < width - 1
            canvas[x, y] = mark(node)
            canvas.draw(label, isLeft ? x - 1 - label.count : x + 2, y, node.downFor == nil ? .plain : mark(node).ink)
            canvas[isLeft ? x - 1 : x + 1, y] = Canvas.Cell()
        }
    }

    /// Where a node stands on the ring, in dots.
    private func ringPoint(_ index: Int, width: Int, height: Int) -> (x: Int, y: Int) {
        let radiusY = Double(height * 4 - 6) / 2
        let radiusX = min(Double(width * 2 - 16) / 2, radiusY * 1.15)
        let turn = Double(index) / Double(max(count, 1))
        let (sine, cosine) = DemoText.circle(turn)
        return (Int(Double(width) + radiusX * sine), Int(Double(height * 2) - radiusY * cosine))
    }

    private func stroke(_ row: Int, _ column: Int) -> (ink: Ink, rank: UInt8, gap: Int) {
        switch snapshot[row, column] {
        case .own, .none, .down: return (.faint, 0, 0)
        case .duplicate: return (.red, 9, 0)
        case .linked(_, let age):
            if age < .milliseconds(700) { return (.bright, 8, 0) }
            if age < .milliseconds(1_600) { return (.green, 5, 0) }
            let masternodes = [row, column].count { snapshot.nodes[$0].role == .masternode }
            return masternodes == 2 ? (Ink(code: 30), 3, 0) : masternodes == 1 ? (Ink(code: 60), 2, 0) : (Ink(code: 239), 1, 0)
        case .dialing: return (.amber, 7, 2)
        case .greeting: return (.yellow, 7, 3)
        case .backoff, .awaiting, .dormant: return (Ink(code: 88), 1, 1)
        }
    }

    // MARK: The matrix

    private mutating func drawLegend(_ left: Int, _ y: Int) {
        guard y < canvas.height - 1 else { return }
        var x = left
        let entries: [(String, Ink, String)] = [
            ("▶", .green, "dialled"), ("◀", .teal, "accepted"), ("○", .amber, "dialling"), ("3", .amber, "redial in s"),
            ("…", .violet, "their turn"), ("×", Ink(code: 88), "down"),
        ]
        for (mark, ink, text) in entries {
            x = canvas.draw(mark, x, y, ink)
            x = canvas.draw(" \(text)   ", x, y, Ink(code: 240))
        }
    }

    private mutating func drawMatrix(_ left: Int, _ top: Int) {
        for column in 0..<count {
            canvas.drawRight("\((column + 1) % 10)", left + 5 + 2 * column, top, .dim)
        }
        for row in 0..<count where top + 1 + row < canvas.height - 1 {
            let isUp = snapshot.nodes[row].downFor == nil
            canvas.drawRight("\(row + 1)", left + 2, top + 1 + row, isUp ? .dim : .red)
            for column in 0..<count {
                canvas[left + 4 + 2 * column, top + 1 + row] = mark(snapshot[row, column])
            }
        }
    }

    private func mark(_ cell: DemoSnapshot.Cell) -> Canvas.Cell {
        switch cell {
        case .own: Canvas.Cell(character: "╲", ink: .faint)
        case .none: Canvas.Cell(character: "·", ink: .faint)
        case .down: Canvas.Cell(character: "×", ink: Ink(code: 88))
        case .duplicate: Canvas.Cell(character: "2", ink: .red, isBold: true)
        case .linked(let direction, let age):
            Canvas.Cell(
                character: direction == .outbound ? "▶" : "◀",
                ink: age < .milliseconds(700) ? .bright : direction == .outbound ? .green : .teal
            )
        case .dialing: Canvas.Cell(character: "○", ink: .amber)
        case .greeting: Canvas.Cell(character: "◎", ink: .yellow)
        case .backoff(let left): Canvas.Cell(character: DemoText.digit(left), ink: .amber)
        case .awaiting: Canvas.Cell(character: "…", ink: .violet)
        case .dormant: Canvas.Cell(character: "z", ink: .dim)
        }
    }

    // MARK: The table

    private mutating func drawTable(_ left: Int, _ top: Int, columns: Int? = nil, until bottom: Int? = nil) {
        let room = columns ?? canvas.width - left
        let bottom = bottom ?? canvas.height - 1
        canvas.draw("node", left + 4, top, .dim)
        canvas.drawRight("out in", left + 31, top, .dim)
        canvas.drawRight("rtt", left + 40, top, .dim)
        canvas.drawRight("redial", left + 48, top, .dim)
        if room >= 62 { canvas.draw("last close", left + 51, top, .dim) }
        for (index, node) in snapshot.nodes.enumerated() {
            let y = top + 1 + index
            if y == bottom - 1, index < count - 1 {
                canvas.draw("… and \(count - index) more", left + 3, y, .dim)
                return
            }
            guard y < bottom else { return }
            drawRow(index, node, left, y, room: room)
        }
    }

    private mutating func drawRow(_ index: Int, _ node: DemoSnapshot.Node, _ left: Int, _ y: Int, room: Int) {
        canvas.drawRight("\(index + 1)", left + 2, y, .dim)
        canvas[left + 3, y] = mark(node)
        let downInk: Ink = node.hasRun ? .red : .dim
        canvas.draw("\(node.endpoint.address)", left + 5, y, node.downFor == nil ? .plain : downInk)
        if let downFor = node.downFor {
            canvas.draw("\(node.hasRun ? "down, back" : "starts") in \(DemoText.span(downFor))", left + 16, y, downInk)
            return
        }
        canvas.draw(node.missing == 0 ? "whole" : snapshot.hasFormed ? "healing" : "joining", left + 16, y, node.missing > 0 ? .amber : .green)
        canvas.drawRight("\(node.outbound)", left + 27, y, .green)
        canvas.draw("▶", left + 27, y, .green)
        canvas.drawRight("\(node.inbound)", left + 30, y, .teal)
        canvas.draw("◀", left + 30, y, .teal)
        canvas.drawRight(node.roundTrip > .zero ? DemoText.span(node.roundTrip) : "–", left + 40, y, .plain)
        canvas.drawRight(node.nextDial.map { DemoText.span($0) } ?? "–", left + 48, y, node.nextDial == nil ? .dim : .amber)
        if room >= 62, let reason = node.lastReason {
            canvas.draw(reason.name, left + 51, y, .dim, limit: min(left + room, canvas.width) - 1)
        }
    }

    private func mark(_ node: DemoSnapshot.Node) -> Canvas.Cell {
        if node.downFor != nil { return Canvas.Cell(character: node.hasRun ? "✕" : "·", ink: node.hasRun ? .red : .dim, isBold: true) }
        return Canvas.Cell(
            character: node.role == .masternode ? "◆" : "●", ink: node.missing > 0 ? .amber : .green, isBold: true
        )
    }

    // MARK: What happened

    private mutating func drawEvents(_ left: Int, _ top: Int, until bottom: Int) {
        let rows = bottom - top
        guard rows > 0 else { return }
        // Few rows are for what matters.
        let events = rows < 12 ? snapshot.events.filter(\.isLoud) : snapshot.events
        for (offset, event) in events.suffix(rows).enumerated() {
            let y = top + offset
            let x = canvas.draw(DemoText.seconds(event.at, width: 7) + "  ", left, y, .faint)
            let (mark, ink): (String, Ink)
            switch event.kind {
            case .up: (mark, ink) = ("+", .green)
            case .down: (mark, ink) = ("−", .dim)
            case .kill: (mark, ink) = ("✕", .red)
            case .restart: (mark, ink) = ("↻", .amber)
            case .whole: (mark, ink) = ("✓", .green)
            case .note: (mark, ink) = ("·", .dim)
            }
            canvas.draw(mark, x, y, ink, bold: true)
            canvas.draw(event.text, x + 2, y, event.isLoud ? ink : .dim, limit: canvas.width - 1)
        }
    }
}
