// The settings as options of the command line: names, words and defaults come from the table; values stay text here, as the
// table reads those of every layer alike.

import ArgumentParser
import Daemon

extension Option where Value == String? {
    /// An option for one entry of the table.
    init(_ name: String) {
        let setting = Setting.named(name)
        precondition(!setting.isList, "\(name) takes several values")
        self.init(name: .customLong(name), help: ArgumentHelp(setting: setting))
    }
}

extension Option where Value == [String] {
    /// An option for an entry of the table that takes several values.
    init(wrappedValue: [String], several name: String, parsing: ArrayParsingStrategy) {
        let setting = Setting.named(name)
        precondition(setting.isList, "\(name) takes one value")
        self.init(wrappedValue: wrappedValue, name: .customLong(name), parsing: parsing, help: ArgumentHelp(setting: setting))
    }
}

extension ArgumentHelp {
    fileprivate init(setting: Setting) {
        let fallback = setting.defaultText
        let shown = fallback.isEmpty ? "" : " (default: \(fallback))"
        self.init("\(setting.summary)\(shown)", valueName: setting.placeholder)
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
