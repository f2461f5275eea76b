// The C functions called from Swift, as C calls them: what outlives what, what is refused, and what ends the process in words.

import CReactor
import Testing

@testable import ReactorC

@Suite("The C library's handles")
struct PortTests {
    /// A loop with room for so many timers.
    static func loop(timers: UInt32 = 100) throws -> OpaquePointer {
        var options = reactor_loop_options()
        reactor_loop_options_init(&options)
        options.timers = timers
        var loop: OpaquePointer?
        try #require(reactor_loop_create(&options, &loop) == 0)
        return try #require(loop)
    }

    static func node(on loop: OpaquePointer) throws -> OpaquePointer {
        var callbacks = reactor_node_callbacks()
        reactor_node_callbacks_init(&callbacks)
        var node: OpaquePointer?
        try #require(reactor_node_create(loop, nil, &callbacks, &node) == 0)
        return try #require(node)
    }

    @Test("a port posts to its loop, and answers ECLOSED once the loop is destroyed, for each of its users")
    func loopPort() throws {
        let loop = try Self.loop()
        let port = reactor_loop_open_port(loop)
        let other = reactor_loop_port_retain(port)
        var calls: Int32 = 0
        try withUnsafeMutablePointer(to: &calls) { calls in
            let call: reactor_post_function = { $0!.assumingMemoryBound(to: Int32.self).pointee += 1 }
            try #require(reactor_loop_port_post(port, call, calls) == 0)
            reactor_loop_run_once(loop, 1)
            #expect(calls.pointee == 1)
            reactor_loop_destroy(loop)
            #expect(reactor_loop_port_post(port, call, calls) == REACTOR_ECLOSED)
            reactor_loop_port_release(port)
            #expect(reactor_loop_port_post(other, call, calls) == REACTOR_ECLOSED)
            reactor_loop_port_stop(other)
            reactor_loop_port_release(other)
            #expect(calls.pointee == 1)
        }
    }

    @Test("a loop that a node outlives is closed for its ports all the same")
    func loopKeptByANode() throws {
        let loop = try Self.loop()
        let node = try Self.node(on: loop)
        let port = reactor_loop_open_port(loop)
        reactor_loop_destroy(loop)
        #expect(reactor_loop_port_post(port, { _ in }, nil) == REACTOR_ECLOSED)
        reactor_loop_port_release(port)
        reactor_node_destroy(node)
    }

    @Test("a node's port answers ECLOSED once the node is destroyed; a body that is too large is refused before it is copied")
    func nodePort() throws {
        let loop = try Self.loop()
        let node = try Self.node(on: loop)
        let port = reactor_node_open_port(node)
        let other = reactor_node_port_retain(port)
        #expect(reactor_node_port_post(port, 1, 1_000, "x", 1) == 0)
        #expect(reactor_node_port_post(port, 1, 1_000, "x", 1 << 40) == REACTOR_ETOOLARGE)
        #expect(reactor_node_port_post(port, 1, 1_000, nil, 1) == REACTOR_EOPTION)
        reactor_node_destroy(node)
        #expect(reactor_node_port_post(port, 1, 1_000, "x", 1) == REACTOR_ECLOSED)
        reactor_node_port_release(port)
        reactor_loop_destroy(loop)
        #expect(reactor_node_port_post(other, 1, 1_000, "x", 1) == REACTOR_ECLOSED)
        reactor_node_port_release(other)
    }

    @Test("bytes that are nowhere, or more than there can be, are refused by every function that takes some")
    func absurdBytes() throws {
        let loop = try Self.loop()
        let node = try Self.node(on: loop)
        defer {
            reactor_node_destroy(node)
            reactor_loop_destroy(loop)
        }
        #expect(reactor_node_send(node, 1, 1_000, nil, 1) == REACTOR_EOPTION)
        #expect(reactor_node_send(node, 1, 1_000, "x", -1) == REACTOR_ENOLINK)
        #expect(reactor_node_post(node, 1, 1_000, "x", -1) == REACTOR_ETOOLARGE)
        #expect(reactor_node_broadcast(node, 1_000, nil, 1) == REACTOR_EOPTION)
        #expect(reactor_node_broadcast(node, 1_000, nil, 0) == 0)
    }

    @Test("a loop whose timers are all taken refuses a node with ENOSPC, and a node's listener too")
    func noTimerLeft() throws {
        let loop = try Self.loop(timers: 1)
        var timer: OpaquePointer?
        try #require(reactor_timer_create(loop, { _, _ in }, nil, &timer) == 0)
        var callbacks = reactor_node_callbacks()
        reactor_node_callbacks_init(&callbacks)
        var node: OpaquePointer?
        #expect(reactor_node_create(loop, nil, &callbacks, &node) == -28)
        #expect(node == nil)
        var second: OpaquePointer?
        #expect(reactor_timer_create(loop, { _, _ in }, nil, &second) == -28)
        reactor_timer_destroy(try #require(timer))
        // Room for the node, and for nothing of it.
        let lone = try Self.node(on: loop)
        #expect(reactor_node_listen(lone, "127.0.0.1:0", nil, 0) == -28)
        reactor_node_destroy(lone)
        reactor_loop_destroy(loop)
    }

    // MARK: What ends the process

    /// What a process that ended by itself said.
    static func words(_ result: ExitTest.Result?) -> String {
        String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }

    @Test("running or destroying a loop, or destroying a node, from a callback ends the process in words")
    func nested() async {
        let nestings: [(String, @Sendable () async -> ExitTest.Result?)] = [
            ("run_once", { await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { Self.nest { reactor_loop_run_once($0.loop, 0) } } }),
            ("run", { await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { Self.nest { reactor_loop_run($0.loop) } } }),
            ("destroy", { await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { Self.nest { reactor_loop_destroy($0.loop) } } }),
            ("node_destroy", { await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { Self.nest { reactor_node_destroy($0.node) } } }),
        ]
        for (name, nesting) in nestings {
            let words = Self.words(await nesting())
            #expect(words.contains("is in the middle of an iteration"), "\(name): \(words)")
        }
    }

    struct Nested {
        let loop: OpaquePointer
        let node: OpaquePointer
        let body: (Nested) -> Void
    }

    static func nest(_ body: @escaping (Nested) -> Void) {
        guard let loop = try? Self.loop(), let node = try? Self.node(on: loop) else { return }
        var nested = Nested(loop: loop, node: node, body: body)
        withUnsafeMutablePointer(to: &nested) { context in
            _ = reactor_loop_post(loop, { $0!.assumingMemoryBound(to: Nested.self).pointee.run() }, context)
            reactor_loop_run_once(loop, 1)
        }
    }
}

extension PortTests.Nested {
    func run() { body(self) }
}
