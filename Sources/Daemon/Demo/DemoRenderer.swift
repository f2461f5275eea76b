// Draws a moment of the demo. Three sizes: with the ring where the terminal has room for it, with matrix and table at
// 80 × 24, and with less of everything below that.

import PeerMesh
import Timers

/// Pure drawing: a snapshot and a size in, a canvas out.
struct DemoRenderer {
    let snapshot: DemoSnapshot
    var canvas: Canvas

    init(_ snapshot: DemoSnapshot, width: Int, height: Int) {
        self.snapshot = snapshot
        canvas = Canvas(width: width, height: height)
    }

    static func frame(_ snapshot: DemoSnapshot, width: Int, height: Int) -> Canvas {
        var renderer = DemoRenderer(snapshot, width: width, height: height)
        renderer.drawAll()
        return renderer.canvas
    }

    var count: Int { snapshot.nodes.count }
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
        let ink: Ink = isWhole ? .green : .amber
        canvas.drawRight((isWhole ? "● " : "◐ ") + state, canvas.width - clock.count - 4, 0, ink, bold: true)
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
        let state = node.missing == 0 ? "whole" : snapshot.hasFormed ? "healing" : "joining"
        canvas.draw(state, left + 16, y, node.missing > 0 ? .amber : .green)
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

    func mark(_ node: DemoSnapshot.Node) -> Canvas.Cell {
        if node.downFor == nil {
            let character: Character = node.role == .masternode ? "◆" : "●"
            return Canvas.Cell(character: character, ink: node.missing > 0 ? .amber : .green, isBold: true)
        }
        return Canvas.Cell(character: node.hasRun ? "✕" : "·", ink: node.hasRun ? .red : .dim, isBold: true)
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
