// The C library as its users have it: the examples compiled by a C compiler against the header, run as processes, linked with
// each other. `REACTOR_C_PREFIX` names an installation of scripts/c-library; without it the build's own library serves.

import Foundation
import PeerMesh
import Testing

@Suite("the C library")
struct CLibraryTests {
    @Test("a C daemon, a GLib program and a Python script hold links to each other, and end in order")
    func examples() async throws {
        try await onThread {
            let workshop = try Workshop()
            let programs = try workshop.programs()
            let endpoints = programs.map { _ in Ports.endpoint() }
            var running: [Child] = []
            defer { running.forEach { $0.kill() } }
            for (index, program) in programs.enumerated() {
                let peers = endpoints[..<index].map(\.description)
                running.append(try workshop.start(program, [endpoints[index].description] + peers))
                try running[index].wait(for: "where it listens") { $0.text == "listening on \(endpoints[index])" }
                for peer in peers { try running[index].wait(for: "a link to \(peer)") { $0.text == "up -> \(peer)" } }
                if index > 0 { try running[index].wait(for: "the echo") { $0.text == "echoed hello" } }
            }
            for child in running.reversed() {
                child.signal(SIGTERM)
                #expect(try child.waitForExit() == 0, "\(child.name): \(child.lines().map(\.text))")
            }
        }
    }

    @Test("under the address sanitizer the C daemon makes no mistake and leaves nothing behind")
    func addressSanitizer() async throws {
        try await onThread {
            let workshop = try Workshop()
            guard let program = try? workshop.compile("c/echo.c", ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]) else {
                print("left out: this compiler has no address sanitizer")
                return
            }
            let (first, second) = (Ports.endpoint(), Ports.endpoint())
            let one = try workshop.start(program, ["\(first)"])
            defer { one.kill() }
            try one.wait(for: "where it listens") { $0.text == "listening on \(first)" }
            let other = try workshop.start(program, ["\(second)", "\(first)"])
            defer { other.kill() }
            try other.wait(for: "the echo") { $0.text == "echoed hello" }
            for child in [other, one] {
                child.signal(SIGTERM)
                #expect(try child.waitForExit() == 0, "\(child.name): \(child.lines().suffix(40).map(\.text))")
            }
        }
    }

    @Test("wrong arguments are answered in words, not by a crash")
    func wrongArguments() async throws {
        try await onThread {
            let workshop = try Workshop()
            let program = try workshop.compile("c/echo.c")
            for (arguments, word) in [
                (["nonsense"], "not an endpoint"), (["127.0.0.1:0", "127.0.0.1:70000"], "not an endpoint"),
                (["203.0.113.1:7000"], "Cannot assign requested address"),
            ] {
                let child = try workshop.start(program, arguments)
                #expect([64, 69].contains(try child.waitForExit()))
                #expect(child.lines().contains { $0.text.contains(word) }, "\(child.lines().map(\.text))")
            }
        }
    }

    @Test("the header is C11 and C++17 without a warning")
    func header() async throws {
        try await onThread {
            let workshop = try Workshop()
            for (compiler, language, standard) in [("cc", "c", "c11"), ("c++", "c++", "c++17")] where workshop.has(compiler) {
                try workshop.run(
                    compiler, ["-x", language, "-std=\(standard)", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
                        + ["\(workshop.include)/reactor.h"]
                )
            }
        }
    }

    @Test("it exports the header's functions and nothing else", .enabled(if: Workshop.prefix != nil))
    func exports() async throws {
        try await onThread {
            let workshop = try Workshop()
            let listing = try workshop.run("nm", ["-D", "--defined-only", "--extern-only", "\(workshop.library)/libreactor.so"])
            // Upper case is global; the version itself is an absolute symbol.
            let kinds: Set<Substring> = ["T", "D", "B", "R"]
            var exported: Set<String> = []
            for line in listing {
                let columns = line.text.split(separator: " ")
                if columns.count == 3, kinds.contains(columns[1]) { exported.insert(String(columns[2].prefix { $0 != "@" })) }
            }
            let text = try String(contentsOfFile: "\(workshop.include)/reactor.h", encoding: .utf8)
            let declared = Set(text.matches(of: #/\b(reactor_[a-z_]+)\(/#).map { String($0.1) })
            #expect(exported == declared, "only exported: \(exported.subtracting(declared)); only declared: \(declared.subtracting(exported))")
        }
    }

    @Test("under valgrind the C daemon leaks nothing and reads nothing that is not its own", .enabled(if: Workshop.prefix != nil))
    func valgrind() async throws {
        try await onThread {
            let workshop = try Workshop()
            let program = try workshop.compile("c/echo.c")
            let (first, second) = (Ports.endpoint(), Ports.endpoint())
            let watched = try workshop.start(
                "valgrind", ["--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=99", program, "\(first)"]
            )
            defer { watched.kill() }
            try watched.wait(for: "where it listens", limit: 60) { $0.text == "listening on \(first)" }
            let other = try workshop.start(program, ["\(second)", "\(first)"])
            defer { other.kill() }
            try watched.wait(for: "the echo", limit: 60) { $0.text == "echoed hello" }
            other.kill()
            try watched.wait(for: "the end of the link", limit: 60) { $0.text.hasPrefix("down") }
            watched.signal(SIGTERM)
            #expect(try watched.waitForExit(limit: 60) == 0, "\(watched.lines().suffix(40).map(\.text))")
        }
    }
}

/// Where the examples are compiled, and how they are run.
private final class Workshop {
    static let prefix = ProcessInfo.processInfo.environment["REACTOR_C_PREFIX"]
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    let library: String
    let include: String
    private let folder: String

    init() throws {
        library = Workshop.prefix.map { "\($0)/lib" } ?? URL(fileURLWithPath: Node.path).deletingLastPathComponent().path
        include = Workshop.prefix.map { "\($0)/include" } ?? Workshop.root.appendingPathComponent("Sources/CReactor/include").path
        folder = NSTemporaryDirectory() + "reactor-c-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // The examples load it by the name that an installed one has.
        try? FileManager.default.createSymbolicLink(atPath: "\(folder)/libreactor.so.0", withDestinationPath: "\(library)/libreactor.so")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func has(_ program: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
        }
    }

    /// Every example that this machine can run.
    func programs() throws -> [String] {
        var programs = [try compile("c/echo.c")]
        if has("pkg-config"), let flags = try? run("pkg-config", ["--cflags", "--libs", "glib-2.0"]) {
            programs.append(try compile("glib/echo.c", standard: "gnu11", flags.flatMap { $0.text.split(separator: " ").map(String.init) }))
        }
        if has("python3") { programs.append(Workshop.root.appendingPathComponent("Examples/python/echo.py").path) }
        return programs
    }

    func compile(_ example: String, standard: String = "c11", _ flags: [String] = []) throws -> String {
        let program = "\(folder)/\(example.replacingOccurrences(of: "/", with: "-"))".replacingOccurrences(of: ".c", with: "")
        let source = Workshop.root.appendingPathComponent("Examples/\(example)").path
        try run(
            has("cc") ? "cc" : "clang",
            ["-std=\(standard)", "-g", "-Wall", "-Wextra", "-Werror", "-I\(include)", "-o", program, source, "-L\(library)", "-lreactor"] + flags
        )
        return program
    }

    func start(_ program: String, _ arguments: [String]) throws -> Child {
        // Beside the library: where the Swift runtime is, and what the caller's own path says.
        let path = [library, folder, Workshop.runtime, ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"]].compactMap { $0 }
        let name = (program as NSString).lastPathComponent
        return try Child("/usr/bin/env", ["LD_LIBRARY_PATH=\(path.joined(separator: ":"))", program] + arguments, name: name)
    }

    /// The folder of the Swift runtime that this very process runs on.
    private static let runtime: String? = {
        let maps = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
        guard let line = maps.split(separator: "\n").first(where: { $0.hasSuffix("/libswiftCore.so") }),
            let start = line.firstIndex(of: "/")
        else { return nil }
        return (String(line[start...]) as NSString).deletingLastPathComponent
    }()

    @discardableResult
    func run(_ program: String, _ arguments: [String]) throws -> [LogLine] {
        let child = try Child(program, arguments)
        let status = try child.waitForExit(limit: 120)
        guard status == 0 else {
            throw Child.Failure.timeout("\(program) \(arguments) ended with \(status): \(child.lines().map(\.text))")
        }
        return child.lines()
    }
}
