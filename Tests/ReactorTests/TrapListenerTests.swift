// Traps of accepting. Each number is a row of docs/Traps.md.

import CEpoll
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Traps: listeners", .ownThread)
struct TrapListenerTests {
    @Test("trap 13: a listener that can take nothing is disarmed while it rests: no wake until its timer", .enabled(if: Faults.areBuilt))
    func trap13() throws {
        try trap(13, leftOut: { Faults.answer(.mod, 0) }) {
            let loop = try EventLoop()
            let owner = Diary()
            var settings = Listener.Settings()
            settings.rest = .seconds(30)
            settings.longestRest = .seconds(30)
            let listener = try Listener(loop: loop, on: .loopback(), owner: owner, settings: settings)
            defer { listener.close() }
            Faults.answer(.accept, Int64(-CEPOLL_EMFILE))
            Faults.answer(.reserve, Int64(-CEPOLL_EMFILE))
            let dialer = try connect(to: listener.endpoint)
            defer { _ = close(dialer) }
            for _ in 0..<100 { loop.runOnce(.noWait) }
            guard owner.entries == [.rests(SystemError(.accept, CEPOLL_EMFILE))] else {
                return "\(listener.counters.calls) calls of accept and \(owner.entries.count) rests in 100 waits"
            }
            guard listener.isResting else { return "it does not rest" }
            return loop.counters.events == 1 ? nil : "\(loop.counters.events) wakes in 100 waits"
        }
    }

    /// Errors of one connection, and those that should not be.
    static let passing = [
        CEPOLL_EINTR, CEPOLL_ECONNABORTED, CEPOLL_EPROTO, CEPOLL_ENETDOWN, CEPOLL_ENOPROTOOPT, CEPOLL_EHOSTDOWN, CEPOLL_ENONET,
        CEPOLL_EHOSTUNREACH, CEPOLL_EOPNOTSUPP, CEPOLL_ENETUNREACH, CEPOLL_EPERM, CEPOLL_ETIMEDOUT,
    ]

    @Test("trap 14: no error of accept ends a listener: one connection's own costs one call, any other a rest", .enabled(if: Faults.areBuilt))
    func trap14() throws {
        try trap(14, leftOut: { Faults.leaveOut(14) }) {
            for error in Self.passing + [CEPOLL_EINVAL, CEPOLL_ENOTSOCK, CEPOLL_EIO, CEPOLL_ENOMEM, CEPOLL_ENFILE] {
                let loop = try EventLoop()
                let owner = Diary()
                var settings = Listener.Settings()
                settings.rest = .milliseconds(1)
                settings.fatalRest = .milliseconds(1)
                let listener = try Listener(loop: loop, on: .loopback(), owner: owner, settings: settings)
                defer { listener.close() }
                Faults.answer(.accept, Int64(-error), times: 1)
                let dialer = try connect(to: listener.endpoint)
                defer { _ = close(dialer) }
                let isServed = run(loop) { owner.accepted.count == 1 || listener.counters.shed == 1 }
                guard isServed else { return "after \(SystemError.text(of: error)) it accepts no more" }
                if Self.passing.contains(error), listener.counters.fatal > 0 {
                    return "\(SystemError.text(of: error)), one connection's own, was taken for the end of the listener"
                }
                if Self.passing.contains(error), listener.counters.rests > 0 {
                    return "after \(SystemError.text(of: error)) all others waited for a rest"
                }
            }
            return nil
        }
    }

    @Test("trap 32: whoever was accepted while the listener or the node ends is closed, not leaked")
    func trap32() throws {
        try trap(32, leftOut: { Faults.answer(.close, 0) }) {
            let world = try TestWorld()
            let node = try TestNode(world: world, address: 172)
            node.node.start()
            var dialers: [CInt] = []
            defer { for dialer in dialers { _ = close(dialer) } }
            for _ in 0..<40 { dialers.append(try connect(to: node.endpoint)) }
            world.loop.runOnce(.wait)
            node.node.shutdown()
            let isOver = world.run { node.application.isStopped }
            guard isOver else { return "the node did not end" }
            let silent = dialers.filter { cepoll_poll_readable($0, 500) != 1 }.count
            return silent == 0 ? nil : "\(silent) of 40 dialers were never told that nobody is there"
        }
    }
}
