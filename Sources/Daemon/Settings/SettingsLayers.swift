// The layers of settings, first one first: command line, environment, file, defaults. swift-configuration looks a key up in
// them and tells which had it; the table says what keys there are, and reads the values.

import Configuration
import Glibc
import PeerMesh
import Synchronization

/// What a node was told, by whomever: read at start, and again at each reload.
public struct SettingsLayers: Sendable {
    /// The command line's values by setting, as parsed.
    public var commandLine: [String: [String]]
    public var environment: [String: String]
    /// The settings file that was asked for; nil looks in the usual places.
    public var path: String?

    /// Where a file is looked for if none is named.
    public static let usualPlaces = ["reactor-node.yaml", "reactor-node.json", serviceFile]
    /// The file of the service that the package installs.
    static let serviceFile = "/etc/reactor-node/reactor-node.yaml"
    /// What `--config` takes for no file at all.
    static let noFile = "none"
    /// The variable that names the file.
    static let pathVariable = Setting.variablePrefix + "CONFIG"

    public init(commandLine: [String: [String]], path: String?, environment: [String: String] = SettingsLayers.processEnvironment()) {
        self.commandLine = commandLine
        self.environment = environment.filter { $0.key.hasPrefix(Setting.variablePrefix) }
        self.path = path ?? self.environment[SettingsLayers.pathVariable]
    }

    /// The environment of this process.
    public static func processEnvironment() -> [String: String] {
        var variables: [String: String] = [:]
        var next = unsafe environ
        while let entry = unsafe next.pointee {
            let text = unsafe String(cString: entry)
            if let equals = text.firstIndex(of: "=") { variables[String(text[..<equals])] = String(text[text.index(after: equals)...]) }
            unsafe next += 1
        }
        return variables
    }

    /// Reads every layer. All that is wrong is in the result; `configuration` is complete only if nothing is.
    public func resolve() throws(DaemonError) -> ResolvedSettings {
        var resolved = ResolvedSettings(configuration: try NodeConfiguration())
        let file = readFile(into: &resolved)
        let variables = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.variable, $0) })
        for name in environment.keys.sorted() where variables[name] == nil && name != SettingsLayers.pathVariable {
            resolved.mistakes.append(.unknownVariable(name))
        }
        let finder = OriginFinder()
        let reader = ConfigReader(providers: providers(file), accessReporter: finder)
        for setting in Setting.all { resolve(setting, reader, finder, file, into: &resolved) }
        guard resolved.mistakes.isEmpty else { return resolved }
        resolved.configuration.complete()
        do throws(OptionConflict) {
            try resolved.configuration.check()
        } catch {
            resolved.add(error)
        }
        return resolved
    }

    private func readFile(into resolved: inout ResolvedSettings) -> SettingsFile? {
        guard path != SettingsLayers.noFile else { return nil }
        guard let path = path ?? SettingsLayers.usualPlaces.first(where: TextFile.isNamed) else { return nil }
        resolved.file = path
        do throws(SettingsMistake) {
            let file = try SettingsFile(path: path)
            resolved.mistakes += file.mistakes
            return file
        } catch {
            resolved.mistakes.append(error)
            return nil
        }
    }

    private func providers(_ file: SettingsFile?) -> [any ConfigProvider] {
        let fromFile = file?.entries.mapValues(\.values) ?? [:]
        return [
            InMemoryProvider(name: "command line", values: SettingsLayers.values(commandLine)),
            EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: ConfigKey(["reactor-node"])),
            InMemoryProvider(name: "file", values: SettingsLayers.values(fromFile)),
        ]
    }

    private static func values(_ layer: [String: [String]]) -> [AbsoluteConfigKey: ConfigValue] {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (name, texts) in layer {
            let content = Setting.named(name).isList ? ConfigContent.stringArray(texts) : .string(texts.first ?? "")
            values[AbsoluteConfigKey([name])] = ConfigValue(content, isSecret: false)
        }
        return values
    }

    private func resolve(
        _ setting: Setting, _ reader: ConfigReader, _ finder: OriginFinder, _ file: SettingsFile?, into resolved: inout ResolvedSettings
    ) {
        let key = ConfigKey([setting.name])
        let found: [String]?
        if setting.isList {
            found = reader.stringArray(forKey: key)?.filter { !$0.isEmpty }
        } else {
            found = reader.string(forKey: key).map { [$0] }
        }
        guard let found else { return }
        let origin: Origin =
            switch finder.index {
            case 0: .commandLine
            case 1: .environment(setting.variable)
            default: .file(file?.path ?? "", line: file?.entries[setting.name]?.line ?? 0)
            }
        resolved.origins[setting.name] = origin
        do throws(OptionError) {
            try setting.read(found, into: &resolved.configuration)
        } catch {
            resolved.add(OptionConflict(option: setting.name, value: error.value, accepted: error.accepted, origin: origin))
        }
    }
}

/// The settings of all layers together.
public struct ResolvedSettings: Sendable {
    public var configuration: NodeConfiguration
    /// By setting; one that is not here has its default.
    public var origins: [String: Origin] = [:]
    /// The file that was read.
    public var file: String?
    /// In the order of the table; empty if all is well.
    public var mistakes: [SettingsMistake] = []

    init(configuration: NodeConfiguration) {
        self.configuration = configuration
    }

    public func origin(of setting: Setting) -> Origin { origins[setting.name] ?? .fallback }

    /// A conflict between values blames the layer that gave the one it names.
    mutating func add(_ conflict: OptionConflict) {
        var conflict = conflict
        conflict.origin = origins[conflict.option] ?? conflict.origin
        mistakes.append(SettingsMistake(conflict))
    }
}

/// Remembers which provider had the last key.
private final class OriginFinder: AccessReporter {
    private let last = Mutex<Int>(0)

    var index: Int { last.withLock { $0 } }

    func report(_ event: AccessEvent) {
        let index = event.providerResults.firstIndex { (try? $0.result.get().value) != nil } ?? 0
        last.withLock { $0 = index }
    }
}
