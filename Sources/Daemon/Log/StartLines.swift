// What a node says before its threads run: who it is, what its limits are, and what to type next.

import PeerMesh
import Timers

/// Lines that are known before the log's thread starts.
struct StartLines: Sendable {
    enum Value: Sendable {
        case text(String)
        case word(String)
        case number(UInt64)
        case endpoint(Endpoint)
    }

    struct Line: Sendable {
        var level: LogLevel
        var event: StaticString
        var fields: [(StaticString, Value)] = []
        /// Every setting, with these values.
        var settings: NodeConfiguration?

        func append(to buffer: LineBuffer, _ format: LogFormat, time: UInt64) {
            let line = LogLine(buffer, format, time: time, level: level, event: event)
            for (name, value) in fields {
                switch value {
                case .text(let text): line.field(name, text: text)
                // Many of these words are an operator's: paths, names.
                case .word(let word): line.field(name, text: word)
                case .number(let number): line.field(name, number)
                case .endpoint(let endpoint): line.field(name, endpoint)
                }
            }
            if let settings {
                for setting in Setting.mesh {
                    line.field(named: setting.name, word: setting.text(in: settings), isNumber: UInt32(setting.text(in: settings)) != nil)
                }
            }
            line.end()
        }
    }

    private(set) var lines: [Line] = []

    mutating func add(_ level: LogLevel = .info, _ event: StaticString, _ fields: (StaticString, Value)...) {
        lines.append(Line(level: level, event: event, fields: fields))
    }

    /// Where the node is asked and told things.
    mutating func add(_ control: ControlPlane?) {
        guard let path = control?.path else { return }
        guard let readOnly = control?.readOnly else { return add(.info, "control", ("socket", .text(path))) }
        add(.info, "control", ("socket", .text(path)), ("read-only", .endpoint(readOnly)))
    }

    /// One line with every number of the mesh, as the options take them.
    mutating func addSettings(_ settings: NodeConfiguration) {
        lines.append(Line(level: .info, event: "settings", settings: settings))
    }
}
