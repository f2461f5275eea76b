// Settings as people and programs read them: the table of `config print`, and the manual's.

/// Texts made from the table of settings.
public enum SettingsText {
    /// A line a setting: name, value, origin, in columns.
    public static func table(_ settings: [Setting], _ resolved: ResolvedSettings) -> String {
        let rows = settings.map { setting in
            let value = VisibleText.escape(setting.text(in: resolved.configuration))
            return (setting.name, value.isEmpty ? "-" : value, VisibleText.escape(resolved.origin(of: setting).description))
        }
        let nameWidth = rows.map(\.0.count).max() ?? 0
        let valueWidth = min(rows.map(\.1.count).max() ?? 0, 40)
        return rows.map { name, value, origin in
            pad(name, nameWidth) + "  " + pad(value, valueWidth) + "  " + origin + "\n"
        }.joined()
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// One object: a member a setting, with value, origin and when a new value takes effect.
    public static func json(_ settings: [Setting], _ resolved: ResolvedSettings) -> String {
        let members = settings.map { setting in
            let texts = setting.texts(in: resolved.configuration)
            let value =
                if setting.isList {
                    "[" + texts.map { JSON.string($0).line }.joined(separator: ",") + "]"
                } else if setting.type == "count", let number = texts.first.flatMap({ UInt32($0) }) {
                    String(number)
                } else {
                    JSON.string(texts.first ?? "").line
                }
            let origin = JSON.string(resolved.origin(of: setting).description).line
            return "  \(JSON.string(setting.name).line): {\"value\": \(value), \"origin\": \(origin), \"change\": \(JSON.string(setting.change.rawValue).line)}"
        }
        return "{\n" + members.joined(separator: ",\n") + "\n}\n"
    }

    /// docs/Settings.md, whole.
    public static var manual: String {
        var text = """
            # Settings

            <!-- Made from the table in Sources/Daemon/Settings; a test holds this page to it: \
            `REACTOR_WRITE_DOCS=1 swift test --filter SettingsManualTests` writes it anew. -->

            Every setting of a node has one name. It is an option of `reactor-node run` (`--max-peers 200`), a variable of the environment
            (`REACTOR_NODE_MAX_PEERS=200`), and a key in the settings file (`max-peers: 200`). The command line is believed first, then the
            environment, then the file, then the default. [Operating.md](Operating.md) tells how to use them.

            *Live* settings take effect at a reload (`SIGHUP`), and no link notices. The others wait for a restart; a reload says which.

            """
        for section in Setting.Section.allCases {
            text += "\n## \(section.rawValue)\n\n| setting | type | default | accepts | takes effect | |\n|---|---|---|---|---|---|\n"
            for setting in Setting.all where setting.section == section {
                text += "| `\(setting.name)` | \(setting.type) | \(setting.defaultText) | \(setting.range) | \(setting.change.inWords) | \(setting.summary) |\n"
            }
        }
        return text
    }
}

extension Setting.Change {
    var inWords: String {
        switch self {
        case .live: "live"
        case .restart: "at a restart"
        }
    }
}
