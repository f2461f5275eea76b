// A settings file: flat keys of the table, in YAML or in JSON (which is read as the part of YAML that it is). What the table does
// not know is refused here, with the line and the nearest name: a key that is silently dead costs an operator a night.

import Glibc
import Yams

/// What a file says.
struct SettingsFile: Sendable {
    struct Entry: Sendable {
        let values: [String]
        let line: Int
    }

    let path: String
    private(set) var entries: [String: Entry] = [:]
    private(set) var mistakes: [SettingsMistake] = []

    /// No file of settings is larger.
    private static let largest = 1 << 20

    /// Reads the file at `path`. It must exist.
    init(path: String) throws(SettingsMistake) {
        guard let bytes = TextFile.read(path, limit: SettingsFile.largest) else {
            throw SettingsMistake(place: path, text: "cannot be read: \(systemText(errno))", status: .configuration)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw SettingsMistake(place: path, text: "is not UTF-8 text", status: .configuration)
        }
        try self.init(path: path, text: text)
    }

    init(path: String, text: String) throws(SettingsMistake) {
        self.path = path
        let root: Node?
        do {
            // JSON may be indented with tabs, YAML may not.
            root = try Yams.compose(yaml: path.hasSuffix(".json") ? SettingsFile.withoutTabs(text) : text)
        } catch {
            throw SettingsFile.mistake(path, error)
        }
        guard let root, root != Node("", Tag(.null)), !SettingsFile.isEmpty(root) else { return }
        guard case .mapping(let mapping) = root else {
            throw SettingsMistake(
                place: "\(path):\(root.mark?.line ?? 1)", text: "give one `key: value` a line, such as `max-peers: 100`", status: .configuration
            )
        }
        for (key, value) in mapping { take(key, value) }
    }

    private static func isEmpty(_ root: Node) -> Bool {
        if case .scalar(let scalar) = root { scalar.string.isEmpty } else { false }
    }

    private mutating func take(_ key: Node, _ value: Node) {
        let line = key.mark?.line ?? 1
        guard case .scalar(let keyScalar) = key, let setting = Setting.all.first(where: { $0.name == keyScalar.string }) else {
            mistakes.append(.unknownKey(key.string ?? "?", place: "\(path):\(line)"))
            return
        }
        switch value {
        case .scalar(let scalar):
            // `key:` without a value is a value that was forgotten, not one that is empty.
            guard !scalar.string.isEmpty else { return refuse(setting, "", line) }
            entries[setting.name] = Entry(values: [scalar.string], line: line)
        case .sequence(let sequence):
            var values: [String] = []
            for element in sequence {
                guard setting.isList, case .scalar(let scalar) = element else { return refuse(setting, "[…]", line) }
                values.append(scalar.string)
            }
            entries[setting.name] = Entry(values: values, line: line)
        case .mapping, .alias:
            refuse(setting, "{…}", line)
        }
    }

    private mutating func refuse(_ setting: Setting, _ value: String, _ line: Int) {
        let origin = Origin.file(path, line: line)
        mistakes.append(SettingsMistake(OptionConflict(option: setting.name, value: value, accepted: setting.acceptedForm, origin: origin)))
    }

    /// The text with every tab outside of strings made a blank.
    private static func withoutTabs(_ text: String) -> String {
        var isString = false
        var isEscaped = false
        return String(
            decoding: text.utf8.map { byte -> UInt8 in
                defer { isEscaped = isString && byte == UInt8(ascii: "\\") && !isEscaped }
                if byte == UInt8(ascii: "\""), !isEscaped { isString.toggle() }
                return byte == UInt8(ascii: "\t") && !isString ? UInt8(ascii: " ") : byte
            }, as: UTF8.self
        )
    }

    private static func mistake(_ path: String, _ error: any Error) -> SettingsMistake {
        func at(_ mark: Mark, _ problem: String) -> SettingsMistake {
            SettingsMistake(place: "\(path):\(mark.line)", text: "is not YAML or JSON: \(problem)", status: .configuration)
        }
        switch error {
        case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _):
            return at(mark, problem)
        case YamlError.duplicatedKeysInMapping(let duplicates, let context):
            return SettingsMistake(
                place: "\(path):\(context.mark.line)", text: "the key '\(duplicates.first ?? "?")' stands there twice", status: .configuration
            )
        default:
            return SettingsMistake(place: path, text: "is not YAML or JSON", status: .configuration)
        }
    }
}

/// One thing that is wrong with the settings: where, and what to do.
public struct SettingsMistake: Error, Hashable, Sendable, CustomStringConvertible {
    /// One line.
    public let description: String
    /// The exit status that it ends with.
    public let status: DaemonError.Status

    init(place: String, text: String, status: DaemonError.Status) {
        description = "\(place): \(text)"
        self.status = status
    }

    init(_ conflict: OptionConflict) {
        description = conflict.description
        status = conflict.status
    }

    static func unknownKey(_ key: String, place: String) -> SettingsMistake {
        SettingsMistake(place: place, text: "no setting is named '\(key)'; nearest is '\(Setting.nearest(to: key))'", status: .configuration)
    }

    static func unknownVariable(_ name: String) -> SettingsMistake {
        let key = String(name.dropFirst(Setting.variablePrefix.count))
        return SettingsMistake(
            place: "environment", text: "no setting is named '\(name)'; nearest is '\(Setting.named(Setting.nearest(to: key)).variable)'",
            status: .configuration
        )
    }
}
