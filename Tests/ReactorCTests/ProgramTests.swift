// Small C and C++ programs against libreactor.so as it was built: what only a program of its own can show.

import Foundation
import Testing

@Suite("Programs in C and C++")
struct ProgramTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// The folder of this test's own binary, where libreactor.so is.
    static let products: String = {
        let maps = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
        let bundle = maps.split(separator: "\n").first { $0.hasSuffix(".xctest") }.map { String($0[($0.firstIndex(of: "/") ?? $0.startIndex)...]) }
        return ((bundle ?? CommandLine.arguments[0]) as NSString).deletingLastPathComponent
    }()

    struct Outcome {
        let status: Int32
        let signal: Bool
        let text: String
    }

    static func run(_ program: String, _ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        var environment = ProcessInfo.processInfo.environment
        let runtime = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8))?.split(separator: "\n")
            .first { $0.hasSuffix("/libswiftCore.so") }.map { (String($0[($0.firstIndex(of: "/") ?? $0.startIndex)...]) as NSString).deletingLastPathComponent }
        environment["LD_LIBRARY_PATH"] = [products, runtime, environment["LD_LIBRARY_PATH"]].compactMap { $0 }.joined(separator: ":")
        process.environment = environment
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, signal: process.terminationReason == .uncaughtSignal, text: text)
    }

    static func has(_ program: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
        }
    }

    /// Compiles `source` and runs it; nil if this machine has no such compiler.
    static func compileAndRun(_ source: String, _ compiler: String, _ flags: [String]) throws -> Outcome? {
        guard has(compiler) else { return nil }
        let folder = NSTemporaryDirectory() + "reactor-c-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = "\(folder)/program.\(compiler.hasSuffix("++") ? "cpp" : "c")"
        try source.write(toFile: file, atomically: true, encoding: .utf8)
        let built = try run(
            compiler, ["-I\(root)/Sources/CReactor/include", "-Wall", "-Wextra", "-Werror", "-o", "\(folder)/program", file] + flags
        )
        try #require(built.status == 0, "\(built.text)")
        return try run("\(folder)/program", ["\(products)/libreactor.so"])
    }

    @Test("a thread that used the library by dlopen ends in peace after dlclose")
    func unloading() throws {
        let outcome = try Self.compileAndRun(
            """
            #include <dlfcn.h>
            #include <pthread.h>
            #include <stdio.h>
            #include <reactor.h>
            static const char *path;
            static void *use(void *unused) {
                void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
                if (library == NULL) { fprintf(stderr, "%s\\n", dlerror()); return NULL; }
                int (*create)(const reactor_loop_options *, reactor_loop **);
                void (*run_once)(reactor_loop *, int);
                void (*destroy)(reactor_loop *);
                *(void **)&create = dlsym(library, "reactor_loop_create");
                *(void **)&run_once = dlsym(library, "reactor_loop_run_once");
                *(void **)&destroy = dlsym(library, "reactor_loop_destroy");
                reactor_loop *loop;
                if (create(NULL, &loop) != 0) { return NULL; }
                run_once(loop, 0);
                destroy(loop);
                dlclose(library);
                return unused;
            }
            int main(int count, char **arguments) {
                path = arguments[count - 1];
                for (int round = 0; round < 2; round++) {
                    pthread_t thread;
                    void *done;
                    if (pthread_create(&thread, NULL, use, arguments) != 0 || pthread_join(thread, &done) != 0) { return 1; }
                    if (done == NULL) { return 2; }
                }
                return 0;
            }
            """, "cc", ["-pthread", "-ldl"]
        )
        guard let outcome else { return }
        #expect(outcome.status == 0 && !outcome.signal, "\(outcome)")
    }

    @Test("an exception that leaves a callback ends the process in words at the next run")
    func exception() throws {
        let outcome = try Self.compileAndRun(
            """
            #include <reactor.h>
            #include <stdexcept>
            static void fail(void *) { throw std::runtime_error("out of a callback"); }
            int main() {
                reactor_loop *loop;
                if (reactor_loop_create(nullptr, &loop) != 0) { return 2; }
                reactor_loop_post(loop, fail, nullptr);
                try { reactor_loop_run_once(loop, 1); } catch (const std::exception &) {}
                reactor_loop_run_once(loop, 0);
                return 0;
            }
            """, "c++", ["-L\(Self.products)", "-lreactor"]
        )
        guard let outcome else { return }
        #expect(outcome.signal, "\(outcome)")
        #expect(outcome.text.contains("is in the middle of an iteration") || outcome.text.contains("terminate called"), "\(outcome)")
    }

    @Test("the headers are without a warning for gcc and clang, in C and C++, pedantically")
    func pedantic() throws {
        let warnings = ["-Wall", "-Wextra", "-Wundef", "-Wstrict-prototypes", "-pedantic", "-Werror", "-fsyntax-only"]
        for compiler in ["cc", "gcc", "clang"] where Self.has(compiler) {
            for standard in ["c99", "c11", "c17", "gnu11"] {
                let outcome = try Self.run(
                    compiler, ["-x", "c", "-std=\(standard)"] + warnings + ["\(Self.root)/Sources/CReactor/include/reactor.h"]
                )
                #expect(outcome.status == 0, "\(compiler) \(standard): \(outcome.text)")
            }
            let folder = "\(Self.root)/Sources/CEpoll"
            for (file, flags) in [("CEpoll.c", []), ("CEpollFaults.c", ["-DCEPOLL_FAULTS"])] {
                let outcome = try Self.run(compiler, ["-std=gnu11", "-I\(folder)/include"] + flags + warnings + ["\(folder)/\(file)"])
                #expect(outcome.status == 0, "\(compiler) \(file): \(outcome.text)")
            }
        }
        for compiler in ["c++", "g++", "clang++"] where Self.has(compiler) {
            for standard in ["c++11", "c++17", "c++20"] {
                let outcome = try Self.run(
                    compiler, ["-x", "c++", "-std=\(standard)"] + warnings.filter { $0 != "-Wstrict-prototypes" }
                        + ["\(Self.root)/Sources/CReactor/include/reactor.h"]
                )
                #expect(outcome.status == 0, "\(compiler) \(standard): \(outcome.text)")
            }
        }
    }
}
