// The run as a picture: time from left to right, links up above, dials a second below, the scenario's steps as marks. Pairs of
// masternodes have a scale of their own, on the right, as they are few beside all links; dials are drawn by their logarithm, as a
// start would leave nothing to be seen of the rest.

import Glibc

/// An SVG of a report's samples.
struct Plot {
    private let report: Report
    private let left = 84.0
    private let width = 820.0
    private let upper = (top: 84.0, height: 240.0)
    private let lower = (top: 374.0, height: 150.0)
    private let full = (width: 980.0, height: 590.0)

    init(_ report: Report) {
        self.report = report
    }

    var svg: String {
        let linkTop = ceiling(report.samples.map { Double($0.links) }.max() ?? 1)
        let pairTop = hasRegular ? ceiling(report.samples.map { Double(max($0.pairs, $0.expected)) }.max() ?? 1) : linkTop
        let dialTop = decade(report.samples.map(\.dials).max() ?? 1)
        var parts = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(text(full.width)) \(text(full.height))\" font-family=\"DejaVu Sans, sans-serif\" font-size=\"12\">",
            "<rect width=\"\(text(full.width))\" height=\"\(text(full.height))\" fill=\"white\"/>",
            label(report.scenario.name, left, 28, size: 18, weight: "bold"),
            label(subtitle, left, 48, colour: "#555"),
        ]
        parts += axis(upper.top, upper.height, linkTop, "links up")
        parts += dialAxis(dialTop)
        parts += phases
        parts.append(line(report.samples.map { ($0.at, Double($0.links)) }, upper, linkTop, "#1f6fb4"))
        if report.scenario.masternodes > 1 {
            if hasRegular { parts += pairAxis(pairTop) }
            parts.append(line(report.samples.map { ($0.at, Double($0.pairs)) }, upper, pairTop, "#2a9d3a"))
            parts.append(line(report.samples.map { ($0.at, Double($0.expected)) }, upper, pairTop, "#666", dashes: "5 4"))
            parts += legend
        }
        parts.append(area(report.samples.map { ($0.at, logarithm($0.dials)) }, lower, logarithm(dialTop)))
        parts += timeAxis
        for violation in report.violations {
            let place = x(violation.at)
            parts.append("<circle cx=\"\(text(place))\" cy=\"\(text(upper.top + 6))\" r=\"5\" fill=\"#d62728\"/>")
        }
        return parts.joined(separator: "\n") + "\n</svg>\n"
    }

    private var subtitle: String {
        let scenario = report.scenario
        let verdict = report.violations.isEmpty ? "all invariants held" : "\(report.violations.count) violations"
        return "\(scenario.nodes) nodes, \(scenario.masternodes) masternodes, \(Span.text(scenario.duration)), seed \(scenario.seed): \(verdict)"
    }

    private var hasRegular: Bool { report.scenario.nodes > report.scenario.masternodes }

    // Places.

    private func x(_ at: Int) -> Double {
        left + width * Double(at) / Double(max(report.scenario.duration, 1))
    }

    private func y(_ value: Double, _ box: (top: Double, height: Double), _ top: Double) -> Double {
        box.top + box.height * (1 - min(value / top, 1))
    }

    /// The next of 1, 2, 5 times a power of ten.
    private func ceiling(_ value: Double) -> Double {
        var power = 1.0
        while power * 10 <= value { power *= 10 }
        for factor in [1.0, 2, 5, 10] where factor * power >= value { return max(factor * power, 1) }
        return power * 10
    }

    /// The next power of ten.
    private func decade(_ value: Double) -> Double {
        var power = 10.0
        while power < value { power *= 10 }
        return power
    }

    /// Zero stays zero; a tenth of a dial a second can be seen.
    private func logarithm(_ value: Double) -> Double { log10(1 + 10 * max(value, 0)) }

    // Strokes.

    private func points(_ values: [(Int, Double)], _ box: (top: Double, height: Double), _ top: Double) -> String {
        values.map { "\(text(x($0.0))),\(text(y($0.1, box, top)))" }.joined(separator: " ")
    }

    private func line(_ values: [(Int, Double)], _ box: (top: Double, height: Double), _ top: Double, _ colour: String, dashes: String = "") -> String {
        let style = dashes.isEmpty ? "" : " stroke-dasharray=\"\(dashes)\""
        return "<polyline points=\"\(points(values, box, top))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.8\"\(style)/>"
    }

    private func area(_ values: [(Int, Double)], _ box: (top: Double, height: Double), _ top: Double) -> String {
        guard let first = values.first, let last = values.last else { return "" }
        let floor = text(box.top + box.height)
        let outline = "\(text(x(first.0))),\(floor) \(points(values, box, top)) \(text(x(last.0))),\(floor)"
        return "<polygon points=\"\(outline)\" fill=\"#e8842a\" fill-opacity=\"0.45\" stroke=\"#c4600a\" stroke-width=\"1.2\"/>"
    }

    private func axis(_ top: Double, _ height: Double, _ ceiling: Double, _ name: String) -> [String] {
        var parts: [String] = [label(name, left - 70, top - 10, weight: "bold")]
        for step in 0...4 {
            let value = ceiling * Double(step) / 4
            let place = top + height * (1 - Double(step) / 4)
            parts.append("<line x1=\"\(text(left))\" x2=\"\(text(left + width))\" y1=\"\(text(place))\" y2=\"\(text(place))\" stroke=\"#ddd\"/>")
            parts.append(label(number(value), left - 8, place + 4, anchor: "end", colour: "#555"))
        }
        return parts
    }

    /// The green scale of the masternodes' pairs.
    private func pairAxis(_ ceiling: Double) -> [String] {
        let right = left + width
        var parts = [label("pairs", right + 50, upper.top - 10, anchor: "end", weight: "bold", colour: "#1f7a2c")]
        for step in 0...4 {
            let place = upper.top + upper.height * (1 - Double(step) / 4)
            parts.append(label(number(ceiling * Double(step) / 4), right + 8, place + 4, colour: "#1f7a2c"))
        }
        return parts
    }

    private func dialAxis(_ ceiling: Double) -> [String] {
        var parts = [label("dials a second", left - 70, lower.top - 10, weight: "bold")]
        var values = [0.0]
        var value = ceiling
        while value >= 1 {
            values.append(value)
            value /= ceiling > 1_000 ? 100 : 10
        }
        for value in values {
            let place = lower.top + lower.height * (1 - logarithm(value) / logarithm(ceiling))
            parts.append("<line x1=\"\(text(left))\" x2=\"\(text(left + width))\" y1=\"\(text(place))\" y2=\"\(text(place))\" stroke=\"#ddd\"/>")
            parts.append(label(number(value), left - 8, place + 4, anchor: "end", colour: "#555"))
        }
        return parts
    }

    private var timeAxis: [String] {
        let steps = [60_000, 300_000, 600_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 86_400_000]
        let step = steps.first { report.scenario.duration / $0 <= 12 } ?? 86_400_000
        let floor = lower.top + lower.height
        return stride(from: 0, through: report.scenario.duration, by: step).map {
            label(Span.text($0), x($0), floor + 20, anchor: "middle", colour: "#555")
        } + [label("virtual time", left + width / 2, floor + 44, anchor: "middle", weight: "bold")]
    }

    /// A mark for each step but the start, numbered; the names stand at the top of the marks, cut to fit.
    private var phases: [String] {
        var parts: [String] = []
        var free = left
        for phase in report.phases.dropFirst() {
            let place = x(phase.at)
            parts.append("<line x1=\"\(text(place))\" x2=\"\(text(place))\" y1=\"\(text(upper.top))\" y2=\"\(text(lower.top + lower.height))\" stroke=\"#b0509a\" stroke-dasharray=\"2 3\"/>")
            let next = report.phases.first { $0.at > phase.at }.map { x($0.at) } ?? left + width
            let room = Int(max(next - max(place, free), 0) / 6.2)
            guard room >= 4 else { continue }
            let name = phase.name.count <= room ? phase.name : String(phase.name.prefix(room - 1)) + "…"
            parts.append(label(name, max(place, free) + 3, upper.top - 4, size: 10, colour: "#8a3a78"))
            free = max(place, free) + Double(name.count) * 6.2
        }
        return parts
    }

    private var legend: [String] {
        let entries = [("all links", "#1f6fb4"), ("masternode pairs with a link", "#2a9d3a"), ("pairs that should have one", "#666")]
        var parts: [String] = []
        var place = left + width - 510
        for (name, colour) in entries {
            let base = 28.0
            parts.append("<line x1=\"\(text(place))\" x2=\"\(text(place + 22))\" y1=\"\(text(base - 4))\" y2=\"\(text(base - 4))\" stroke=\"\(colour)\" stroke-width=\"3\"/>")
            parts.append(label(name, place + 28, base))
            place += 50 + Double(name.count) * 6.6
        }
        return parts
    }

    private func label(
        _ words: String, _ x: Double, _ y: Double, anchor: String = "start", size: Int = 12, weight: String = "normal", colour: String = "#222"
    ) -> String {
        let safe = words.map { $0 == "<" ? "&lt;" : $0 == ">" ? "&gt;" : $0 == "&" ? "&amp;" : String($0) }.joined()
        return "<text x=\"\(text(x))\" y=\"\(text(y))\" text-anchor=\"\(anchor)\" font-size=\"\(size)\" font-weight=\"\(weight)\" fill=\"\(colour)\">\(safe)</text>"
    }

    private func number(_ value: Double) -> String {
        guard value == value.rounded() else { return text(value) }
        let digits = Array("\(Int(value))")
        return digits.enumerated().map { ($0.offset > 0 && (digits.count - $0.offset) % 3 == 0 ? "," : "") + String($0.element) }.joined()
    }

    /// One decimal, without a formatter.
    private func text(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
    }
}
