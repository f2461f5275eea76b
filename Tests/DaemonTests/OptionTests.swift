import PeerMesh
import Testing
import Timers

@testable import Daemon
@testable import reactor_node

@Suite("The options of `run`")
struct OptionTests {
    private func resolve(_ arguments: [String]) throws -> ResolvedSettings {
        try RunCommand.parse(arguments + ["--config", "/dev/null"]).options.layers(environment: [:]).resolve()
    }

    private func configuration(_ arguments: String...) throws -> NodeConfiguration {
        let resolved = try resolve(arguments)
        try #require(resolved.mistakes.isEmpty, "\(resolved.mistakes)")
        return resolved.configuration
    }

    @Test("every setting is an option that reaches the configuration", arguments: Setting.all)
    func everySetting(setting: Setting) throws {
        // Different from every default; its neighbours keep the rules between them.
        let value =
            switch setting.name {
            case "greeting-timeout": "11s"
            case "backoff-max": "6s"
            case "probe-timeout": "3s"
            default: SettingsTests.otherValue(of: setting)
            }
        let set = try configuration("--\(setting.name)", value)
        #expect(setting.text(in: set) == value)
        let defaults = try configuration()
        let touched: Set = setting.name == "network" ? ["network", "listen"] : [setting.name]
        for other in Setting.all where !touched.contains(other.name) {
            #expect(other.text(in: set) == other.text(in: defaults), "\(other.name)")
        }
    }

    @Test("every setting's wrong value is one line with option, value and accepted form", arguments: Setting.mesh)
    func everyWrongSetting(setting: Setting) throws {
        let wrong = setting.isSpan ? "7parsecs" : "minus"
        let mistakes = try resolve(["--\(setting.name)", wrong]).mistakes
        let line = try #require(mistakes.first?.description)
        #expect(mistakes.count == 1 && mistakes.first?.status == .usage)
        #expect(!line.contains("\n"))
        #expect(line.contains("--\(setting.name)") && line.contains(wrong) && line.contains(setting.acceptedForm))
    }

    @Test("without options the node is a private one on loopback")
    func defaults() throws {
        let configuration = try configuration()
        #expect(configuration.network == .reactor)
        #expect(configuration.listen.map(\.description) == ["127.0.0.1:24200"])
        #expect(configuration.mesh.role == .regular)
        #expect(configuration.logLevel == .info && configuration.logFormat == .text)
        #expect(configuration.masternodes.isEmpty && configuration.peers.isEmpty)
        #expect(configuration.mesh.nonce != 0)
    }

    @Test("listeners, peers and masternodes may be given several times and several at once")
    func lists() throws {
        let configuration = try configuration(
            "--listen", "127.0.1.1:2000", "--listen", "[::1]:2001", "--masternode", "127.0.1.2:2000", "127.0.1.3", "--peer", "a.test:1",
            "--peer", "b.test:2", "127.0.1.9:3", "--role", "masternode", "--advertise", "127.0.1.1:2000", "--reserve", "0",
            "--network", "litecoin-regtest", "--log-level", "debug", "--log-format", "json", "--log-repeat", "0s"
        )
        #expect(configuration.listen.map(\.description) == ["127.0.1.1:2000", "[::1]:2001"])
        #expect(configuration.masternodes.map(\.description) == ["127.0.1.2:2000", "127.0.1.3:19444"])
        #expect(configuration.peers.map(\.description) == ["a.test:1", "b.test:2", "127.0.1.9:3"])
        #expect(configuration.pinnedPeers.count == 3 && configuration.namedPeers.count == 2)
        #expect(configuration.mesh.role == .masternode && configuration.mesh.reservedSlots == 0)
        #expect(!configuration.mesh.isNativeDialect)
        #expect(configuration.logLevel == .debug && configuration.logFormat == .json && configuration.logRepeat == .zero)
    }

    @Test(
        "what contradicts itself is refused by name",
        arguments: [
            (["--greeting-timeout", "9s"], "--greeting-timeout"), (["--probe-timeout", "8s"], "--greeting-timeout"),
            (["--backoff-initial", "10m"], "--backoff-max"), (["--reserve", "101"], "--reserve"),
            (["--listen", "127.0.0.1:5", "--listen", "127.0.0.1:5"], "--listen"), (["--advertise", "0.0.0.0:5"], "--advertise"),
            (["--peer", "0.0.0.0:5"], "--peer"), (["--masternode", "224.0.0.1:5"], "--masternode"),
            (["--network", "bitcoin:01020304", "--peer", "127.0.0.1"], "--peer"),
            (["--book-capacity", "16", "--peer"] + (1...17).map { "127.0.0.\($0):5" }, "--book-capacity"),
        ]
    )
    func conflicts(arguments: [String], option: String) throws {
        let mistakes = try resolve(arguments).mistakes
        #expect(mistakes.count == 1)
        #expect(mistakes.first?.description.contains("'\(option)'") == true, "\(mistakes)")
        #expect(mistakes.first?.description.contains("\n") == false)
    }

    @Test(
        "an address that nobody can be dialled at is refused, and the text says what it is",
        arguments: [
            ("0.0.0.0:5", "unspecified"), ("[::]:5", "unspecified"), ("255.255.255.255:5", "broadcast"), ("239.1.2.3:5", "multicast"),
            ("[ff05::1]:5", "multicast"), ("[fe80::1]:5", "zone"), ("::ffff:0.0.0.0", "unspecified"), ("1.2.3.4:0", "1 to 65535"),
        ]
    )
    func noHost(value: String, word: String) throws {
        for option in ["--peer", "--masternode"] {
            let mistakes = try resolve([option, value]).mistakes
            #expect(mistakes.count == 1 && mistakes.first?.description.contains(word) == true, "\(mistakes)")
        }
        let advertised = try resolve(["--advertise", value]).mistakes
        #expect(advertised.count == 1)
        if word == "broadcast" || word == "multicast" {
            #expect(try resolve(["--listen", value]).mistakes.first?.description.contains("multicast") == true)
        }
    }

    @Test("the demo takes what its help says, and nothing else")
    func demo() throws {
        #expect(try DemoCommand.parse([]).nodes == 12)
        #expect(try DemoCommand.parse(["--nodes", "5", "--seconds", "3"]).seconds == 3)
        for wrong in [["--nodes", "1"], ["--nodes", "100"], ["--seconds", "0"], ["--nodes", "x"]] {
            #expect(throws: (any Error).self) { try DemoCommand.parse(wrong) }
        }
    }
}
