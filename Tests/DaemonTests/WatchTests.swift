import Foundation
import PeerMesh
import Testing
import Timers

@testable import Daemon
@testable import Reactor

@Suite("The watch of a file")
struct FolderWatchTests {
    private let folder = TestFolder()

    /// Until the watch tells what is asked for, by an event or by a look.
    private func wait(_ watch: FolderWatch, for condition: (FileEvents) -> Bool) -> Bool {
        let deadline = Date(timeIntervalSinceNow: 60)
        while Date() < deadline {
            var events = watch.take()
            if watch.follow() || watch.hasChangedUnseen() { events.insert(.settled) }
            if condition(events) { return true }
            Descriptors.waitReadable(watch.descriptor, -1, milliseconds: 100)
        }
        return false
    }

    private func isSettled(_ watch: FolderWatch) -> Bool { wait(watch) { $0.contains(.settled) } }

    @Test("a link's target, a folder's link and a link to a link: whatever is turned is seen", arguments: ["target", "file link", "folder link", "second link"])
    func links(what: String) throws {
        for version in ["v1", "v2"] {
            mkdir(folder.path + "/" + version, 0o700)
            try folder.write("\(version)\n", "\(version)/list")
        }
        func turn(_ name: String, _ target: String) {
            let temporary = folder.path + "/turning"
            #expect(symlink(target, temporary) == 0 && rename(temporary, folder.path + "/" + name) == 0)
        }
        turn("current", "v1")
        turn("again", "current")
        mkdir(folder.path + "/etc", 0o700)
        turn("etc/list", "../again/list")
        let watch = try FolderWatch(path: folder.path + "/etc/list")
        watch.willRead()
        #expect(watch.take().isEmpty)
        switch what {
        case "target":
            try folder.write("new\n", "v1/other")
            #expect(rename(folder.path + "/v1/other", folder.path + "/v1/list") == 0)
        case "file link": turn("etc/list", "../v2/list")
        case "folder link": turn("current", "v2")
        default: turn("again", "v2")
        }
        #expect(isSettled(watch))
        // And the new way is watched like the old one.
        watch.willRead()
        _ = watch.take()
        try folder.write("later\n", what == "target" ? "v1/list" : "v2/list")
        #expect(isSettled(watch))
    }

    @Test("a change that no folder tells of is seen by its size, time or inode, once the file rests")
    func unseen() throws {
        let file = try folder.write("a\n", "list")
        mkdir(folder.path + "/other", 0o700)
        // The same inode by another way: what a bind mount of one file is.
        let other = folder.path + "/other/way"
        #expect(link(file, other) == 0)
        let watch = try FolderWatch(path: file)
        watch.willRead()
        #expect(!watch.hasChangedUnseen())
        try Data("b\n".utf8).write(to: URL(fileURLWithPath: other), options: [])
        #expect(watch.take().isEmpty, "no event")
        #expect(isSettled(watch))
    }

    @Test("a folder that is removed and made again is watched again")
    func folderGone() throws {
        mkdir(folder.path + "/d", 0o700)
        let file = try folder.write("a\n", "d/list")
        let watch = try FolderWatch(path: file)
        watch.willRead()
        try FileManager.default.removeItem(atPath: folder.path + "/d")
        #expect(wait(watch) { $0.contains(.lost) || $0.contains(.gone) })
        watch.willRead()
        _ = watch.take()
        mkdir(folder.path + "/d", 0o700)
        try folder.write("b\n", "d/list")
        #expect(isSettled(watch))
        watch.willRead()
        _ = watch.take()
        try folder.write("c\n", "d/list")
        #expect(isSettled(watch))
    }

    @Test("links that lead in a circle or nowhere end the walk")
    func circles() throws {
        #expect(symlink("b", folder.path + "/a") == 0 && symlink("a", folder.path + "/b") == 0 && symlink("/nowhere/at/all", folder.path + "/c") == 0)
        #expect(FolderWatch.walk(folder.path + "/a").count <= 64)
        #expect(FolderWatch.walk(folder.path + "/c").last.map { $0.folder == "/" && $0.name == "nowhere" } == true)
        _ = try FolderWatch(path: folder.path + "/a")
    }
}

@Suite("The registry's last good reading")
struct RegistryMemoryTests {
    private let folder = TestFolder(inMemory: true)
    private let firstEndpoint = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)
    private let secondEndpoint = Endpoint(IPAddress(v4: 10, 0, 0, 2), port: 5)
    private var first: PeerTarget { .endpoint(firstEndpoint) }
    private var second: PeerTarget { .endpoint(secondEndpoint) }

    @Test("names of the last good reading are looked up again at the next start, beside its addresses; the file takes them back when it is whole")
    func names() throws {
        let path = folder.path + "/list"
        let name = try #require(PeerName("mn1.test:5"))
        do {
            let store = try Store(directory: folder.path + "/state")
            store.keep(registry: path, [first, .name(name)])
            let thread = try store.start { _ in }
            store.stop()
            #expect(thread.wait(milliseconds: 120_000))
        }
        let kept = try Store(directory: folder.path + "/state").registered(by: path)
        #expect(kept == [first, .name(name)])
        try folder.write("10.0.0.1:5\nmn1.test\n", "list")
        var keeper = RegistryKeeper(path: path)
        let damaged = keeper.read(fallback: kept)
        #expect(damaged.change?.added == [firstEndpoint] && damaged.addedNames == [name] && damaged.whole == nil)
        #expect(keeper.status.masternodes == 2 && Health.registryFile(keeper.status).message.contains("2 masternodes of an earlier reading"))
        try folder.write("mn2.test:5\n", "list")
        let good = keeper.read()
        #expect(good.removedNames == [name] && good.addedNames.map(\.description) == ["mn2.test:5"] && good.change?.removed == [firstEndpoint])
    }

    @Test("a file that is being read for longer than a disk takes is said, and no masternode of the last good reading is missed")
    func slow() throws {
        var keeper = RegistryKeeper(path: folder.path + "/list")
        let begin = Instant(nanoseconds: 1_000_000_000)
        #expect(Health.registryFile(keeper.status, at: begin).message.contains("it is not read yet"))
        keeper.status.readingSince = begin
        keeper.status.believedAt = .now
        #expect(Health.registryFile(keeper.status, at: begin + .seconds(1)).status == .good, "disks take their time")
        _ = keeper.recall([first])
        let check = Health.registryFile(keeper.status, at: begin + .seconds(9))
        #expect(check.status == .degraded && check.message.contains("9s") && check.message.contains("1 masternodes"), "\(check.message)")
    }

    @Test("it is in the store, and in force at the next start where the file is damaged; the file is believed again when it is whole")
    func fallback() throws {
        let path = folder.path + "/list"
        do {
            let store = try Store(directory: folder.path + "/state")
            store.keep(registry: path, [first, second])
            store.keep(registry: folder.path + "/other", [second])
            store.keep(registry: path, [first])
            let thread = try store.start { _ in }
            store.stop()
            #expect(thread.wait(milliseconds: 120_000))
        }
        #expect(try StoreDatabase(path: folder.path + "/state/" + Store.fileName).load().registry.count == 2)
        let kept = [first]
        try folder.write("10.0.0.1:5\nnonsense\n", "list")
        var keeper = RegistryKeeper(path: path)
        let damaged = keeper.read(fallback: kept)
        #expect(damaged.change?.added == [firstEndpoint] && damaged.whole == nil && keeper.believed == [firstEndpoint])
        #expect(keeper.status.complaint?.contains("nonsense") == true && keeper.status.masternodes == 1)
        #expect(Health.registryFile(keeper.status).status == .degraded)
        #expect(keeper.recall([second]).change == nil, "something is in force")
        try folder.write("10.0.0.2:5\n", "list")
        let good = keeper.read()
        #expect(good.change?.added == [secondEndpoint] && good.change?.removed == [firstEndpoint] && good.whole == [second])
        #expect(keeper.status.complaint == nil && Health.registryFile(keeper.status).status == .good)
    }

    @Test("a file that is believed at the start does not ask the store")
    func whole() throws {
        try folder.write("10.0.0.2:5\n", "list")
        var keeper = RegistryKeeper(path: folder.path + "/list")
        #expect(keeper.read(fallback: [first]).change?.added == [secondEndpoint])
        #expect(keeper.recall([first]).change == nil)
    }
}

@Suite("Times of the calendar after the clock was set")
struct SetClockTests {
    private let folder = TestFolder(inMemory: true)
    private let range = Subnet("10.9.0.0/16")!
    private let hour: Int64 = 3_600_000

    private func ban(at: WallTime, hours: Int64) -> BanRow {
        BanRow(subject: range, kind: .operator, until: at.shifted(by: hours * hour), reason: "", by: "", at: at)
    }

    @Test("a ban never holds longer than it was set for, whatever the clock says")
    func length() {
        let now = WallTime.now
        let years: Int64 = 10 * 365 * 24
        #expect(ban(at: now.shifted(by: years * hour), hours: 1).left(at: now) == .seconds(3_600), "set while the clock was ten years ahead")
        #expect(ban(at: now, hours: 1).left(at: WallTime(milliseconds: 60_000)) == .seconds(3_600), "read while it is 1970")
        #expect(ban(at: now, hours: 1).left(at: now.shifted(by: hour / 2)) == .seconds(1_800))
        #expect(ban(at: now, hours: 1).left(at: now.shifted(by: 2 * hour)) == .zero)
        #expect(BanRow(subject: range, kind: .operator, until: nil, reason: "", by: "", at: now).left(at: now) == nil)
    }

    @Test("a ban that ends before it begins was written by nobody of ours: it holds until its end")
    func contradictory() {
        let now = WallTime.now
        let ban = BanRow(subject: range, kind: .operator, until: now.shifted(by: hour), reason: "", by: "", at: now.shifted(by: 2 * hour))
        #expect(ban.left(at: now) == .seconds(3_600) && ban.left(at: now.shifted(by: hour)) == .zero)
    }

    @Test("a start ahead of time judges a ban over, and does not delete it")
    func ahead() throws {
        let now = WallTime.now
        do {
            let store = try Store(directory: folder.path)
            // To a clock ahead of time this one, which lasts an hour, ended an hour ago.
            try store.record(.ban(range, for: .seconds(3_600), reason: "r", by: "b"), at: now.shifted(by: -2 * hour))
        }
        do {
            let store = try Store(directory: folder.path)
            #expect(store.recollect(limit: 1).bans.isEmpty)
            // The clock is set back by ninety minutes: half an hour of it is left.
            let file = folder.path + "/" + Store.fileName
            #expect(try StoreDatabase(path: file).load().bans.count == 1)
        }
    }

    @Test("what was dated before the clock was set moves along with it")
    func dated() throws {
        let store = try Store(directory: folder.path)
        // It was 1970 when this hour began; then the time service set the clock.
        let begin = WallTime(milliseconds: 60_000)
        try store.record(.ban(range, for: .seconds(3_600), reason: "r", by: "b"), at: begin)
        #expect(store.recollect(limit: 1).bans.isEmpty)
        store.clockSet(by: WallTime.now.milliseconds - begin.milliseconds - 60_000)
        let left = try #require(store.recollect(limit: 1).bans.first?.left(at: .now))
        #expect(left > .seconds(3_000) && left <= .seconds(3_600))
    }

    @Test("addresses that a clock ahead of time dated count as undated: they protect nothing, and are dated anew when heard")
    func book() {
        var book = AddressBook(key: (1, 2))
        let now = WallTime.now
        let peer = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)
        book.heard(peer, from: peer.address, at: now.shifted(by: 87_600 * hour))
        #expect(book.isWorthless(book.entries[peer]!, now))
        book.heard(peer, from: peer.address, at: now)
        #expect(!book.isWorthless(book.entries[peer]!, now) && book.entries[peer]!.lastSeen == now)
        book.failed(peer, "refused", at: WallTime(milliseconds: .max))
        #expect(book.isWorthless(AddressBook.Entry(endpoint: peer, source: peer.address, firstSeen: now, lastSeen: WallTime(milliseconds: .min)), now))
    }

    @Test("a clock that is not set is not noticed")
    func calm() {
        let clock = ClockWatch()
        #expect(clock.shift() == nil && clock.shift() == nil)
    }
}

@Suite("Texts that somebody else chose")
struct VisibleTextTests {
    /// C0, DEL, C1, separators, marks that turn the direction, marks without width, tags.
    static let hidden: [Unicode.Scalar] = [
        "\u{0}", "\u{7}", "\u{1b}", "\u{7f}", "\u{85}", "\u{9b}", "\u{9f}", "\u{2028}", "\u{2029}", "\u{202a}", "\u{202e}", "\u{2066}", "\u{2069}",
        "\u{200b}", "\u{200e}", "\u{200f}", "\u{61c}", "\u{feff}", "\u{e0041}",
    ]

    @Test("no character that a terminal obeys reaches the log, JSON or a table", arguments: hidden)
    func escaped(scalar: Unicode.Scalar) throws {
        let text = "a\(Character(scalar))b"
        let buffer = LineBuffer(capacity: 1_024)
        for format in LogFormat.allCases {
            var lines = StartLines()
            lines.add(.info, "start", ("text", .text(text)), ("word", .word(text)))
            for line in lines.lines { line.append(to: buffer, format, time: 0) }
        }
        let written = [buffer.text, JSON.string(text).line, VisibleText.escape(text), SettingsMistake.unknownKey(text, place: text).description]
        for line in written {
            #expect(line.unicodeScalars.allSatisfy { $0 == "\n" || !VisibleText.isHidden($0) }, "\(line.debugDescription)")
        }
        #expect(try JSON(reading: Array(JSON.string(text).line.utf8)) == .string(text))
    }

    @Test("the first line of a node is JSON whatever its paths are called")
    func startLine() throws {
        var configuration = NodeConfiguration.blank
        configuration.registryFile = "/tmp/a \"quoted\\ path\u{202e}"
        configuration.stateDirectory = "/tmp/\u{1b}[31m"
        let buffer = LineBuffer(capacity: 8_192)
        let lines = configuration.startLines(bound: [], available: 100, file: "/tmp/\"x\".yaml")
        try #require(lines.lines.first).append(to: buffer, .json, time: 0)
        let read = try JSON(reading: Array(buffer.text.utf8))
        #expect(read["registry"]?.text == configuration.registryFile && read["settings-file"]?.text == "/tmp/\"x\".yaml")
    }

    @Test("what is visible is left alone")
    func visible() {
        for text in ["", "plain", "ümlaut", "日本", "🙂", "a\\b \"c\""] { #expect(VisibleText.escape(text) == text) }
    }
}

@Suite("Settings that would mean something else")
struct PathSettingTests {
    @Test(
        "a path that only a shell would expand, a word that means none elsewhere and a quoted path are refused",
        arguments: [
            "~", "~/reactor", "~user/x", "$HOME/x", "/x/${Y}", "/x/$(y)", "%h/x", "\"/x\"", "'/x'", " /x", "/x ", "NONE", "None", "null", "off", "false", "no",
            "file:///x", "a\u{1b}b", "/a\nb", "", "-",
        ],
        ["state-dir", "registry", "control-socket"]
    )
    func refused(path: String, setting: String) {
        #expect(throws: OptionError.self) {
            var configuration = NodeConfiguration.blank
            try Setting.named(setting).read([path], into: &configuration)
        }
    }

    @Test("any other path is taken as it is", arguments: ["/x", "x", "./none", "../x", "/x y", "/x/~", "/x$", "/a%b", "./~/reactor"])
    func taken(path: String) throws {
        var configuration = NodeConfiguration.blank
        try Setting.named("state-dir").read([path], into: &configuration)
        #expect(configuration.stateDirectory == path)
    }

    private func obstacles(_ change: (inout NodeConfiguration) -> Void) throws -> [String] {
        var resolved = ResolvedSettings(configuration: .blank)
        resolved.configuration.listen = [Endpoint(IPAddress(v4: 127, 0, 0, 1), port: 5)]
        change(&resolved.configuration)
        return resolved.obstacles().map(\.description)
    }

    @Test("a check looks at the files, folders and addresses that the settings name, and makes nothing")
    func surroundings() throws {
        let folder = TestFolder()
        let good = try folder.write("10.0.0.1:5\n", "good")
        let bad = try folder.write("10.0.0.1 :5\n", "bad")
        #expect(try obstacles { $0.registryFile = good; $0.stateDirectory = folder.path + "/new/state" }.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["bad", "good"])
        #expect(try obstacles { $0.registryFile = bad }.first?.contains("line 1") == true)
        #expect(try obstacles { $0.registryFile = folder.path + "/none" }.first?.contains("does not exist") == true)
        #expect(try obstacles { $0.stateDirectory = good }.first?.contains("is not a directory") == true)
        #expect(try obstacles { $0.stateDirectory = good + "/below" }.count == 1)
        #expect(try obstacles { $0.control.place = .path(good) }.count == 1)
        #expect(try obstacles { $0.listen = [Endpoint(IPAddress(v4: 192, 0, 2, 77), port: 5)] }.first?.contains("192.0.2.77") == true)
    }
}

@Suite("A reload and the file that it reads")
struct ReloadFileTests {
    private let folder = TestFolder()

    /// What a reload says of the file that a node was started with, after `change`.
    private func reload(path: String?, started: String?, _ change: () throws -> Void) throws -> ReloadReport {
        let layers = SettingsLayers(commandLine: [:], path: path, environment: [:])
        let configuration = started == nil ? try NodeConfiguration() : try layers.resolve().configuration
        let live = LiveSettings(configuration, layers: layers, file: started, desk: OperatorDesk(mailbox: try EventLoop().mailbox))
        try change()
        return live.reload()
    }

    @Test("a file that is gone, empty, cut, binary or another thing than a file changes nothing", arguments: ["gone", "empty", "cut", "zeroes", "folder", "pipe"])
    func notWhole(kind: String) throws {
        let file = try folder.write("peer: [\"127.0.0.1:5\"]\nping-interval: 7s\n", "node.yaml")
        let report = try reload(path: file, started: file) {
            try FileManager.default.removeItem(atPath: file)
            switch kind {
            case "gone": break
            case "empty": try folder.write("", "node.yaml")
            case "cut": try folder.write("peer: [\"127.0.0.1:5\"]\nping-interval: 7", "node.yaml")
            case "zeroes": try folder.write([UInt8](repeating: 0, count: 50), "node.yaml")
            case "folder": mkdir(file, 0o700)
            default: mkfifo(file, 0o600)
            }
        }
        #expect(report.errors.count == 1 && report.applied.isEmpty && report.errors.first?.contains(file) == true, "\(report)")
    }

    @Test("a file that was not there at the start is not taken at a reload, nor is one left for another")
    func another() throws {
        let file = try folder.write("ping-interval: 7s\n", "node.yaml")
        let report = try reload(path: file, started: folder.path + "/first.yaml") {}
        #expect(report.errors.first?.contains("first.yaml") == true && report.applied.isEmpty)
        let fresh = try reload(path: file, started: nil) {}
        #expect(fresh.errors.first?.contains("none") == true && fresh.applied.isEmpty)
    }

    @Test("a whole file is taken")
    func whole() throws {
        let file = try folder.write("ping-interval: 7s\n", "node.yaml")
        let report = try reload(path: file, started: file) { try folder.write("ping-interval: 8s\n", "node.yaml") }
        #expect(report.errors.isEmpty && report.applied.map(\.key) == ["ping-interval"])
    }
}
