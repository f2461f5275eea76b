// The two drawings of who is linked with whom: the ring, for the eye, and the matrix, for the details.

import PeerMesh
import Timers

extension DemoRenderer {
    // MARK: The ring

    mutating func drawRing(_ left: Int, _ top: Int, width: Int, height: Int) {
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

    mutating func drawLegend(_ left: Int, _ y: Int) {
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

    mutating func drawMatrix(_ left: Int, _ top: Int) {
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
}
