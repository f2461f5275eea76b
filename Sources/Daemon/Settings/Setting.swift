// One setting of a node: its name, type, range, default and words. The command line, the files, the environment, the start
// lines and the manual are made from the table of these, so that they cannot disagree.

import PeerMesh
public import Timers

/// One value of `NodeConfiguration` that operators may set.
public struct Setting: Sendable {
    public typealias SpanPath = any WritableKeyPath<NodeConfiguration, Nanoseconds> & Sendable
    public typealias CountPath = any WritableKeyPath<NodeConfiguration, UInt32> & Sendable
    public typealias OptionalCountPath = any WritableKeyPath<NodeConfiguration, UInt32?> & Sendable

    /// Where the value lives, and what it may be.
    public enum Field: Sendable {
        case span(SpanPath, ClosedRange<Nanoseconds>)
        case count(CountPath, ClosedRange<UInt32>)
        /// `auto` for nil: what follows from the others.
        case optionalCount(OptionalCountPath, ClosedRange<UInt32>)
        case word(Word)
        case list(List)
    }

    /// A value that has a form of its own.
    public struct Word: Sendable {
        /// In an option's help: `address:port`.
        let placeholder: String
        /// In the manual's table.
        let range: String
        let accepted: String
        let read: @Sendable (String, inout NodeConfiguration) throws(OptionError) -> Void
        let text: @Sendable (NodeConfiguration) -> String
    }

    /// Several such values.
    public struct List: Sendable {
        let placeholder: String
        let accepted: String
        let read: @Sendable ([String], inout NodeConfiguration) throws(OptionError) -> Void
        let texts: @Sendable (NodeConfiguration) -> [String]
    }

    /// When a new value takes effect.
    public enum Change: String, Sendable {
        /// At a reload; no link notices.
        case live
        case restart
    }

    /// The chapters of the table.
    public enum Section: String, CaseIterable, Sendable {
        case node = "The node"
        case log = "Log"
        case control = "Control and health"
        case memory = "Memory"
        case slots = "Slots"
        case dials = "Dials"
        case keepalive = "Keepalive"
        case schedule = "Schedule"
        case abuse = "Abuse"
        case discovery = "Discovery"

        /// Whether its settings are the mesh's numbers.
        var isMesh: Bool {
            switch self {
            case .node, .log, .control, .memory: false
            case .slots, .dials, .keepalive, .schedule, .abuse, .discovery: true
            }
        }
    }

    /// The option's name without its dashes; the key in a file.
    public let name: String
    public let section: Section
    public let field: Field
    public let change: Change
    /// The default in words, where it is not one value.
    var fallback: String?
    /// What it does, in a line.
    public let summary: String

    /// The variable of the environment that sets it: `REACTOR_NODE_MAX_PEERS`.
    public var variable: String {
        Setting.variablePrefix + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }

    /// What every such variable's name begins with.
    public static let variablePrefix = "REACTOR_NODE_"

    /// What it takes, as the rest of a sentence.
    public var acceptedForm: String {
        switch field {
        case .span(_, let range): "a span from \(range.lowerBound.span) to \(range.upperBound.span), such as 500ms, 5s or 2m"
        case .count(_, let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .optionalCount(_, let range): "a whole number from \(range.lowerBound) to \(range.upperBound), or auto"
        case .word(let word): word.accepted
        case .list(let list): list.accepted
        }
    }

    /// Its type, its range and its unit, for the manual.
    public var range: String {
        switch field {
        case .span(_, let range): "\(range.lowerBound.span) … \(range.upperBound.span)"
        case .count(_, let range): "\(range.lowerBound) … \(range.upperBound)"
        case .optionalCount(_, let range): "auto, \(range.lowerBound) … \(range.upperBound)"
        case .word(let word): word.range
        case .list(let list): "\(list.placeholder), several"
        }
    }

    /// The value's place in an option's help.
    public var placeholder: String {
        switch field {
        case .span: "span"
        case .count, .optionalCount: "n"
        case .word(let word): word.placeholder
        case .list(let list): list.placeholder
        }
    }

    /// Its type, for programs: `span`, `count`, `text` or `list`.
    public var type: String {
        switch field {
        case .span: "span"
        case .count, .optionalCount: "count"
        case .word: "text"
        case .list: "list"
        }
    }

    public var isSpan: Bool {
        if case .span = field { true } else { false }
    }

    public var isList: Bool {
        if case .list = field { true } else { false }
    }

    /// The default, as the manual and the help show it.
    public var defaultText: String {
        fallback ?? texts(in: .blank).joined(separator: ", ")
    }

    /// The value in `configuration`, in the form that is read; a list has several, or none.
    public func texts(in configuration: NodeConfiguration) -> [String] {
        switch field {
        case .span(let path, _): [configuration[keyPath: path].span]
        case .count(let path, _): [String(configuration[keyPath: path])]
        case .optionalCount(let path, _): [configuration[keyPath: path].map { String($0) } ?? "auto"]
        case .word(let word): [word.text(configuration)]
        case .list(let list): list.texts(configuration)
        }
    }

    /// The same in one line.
    public func text(in configuration: NodeConfiguration) -> String {
        texts(in: configuration).joined(separator: ", ")
    }

    /// Reads `values` and puts them where they belong. What is not a list takes one.
    public func read(_ values: [String], into configuration: inout NodeConfiguration) throws(OptionError) {
        if case .list(let list) = field { return try list.read(values, &configuration) }
        guard values.count == 1, let text = values.first else {
            throw OptionError(value: values.joined(separator: ", "), accepted: acceptedForm)
        }
        switch field {
        case .span(let path, let range):
            guard let span = Nanoseconds(span: text), range.contains(span) else { break }
            configuration[keyPath: path] = span
            return
        case .count(let path, let range):
            guard let count = UInt32(text), range.contains(count) else { break }
            configuration[keyPath: path] = count
            return
        case .optionalCount(let path, let range):
            let count = UInt32(text)
            guard text == "auto" || count.map(range.contains) ?? false else { break }
            configuration[keyPath: path] = count
            return
        case .word(let word):
            return try word.read(text, &configuration)
        case .list:
            return
        }
        throw OptionError(value: text, accepted: acceptedForm)
    }
}

extension Setting {
    /// The setting with this name; the name is the programmer's, so it must exist.
    public static func named(_ name: String) -> Setting {
        guard let found = byName[name] else { preconditionFailure("no setting is named \(name)") }
        return found
    }

    /// The same of a name that somebody typed; nil if there is no such setting.
    static func find(_ name: String) -> Setting? { byName[name] }

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// The mesh's numbers.
    public static let mesh = all.filter(\.section.isMesh)
}
