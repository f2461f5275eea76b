// A running node, asked and changed by an operator; and by clients as rude as they come.

import Daemon
import Foundation
import PeerMesh
import Testing

@Suite("the control API of a running node")
struct ControlTests {
    /// Starts a node with a control socket in `folder`.
    private func node(_ endpoint: Endpoint, _ folder: ControlFolder, _ more: [String] = []) throws -> Node {
        let node = try Node(listen: endpoint, ["--control-socket", folder.socket] + more)
        // Its peers' port is open a moment earlier.
        try #require(Clock.poll(limit: 90, every: 0.01) { (try? ControlConnection(folder.socket)) != nil })
        return node
    }

    @Test("an operator's session: add a masternode, watch it link, ban it, ask why, unban, relink, reload, restart", .timeLimit(.minutes(3)))
    func session() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let other = try Node(listen: Ports.endpoint("127.0.91.2"), ["--role", "masternode", "--control-socket", "none"])
            let peer = "\(other.endpoint)"
            let here = try node(Ports.endpoint("127.0.91.1"), folder, ["--role", "masternode", "--state-dir", folder.path + "/state"])
            func run(_ words: String...) throws -> [String] {
                let result = try Node.command(folder.socket, words)
                #expect(result.status == 0, "\(words): \(result.lines)")
                return result.lines
            }
            func waitFor(state: String) throws {
                let stands = try Clock.poll(limit: 90, every: 0.2) {
                    try Node.ask(folder.socket, "GET", "/peers/\(peer)").json()["state"]?.text == state
                }
                let why = try Node.ask(folder.socket, "GET", "/peers/\(peer)/why").body
                #expect(stands, "\(peer) never was \(state): \(why)")
            }

            let watcher = try Child(Node.path, ["events", "--peer", peer, "--socket", folder.socket])
            let follows = try Clock.poll(limit: 90) { try Node.ask(folder.socket, "GET", "/loop").json()["control"]?["followers"]?.whole == 1 }
            #expect(follows)

            #expect(try run("masternodes", "add", peer)[0].contains("add-masternode \(peer)"))
            try watcher.wait(for: "the link's event") { $0.text.contains("-> established") }
            try waitFor(state: "established")
            #expect(try run("masternodes").contains { $0.contains(peer) && $0.contains("established") && $0.contains("operator") })

            _ = try run("ban", "\(other.endpoint.address)", "--for", "1h", "--reason", "a rehearsal")
            let why = try run("why", peer)
            #expect(why[0] == "\(peer)  banned")
            #expect(why.contains { $0.contains("banned for 59 min") && $0.contains("by the operator") }, "\(why)")
            #expect(why.contains { $0.contains("reactor-node unban") })
            try watcher.wait(for: "the ban's event") { $0.text.contains("-> banned") }

            _ = try run("unban", "\(other.endpoint.address)")
            try waitFor(state: "established")
            #expect(try run("reload").contains { $0.contains("nothing has changed") })

            here.process.signal(SIGTERM)
            #expect(try here.process.waitForExit(limit: 90) == 0)
            #expect(try watcher.waitForExit(limit: 90) == 0, "a follower ends with its node")
            try here.restart()
            // The one who was linked dials again, or is dialled: the same peer is back.
            let isBack = try Clock.poll(limit: 90, every: 0.2) {
                try Node.ask(folder.socket, "GET", "/peers").json().elements.contains {
                    $0["state"]?.text == "established" && ($0["id"]?.text == peer || $0["link"]?["remote"]?.text?.hasPrefix("\(other.endpoint.address):") == true)
                }
            }
            #expect(isBack)
        }
    }

    @Test("every page of the API answers, and its JSON has the members that the description requires")
    func pages() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.5"), folder, ["--peer", "127.0.91.6:9"])
            for path in ["/", "/status", "/peers", "/peers/127.0.91.6:9", "/masternodes", "/slots", "/bans", "/loop", "/health/live"] {
                let reply = try Node.ask(folder.socket, "GET", path)
                #expect(reply.status == 200, "\(path): \(reply.body)")
                _ = try reply.json()
            }
            let text = try String(contentsOf: root.appendingPathComponent("docs/openapi.yaml"), encoding: .utf8)
            #expect(try Node.ask(folder.socket, "POST", "/ban", "{\"subject\": \"10.0.0.0/8\"}").status == 200)
            for (path, schema) in [
                ("/status", "Status"), ("/slots", "Slots"), ("/loop", "Loop"), ("/health/live", "Health"), ("/peers", "Peer"), ("/bans", "Ban"),
                ("/peers/127.0.91.6:9/why", "Why"),
            ] {
                let json = try Node.ask(folder.socket, "GET", path).json()
                let object = json.elements.first ?? json
                let (required, known) = try described(schema, in: text)
                for member in required { #expect(object[member] != nil, "\(path) has no \(member)") }
                for member in object.members.map(\.key) { #expect(known.contains(member), "\(path) has \(member), which nobody describes") }
            }
            let why = try Node.ask(folder.socket, "GET", "/peers/127.0.91.6:9/why").json()
            for member in ["id", "state", "standing", "sentence", "advice", "next", "wanted", "turn", "verdict", "slots", "attempts", "link", "history"] {
                #expect(why[member] != nil, "\(member)")
            }
            let metrics = try Node.ask(folder.socket, "GET", "/metrics")
            #expect(metrics.head.contains("text/plain; version=0.0.4"))
            #expect(metrics.body.contains("reactor_links{class=\"regular\",direction=\"outbound\",state=\"established\"} 0\n"))
            try promtool(["check", "metrics"], input: metrics.body)
            #expect(try Node.ask(folder.socket, "HEAD", "/peers").body.isEmpty)
            _ = here
        }
    }

    private var root: URL { URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent() }

    /// The members that a schema of the description requires, and all that it knows.
    private func described(_ schema: String, in text: String) throws -> (required: [String], known: Set<String>) {
        let lines = text.components(separatedBy: "\n").drop { $0 != "    \(schema):" }.dropFirst().prefix { $0.hasPrefix("      ") }
        let required = try #require(lines.first { $0.hasPrefix("      required: [") }, "\(schema) is not described")
        let names = required.dropFirst("      required: [".count).dropLast().components(separatedBy: ", ")
        let properties = lines.filter { $0.hasPrefix("        ") && !$0.hasPrefix("         ") }.compactMap { $0.dropFirst(8).components(separatedBy: ":").first }
        return (names, Set(names).union(properties))
    }

    @Test("the alert rules are rules")
    func rules() async throws {
        try await onThread {
            try promtool(["check", "rules", root.appendingPathComponent("docs/prometheus/alerts.yml").path], input: "")
        }
    }

    /// Where Debian's `promtool` is not installed, the check is left to a machine that has it.
    private func promtool(_ arguments: [String], input: String) throws {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool") else { return }
        let file = "/tmp/rn-metrics-\(UUID().uuidString)"
        try input.write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let words = arguments.map { "'\($0)'" }.joined(separator: " ")
        let child = try Child("/bin/sh", ["-c", "promtool \(words) < \(file)"])
        #expect(try child.waitForExit(limit: 90) == 0, "\(child.lines().map(\.text))")
    }

    @Test("health ends with 0, 1 or 2")
    func health() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.8"), folder)
            #expect(try Node.command(folder.socket, ["health", "--min-links", "0"]).status == 0)
            let degraded = try Node.command(folder.socket, ["health", "--min-links", "3"])
            #expect(degraded.status == 1)
            #expect(degraded.lines.contains { $0.contains("0 links, and 3 are asked for") })
            here.process.signal(SIGSTOP)
            #expect(try Node.command(folder.socket, ["health"]).status == 2, "a stopped node is down")
            here.process.signal(SIGCONT)
            here.kill()
            #expect(try Node.command(folder.socket, ["health"]).status == 2, "no node is down")
        }
    }

    @Test(
        "a wrong command is one line and its exit status",
        arguments: [
            (["why", "nonsense"], 64, "ADDRESS:PORT"), (["ban", "300.0.0.1"], 64, "192.0.2.0/24"), (["ban", "10.0.0.1", "--for", "5x"], 64, "500ms"),
            (["connect", "0.0.0.0:1"], 64, "dialled"), (["disconnect", "10.9.8.7:6"], 1, "not in the book"), (["unban", "10.0.0.1"], 1, "not banned"),
            (["peers", "--state", "odd"], 64, "backoff"), (["redial"], 64, "--all"), (["log-level", "loud"], 64, "debug"),
            (["health", "--max-loop-lag", "soon"], 64, "500ms"), (["masternodes", "remove", "10.9.8.7:6"], 1, "not in the book"),
        ] as [([String], Int32, String)]
    )
    func wrongCommand(arguments: [String], status: Int32, word: String) async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.92.1"), folder)
            let result = try Node.command(folder.socket, arguments)
            #expect(result.status == status)
            #expect(result.lines.count == 1 && result.lines[0].contains(word), "\(result.lines)")
            _ = here
        }
    }

    @Test("bans and trust of one node go to another as they are; a list with a wrong entry changes nothing", .timeLimit(.minutes(3)))
    func bansGoOn() async throws {
        try await onThread {
            let (here, there) = (try ControlFolder(), try ControlFolder())
            let nodes = [try node(Ports.endpoint("127.0.91.13"), here), try node(Ports.endpoint("127.0.91.14"), there)]
            for words in [
                ["ban", "10.1.0.0/16", "--for", "1h", "--reason", "spam \"x\"", "--by", "ada"], ["ban", "2001:db8::/32"], ["trust", "10.2.0.1"],
            ] { #expect(try Node.command(here.socket, words).status == 0) }
            let list = try Node.command(here.socket, ["bans", "--json"])
            let file = here.path + "/bans.json"
            try list.lines.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
            let done = try Node.command(there.socket, ["bans", "import", file])
            #expect(done.status == 0 && done.lines == ["import: 2 bans, 1 trusted"], "\(done.lines)")
            let rows = try Node.ask(there.socket, "GET", "/bans").json().elements
            #expect(rows.map { $0["subject"]?.text } == ["10.1.0.0/16", "10.2.0.1", "2001:db8::/32"])
            #expect(rows[0]["reason"]?.text == "spam \"x\"" && rows[0]["setBy"]?.text == "ada" && (3_000...3_601).contains(rows[0]["seconds"]?.real ?? 0))
            #expect(rows[1]["kind"]?.text == "trust" && rows[2]["until"]?.isNull == true)
            try "[{\"subject\": \"10.3.0.0/16\", \"kind\": \"ban\"}, {\"subject\": \"10.3.0.0/99\", \"kind\": \"ban\"}]"
                .write(toFile: file, atomically: true, encoding: .utf8)
            let refused = try Node.command(there.socket, ["bans", "import", file])
            #expect(refused.status == 64 && refused.lines.count == 1 && refused.lines[0].contains("entry 2"), "\(refused.lines)")
            // A length that is no number is not "for ever".
            for seconds in ["\"x\"", "-5", "true"] {
                try "[{\"subject\": \"10.3.0.0/16\", \"kind\": \"ban\", \"seconds\": \(seconds)}]".write(toFile: file, atomically: true, encoding: .utf8)
                #expect(try Node.command(there.socket, ["bans", "import", file]).status == 64)
            }
            #expect(try Node.ask(there.socket, "GET", "/bans").json().elements.count == 3)
            _ = nodes
        }
    }

    @Test("status says by which address others see the node, and warns where that is not the one that it states", .timeLimit(.minutes(3)))
    func seenAs() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let other = try Node(listen: Ports.endpoint("127.0.91.16"), ["--control-socket", "none"])
            let here = try node(Ports.endpoint("127.0.91.15"), folder, ["--peer", "\(other.endpoint)", "--advertise", "192.0.2.7:24000"])
            try here.waitForLink(with: other.endpoint)
            let reach = try #require(try Node.ask(folder.socket, "GET", "/status").json()["reach"])
            let seen = try #require(reach["seenAs"]?.elements.first)
            #expect(seen["address"]?.text == "127.0.91.15" && seen["peers"]?.whole == 1)
            #expect(reach["warning"]?.text?.contains("others see this node as 127.0.91.15") == true, "\(reach.line)")
            let lines = try Node.command(folder.socket, ["status"]).lines
            #expect(lines.contains { $0.hasPrefix("seen as") && $0.contains("127.0.91.15") } && lines.contains { $0.contains("warning: 192.0.2.7:24000 is advertised") }, "\(lines)")
        }
    }

    @Test("what is taken back and stays wanted by somebody else's word is said")
    func namedTwice() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.17"), folder, ["--masternode", "127.0.91.18:9"])
            let removed = try Node.command(folder.socket, ["masternodes", "remove", "127.0.91.18:9"])
            #expect(removed.status == 0 && removed.lines.last?.hasPrefix("warning: the registry file or the settings name it still") == true, "\(removed.lines)")
            let cut = try Node.command(folder.socket, ["disconnect", "127.0.91.18:9"])
            #expect(cut.lines.last?.contains("dialled again") == true, "\(cut.lines)")
            _ = here
        }
    }

    @Test("`done` is the loop's word: what found no room is refused, not written, and not in force after a restart", .timeLimit(.minutes(3)))
    func noRoom() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let options = ["--ban-capacity", "2", "--state-dir", folder.path + "/state"]
            let here = try node(Ports.endpoint("127.0.91.20"), folder, options)
            for address in ["192.0.2.1", "192.0.2.2"] {
                #expect(try Node.ask(folder.socket, "POST", "/ban?subject=\(address)").status == 200)
            }
            for operation in ["/ban?subject=192.0.2.3", "/trust?subject=192.0.2.3", "/ban?subject=198.51.100.0/24&for=1h"] {
                let refused = try Node.ask(folder.socket, "POST", operation)
                #expect(refused.status == 409 && refused.body.contains("--ban-capacity"), "\(operation): \(refused.body)")
            }
            // What is in force already may change.
            #expect(try Node.ask(folder.socket, "POST", "/ban?subject=192.0.2.2&for=1h").status == 200)
            let refused = try Node.command(folder.socket, ["ban", "192.0.2.3"])
            #expect(refused.status == 1 && refused.lines.joined().contains("--ban-capacity"), "\(refused.lines)")
            func subjects() throws -> [String] {
                try Node.ask(folder.socket, "GET", "/bans").json().elements.compactMap { $0["subject"]?.text }
            }
            #expect(try subjects() == ["192.0.2.1", "192.0.2.2"])
            here.process.signal(SIGTERM)
            #expect(try here.process.waitForExit() == 0)
            let again = try node(here.endpoint, folder, options)
            #expect(try subjects() == ["192.0.2.1", "192.0.2.2"])
            _ = again
        }
    }

    @Test("what is not dialled or not done is not said to be: a redial of a banned peer, and any change of a node that is ending", .timeLimit(.minutes(3)))
    func notDone() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.21"), folder, ["--peer", "127.0.91.22:9"])
            #expect(try Node.ask(folder.socket, "POST", "/ban?subject=127.0.91.22").status == 200)
            let redial = try Node.ask(folder.socket, "POST", "/redial?peer=127.0.91.22:9")
            #expect(redial.status == 409 && redial.body.contains("banned"), "\(redial.body)")
            let connect = try Node.ask(folder.socket, "POST", "/connect?peer=127.0.91.22:10")
            #expect(connect.status == 200)
            #expect(try connect.json()["warning"]?.text?.contains("banned") == true, "\(connect.body)")
            // A peer that ends nothing holds the drain up.
            let peer = try RawPeer.linked(to: here.endpoint, from: Endpoint(IPAddress(v4: 127, 0, 91, 23), port: 0))
            #expect(try Node.ask(folder.socket, "POST", "/drain").status == 200)
            try here.process.wait(for: "the drain") { $0["event"] == "draining" }
            if let late = try? Node.ask(folder.socket, "POST", "/ban?subject=192.0.2.9") {
                #expect(late.status == 503 && late.body.contains("ending"), "\(late.body)")
            }
            #expect(try here.process.waitForExit() == 0)
            withExtendedLifetime(peer) {}
        }
    }

    @Test("a ban or trust of everybody, or of a very wide range, is asked for twice")
    func wide() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.24"), folder)
            for subject in ["10.0.0.1/0", "0.0.0.0/0", "::/0", "128.0.0.0/1", "2001::/15", "::ffff:0:0/97"] {
                for operation in ["ban", "trust"] {
                    let reply = try Node.ask(folder.socket, "POST", "/\(operation)", "{\"subject\":\"\(subject)\"}")
                    #expect(reply.status == 422 && reply.body.contains("wide"), "\(operation) \(subject): \(reply.body)")
                }
            }
            #expect(try Node.command(folder.socket, ["ban", "10.0.0.1/0"]).status == 64)
            #expect(try Node.command(folder.socket, ["ban", "128.0.0.0/1", "--wide"]).status == 0)
            #expect(try Node.command(folder.socket, ["ban", "10.0.0.0/8"]).status == 0)
            #expect(try Node.ask(folder.socket, "GET", "/bans").json().elements.count == 2)
            _ = here
        }
    }

    @Test("health counts what is wanted: one of three masternodes linked is degraded", .timeLimit(.minutes(3)))
    func share() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let other = try Node(listen: Ports.endpoint("127.0.91.26"), ["--role", "masternode", "--control-socket", "none"])
            let here = try node(
                Ports.endpoint("127.0.91.25"), folder,
                ["--role", "masternode", "--masternode", "\(other.endpoint)", "127.0.91.27:9", "127.0.91.28:9"])
            try here.waitForLink(with: other.endpoint)
            let health = try Node.command(folder.socket, ["health"])
            #expect(health.status == 1 && health.lines.joined().contains("1 of 3 masternodes are linked"), "\(health.lines)")
            #expect(try Node.command(folder.socket, ["health", "--min-masternodes", "1"]).status == 0)
            #expect(try Node.command(folder.socket, ["health", "--min-masternodes", "1", "--max-masternode-gap", "1ms"]).status == 1)
            let metrics = try Node.ask(folder.socket, "GET", "/metrics").body.split(separator: "\n")
            #expect(metrics.contains("reactor_missing_masternodes 2"))
            #expect(metrics.contains { $0.hasPrefix("reactor_longest_masternode_gap_seconds ") && !$0.hasSuffix(" 0") })
            // The lower address dials: that nobody has dialled it is no fault.
            let reach = try Node.ask(folder.socket, "GET", "/status").json()["reach"]
            #expect(reach?["inboundSeen"]?.truth == false && reach?["inboundExpected"]?.truth == false, "\(String(describing: reach))")
            #expect(reach?["text"]?.text?.contains("check that") == false)
            #expect(metrics.contains("reactor_inbound_expected 0"))
        }
    }

    @Test("a registry line that is this node itself is nobody who is missing, also where the node listens on every address", .timeLimit(.minutes(3)))
    func ourOwnLine() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let port = Ports.next()
            let registry = folder.path + "/masternodes"
            try "127.0.91.29:\(port)\n".write(toFile: registry, atomically: true, encoding: .utf8)
            let here = try node(Endpoint(IPAddress(v4: 0), port: port), folder, ["--role", "masternode", "--registry", registry])
            #expect(try Clock.poll(limit: 90) { try Node.command(folder.socket, ["health"]).status == 0 })
            #expect(try Node.ask(folder.socket, "GET", "/status").json()["peers"]?["masternodes"]?.whole == 0)
            try "not an address\n".write(toFile: registry, atomically: true, encoding: .utf8)
            try here.process.wait(for: "the refusal") { $0["event"] == "registry-not-believed" }
            let health = try Node.command(folder.socket, ["health"])
            #expect(health.status == 1 && health.lines.joined().contains("registry"), "\(health.lines)")
        }
    }

    @Test("descriptors that cannot be counted, and a limit that was lowered, are degraded", .timeLimit(.minutes(3)))
    func descriptors() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.30"), folder)
            func limit(_ count: Int) throws {
                #expect(try Child("/usr/bin/prlimit", ["--pid", "\(here.process.pid)", "--nofile=\(count):"]).waitForExit(limit: 90) == 0)
            }
            func check(_ connection: ControlConnection) throws -> JSON? {
                connection.send("GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return try ControlReply(connection.readAll()).json()["checks"]?.elements.first { $0["name"]?.text == "descriptors" }
            }
            let (first, second, third) = try (ControlConnection(folder.socket), ControlConnection(folder.socket), ControlConnection(folder.socket))
            // What is still on its way into the node would not come in later.
            #expect(try Clock.poll(limit: 90) { (try Node.ask(folder.socket, "GET", "/loop").json()["control"]?["connections"]?.whole ?? 0) >= 4 })
            #expect(try check(first)?["status"]?.text == "good")
            try limit(4)
            #expect(try check(second)?["status"]?.text == "degraded")
            try limit(200)
            let lowered = try check(third)
            #expect(lowered?["status"]?.text == "degraded" && lowered?["message"]?.text?.contains("200") == true, "\(String(describing: lowered))")
        }
    }

    @Test("without a node a command says so, with status 69")
    func noNode() async throws {
        try await onThread {
            let result = try Node.command("/tmp/there-is-no-such.sock", ["peers"])
            #expect(result.status == 69)
            #expect(result.lines.count == 1 && result.lines[0].contains("no node answers at"))
        }
    }

    @Test("`peers | head` ends quietly")
    func pipe() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let peers = (1...200).map { "127.0.93.\($0):9" }
            let here = try node(Ports.endpoint("127.0.91.9"), folder, ["--peer"] + peers)
            // A reader that is gone before the first byte, too.
            let script = "\(Node.path) peers --socket \(folder.socket) | head -1; \(Node.path) peers --socket \(folder.socket) | true; echo done"
            let child = try Child("/bin/bash", ["-c", "set -o pipefail; \(script)"])
            #expect(try child.waitForExit(limit: 60) == 0)
            let lines = child.lines().map(\.text)
            #expect(lines.count == 2 && lines[0].hasPrefix("PEER") && lines[1] == "done", "\(lines)")
            _ = here
        }
    }

    @Test("a second node on the same socket refuses to start and says which process holds it; a killed one's is taken over")
    func secondNode() async throws {
        try await onThread {
            let folder = try ControlFolder()
            let here = try node(Ports.endpoint("127.0.91.10"), folder)
            let second = try Child(Node.path, ["run", "--listen", "\(Ports.endpoint("127.0.91.11"))", "--control-socket", folder.socket])
            #expect(try second.waitForExit(limit: 90) == 69)
            let text = second.lines().map(\.text).joined()
            #expect(text.contains("process \(here.process.pid)"), "\(text)")
            #expect(try Node.ask(folder.socket, "GET", "/status").status == 200)
            here.kill()
            let third = try node(Ports.endpoint("127.0.91.12"), folder)
            #expect(try Node.ask(folder.socket, "GET", "/status").json()["pid"]?.whole == Int64(third.process.pid))
        }
    }
}
