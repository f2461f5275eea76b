import Foundation
import PeerMesh
import Testing

@testable import Daemon

extension RegistryKeeper {
    /// Loads the file and takes what it says.
    mutating func read(isOpen: Bool = false, fallback: [PeerTarget] = []) -> Outcome {
        take(RegistryKeeper.load(path, defaultPort: 0), isOpen: isOpen, fallback: fallback)
    }
}

@Suite("The registry file")
struct RegistryTests {
    private func read(_ text: String, port: UInt16 = 24_000) throws(RegistryFile.Damage) -> [String] {
        try RegistryFile(Array(text.utf8), defaultPort: port).endpoints.map(\.description)
    }

    @Test("one endpoint a line, comments and blanks apart; each once")
    func lines() throws {
        #expect(try read("# ours\n10.0.0.1:5\n\n 10.0.0.2   # port of the network\r\n[::1]:7\n10.0.0.1:5\n") == ["10.0.0.1:5", "10.0.0.2:24000", "[::1]:7"])
        #expect(try read("# nobody\n") == [])
        #expect(try read("[::1]:7\n[::2]:7\n") == ["[::1]:7", "[::2]:7"], "a bracket is not yet JSON")
    }

    @Test(
        "blank lines and CRLF before the first endpoint are layout",
        arguments: ["\n\n[::1]:7\n", "\r\n[::1]:7\r\n", "\r\n\r\n\t [::1]:7 \t\r\n", " \n \n[\"[::1]:7\"]", "\r\n\r\n{\"masternodes\": [\"[::1]:7\"]}\r\n"]
    )
    func layout(text: String) throws {
        #expect(try read(text) == ["[::1]:7"])
        #expect(try read("\u{feff}" + text) == ["[::1]:7"], "a byte order mark is no part of it")
    }

    @Test("a host name with its port is a masternode, too, beside those that are named by address")
    func names() throws {
        for text in ["10.0.0.1:5\nMN1.test:6 # ours\nmn1.test:6\nmn2.test:7\n", "[\"mn1.test:6\", {\"endpoint\": \"mn2.test:7\"}, \"10.0.0.1:5\"]"] {
            let file = try RegistryFile(Array(text.utf8), defaultPort: 24_000)
            #expect(file.names.map(\.description) == ["mn1.test:6", "mn2.test:7"])
            #expect(file.endpoints.map(\.description) == ["10.0.0.1:5"])
        }
    }

    @Test("a name that is added to the file is wanted, one that is removed is not, and a writer that is not done removes none")
    func keptNames() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("registry-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        var keeper = RegistryKeeper(path: path)
        func outcome(_ text: String, isOpen: Bool = false) throws -> (added: [String], removed: [String]) {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            let outcome = keeper.read(isOpen: isOpen)
            return (outcome.addedNames.map(\.description), outcome.removedNames.map(\.description))
        }
        #expect(try outcome("a.test:5\n10.0.0.1:5\n") == (["a.test:5"], []))
        #expect(try outcome("b.test:5\n", isOpen: true) == (["b.test:5"], []))
        #expect(try outcome("b.test:5\n") == ([], ["a.test:5"]))
        #expect(try outcome("b.test\n") == ([], []), "not believed")
        #expect(keeper.names.map(\.description) == ["b.test:5"])
    }

    @Test("JSON, as a list or an object, with room for identities")
    func json() throws {
        #expect(try read("[\"10.0.0.1:5\", {\"endpoint\": \"10.0.0.2:6\", \"identity\": \"ab01\"}]") == ["10.0.0.1:5", "10.0.0.2:6"])
        #expect(try read("{\n\t\"masternodes\": [\"10.0.0.1:5\"]\n}") == ["10.0.0.1:5"])
        #expect(try read("[]") == [] && read("{\"masternodes\": []}") == [])
        let file = try RegistryFile(Array("[{\"endpoint\": \"10.0.0.2:6\", \"identity\": \"ab01\"}]".utf8), defaultPort: 0)
        #expect(file.entries.first?.identity == "ab01")
    }

    @Test(
        "what is not whole is not believed",
        arguments: [
            "", "10.0.0.1:5\n10.0.0.2:24", "10.0.0.1:5", "10.0.0.1:5\nnonsense\n", "10.0.0.1:0\n", "host.test\n", "host.test:0\n", "127.1:5\n", "0x7f000001:5\n", "0.0.0.9:5\n", "\n\n", " \t\r\n", "0.0.0.0:5\n", "255.255.255.255:5\n", "224.0.0.1:5\n", "[fe80::1]:5\n", "[\"10.0.0.1:5\"",
            "{\"masternodes\": [\"10.0.0.1:5\"", "{\"nodes\": []}", "[{\"identity\": \"x\"}]", "[{\"endpoint\": \"10.0.0.1:5\", \"extra\": 1}]",
            "\u{0}\u{0}\u{0}\n", "[[\"10.0.0.1:5\"]]", "[5]", "127.0.0.1 4\n", "127.0.0.1:2 4\n", "[::1 ]:7\n", "10.0.0.1\t:5\n", "\n\n[", "\r\n[", "[\n",
            "[\"10.0.0.1 :5\"]", "{\"masternodes\": [], \"masternodes\": [\"10.0.0.1:5\"]}", "[\"10.0.0.1:5\"] x", "[null]", "[{\"endpoint\": null}]",
            "{\"masternodes\": null}", "[&a \"10.0.0.1:5\", *a]",
        ]
    )
    func damage(text: String) {
        #expect(throws: RegistryFile.Damage.self) { try read(text) }
    }

    @Test("every prefix of a file in lines names a subset of it, or is not believed")
    func prefixes() throws {
        let text = "10.0.0.1:24000\n10.0.0.11:24001\n[2001:db8::1]:24002\n"
        let all = try Set(read(text))
        for length in 1..<text.utf8.count {
            guard let part = try? read(String(decoding: Array(text.utf8)[..<length], as: UTF8.self)) else { continue }
            #expect(Set(part).isSubset(of: all), "\(length)")
        }
    }

    @Test("a damaged or missing file keeps what was believed last, and says so once; a writer that is not done misses nobody")
    func keeper() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func write(_ text: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }
        var keeper = RegistryKeeper(path: path)
        #expect(keeper.read().lines.lines.first?.event.description == "registry-not-believed", "it is not there")
        try write("10.0.0.1:5\n10.0.0.2:5\n")
        #expect(keeper.read().change?.added.count == 2)
        try write("10.0.0.1:5\nhalf")
        let damaged = keeper.read()
        #expect(damaged.change == nil && damaged.lines.lines.count == 1 && keeper.believed.count == 2)
        #expect(keeper.read().lines.lines.isEmpty, "it was said")
        try write("10.0.0.3:5\n")
        let open = keeper.read(isOpen: true)
        #expect(open.change?.added.count == 1 && open.change?.removed.isEmpty == true)
        let closed = keeper.read()
        #expect(closed.change?.removed.count == 2 && keeper.believed.map(\.description) == ["10.0.0.3:5"])
        try FileManager.default.removeItem(atPath: path)
        #expect(keeper.read().change == nil && keeper.believed.count == 1)
        try write("# nobody\n")
        #expect(keeper.read().change?.removed.count == 1)
    }

    @Test("a folder that is not there is refused by name, and its descriptor is closed once")
    func noFolder() throws {
        let path = FileManager.default.temporaryDirectory.path + "/reactor-\(UUID().uuidString)/masternodes"
        let error = #expect(throws: DaemonError.self) { _ = try FolderWatch(path: path) }
        #expect(error?.description.contains(path) == true, "\(String(describing: error))")
    }
}
