// Processes that a test starts: their lines as they come, their end, signals by pid. Each is killed when the test lets go of
// it, and all of them when the test process ends.

import Foundation

/// A running program and what it has written. Its stdout and stderr share one list of lines.
final class Child: @unchecked Sendable {
    enum Failure: Error, CustomStringConvertible {
        case spawn(String, Int32)
        case timeout(String)

        var description: String {
            switch self {
            case .spawn(let program, let code): "cannot start \(program): \(String(cString: strerror(code)))"
            case .timeout(let text): text
            }
        }
    }

    /// Where stderr goes.
    enum ErrorStream {
        case lines
        /// A pipe that nobody reads and that stays open: the writer meets a full pipe.
        case blocked
    }

    let pid: pid_t
    let name: String
    private let condition = NSCondition()
    private var collected: [LogLine] = []
    private var status: Int32?
    private var isReaped = false
    /// The end of its output was read.
    private var isDrained = false

    init(_ program: String, _ arguments: [String], name: String? = nil, errors: ErrorStream = .lines, passing passed: Int32? = nil) throws {
        self.name = name ?? (program as NSString).lastPathComponent
        var output: [Int32] = [-1, -1]
        var blocked: [Int32] = [-1, -1]
        // No child may inherit another's pipes: its end would never be seen.
        Spawning.lock.lock()
        defer { Spawning.lock.unlock() }
        for index in 0..<2 {
            _ = index == 0 ? pipe(&output) : pipe(&blocked)
            for descriptor in index == 0 ? output : blocked { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        posix_spawn_file_actions_adddup2(&actions, errors == .blocked ? blocked[1] : output[1], 2)
        // As the program's descriptor 3, where a service manager would put it.
        if let passed { posix_spawn_file_actions_adddup2(&actions, passed, 3) }
        defer { posix_spawn_file_actions_destroy(&actions) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        defer { posix_spawnattr_destroy(&attributes) }
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        argv.append(nil)
        defer { argv.forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, program, &actions, &attributes, argv, environ)
        close(output[1])
        close(blocked[1])
        if errors == .lines { close(blocked[0]) }
        guard code == 0 else {
            close(output[0])
            throw Failure.spawn(program, code)
        }
        self.pid = pid
        Orphans.shared.add(pid)
        let descriptor = output[0]
        Thread.detachNewThread { [self] in read(descriptor) }
        Thread.detachNewThread { [self] in reap() }
    }

    deinit {
        if !isReaped { Orphans.shared.kill(pid) }
    }

    // MARK: Lines

    /// How many lines there are so far: what to wait for comes after this.
    var mark: Int { condition.withLock { collected.count } }

    /// The lines from `mark` on.
    func lines(from mark: Int = 0) -> [LogLine] {
        condition.withLock { Array(collected[min(mark, collected.count)...]) }
    }

    /// Waits for a line behind `mark` that satisfies `predicate`. The limit is generous: it ends a test that has failed.
    @discardableResult
    func wait(
        for what: String, from mark: Int = 0, limit: Double = 90, where predicate: (LogLine) -> Bool
    ) throws -> LogLine {
        let deadline = Date(timeIntervalSinceNow: limit)
        var next = mark
        condition.lock()
        defer { condition.unlock() }
        while true {
            while next < collected.count {
                if predicate(collected[next]) { return collected[next] }
                next += 1
            }
            guard status == nil || Date() < deadline, condition.wait(until: deadline) else {
                let tail = collected.suffix(25).map(\.text).joined(separator: "\n  ")
                let end = status.map { ", which ended with \($0)," } ?? ""
                throw Failure.timeout("\(name)\(end) did not show within \(limit) s: \(what). Its last lines:\n  \(tail)")
            }
        }
    }

    // MARK: Its end

    var isRunning: Bool { condition.withLock { status == nil } }

    /// Waits for the end. The exit code, or 128 + the signal.
    @discardableResult
    func waitForExit(limit: Double = 90) throws -> Int32 {
        let deadline = Date(timeIntervalSinceNow: limit)
        condition.lock()
        defer { condition.unlock() }
        while status == nil {
            guard condition.wait(until: deadline) else {
                let tail = collected.suffix(15).map(\.text).joined(separator: "\n  ")
                throw Failure.timeout("\(name) (\(pid)) did not end within \(limit) s. Its last lines:\n  \(tail)")
            }
        }
        // Its last words may still be in the pipe; unless somebody else holds the other end, they come at once.
        let grace = Date(timeIntervalSinceNow: 5)
        while !isDrained, condition.wait(until: grace) {}
        return status!
    }

    func signal(_ number: Int32) {
        condition.withLock { if !isReaped { _ = Foundation.kill(pid, number) } }
    }

    /// `kill -9`, and waits until it is gone.
    func kill() {
        signal(SIGKILL)
        _ = try? waitForExit()
    }

    // MARK: Threads

    private func read(_ descriptor: Int32) {
        var rest: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            rest.append(contentsOf: buffer[..<count])
            while let end = rest.firstIndex(of: 10) {
                add(String(decoding: rest[..<end], as: UTF8.self))
                rest.removeSubrange(...end)
            }
        }
        if !rest.isEmpty { add(String(decoding: rest, as: UTF8.self)) }
        close(descriptor)
        condition.withLock {
            isDrained = true
            condition.broadcast()
        }
    }

    private func add(_ text: String) {
        let line = LogLine(text)
        condition.withLock {
            collected.append(line)
            condition.broadcast()
        }
    }

    private func reap() {
        // Seen, but not reaped yet: the pid stays ours until no signal can be sent to it any more.
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        condition.lock()
        var raw: Int32 = 0
        while waitpid(pid, &raw, 0) < 0, errno == EINTR {}
        Orphans.shared.remove(pid)
        isReaped = true
        condition.unlock()
        // Its last words may still be in the pipe.
        usleep(20_000)
        condition.withLock {
            status = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + raw & 0x7f
            condition.broadcast()
        }
    }
}

/// Held while a descriptor exists that a child must not inherit and is not marked so yet.
enum Spawning {
    static let lock = NSLock()
}

/// What must not outlive the tests.
final class Orphans: @unchecked Sendable {
    static let shared = Orphans()
    private let lock = NSLock()
    private var pids: Set<pid_t> = []

    private init() {
        atexit { Orphans.shared.killAll() }
    }

    func add(_ pid: pid_t) { lock.withLock { _ = pids.insert(pid) } }
    func remove(_ pid: pid_t) { lock.withLock { _ = pids.remove(pid) } }

    func kill(_ pid: pid_t) {
        lock.withLock {
            guard pids.contains(pid) else { return }
            _ = Foundation.kill(pid, SIGCONT)
            _ = Foundation.kill(pid, SIGKILL)
        }
    }

    private func killAll() {
        for pid in lock.withLock({ pids }) { kill(pid) }
    }
}
