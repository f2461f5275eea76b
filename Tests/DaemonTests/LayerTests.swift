import Foundation
import PeerMesh
import Testing
import Timers

@testable import Daemon

@Suite("Layers of settings")
struct LayerTests {
    private func file(_ text: String, _ name: String = "reactor-node.yaml") throws -> SettingsFile {
        try SettingsFile(path: name, text: Array(text.utf8))
    }

    private func resolve(
        _ commandLine: [String: [String]] = [:], _ environment: [String: String] = [:], file text: String = "# nothing\n", _ name: String = "a.yaml"
    ) throws -> ResolvedSettings {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString)-\(name)").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try SettingsLayers(commandLine: commandLine, path: path, environment: environment).resolve()
    }

    @Test("command line before environment before file before default, and each value says whose it is")
    func precedence() throws {
        let text = "max-peers: 30\nping-interval: 7s\ndial-limit: 5\n"
        let all = try resolve(
            ["max-peers": ["50"]], ["REACTOR_NODE_MAX_PEERS": "40", "REACTOR_NODE_PING_INTERVAL": "8s", "HOME": "/"], file: text
        )
        #expect(all.mistakes.isEmpty)
        #expect(all.configuration.mesh.maxPeers == 50)
        #expect(all.configuration.mesh.pingInterval == .seconds(8))
        #expect(all.configuration.mesh.dialLimit == 5)
        #expect(all.configuration.mesh.banScore == 100)
        let origins = ["max-peers", "ping-interval", "ban-score"].map { all.origin(of: .named($0)) }
        #expect(origins == [.commandLine, .environment("REACTOR_NODE_PING_INTERVAL"), .fallback])
        guard case .file(_, line: 3) = all.origin(of: .named("dial-limit")) else {
            Issue.record("\(all.origin(of: .named("dial-limit")))")
            return
        }
    }

    @Test("every setting can stand in the environment and in the file", arguments: Setting.all)
    func everywhere(setting: Setting) throws {
        // The neighbours that some values need.
        let neighbours = ["probe-timeout": ["10ms"], "backoff-initial": ["10ms"]].filter { $0.key != setting.name }
        let value = setting.name == "probe-timeout" ? "3s" : SettingsTests.otherValue(of: setting)
        let fromVariable = try resolve(neighbours, [setting.variable: value])
        #expect(fromVariable.mistakes.isEmpty && setting.text(in: fromVariable.configuration) == value)
        let fromFile = try resolve(neighbours, file: "\(setting.name): \"\(value)\"\n")
        #expect(fromFile.mistakes.isEmpty && setting.text(in: fromFile.configuration) == value)
        let json = try resolve(neighbours, file: "{\n\t\"\(setting.name)\": \"\(value)\"\n}", "a.json")
        #expect(json.mistakes.isEmpty && setting.text(in: json.configuration) == value)
    }

    @Test("a list is a list in every layer; an empty one takes back what is below it")
    func lists() throws {
        let text = "peer:\n  - 127.0.0.1:5\n  - \"[::1]:6\"\n"
        #expect(try resolve(file: text).configuration.peers.map(\.description) == ["127.0.0.1:5", "[::1]:6"])
        #expect(try resolve([:], ["REACTOR_NODE_PEER": "127.0.0.2:5, 127.0.0.3:6"], file: text).configuration.peers.count == 2)
        #expect(try resolve([:], ["REACTOR_NODE_PEER": ""], file: text).configuration.peers.isEmpty)
        #expect(try resolve(file: "peer: []\n").configuration.peers.isEmpty)
        #expect(try resolve(file: "peer: 127.0.0.1:5\n").configuration.peers.count == 1)
    }

    @Test("unknown keys are refused with their line and the nearest name, in the environment too; all of them are told")
    func unknown() throws {
        let found = try resolve([:], ["REACTOR_NODE_PORT": "5"], file: "max-peers: 5\nmax_peers: 6\nwhitelist: x\n").mistakes.map(\.description)
        #expect(found.count == 3)
        #expect(found.contains { $0.contains(":2:") && $0.contains("'max_peers'") && $0.contains("'max-peers'") })
        #expect(found.contains { $0.contains(":3:") && $0.contains("'whitelist'") })
        #expect(found.contains { $0.contains("'REACTOR_NODE_PORT'") && $0.contains("'REACTOR_NODE_LISTEN'") })
    }

    @Test(
        "a wrong value in a file is one line with file, line, key, value and accepted form",
        arguments: [
            ("max-peers: many", "many"), ("ping-interval: 7", "7"), ("peer: {a: b}", "{…}"), ("max-peers: [1, 2]", "[…]"), ("max-peers:", ""),
            ("peer: [[1]]", "[…]"), ("listen: nonsense", "nonsense"),
        ]
    )
    func wrong(text: String, value: String) throws {
        let found = try resolve(file: "# first\n\(text)\n").mistakes
        #expect(found.count == 1)
        let line = found.first?.description ?? ""
        #expect(line.contains(":2:") && line.contains("'\(value)'") && line.contains("give"), "\(line)")
        #expect(found.first?.status == .configuration)
    }

    @Test("a conflict between layers blames the layer that gave the value")
    func conflict() throws {
        let line = try resolve(["max-peers": ["10"]], file: "reserve: 11\n").mistakes.first?.description ?? ""
        #expect(line.contains("a.yaml:1") && line.contains("'reserve'"))
    }

    @Test(
        "what is no YAML or JSON is refused with the line",
        arguments: [("a: b: c\n", ":1"), ("max-peers: 5\n  x: [1\n", ":"), ("- 1\n- 2\n", ":1"), ("max-peers: 1\nmax-peers: 2\n", "duplicate key 'max-peers' (lines 1 and 2)")]
    )
    func malformed(text: String, part: String) {
        let error = #expect(throws: SettingsMistake.self) { try file(text) }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("\n") == false)
    }

    @Test("a file of comments says nothing; a file that is not there is refused")
    func empty() throws {
        for text in ["# only words\n", "---\n# words\n", "{}", " \r\n\t\n#\n"] { #expect(try file(text).entries.isEmpty, "\(text)") }
        let missing = try SettingsLayers(commandLine: [:], path: "/nowhere/reactor-node.yaml", environment: [:]).resolve()
        #expect(missing.mistakes.first?.description.contains("/nowhere/reactor-node.yaml") == true)
        let named = SettingsLayers(commandLine: [:], path: nil, environment: ["REACTOR_NODE_CONFIG": "/nowhere/else.yaml"])
        #expect(try named.resolve().mistakes.first?.description.contains("/nowhere/else.yaml") == true)
    }

    @Test("a reload merges what is live and keeps the rest, and says which is which")
    func merge() throws {
        let old = try resolve(file: "max-peers: 50\nping-interval: 7s\n").configuration
        var new = try resolve(file: "max-peers: 60\nping-interval: 8s\nlog-level: debug\npeer: 127.0.0.1:5\nmasternode: a.test:5\n").configuration
        var report = ReloadReport()
        let merged = LiveSettings.merge(new, into: old, &report)
        #expect(report.applied.map(\.key) == ["masternode", "peer", "log-level", "ping-interval"], "a host name is live like an address")
        #expect(report.needRestart.map(\.key) == ["max-peers"])
        #expect(merged.mesh.maxPeers == 50 && merged.mesh.pingInterval == .seconds(8) && merged.masternodes.map(\.host) == ["a.test"])
        #expect(merged.mesh.nonce == old.mesh.nonce && old.mesh.canBecome(merged.mesh))
        new = old
        report = ReloadReport()
        #expect(LiveSettings.merge(new, into: old, &report).mesh == old.mesh && report == ReloadReport())
    }

    @Test("what the table calls live, a running mesh can become; what it cannot, the table calls restart", arguments: Setting.mesh)
    func live(setting: Setting) throws {
        let old = NodeConfiguration.blank
        var new = old
        try setting.read([SettingsTests.otherValue(of: setting)], into: &new)
        #expect(old.mesh.canBecome(new.mesh) == (setting.change == .live))
    }
}
