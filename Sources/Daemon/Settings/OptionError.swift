// A wrong value's one line: what was given, where, and what is accepted.

/// A value that a setting does not take.
public struct OptionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The value as it was typed.
    public let value: String
    /// What is accepted, as the rest of a sentence: `a span such as 500ms, 5s or 2m`.
    public let accepted: String

    public init(value: String, accepted: String) {
        self.value = value
        self.accepted = accepted
    }

    public var description: String { "give \(accepted)" }
}

/// Where a value comes from. The first of these that has one is believed.
public enum Origin: Hashable, Sendable, CustomStringConvertible {
    case commandLine
    /// A variable of the environment.
    case environment(String)
    /// A file, and the line in it.
    case file(String, line: Int)
    case fallback

    public var description: String {
        switch self {
        case .commandLine: "command line"
        case .environment(let name): "environment \(name)"
        case .file(let path, let line): "\(path):\(line)"
        case .fallback: "default"
        }
    }
}

/// A value that its setting or its neighbours forbid, and who gave it.
public struct OptionConflict: Error, Hashable, Sendable, CustomStringConvertible {
    /// The setting's name.
    public let option: String
    public let value: String
    public let accepted: String
    public var origin: Origin

    public init(option: String, value: String, accepted: String, origin: Origin = .commandLine) {
        self.option = option
        self.value = value
        self.accepted = accepted
        self.origin = origin
    }

    public var description: String {
        switch origin {
        case .commandLine, .fallback: "The value '\(value)' is invalid for '--\(option)': give \(accepted)"
        case .environment(let name): "The value '\(value)' is invalid for '\(name)' in the environment: give \(accepted)"
        case .file(let path, let line): "\(path):\(line): the value '\(value)' is invalid for '\(option)': give \(accepted)"
        }
    }

    /// The exit status that it ends with: a wrong command line, or a wrong configuration.
    public var status: DaemonError.Status {
        switch origin {
        case .commandLine, .fallback: .usage
        case .environment, .file: .configuration
        }
    }
}
