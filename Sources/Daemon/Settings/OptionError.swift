// A wrong option's one line: what was given, and what is accepted. The command line adds the option's name.

/// A value that an option does not take. Its text says what the option accepts, for one line on the terminal.
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
