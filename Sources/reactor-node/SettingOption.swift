// The settings as options of the command line: names, words and defaults come from the table; values stay text here, as the
// table reads those of every layer alike.

import ArgumentParser
import Daemon

extension Option where Value == String? {
    /// An option for one entry of the table.
    init(_ name: String) {
        self.init(name: .customLong(name), help: SettingHelp.of(name, isList: false))
    }
}

extension Option where Value == [String] {
    /// An option for an entry of the table that takes several values.
    init(wrappedValue: [String], several name: String, parsing: ArrayParsingStrategy) {
        self.init(wrappedValue: wrappedValue, name: .customLong(name), parsing: parsing, help: SettingHelp.of(name, isList: true))
    }
}

/// The words of each option, made once: the parser makes its options anew for every command that it looks at.
private enum SettingHelp {
    private static let words = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.name, ($0.isList, help($0))) })

    static func of(_ name: String, isList: Bool) -> ArgumentHelp {
        guard let (takesSeveral, help) = words[name] else { preconditionFailure("no setting is named \(name)") }
        precondition(takesSeveral == isList, "\(name) is declared for the wrong number of values")
        return help
    }

    private static func help(_ setting: Setting) -> ArgumentHelp {
        let fallback = setting.defaultText
        return ArgumentHelp("\(setting.summary)\(fallback.isEmpty ? "" : " (default: \(fallback))")", valueName: setting.placeholder)
    }
}

/// Options that are settings, by name.
protocol SettingOptions: ParsableArguments {}

extension SettingOptions {
    /// What was given, by setting. Each option's name is its property's: `maxPeers` is `max-peers`.
    var given: [String: [String]] {
        var values: [String: [String]] = [:]
        for child in Mirror(reflecting: self).children {
            guard let label = child.label else { continue }
            let name = label.drop { $0 == "_" }.map { $0.isUppercase ? "-" + $0.lowercased() : String($0) }.joined()
            if let option = child.value as? Option<String?>, let value = option.wrappedValue { values[name] = [value] }
            if let option = child.value as? Option<[String]>, !option.wrappedValue.isEmpty { values[name] = option.wrappedValue }
        }
        return values
    }
}
