// What commands print: tables for people, JSON for programs; colour on terminals only; quiet when the reader has enough.

import Daemon
import Glibc

/// Stdout of a command.
enum Output {
    /// Colours and widths are for a terminal whose user has not said otherwise.
    static let isColoured: Bool = {
        guard isatty(1) == 1, unsafe getenv("NO_COLOR") == nil else { return false }
        guard let term = unsafe getenv("TERM") else { return false }
        return unsafe String(cString: term) != "dumb"
    }()

    /// The terminal's columns; nil if this is none.
    static var columns: Int? {
        var size = winsize()
        guard isatty(1) == 1, unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Writes all of `text`. A reader that went away (`peers | head`) has what it wanted: the command ends, quietly and well.
    static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(1, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                var one = pollfd(fd: 1, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&one, 1, 1_000)
                continue
            }
            guard count > 0 else { exit(errno == EPIPE ? 0 : 74) }
            rest = rest.dropFirst(count)
        }
    }

    static func line(_ text: String = "") { write(text + "\n") }

    enum Colour: String {
        case green = "32", yellow = "33", red = "31", grey = "90", bold = "1"
    }

    static func paint(_ text: String, _ colour: Colour?) -> String {
        guard isColoured, let colour else { return text }
        return "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m"
    }

    /// How good a state is.
    static func colour(ofState state: String) -> Colour? {
        switch state {
        case "established", "good": .green
        case "dialing", "greeting", "connecting", "securing", "held", "backoff", "awaiting-inbound", "degraded", "draining": .yellow
        case "banned", "dormant", "down", "unresolved": .red
        default: .grey
        }
    }
}

/// Columns of text, each as wide as its widest cell; numbers to the right. A terminal that is too narrow has the most needed ones.
struct Table {
    struct Column {
        let title: String
        var isNumber = false
        /// Left out where there is no room for all; the last of them first.
        var isMinor = false

        /// `#` in front of a title: numbers. `?` before that: minor.
        init(_ title: String) {
            var rest = title[...]
            isMinor = rest.first == "?"
            if isMinor { rest.removeFirst() }
            isNumber = rest.first == "#"
            if isNumber { rest.removeFirst() }
            self.title = String(rest)
        }
    }

    struct Cell {
        var text: String
        var colour: Output.Colour?
    }

    let columns: [Column]
    private(set) var rows: [[Cell]] = []

    init(_ titles: String...) {
        columns = titles.map(Column.init)
    }

    mutating func add(_ cells: [Cell]) {
        precondition(cells.count == columns.count, "a row has a cell for each column")
        rows.append(cells)
    }

    /// The table, or a line that says that there is nothing.
    func write(orSay nothing: String) {
        guard !rows.isEmpty else { return Output.line(nothing) }
        let widths = columns.indices.map { column in
            max(columns[column].title.count, rows.map { $0[column].text.count }.max() ?? 0)
        }
        let shown = shown(widths, in: Output.columns)
        var text = line(columns.map { Cell(text: $0.title, colour: .bold) }, widths, shown)
        for row in rows { text += line(row, widths, shown) }
        Output.write(text)
    }

    /// The columns that a terminal of so many has room for.
    func shown(_ widths: [Int], in room: Int?) -> [Int] {
        var shown = Array(columns.indices)
        guard let room else { return shown }
        while shown.reduce(-2, { $0 + widths[$1] + 2 }) > room, let last = shown.lastIndex(where: { columns[$0].isMinor }) { shown.remove(at: last) }
        return shown
    }

    private func line(_ cells: [Cell], _ widths: [Int], _ shown: [Int]) -> String {
        var text = ""
        for index in shown {
            let cell = cells[index]
            let space = String(repeating: " ", count: widths[index] - cell.text.count)
            let painted = Output.paint(cell.text, cell.colour)
            let isLast = index == shown.last
            text += columns[index].isNumber ? space + painted : isLast ? painted : painted + space
            if !isLast { text += "  " }
        }
        return text + "\n"
    }
}

/// Numbers and times for people.
enum Say {
    /// Seconds as `4.2s`, `3m20s`, `2h5m`, `9d3h`; a dash for none.
    static func span(_ value: JSON?) -> String {
        guard let seconds = value?.real else { return "-" }
        let whole = Int(seconds)
        switch whole {
        case ..<10: return "\(Double(Int(seconds * 10)) / 10)s"
        case ..<60: return "\(whole)s"
        case ..<3_600: return "\(whole / 60)m\(whole % 60)s"
        case ..<86_400: return "\(whole / 3_600)h\(whole / 60 % 60)m"
        default: return "\(whole / 86_400)d\(whole / 3_600 % 24)h"
        }
    }

    static func milliseconds(_ value: JSON?) -> String {
        guard let seconds = value?.real else { return "-" }
        let tenths = Int((seconds * 10_000).rounded())
        return "\(tenths / 10).\(tenths % 10)ms"
    }

    static func bytes(_ value: JSON?) -> String {
        guard let count = value?.whole else { return "-" }
        var amount = Double(count)
        for unit in ["B", "K", "M", "G"] {
            if amount < 1_024 { return unit == "B" ? "\(count)B" : "\(Double(Int(amount * 10)) / 10)\(unit)" }
            amount /= 1_024
        }
        return "\(Double(Int(amount * 10)) / 10)T"
    }

    static func text(_ value: JSON?) -> String { value?.text ?? value?.whole.map(String.init) ?? "-" }

    /// A close reason for people: `io(113)` in the system's words.
    static func reason(_ value: JSON?) -> String {
        let name = text(value)
        guard name.hasPrefix("io("), name.hasSuffix(")"), let code = CInt(name.dropFirst(3).dropLast()) else { return name }
        return ControlClient.text(code)
    }

    /// The time of day of an RFC 3339 text, in UTC.
    static func time(_ value: JSON?) -> String {
        guard let text = value?.text, let start = text.firstIndex(of: "T") else { return "-" }
        return String(text[text.index(after: start)...])
    }

    /// Date and time without the milliseconds.
    static func date(_ value: JSON?) -> String {
        guard let text = value?.text else { return "-" }
        return text.prefix(19).replacing("T", with: " ") + "Z"
    }
}
