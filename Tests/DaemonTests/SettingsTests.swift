import PeerMesh
import Testing
import Timers

@testable import Daemon

@Suite("Settings as operators type them")
struct SettingsTests {
    @Test(
        "a span is a whole number and a unit, and nothing else",
        arguments: [
            ("500ms", 500_000_000), ("5s", 5_000_000_000), ("2m", 120_000_000_000), ("1h", 3_600_000_000_000), ("0s", 0),
            ("007s", 7_000_000_000), ("1d", 86_400_000_000_000), ("2w", 1_209_600_000_000_000),
        ] as [(String, UInt64)]
    )
    func spans(text: String, nanoseconds: UInt64) {
        #expect(Nanoseconds(span: text)?.count == nanoseconds)
    }

    @Test(
        "what is not a span is refused, overflow included",
        arguments: ["", "5", "s", "-5s", "+5s", "5 s", "5S", "1.5s", "5s ", "5us", "5D", "5y", "1d2h", "99999999999d", "999999999999999999h", "٥s", "5ms5s"]
    )
    func notSpans(text: String) {
        #expect(Nanoseconds(span: text) == nil)
    }

    @Test("a span is printed in the form that reads back as itself")
    func spanRoundTrip() {
        for milliseconds in [0, 1, 999, 1_000, 1_500, 59_999, 60_000, 90_000, 3_600_000, 5_400_000, 86_400_000] as [UInt64] {
            let span = Nanoseconds.milliseconds(milliseconds)
            #expect(Nanoseconds(span: span.span) == span)
        }
    }

    @Test("every network of the table is found by its name, with its magic and port")
    func networks() {
        let expected: [(String, Bool, UInt32, UInt16)] = [
            ("reactor", true, 0x5243_5452, 24200), ("time-mainnet", true, 0xc01d_7e4d, 24000),
            ("time-testnet", true, 0x5449_4d45, 24100), ("bitcoin-mainnet", false, 0xf9be_b4d9, 8333),
            ("bitcoin-testnet", false, 0x0b11_0907, 18333), ("bitcoin-testnet4", false, 0x1c16_3f28, 48333),
            ("bitcoin-signet", false, 0x0a03_cf40, 38333), ("bitcoin-regtest", false, 0xfabf_b5da, 18444),
            ("litecoin-mainnet", false, 0xfbc0_b6db, 9333), ("litecoin-testnet", false, 0xfdd2_c8f1, 19335),
            ("litecoin-regtest", false, 0xfabf_b5da, 19444), ("dash-mainnet", false, 0xbf0c_6bbd, 9999),
            ("dash-testnet", false, 0xcee2_caff, 19999), ("dash-regtest", false, 0xfcc1_b7dc, 19899),
        ]
        #expect(Network.named.count == expected.count)
        for (name, isNative, magic, port) in expected {
            let network = Network(name)
            #expect(network?.name == name)
            #expect(network?.isNative == isNative)
            #expect(network?.magic == magic)
            #expect(network?.defaultPort == port)
        }
    }

    @Test("a network of one's own is a dialect and eight hex digits")
    func ownNetwork() {
        #expect(Network("time:deadbeef")?.magic == 0xdead_beef)
        #expect(Network("bitcoin:FABFB5DA")?.isNative == false)
        for text in ["", "time", "time:", "time:abc", "time:deadbeef0", "time:deadbeeg", "http:deadbeef", "time:dead:beef", "Reactor", "time:+eadbeef"] {
            #expect(Network(text) == nil, "\(text)")
        }
    }

    @Test("a peer is an address or a name, with a port of its own or the network's")
    func peerNames() {
        #expect(PeerName("127.0.0.1:9444")?.endpoint == Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 9444))
        #expect(PeerName("[::1]:9444")?.endpoint == Endpoint(IPAddress(v6High: 0, low: 1), port: 9444))
        #expect(PeerName("[::ffff:10.0.0.1]:1")?.endpoint == Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 1))
        #expect(PeerName("seed.example.org:24000")?.endpoint == nil)
        #expect(PeerName("seed.example.org:24000")?.host == "seed.example.org")
        #expect(PeerName("seed.example.org", defaultPort: 24000)?.port == 24000)
        #expect(PeerName("10.0.0.1", defaultPort: 7)?.endpoint == Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 7))
        #expect(PeerName("::1", defaultPort: 7)?.endpoint == Endpoint(IPAddress(v6High: 0, low: 1), port: 7))
        #expect(PeerName("seed.example.org") == nil)
    }

    @Test(
        "what is neither an address nor a name is refused",
        arguments: [
            "", ":", ":1", "host:", "host:0", "host:65536", "host:-1", "host:1x", "300.1.1.1:5", "1.2.3:5", "a b:5", "-a:5", "a..b:5",
            "[::1]", "[::1]x:5", "[host]:5", "::1:5:", "ho_st!:5", "1.2.3.4:٥",
        ]
    )
    func notPeerNames(text: String) {
        #expect(PeerName(text) == nil)
    }

    @Test("every number of MeshSettings that is a timing or a limit is in the table, once")
    func tableIsComplete() throws {
        let notSettable: Set = ["role", "nonce", "seed", "isNativeDialect"]
        let fields = Mirror(reflecting: MeshSettings(nonce: 1, seed: 1)).children.compactMap(\.label)
        #expect(Set(fields).subtracting(notSettable).count == Setting.mesh.count)
        #expect(Set(Setting.all.map(\.name)).count == Setting.all.count)
        // Two entries that point at one number would show here: each changes exactly one line of the dump.
        for setting in Setting.all {
            var settings = NodeConfiguration.blank
            let before = Setting.all.map { $0.text(in: settings) }
            let other = SettingsTests.otherValue(of: setting)
            try setting.read([other], into: &settings)
            let after = Setting.all.map { $0.text(in: settings) }
            #expect(zip(before, after).count { $0 != $1 } == 1, "\(setting.name)")
            #expect(setting.text(in: settings) == other, "\(setting.name)")
        }
    }

    /// A value that the setting takes and that is not its default.
    static func otherValue(of setting: Setting) -> String {
        switch setting.name {
        case "network": return "bitcoin-regtest"
        case "role": return "masternode"
        case "log-level": return "debug"
        case "log-format": return "json"
        case "registry", "state-dir", "control-socket": return "/tmp/a place"
        case "listen", "advertise", "masternode", "peer", "control-tcp": return "127.0.0.7:77"
        case "memory-limit": return "512MiB"
        case "memory-per-stranger": return "17MiB"
        default: return setting.isSpan ? "77ms" : "17"
        }
    }

    @Test("every value reads back as it is shown", arguments: Setting.all)
    func roundTrip(setting: Setting) throws {
        var settings = NodeConfiguration.blank
        try setting.read(setting.texts(in: settings), into: &settings)
        #expect(setting.text(in: settings) == setting.text(in: .blank))
    }

    @Test("every setting refuses what is out of its range, and says what it takes", arguments: Setting.all.filter { $0.type != "list" })
    func ranges(setting: Setting) {
        let wrong =
            switch setting.field {
            case .span: ["", "5", "9999h", "x"]
            case .count, .optionalCount: ["", "-1", "5s", "4294967296", "1.0"]
            case .word: setting.acceptedForm.hasPrefix("a path") || setting.name == "control-socket" ? [""] : ["", "loud:", "127.0.0.1:x"]
            case .list: [""]
            }
        for value in wrong {
            #expect(throws: OptionError(value: value, accepted: setting.acceptedForm)) {
                var settings = NodeConfiguration.blank
                try setting.read([value], into: &settings)
            }
        }
    }

    @Test("a size is a whole number of bytes or of binary units, and nothing else")
    func sizes() {
        let good: [(String, Int)] = [("0", 0), ("65536", 65_536), ("64KiB", 65_536), ("16MiB", 16 << 20), ("1GiB", 1 << 30)]
        for (text, bytes) in good { #expect(SizeText.bytes(text) == bytes) }
        for text in ["", "KiB", "1.5MiB", "16 MiB", "16M", "16MB", "16mib", "-1", "+1MiB", "99999999999999999GiB", "1MiB1"] {
            #expect(SizeText.bytes(text) == nil, "\(text)")
        }
        for bytes in [0, 1, 1_024, 1_025, 3 << 19, 16 << 20, 5 << 30] { #expect(SizeText.bytes(SizeText.text(bytes)) == bytes) }
    }

    @Test(
        "limits of memory that contradict each other are refused together, with what would do",
        arguments: [
            // One frame of 8 MiB is moved to a larger block while it grows.
            (["memory-per-stranger": "8MiB"], "memory-per-stranger", "at least 16MiB"),
            (["memory-limit": "20MiB"], "memory-limit", "at least 33MiB"),
            (["memory-per-stranger": "200MiB"], "memory-per-stranger", "at most 128MiB"),
            (["memory-limit": "64MiB", "memory-reserve": "90"], "memory-limit", "at least 161MiB"),
            (["memory-limit": "64MiB", "memory-per-stranger": "64MiB", "memory-reserve": "0"], "", ""),
            (["network": "bitcoin-regtest", "memory-per-stranger": "7MiB"], "memory-per-stranger", "at least 7872KiB"),
            (["network": "bitcoin-regtest", "memory-per-stranger": "8MiB", "memory-limit": "17MiB"], "", ""),
        ]
    )
    func memory(given: [String: String], option: String, words: String) throws {
        let layers = SettingsLayers(commandLine: given.mapValues { [$0] }, path: "none", environment: [:])
        let mistakes = try layers.resolve().mistakes
        guard !option.isEmpty else {
            #expect(mistakes.isEmpty)
            return
        }
        let line = try #require(mistakes.first?.description)
        #expect(mistakes.count == 1 && line.contains("'--\(option)'") && line.contains(words), "\(line)")
    }

    @Test("a limit of none is refused where a node could not work with it", arguments: ["max-peers", "pending-limit", "draining-limit", "dial-limit"])
    func noLimitOfNone(name: String) throws {
        let setting = try #require(Setting.all.first { $0.name == name })
        #expect(throws: OptionError(value: "0", accepted: setting.acceptedForm)) {
            var settings = NodeConfiguration.blank
            try setting.read(["0"], into: &settings)
        }
    }

    @Test(
        "a mistyped key is answered with the one that was meant",
        arguments: [
            ("max-peer", "max-peers"), ("max_peers", "max-peers"), ("MaxPeers", "max-peers"), ("ping-intervall", "ping-interval"),
            ("lsiten", "listen"), ("addnode", "peer"), ("externalip", "advertise"), ("bantime", "ban-time"), ("datadir", "state-dir"),
        ]
    )
    func nearest(typed: String, meant: String) {
        #expect(Setting.nearest(to: typed) == meant)
    }

    @Test("a greeting that does not outlast two probes is refused")
    func conflicts() throws {
        var configuration = try NodeConfiguration()
        configuration.complete()
        try configuration.check()
        configuration.mesh.greetingTimeout = .seconds(9)
        #expect(throws: OptionConflict.self) { try configuration.check() }
        configuration.mesh.probeTimeout = .milliseconds(4_500)
        try configuration.check()
        configuration.mesh.reservedSlots = 101
        #expect(throws: OptionConflict.self) { try configuration.check() }
    }

    @Test("without options a node listens on loopback, below the ephemeral ports, and advertises that")
    func firstTry() throws {
        var configuration = try NodeConfiguration()
        configuration.complete()
        #expect(configuration.isFirstTry)
        #expect(configuration.listen.map(\.description) == ["127.0.0.1:24200"])
        #expect(configuration.effectiveAdvertise?.description == "127.0.0.1:24200")
        configuration = try NodeConfiguration(network: Network("bitcoin:01020304")!)
        configuration.complete()
        #expect(configuration.listen.first?.port ?? 65_535 < 32_768)
    }

    @Test("a table that does not fit the descriptor limit is refused in words that say what to do")
    func budget() throws {
        let budget = DescriptorBudget(links: 20_192, listeners: 2)
        let error = #expect(throws: DaemonError.self) { try budget.check(available: 20_000, maxPeers: 20_000) }
        let text = error?.description ?? ""
        #expect(error?.status == .configuration)
        #expect(text.contains("needs 20234 descriptors") && text.contains("grants 20000"))
        #expect(text.contains("lower --max-peers to 19766") && text.contains("LimitNOFILE=20234"))
        #expect(!text.contains("\n"))
        try DescriptorBudget(links: 19_958, listeners: 2).check(available: 20_000, maxPeers: 19_766)
    }

    @Test("claiming a budget raises the soft limit, never beyond the hard one")
    func claim() throws {
        let available = try DescriptorBudget(links: 100, listeners: 1).claim()
        #expect(available >= 125)
        let all = try DescriptorBudget(links: .max / 2, listeners: 1).claim()
        #expect(all >= available && all < .max / 2)
    }
}

extension Setting: CustomTestStringConvertible {
    public var testDescription: String { name }
}
