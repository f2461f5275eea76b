// The registry's thread: what a disk that does not answer may hold up, and what it may not. And addresses that the machine loses.

import PeerMesh
import Synchronization
import Testing
import Timers

@testable import Daemon
@testable import Reactor

/// A file that is read when the test says so.
private final class SlowFile: Sendable {
    private let text = Mutex<String?>(nil)
    private let isAsked = Atomic<Bool>(false)

    var wasAsked: Bool { isAsked.load(ordering: .acquiring) }

    func answer(_ words: String) { text.withLock { $0 = words } }

    func read() -> RegistryKeeper.Reading {
        isAsked.store(true, ordering: .releasing)
        while true {
            if let words = text.withLock({ $0 }) {
                do throws(RegistryFile.Damage) { return .success(try RegistryFile(Array(words.utf8), defaultPort: 0)) } catch {
                    return .failure(RegistryKeeper.Unbelievable(why: error.description))
                }
            }
            Descriptors.waitReadable(-1, -1, milliseconds: 2)
        }
    }
}

@Suite("The registry's thread")
struct RegistrySourceTests {
    private let folder = TestFolder(inMemory: true)
    private let kept = Endpoint(IPAddress(v4: 10, 0, 0, 1), port: 5)

    @Test("a disk that does not answer holds up the start for a moment only: what the store kept is in force, health says so, and the file takes effect when it comes")
    func slow() throws {
        let scene = try NameScene(address: 75) { _, _, _ in [] }
        let path = folder.path + "/list"
        try folder.write("10.0.0.2:5\n", "list")
        let store = try Store(directory: folder.path + "/state")
        store.keep(registry: path, [.endpoint(kept), .name(PeerName("mn.test:5")!)])
        let file = SlowFile()
        let log = scene.keeper.log
        let source = try RegistrySource(path: path, defaultPort: 0, desk: scene.desk, log: log, store: store) { file.read() }
        var opening: [Endpoint] = []
        try source.start(patience: .milliseconds(50)) { opening += $0.added }
        #expect(opening == [kept] && file.wasAsked)
        // Nothing waits for the disk, and nothing is locked while it is asked.
        #expect(source.status.masternodes == 2 && source.registered([kept]) == [kept])
        source.storeWasRead()
        let since = try #require(source.status.readingSince)
        let check = Health.registryFile(source.status, at: since + .seconds(60))
        #expect(check.status == .degraded && check.message.contains("is not read yet"), "\(check.message)")
        let resolver = try #require(scene.desk.names)
        #expect(resolver.reports.map(\.peer.name.host) == ["mn.test"])
        file.answer("10.0.0.2:5\n")
        scene.wait { scene.here.peer(at: Endpoint(IPAddress(v4: 10, 0, 0, 2), port: 5)) != nil }
        #expect(source.status.readingSince == nil && Health.registryFile(source.status).status == .good && resolver.reports.isEmpty)
        source.readAgain()
        source.stop()
    }

    @Test("a file that is read in time is in force when the start returns, and a folder that does not exist refuses the start")
    func inTime() throws {
        let scene = try NameScene(address: 76) { _, _, _ in [] }
        try folder.write("10.0.0.2:5\n", "list")
        let source = try RegistrySource(path: folder.path + "/list", defaultPort: 0, desk: scene.desk, log: scene.keeper.log, store: nil)
        var opening: [Endpoint] = []
        try source.start(patience: .seconds(120)) { opening += $0.added }
        #expect(opening.map(\.description) == ["10.0.0.2:5"])
        source.stop()
        let lost = try RegistrySource(path: folder.path + "/no/list", defaultPort: 0, desk: scene.desk, log: scene.keeper.log, store: nil)
        let error = #expect(throws: DaemonError.self) { try lost.start(patience: .seconds(120)) { _ in } }
        #expect(error?.description.contains("/no'") == true)
    }
}

@Suite("Addresses of listeners")
struct ListenWatchTests {
    private let endpoint = Endpoint(IPAddress(v4: 10, 1, 2, 3), port: 24_200)

    @Test("an address that the machine loses is said once, and once when it is back")
    func gone() {
        let (reason, events) = (Box<String?>(nil), Box<[String]>([]))
        let watch = ListenWatch(refusal: { _ in reason.value }) { lines in events.add(lines.lines.map(\.event.description)) }
        watch.watch([endpoint])
        #expect(watch.check().isEmpty && events.value.isEmpty)
        reason.value = "gone"
        #expect(watch.check() == [ListenWatch.Gone(endpoint: endpoint, why: "gone")] && watch.check().count == 1)
        #expect(events.value == ["listen-gone"])
        let check = Health.listeners(NodeSnapshot(), watch.check())
        #expect(check.status == .degraded && check.message == "10.1.2.3:24200: gone")
        reason.value = nil
        #expect(watch.check().isEmpty && watch.check().isEmpty && events.value == ["listen-gone", "listen-back"])
    }

    @Test("the system's own word: addresses of this machine are there, others are not")
    func system() {
        for text in ["127.0.0.1:1", "0.0.0.0:1", "127.9.9.9:24200"] { #expect(ListenWatch.refusal(of: Endpoint(text)!) == nil, "\(text)") }
        #expect(ListenWatch.refusal(of: Endpoint("192.0.2.77:1")!)?.contains("does not have this address") == true)
    }
}

private final class Box<T: Sendable>: Sendable {
    private let content: Mutex<T>
    init(_ value: T) { content = Mutex(value) }
    var value: T {
        get { content.withLock { $0 } }
        set { content.withLock { $0 = newValue } }
    }
}

extension Box where T == [String] {
    fileprivate func add(_ more: [String]) { value = value + more }
}
