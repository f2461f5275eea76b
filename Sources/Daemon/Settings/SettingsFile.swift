// A settings file: flat keys of the table, as lines of YAML or as JSON. What the table does
// not know is refused here, with the line and the nearest name: a key that is silently dead costs an operator a night.

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
    /// Mistakes of one file that are listed; the rest is counted.
    static let mostMistakes = 50

    /// Reads the file at `path`. It must exist, and hold at least a comment.
    init(path: String) throws(SettingsMistake) {
        // The one empty file that is believed: whoever names it wants no settings file.
        guard path != "/dev/null" else {
            try self.init(path: path, text: [])
            return
        }
        let text: [UInt8]
        do throws(FileFault) { text = try TextFile.text(path, limit: SettingsFile.largest) } catch {
            throw SettingsMistake(place: path, text: error.description, status: .configuration)
        }
        try self.init(path: path, text: text)
    }

    init(path: String, text: [UInt8]) throws(SettingsMistake) {
        self.path = path
        let root: FileValue?
        do throws(TextMistake) { root = try ValueReader.settings(text) } catch {
            throw SettingsMistake(place: "\(path):\(error.line)", text: error.text, status: .configuration)
        }
        guard let root else { return }
        guard case .object(let members) = root.kind else {
            throw SettingsMistake(
                place: "\(path):\(root.line)", text: "give one `key: value` a line, such as `max-peers: 100`", status: .configuration
            )
        }
        for (index, member) in members.enumerated() {
            if mistakes.count == SettingsFile.mostMistakes {
                mistakes.append(SettingsMistake(place: path, text: "\(members.count - index) more keys were not looked at", status: .configuration))
                return
            }
            take(member)
        }
    }

    private mutating func take(_ member: FileValue.Member) {
        let line = member.line
        guard let setting = Setting.find(member.key) else {
            mistakes.append(.unknownKey(member.key, place: "\(path):\(line)"))
            return
        }
        switch member.value.kind {
        case .text(let text):
            // `key:` without a value is a value that was forgotten, not one that is empty.
            guard !text.isEmpty else { return refuse(setting, "", line) }
            entries[setting.name] = Entry(values: [text], line: line)
        case .nothing(let text):
            refuse(setting, text, line)
        case .list(let elements):
            var values: [String] = []
            for element in elements {
                guard setting.isList, let text = element.text, !text.isEmpty else {
                    if case .nothing(let text) = element.kind, setting.isList { return refuse(setting, text, element.line) }
                    return refuse(setting, "[…]", line)
                }
                values.append(text)
            }
            entries[setting.name] = Entry(values: values, line: line)
        case .object:
            refuse(setting, "{…}", line)
        }
    }

    private mutating func refuse(_ setting: Setting, _ value: String, _ line: Int) {
        let origin = Origin.file(path, line: line)
        mistakes.append(SettingsMistake(OptionConflict(option: setting.name, value: value, accepted: setting.acceptedForm, origin: origin)))
    }
}

/// One thing that is wrong with the settings: where, and what to do.
public struct SettingsMistake: Error, Hashable, Sendable, CustomStringConvertible {
    /// One line.
    public let description: String
    /// The exit status that it ends with.
    public let status: DaemonError.Status

    init(place: String, text: String, status: DaemonError.Status) {
        description = VisibleText.escape("\(place): \(text)")
        self.status = status
    }

    init(_ conflict: OptionConflict) {
        description = VisibleText.escape(conflict.description)
        status = conflict.status
    }

    static func unknownKey(_ key: String, place: String) -> SettingsMistake {
        SettingsMistake(place: place, text: "no setting is named '\(key.prefix(80))'; nearest is '\(Setting.nearest(to: key))'", status: .configuration)
    }

    static func unknownVariable(_ name: String) -> SettingsMistake {
        let key = String(name.dropFirst(Setting.variablePrefix.count))
        return SettingsMistake(
            place: "environment", text: "no setting is named '\(name)'; nearest is '\(Setting.named(Setting.nearest(to: key)).variable)'",
            status: .configuration
        )
    }
}
