// What a node starts from, when it is not as it should be: a damaged registry, a store that is full, locked or read-only, a file that is
// reached by another way, an address that the machine loses. The real program; what needs a disk or an address of its own has a namespace.

import Foundation
import PeerMesh
import Testing

@testable import Daemon

/// A program in a user, mount and network namespace of its own, or in some of them, prepared by a line of shell.
private enum Enclosure {
    static func start(_ flags: String, _ preparation: String, _ arguments: [String], name: String) throws -> Child {
        try Child("unshare", [flags, "/bin/bash", "-c", preparation + "\nexec \"$@\"", "bash", Node.path] + arguments, name: name)
    }

    private static func works(_ flags: String, _ script: String) -> Bool {
        guard let child = try? Child("unshare", [flags, "/bin/bash", "-c", script]) else { return false }
        return (try? child.waitForExit(limit: 30)) == 0
    }

    static let canMount = works("-rm", "mount -t tmpfs -o size=64k none /mnt")
    /// A file system whose server never answers: every call on it waits.
    static let silentDisk = "exec 9<>/dev/fuse && mount -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none"
    static let canHang = works("-rm", "\(silentDisk) /mnt")
    static let hasNetwork = works("-rmn", "ip link set lo up && ip addr add 10.77.0.1/32 dev lo")
}

@Suite("a node whose sources are not as they should be")
struct SourceTests {
    private func write(_ text: String, _ path: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }

    /// The checks of `/health/ready` that are not good, by name.
    private func troubles(_ socket: String) throws -> [String: String] {
        let checks = try Node.ask(socket, "GET", "/health/ready").json()["checks"]?.elements ?? []
        let bad = checks.filter { $0["status"]?.text != "good" }
        return Dictionary(bad.map { ($0["name"]?.text ?? "", $0["message"]?.text ?? "") }) { first, _ in first }
    }

    private func isUp(_ socket: String) -> Bool {
        Clock.poll(limit: 90, every: 0.05) { (try? Node.ask(socket, "GET", "/health/live")) != nil }
    }

    private func linked(_ socket: String, _ peer: Endpoint) -> Bool {
        Clock.poll(limit: 90, every: 0.1) { (try? Node.ask(socket, "GET", "/peers/\(peer)").json())?["state"]?.text == "established" }
    }

    // MARK: The registry

    @Test(
        "a registry that is not believed at a restart: its masternodes are wanted all the same, by address and by name, and health names the file", .timeLimit(.minutes(5)))
    func damagedRegistry() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let file = folder.path + "/masternodes"
            let (byAddress, byName) = (try Node(listen: Ports.endpoint("127.0.81.2")), try Node(listen: Ports.endpoint("127.0.0.1")))
            let whole = "\(byAddress.endpoint)\nlocalhost:\(byName.endpoint.port)\n"
            try write(whole, file)
            let node = try Node(listen: Ports.endpoint("127.0.81.1"), folder.options("--registry", file))
            #expect(linked(folder.socket, byAddress.endpoint) && linked(folder.socket, byName.endpoint))
            #expect(try troubles(folder.socket)["registry-file"] == nil)
            #expect(Clock.poll(limit: 90) { Self.registered(folder.path + "/state").count == 2 })
            for damage in ["\(byAddress.endpoint)\nlocalhost\n", "", "\n\n", String(whole.dropLast()), nil] {
                node.process.signal(SIGTERM)
                #expect(try node.process.waitForExit(limit: 90) == 0)
                if let damage { try write(damage, file) } else { try FileManager.default.removeItem(atPath: file) }
                try node.restart()
                #expect(linked(folder.socket, byAddress.endpoint) && linked(folder.socket, byName.endpoint), "\(damage ?? "gone")")
                let trouble = try troubles(folder.socket)["registry-file"]
                #expect(trouble?.contains(file) == true && trouble?.contains("2 masternodes of an earlier reading") == true, "\(trouble ?? "none")")
            }
            try write(whole, file)
            #expect(Clock.poll(limit: 90) { (try? troubles(folder.socket))?["registry-file"] == nil })
        }
    }

    /// What the file of a running node's store has of its registry; read beside it.
    private static func registered(_ state: String) -> Set<RegisteredRow> {
        (try? StoreReader.read(path: state + "/" + Store.fileName))?.state.registry ?? []
    }

    @Test("a peer that was forgotten is not dialled after a restart", .timeLimit(.minutes(5)))
    func forgotten() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let (friend, dead) = (try Node(listen: Ports.endpoint("127.0.82.2")), Ports.endpoint("127.0.82.9"))
            do {
                let store = try Store(directory: folder.path + "/state")
                store.note(told: dead, by: friend.endpoint.address)
                let thread = try store.start { _ in }
                store.stop()
                #expect(thread.wait(milliseconds: 120_000))
            }
            let timings = [
                "--regular-failures", "2", "--backoff-initial", "100ms", "--backoff-max", "200ms", "--book-floor", "0", "--discovery-interval", "500ms",
            ]
            let node = try Node(listen: Ports.endpoint("127.0.82.1"), timings: timings, folder.options("--peer", "\(friend.endpoint)"))
            try node.process.wait(for: "a dial of the dead peer") { $0.isLink && $0["peer"] == "\(dead)" }
            #expect(Clock.poll(limit: 90, every: 0.1) { (try? Node.ask(folder.socket, "GET", "/peers/\(dead)/why").json())?["standing"]?.text == "forgotten" })
            node.process.signal(SIGTERM)
            #expect(try node.process.waitForExit(limit: 90) == 0)
            try node.restart()
            try node.waitForLink(with: friend.endpoint)
            let why = try Node.ask(folder.socket, "GET", "/peers/\(dead)/why").json()
            #expect(why["standing"]?.text == "forgotten" && why["sentence"]?.text?.contains("before this start") == true, "\(why)")
            // Rounds of discovery pass, each of which would dial it.
            let mark = node.mark
            usleep(2_000_000)
            #expect(!node.process.lines(from: 0).contains { $0["peer"] == "\(dead)" }, "\(node.process.lines(from: mark))")
        }
    }

    // MARK: Names

    @Test("peers and masternodes that an operator named are named again after a kill, and taken back by name", .timeLimit(.minutes(5)))
    func names() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let friend = try Node(listen: Ports.endpoint("127.0.0.1"))
            let name = "localhost:\(friend.endpoint.port)"
            let node = try Node(listen: Ports.endpoint("127.0.83.1"), folder.options())
            for target in ["/connect", "/masternodes"] {
                let answer = try Node.ask(folder.socket, "POST", target, "{\"peer\": \"\(name)\"}")
                #expect(answer.status == 200 && !answer.body.contains("not written down"), "\(answer)")
            }
            #expect(try Node.ask(folder.socket, "POST", "/connect", "{\"peer\": \"nosuch.invalid:5\"}").status == 200)
            #expect(linked(folder.socket, friend.endpoint))
            node.kill()
            try node.restart()
            #expect(linked(folder.socket, friend.endpoint))
            let row = try Node.ask(folder.socket, "GET", "/peers/\(name)").json()
            #expect(row["names"]?.elements == [.string(name)] && row["class"]?.text == "masternode", "\(row)")
            #expect(try Node.ask(folder.socket, "GET", "/peers/nosuch.invalid:5").json()["state"]?.text == "unresolved")
            for command in [["masternodes", "remove", name], ["disconnect", "localhost"], ["disconnect", "nosuch.invalid"]] {
                let (status, lines) = try Node.command(folder.socket, command)
                #expect(status == 0, "\(command): \(lines)")
            }
            node.kill()
            try node.restart()
            let (status, lines) = try Node.command(folder.socket, ["why", name])
            #expect(status == 1, "\(lines)")
            #expect(try !Node.ask(folder.socket, "GET", "/peers").body.contains("nosuch.invalid"))
        }
    }

    // MARK: The way to a file

    @Test("a registry that is reached through links, and whose target or folder is turned, is read again each time", .timeLimit(.minutes(5)))
    func links() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let others = try (2...4).map { try Node(listen: Ports.endpoint("127.0.84.\($0)"), ["--control-socket", "none"]) }
            func list(_ count: Int) -> String { others.prefix(count).map { "\($0.endpoint)\n" }.joined() }
            func turn(_ name: String, _ target: String) {
                #expect(symlink(target, folder.path + "/turning") == 0 && rename(folder.path + "/turning", folder.path + "/" + name) == 0)
            }
            for (version, count) in [("v1", 1), ("v2", 2)] {
                try FileManager.default.createDirectory(atPath: folder.path + "/" + version, withIntermediateDirectories: true)
                try write(list(count), folder.path + "/\(version)/list")
            }
            turn("data", "v1")
            turn("registry", "data/list")
            let node = try Node(listen: Ports.endpoint("127.0.84.1"), folder.options("--registry", folder.path + "/registry"))
            try node.waitForLink(with: others[0].endpoint)
            turn("data", "v2")
            try node.waitForLink(with: others[1].endpoint)
            try write(list(3), folder.path + "/v2/list")
            try node.waitForLink(with: others[2].endpoint)
            let mark = node.mark
            turn("registry", "v1/list")
            try node.process.wait(for: "the first list again", from: mark) { $0["event"] == "registry" && $0["removed"] == "2" }
        }
    }

    @Test(
        "a registry that is a mount of a single file is read again when the file changes in place", .timeLimit(.minutes(5)),
        .enabled(if: Enclosure.canMount, "mounts in a user namespace are not allowed here"))
    func mount() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let others = try (2...3).map { try Node(listen: Ports.endpoint("127.0.85.\($0)"), ["--control-socket", "none"]) }
            let (source, target) = (folder.path + "/source", folder.path + "/registry")
            try write("\(others[0].endpoint)\n", source)
            try write("# a place to mount at\n", target)
            let endpoint = Ports.endpoint("127.0.85.1")
            let arguments = ["run", "--network", "time-testnet", "--listen", "\(endpoint)", "--log-format", "json", "--registry", target] + folder.options() + Node.fast
            let node = try Enclosure.start("-rm", "mount --bind '\(source)' '\(target)'", arguments, name: "reactor-node with a mounted registry")
            defer { node.kill() }
            #expect(isUp(folder.socket) && linked(folder.socket, others[0].endpoint))
            let handle = try #require(FileHandle(forWritingAtPath: source))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("\(others[1].endpoint)\n".utf8))
            try handle.close()
            #expect(linked(folder.socket, others[1].endpoint))
        }
    }

    @Test(
        "a registry on a disk that never answers: the node starts with what the store kept, says so, reloads and ends as ever", .timeLimit(.minutes(5)),
        .enabled(if: Enclosure.canHang, "a FUSE mount in a user namespace is not allowed here"))
    func silent() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let masternode = try Node(listen: Ports.endpoint("127.0.88.2"))
            try FileManager.default.createDirectory(atPath: folder.path + "/disk", withIntermediateDirectories: true)
            let file = folder.path + "/disk/masternodes"
            do {
                let store = try Store(directory: folder.path + "/state")
                store.keep(registry: file, [.endpoint(masternode.endpoint)])
                let thread = try store.start { _ in }
                store.stop()
                #expect(thread.wait(milliseconds: 120_000))
            }
            let node = try Enclosure.start(
                "-rm", "\(Enclosure.silentDisk) '\(folder.path)/disk'", arguments(Ports.endpoint("127.0.88.1"), folder) + ["--registry", file],
                name: "reactor-node with a silent disk")
            defer { node.kill() }
            try node.wait(for: "that the file is not read") { $0["event"] == "registry-slow" && $0["masternodes"] == "1" }
            #expect(isUp(folder.socket) && linked(folder.socket, masternode.endpoint))
            #expect(try troubles(folder.socket)["registry-file"]?.contains("does not answer; 1 masternodes") == true)
            for command in [["reload"], ["ban", "10.0.0.1"], ["status"]] {
                let (status, lines) = try Node.command(folder.socket, command)
                #expect(status == 0, "\(command): \(lines)")
            }
            node.signal(SIGTERM)
            #expect(try node.waitForExit(limit: 90) == 0)
        }
    }

    // MARK: The store

    /// Ten bans, trust, a masternode that is up, and a name, on the disk of a node that has ended.
    private func fill(_ folder: KeepingTests.Folder, _ masternode: Endpoint) throws {
        let store = try Store(directory: folder.path + "/state")
        for index in 0..<10 { try store.record(.ban(Subnet(IPAddress(v4: 10, 8, 0, UInt8(index))), for: .seconds(3_600), reason: "r", by: "b"), at: .now) }
        try store.record(.trust(Subnet("10.7.0.0/16")!), at: .now)
        try store.record(.addMasternode(masternode), at: .now)
    }

    private func arguments(_ endpoint: Endpoint, _ folder: KeepingTests.Folder) -> [String] {
        ["run", "--network", "time-testnet", "--listen", "\(endpoint)", "--log-format", "json"] + folder.options() + Node.fast
    }

    @Test(
        "a store on a full disk, or in a file that may only be read: what it holds is in force, and health says that nothing is written", .timeLimit(.minutes(5)),
        .enabled(if: Enclosure.canMount, "mounts in a user namespace are not allowed here"), arguments: ["full", "read-only"])
    func unwritable(how: String) async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let masternode = try Node(listen: Ports.endpoint("127.0.86.2"))
            try fill(folder, masternode.endpoint)
            let state = folder.path + "/state"
            let preparation =
                how == "full"
                ? """
                cp -a '\(state)' '\(folder.path)/copy'; mount -t tmpfs -o size=2m none '\(state)'; cp -a '\(folder.path)/copy/.' '\(state)/'
                cat /dev/zero > '\(state)/rest' 2> /dev/null
                """
                : "mount --bind '\(state)/\(Store.fileName)' '\(state)/\(Store.fileName)'; mount -o remount,ro,bind '\(state)/\(Store.fileName)'"
            let node = try Enclosure.start("-rm", preparation, arguments(Ports.endpoint("127.0.86.1"), folder), name: "reactor-node, \(how)")
            defer { node.kill() }
            #expect(isUp(folder.socket) && linked(folder.socket, masternode.endpoint))
            #expect(try Node.ask(folder.socket, "GET", "/bans").json().elements.count == 11)
            #expect(Clock.poll(limit: 90) { (try? troubles(folder.socket))?["store"]?.contains("goes on in memory") == true })
            let answer = try Node.ask(folder.socket, "POST", "/ban", "{\"subject\": \"10.9.0.1\"}")
            #expect(answer.status == 200 && answer.body.contains("not written down"), "\(answer)")
        }
    }

    @Test("a store that another program holds for seconds: the node says that its bans are not in force, reads them then, and loses none", .timeLimit(.minutes(5)))
    func locked() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let masternode = try Node(listen: Ports.endpoint("127.0.87.2"))
            try fill(folder, masternode.endpoint)
            let script = """
                import os, sqlite3, sys, time
                file = sqlite3.connect(sys.argv[1], isolation_level=None)
                file.execute("PRAGMA locking_mode = EXCLUSIVE"); file.execute("BEGIN EXCLUSIVE"); file.execute("UPDATE counter SET value = value")
                print("held", flush=True)
                while not os.path.exists(sys.argv[2]): time.sleep(0.1)
                file.execute("COMMIT"); file.close(); print("freed", flush=True)
                """
            let holder = try Child("python3", ["-c", script, folder.path + "/state/" + Store.fileName, folder.path + "/free"])
            defer { holder.kill() }
            try holder.wait(for: "the lock") { $0.text == "held" }
            let node = try Child(Node.path, arguments(Ports.endpoint("127.0.87.1"), folder), name: "reactor-node beside a backup")
            defer { node.kill() }
            try node.wait(for: "that the store is not read") { $0["event"] == "store-degraded" && $0.text.contains("are not in force") }
            #expect(isUp(folder.socket))
            #expect(try troubles(folder.socket)["store"]?.contains("are not in force") == true)
            // More than a retry passes.
            usleep(3_000_000)
            try write("now\n", folder.path + "/free")
            try node.wait(for: "that it is read") { $0["event"] == "store-read" && $0["bans"] == "11" }
            #expect(Clock.poll(limit: 90) { (try? Node.ask(folder.socket, "GET", "/bans").json())?.elements.count == 11 })
            #expect(linked(folder.socket, masternode.endpoint))
            #expect(Clock.poll(limit: 90) { (try? troubles(folder.socket))?["store"] == nil })
            node.signal(SIGTERM)
            #expect(try node.waitForExit(limit: 90) == 0)
            let state = try #require(try StoreReader.read(path: folder.path + "/state/" + Store.fileName)).state
            #expect(state.bans.count == 11 && state.wanted.count == 1)
        }
    }

    // MARK: The address

    @Test(
        "an address that the machine loses is told by the log, status, health and metrics, and so is its return", .timeLimit(.minutes(5)),
        .enabled(if: Enclosure.hasNetwork, "network namespaces are not allowed here"))
    func address() async throws {
        try await onThread {
            let folder = KeepingTests.Folder()
            let node = try Enclosure.start(
                "-rmn", "ip link set lo up; ip addr add 10.77.0.1/32 dev lo",
                ["run", "--network", "time-testnet", "--listen", "10.77.0.1:24100", "--log-format", "json"] + folder.options(), name: "reactor-node at 10.77.0.1")
            defer { node.kill() }
            #expect(isUp(folder.socket))
            func address(_ verb: String) throws {
                let command = ["-t", "\(node.pid)", "-n", "-U", "--preserve-credentials", "ip", "addr", verb, "10.77.0.1/32", "dev", "lo"]
                #expect(try Child("nsenter", command).waitForExit(limit: 30) == 0)
            }
            #expect(try troubles(folder.socket)["listeners"] == nil)
            try address("del")
            try node.wait(for: "the loss") { $0["event"] == "listen-gone" && $0["listen"] == "10.77.0.1:24100" }
            #expect(try troubles(folder.socket)["listeners"]?.contains("does not have this address") == true)
            let (status, lines) = try Node.command(folder.socket, ["status"])
            #expect(status == 0 && lines.contains { $0.contains("10.77.0.1:24100: this machine does not have this address") }, "\(lines)")
            #expect(try Node.ask(folder.socket, "GET", "/metrics").body.contains("reactor_gone_listeners 1"))
            try address("add")
            try node.wait(for: "the return") { $0["event"] == "listen-back" }
            #expect(try troubles(folder.socket)["listeners"] == nil)
        }
    }
}
