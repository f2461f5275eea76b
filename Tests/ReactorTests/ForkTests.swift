// What a child process gets of a loop: nothing by exec, a trap by fork, an empty loop if it asks. Each in a process of its own,
// since a test runner has threads and descriptors that are not ours.

import CEpoll
import CTestSupport
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

/// Runs `body` in a forked child; what it returns is the exit status. The status as waitpid(2) gives it.
private func inChild(_ body: () -> CInt) -> CInt {
    let child = ctest_fork()
    precondition(child >= 0)
    if child == 0 {
        ctest_trap_quietly()
        alarm(60)
        _exit(body())
    }
    var status: CInt = 0
    while waitpid(child, &status, 0) != child {}
    return status
}

private func isKilled(_ status: CInt) -> Bool { status & 0x7f != 0 }

@Suite("Event loop: fork and exec", .ownThread)
struct ForkTests {


    /// Uses an inherited loop by one of its entrances.
    static func use(_ entrance: String, _ loop: EventLoop, _ slot: SlotID) throws {
        let source = Source()
        switch entrance {
        case "run": loop.runOnce(.noWait)
        case "add": _ = try loop.add(Pair().fd, interest: .read, source: source, tag: 0)
        case "remove": loop.remove(slot, staysOpen: true)
        case "post": _ = loop.mailbox.post(Job(kind: 0), to: SourceHandle(index: 0, generation: 1))
        case "signals": try loop.watch(signals: [SIGUSR2], source: source)
        default: fatalError()
        }
    }

    @Test("a forked child that uses its parent's loop traps, and says why", arguments: ["run", "add", "remove", "post", "signals"])
    func trap(entrance: String) async throws {
        let result = await #expect(processExitsWith: .exitCode(42), observing: [\.standardErrorContent]) { [entrance] in
            let loop = try EventLoop()
            let pair = Pair()
            let slot = try loop.add(pair.fd, interest: .read, source: Source(), tag: 0)
            loop.runOnce(.noWait)
            let status = inChild {
                try? ForkTests.use(entrance, loop, slot)
                return 0
            }
            // The parent's own loop is none the worse.
            pair.send()
            loop.runOnce(.noWait)
            exit(isKilled(status) && loop.counters.events == 1 ? 42 : 1)
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("this event loop belongs to the parent process: call reinitializeAfterFork()"), "\(text)")
    }

    @Test("a child that starts anew has an empty loop that works, and its parent notices nothing")
    func startsAnew() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let loop = try EventLoop()
            let inherited = Diary()
            let pair = Pair()
            let slot = try loop.add(pair.fd, interest: .read, source: inherited, tag: 1)
            let timer = loop.makeTimer(source: inherited, tag: 2)
            loop.arm(timer, at: Instant(nanoseconds: 1))
            let handle = loop.makeHandle(for: inherited)
            _ = loop.mailbox.post(Job(kind: 3), to: handle)
            loop.requestFlush(inherited)
            Task(executorPreference: loop.executor) { _exit(9) }
            let epoll = loop.backendFD
            pair.send()
            let status = inChild { startAnew(loop, inherited, slot: slot, timer: timer, handle: handle) }
            guard status == 0, loop.backendFD == epoll else { exit(status >> 8) }
            // In the parent all is still there, and only what it did itself woke it. The task would end it: it is left out.
            exit(inherited.entries.isEmpty && loop.descriptorCount == 1 && loop.isArmed(timer) ? 42 : 2)
        }
    }

    @Test("a parent's loop goes on after its child has started anew: readiness, timer, post and interest are its own")
    func parentGoesOn() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let loop = try EventLoop()
            let diary = Diary()
            let pair = Pair()
            diary.onReady = { _, _ in pair.drain() }
            _ = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
            let handle = loop.makeHandle(for: diary)
            loop.runOnce(.noWait)
            let status = inChild {
                guard (try? loop.reinitializeAfterFork()) != nil else { return 3 }
                // The same number, another epoll: what the child does with it is not the parent's.
                let other = Pair()
                guard (try? loop.add(other.fd, interest: .read, source: Source(), tag: 0)) != nil else { return 4 }
                loop.mailbox.stop()
                loop.run()
                return 0
            }
            guard status == 0 else { exit(3) }
            let wakes = loop.counters.wakes
            loop.runOnce(.noWait)
            guard loop.counters.wakes == wakes, diary.entries.isEmpty else { exit(4) }
            pair.send()
            _ = loop.mailbox.post(Job(kind: 5), to: handle)
            loop.runOnce(.wait)
            exit(diary.entries == [.ready(.readable, 1), .posted(5, 0)] ? 42 : 5)
        }
    }

    @Test("a child of exec inherits none of ours: epoll, eventfd, signalfd, listener and its reserve, accepted, dialled, a node's")
    func exec() async {
        let result = await #expect(processExitsWith: .exitCode(42), observing: [\.standardErrorContent]) {
            // With what each is: the number of one that the runtime has for a moment may be ours next.
            let before = Descriptors.of("self")
            try EventLoop.blockSignals([SIGUSR1])
            let loop = try EventLoop()
            let diary = Diary()
            try loop.watch(signals: [SIGUSR1], source: diary)
            let listener = try Listener(loop: loop, on: .loopback(), owner: diary)
            let dialled = dial(listener.endpoint)
            let sending = try loop.run { [endpoint = listener.endpoint, executor = loop.executor] in
                try await executor.connect(to: endpoint)
            }
            while diary.accepted.count < 2 { loop.runOnce(.wait) }
            let settings = NodeSettings(mesh: MeshSettings(nonce: 1, seed: 2))
            let node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings, handler: PeerHandler())
            try node.listen(on: .loopback())
            let request = try SnapshotRequest()

            let ours = Descriptors.of("self").filter { before[$0.key] != $0.value }
            for kind in ["[eventpoll]", "[eventfd]", "[signalfd]", "socket:", "/dev/null"] {
                guard ours.values.contains(where: { $0.contains(kind) }) else { complain("none of \(kind) in \(ours)") }
            }
            var child: pid_t = 0
            let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("60"), nil]
            guard posix_spawnp(&child, "sleep", nil, nil, arguments, nil) == 0 else { complain("no sleep(1)") }
            // The kernel lets the parent of a vfork go on just before it closes what is to be closed on exec, and shows nothing of the
            // child while it changes its memory: a moment later all is done.
            let deadline = ContinuousClock.now + .seconds(60)
            var theirs: [Int: String]
            var inherited: [Int: String]
            repeat {
                theirs = Descriptors.of("\(child)")
                inherited = theirs.filter { before[$0.key] != $0.value }
            } while (theirs.isEmpty || !inherited.isEmpty) && ContinuousClock.now < deadline
            kill(child, SIGKILL)
            waitpid(child, nil, 0)
            guard !theirs.isEmpty else { complain("the child's descriptors cannot be read") }
            guard inherited.isEmpty else { complain("inherited: \(inherited)") }
            withExtendedLifetime((sending, request)) {}
            _ = cepoll_close(dialled)
            exit(42)
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(!text.contains("descriptors:"), "\(text)")
    }
}

/// A dialled socket's descriptor, connected or not yet.
private func dial(_ endpoint: Endpoint) -> CInt {
    switch Socket.dial(endpoint) {
    case .connected(let socket): return socket.release()
    case .pending(let socket): return socket.release()
    case .failed(let error): complain("the dial failed: \(SystemError.text(of: error))")
    }
}

private func complain(_ text: String) -> Never {
    for byte in Array("descriptors: \(text)\n".utf8) { _ = withUnsafeBytes(of: byte) { write(2, $0.baseAddress, 1) } }
    exit(1)
}

/// What /proc says of a process's descriptors.
private enum Descriptors {
    static func of(_ process: String) -> [Int: String] {
        guard let folder = opendir("/proc/\(process)/fd") else { return [:] }
        let own = Int(dirfd(folder))
        var found: [Int: String] = [:]
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            guard let number = Int(name), process != "self" || number != own else { continue }
            var target = [CChar](repeating: 0, count: 256)
            readlink("/proc/\(process)/fd/\(name)", &target, 255)
            found[number] = String(decoding: target.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        closedir(folder)
        return found
    }
}

/// The child's part: 0 if all is as promised, else the number of the promise.
private func startAnew(_ loop: EventLoop, _ inherited: Diary, slot: SlotID, timer: TimerID, handle: SourceHandle) -> CInt {
    guard (try? loop.reinitializeAfterFork()) != nil else { return 10 }
    // Empty: nothing of the parent's comes, and its ids mean nothing.
    guard loop.descriptorCount == 0, loop.nextDeadline == nil else { return 11 }
    for _ in 0..<3 { loop.runOnce(.noWait) }
    guard inherited.entries.isEmpty else { return 12 }
    loop.setInterest(slot, [.write])
    loop.arm(timer, at: .zero)
    loop.remove(slot)
    guard loop.counters.staleIDs == 3, loop.mailbox.post(Job(kind: 1), to: handle) == .posted else { return 13 }
    loop.runOnce(.noWait)
    guard loop.counters.staleJobs == 1 else { return 14 }

    // And it works: readiness, a timer, a post, a task.
    let own = Diary()
    let pair = Pair()
    own.onReady = { _, _ in pair.drain() }
    guard (try? loop.add(pair.fd, interest: .read, source: own, tag: 4)) != nil else { return 15 }
    loop.arm(loop.makeTimer(source: own, tag: 5), after: .milliseconds(1))
    _ = loop.mailbox.post(Job(kind: 6), to: loop.makeHandle(for: own))
    pair.send()
    guard run(loop, until: { own.entries.count == 3 }) else { return 16 }
    guard own.readyTags == [4], own.firedTags == [5], own.entries.contains(.posted(6, 0)) else { return 17 }
    let answer = try? loop.run { [executor = loop.executor] in
        try await executor.sleep(for: .milliseconds(1))
        return 7
    }
    guard answer == 7 else { return 18 }
    return inherited.entries.isEmpty ? 0 : 19
}
