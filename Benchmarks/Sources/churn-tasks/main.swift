// The churn server of `churn step`, written with tasks: what the async layer costs on top of the bare loop. No idle timer (a
// timeout is another task's business there).
//
//   churn-tasks KIND CYCLES    takes turns with `churn-load step`, as `churn step` does
//
// KIND is how connections are served: `serve` (by `AsyncListener.serve`, which keeps its tasks), `tasks` (a task for each, which
// prefers the loop) or `actor` (a task for each, of an actor that lives on the loop; it prefers nothing).

import Glibc
import PeerMesh
import Reactor

/// The numbers, and buffers that tasks lend each other, behind constant pointers: what is measured is the layer, not the checks of
/// exclusive access to a class's variables. The loop's thread only.
final class Shared: @unchecked Sendable {
    struct State {
        var handled = 0
        var finished = 0
        var failed = 0
        var spare = 0
    }

    private static let most = 1_024
    let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
    private let buffers = UnsafeMutablePointer<UnsafeMutableRawBufferPointer>.allocate(capacity: most)

    init() { state.initialize(to: State()) }

    func borrow() -> UnsafeMutableRawBufferPointer {
        guard state.pointee.spare > 0 else { return .allocate(byteCount: 4_096, alignment: 16) }
        state.pointee.spare -= 1
        return buffers[state.pointee.spare]
    }

    func giveBack(_ buffer: UnsafeMutableRawBufferPointer) {
        guard state.pointee.spare < Self.most else { return buffer.deallocate() }
        (buffers + state.pointee.spare).initialize(to: buffer)
        state.pointee.spare += 1
    }

    func countMessage() { state.pointee.handled += 1 }

    func countEnd(_ isGood: Bool) {
        state.pointee.handled += 1
        state.pointee.finished += 1
        if !isGood { state.pointee.failed += 1 }
    }
}

/// Lives on the loop: its tasks have no executor preference.
actor Server {
    private let executor: LoopExecutor
    private let listener: AsyncListener
    private let shared: Shared

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ listener: AsyncListener, on executor: LoopExecutor, _ shared: Shared) {
        self.executor = executor
        self.listener = listener
        self.shared = shared
    }

    func run() async {
        while let socket = try? await listener.accept() {
            Task { await self.serve(socket) }
        }
    }

    private func serve(_ socket: AsyncSocket) async {
        await echo(socket, shared)
    }
}

/// The same without an actor.
func run(_ listener: AsyncListener, on executor: LoopExecutor, _ shared: Shared) async {
    while let socket = try? await listener.accept() {
        Task.detached(executorPreference: executor) { await echo(socket, shared) }
    }
}

/// By tasks that are kept, with the loop of `echo` in the closure, as the guide has it.
func serve(_ listener: AsyncListener, _ shared: Shared) async throws {
    try await listener.serve { socket in
        let buffer = shared.borrow()
        defer { shared.giveBack(buffer) }
        var isGood = false
        defer { shared.countEnd(isGood) }
        while true {
            let count = try await socket.read(into: buffer)
            if count == 0 { break }
            try await socket.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            shared.countMessage()
        }
        isGood = true
    }
}

/// Gives back what it gets, until the end.
func echo(_ socket: AsyncSocket, _ shared: Shared) async {
    let buffer = shared.borrow()
    defer { shared.giveBack(buffer) }
    do {
        while true {
            let count = try await socket.read(into: buffer)
            if count == 0 { break }
            try await socket.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            shared.countMessage()
        }
        socket.close()
        shared.countEnd(true)
    } catch {
        socket.close()
        shared.countEnd(false)
    }
}

func say(_ word: UInt32) {
    var word = word
    guard write(1, &word, 4) == 4 else { exit(1) }
}

func hear() -> UInt32 {
    var word: UInt32 = 0
    guard read(0, &word, 4) == 4 else { exit(1) }
    return word
}

@MainActor func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 3, ["serve", "tasks", "actor"].contains(arguments[1]), let cycles = Int(arguments[2]), cycles > 0 else {
        fatalError("usage: churn-tasks serve|tasks|actor CYCLES")
    }
    let loop = try EventLoop()
    let executor = loop.executor
    let shared = Shared()
    let listener = try loop.run { try executor.listen(on: Endpoint("127.0.0.1:0")!) }
    switch arguments[1] {
    case "serve":
        Task.detached(executorPreference: executor) { try await serve(listener, shared) }
    case "actor":
        let server = Server(listener, on: executor, shared)
        Task.detached { await server.run() }
    default:
        Task.detached(executorPreference: executor) { await run(listener, on: executor, shared) }
    }
    say(UInt32(listener.endpoint.port))
    while shared.state.pointee.finished < cycles {
        let goal = shared.state.pointee.handled + Int(hear())
        while shared.state.pointee.handled < goal { loop.runOnce(.wait) }
        say(0)
    }
    exit(shared.state.pointee.failed == 0 ? 0 : 1)
}

try main()
