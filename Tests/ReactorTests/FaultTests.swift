// The fault table at work: what the loop asks of the kernel, call by call, and what it makes of answers that a healthy kernel
// gives once in a year. Only in builds that have the table (REACTOR_FAULTS=1); the others show that it is not there.

import CEpoll
import Foundation
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Fault table", .ownThread)
struct FaultTableTests {
    private func readLine(_ file: UnsafeMutablePointer<FILE>) -> String? {
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        return getline(&line, &capacity, file) > 0 ? String(cString: line!) : nil
    }

    static let nm = ["/usr/bin/nm", "/usr/bin/llvm-nm"].first { FileManager.default.isExecutableFile(atPath: $0) }

    @Test("a build without the fault table has no symbol of it, and one with it has", .enabled(if: nm != nil, "nm is not installed"))
    func symbols() throws {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let nm = try #require(Self.nm)
        let pipe = try #require(popen("\(nm) '\(executable)'", "r"))
        var text = ""
        while let line = readLine(pipe) { if line.contains("cepoll_") { text += line } }
        #expect(pclose(pipe) == 0)
        #expect(text.contains("cepoll_accept"), "these are the symbols of what is tested")
        #expect(text.contains("cepoll_fault") == Faults.areBuilt)
    }
}

/// Answers each byte that comes with one, and closes at the end.
final class EchoSource: Source {
    let loop: EventLoop
    var sockets: [UInt32: (socket: CInt, slot: SlotID)] = [:]
    var served = 0

    init(loop: EventLoop) {
        self.loop = loop
    }

    override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        let descriptor = socket.release()
        guard let slot = try? loop.add(descriptor, interest: .read, source: self, tag: UInt32(descriptor)) else {
            _ = cepoll_close(descriptor)
            return
        }
        sockets[UInt32(descriptor)] = (descriptor, slot)
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        guard let (descriptor, slot) = sockets[tag] else { return }
        switch receive(descriptor, 64) {
        case .bytes(let count): send(descriptor, count)
        case .wouldBlock: break
        case .ended, .failed:
            loop.remove(slot, staysOpen: false)
            _ = cepoll_close(descriptor)
            sockets[tag] = nil
            served += 1
        }
    }
}

#if REACTOR_FAULTS
    @Suite("Faults below the loop", .serialized, .ownThread)
    struct FaultTests {
        private func frames(_ world: TestWorld, _ left: TestNode, _ right: TestNode, count: Int) -> Bool {
            let link = left.application.live[0]
            var lengths: [Int] = []
            right.application.onFrame = { _, body, _ in lengths.append(body.byteCount) }
            for length in 1...count {
                let body = [UInt8](repeating: 3, count: length)
                _ = left.node.send(body.span.bytes, type: MessageType(90), to: link)
            }
            let haveCome = world.run { lengths.count == count }
            right.application.onFrame = nil
            return haveCome && lengths == Array(1...count)
        }

        @Test("a connection that is accepted, answered and ended costs exactly accept4, ADD, recv, send, recv, close, and its waits")
        func exactSequence() throws {
            try Faults.with {
                let loop = try EventLoop()
                let echo = EchoSource(loop: loop)
                let listener = try Listener(loop: loop, on: .loopback(), owner: echo)
                defer { listener.close() }
                let dialer = try connect(to: listener.endpoint)
                let before = Faults.records.count
                loop.runOnce(.wait)
                let accepted = CInt(try #require(echo.sockets.keys.first))
                #expect(Glibc.send(dialer, "x", 1, 0) == 1)
                loop.runOnce(.wait)
                // Unread, the answer would make of the close a reset (trap 25).
                var answer: UInt8 = 0
                #expect(Glibc.recv(dialer, &answer, 1, 0) == 1)
                Glibc.close(dialer)
                loop.runOnce(.wait)
                let calls = Faults.records.dropFirst(before)
                #expect(calls.map(\.call) == [.wait, .accept, .add, .wait, .recv, .send, .wait, .recv, .close])
                let ofConnection = calls.filter { $0.descriptor == accepted }
                #expect(ofConnection.map(\.result) == [0, 1, 1, 0, 0])
                #expect(ofConnection.map(\.argument) == [0, 64, 1, 64, 0])
            }
        }

        @Test("three bytes a read and five a write: every frame arrives whole and in order")
        func shortTransfers() throws {
            try Faults.with {
                let world = try TestWorld()
                Faults.limit(.recv, 3)
                Faults.limit(.sendPieces, 5)
                let (left, right) = try world.linkedPair(180)
                #expect(frames(world, left, right, count: 60))
                let sends = Faults.records.filter { $0.call == .sendPieces }
                #expect(sends.allSatisfy { $0.result <= 5 })
                #expect(sends.contains { $0.argument > $0.result })
            }
        }

        @Test("interrupted waits, accepts, reads and writes lose nothing and count as no failure")
        func interruptions() throws {
            try Faults.with {
                let world = try TestWorld()
                let interrupted: Set = [Call.wait, .accept, .recv, .sendPieces]
                for call in interrupted {
                    Faults.answer(call, Int64(-CEPOLL_EINTR), times: 1)
                    Faults.answer(call, Int64(-CEPOLL_EINTR), after: 2, times: 2)
                }
                let (left, right) = try world.linkedPair(182)
                #expect(frames(world, left, right, count: 40))
                #expect(world.loop.counters.failedWaits == 0)
                #expect(left.application.downs.isEmpty && right.application.downs.isEmpty)
                #expect(Set(Faults.records.filter { $0.result == Int64(-CEPOLL_EINTR) }.map(\.call)) == interrupted)
            }
        }

        @Test("what looks ready and is not costs one call: EAGAIN from a read, a write or an accept")
        func spuriousReadiness() throws {
            try Faults.with {
                let world = try TestWorld()
                for call in [Call.recv, .sendPieces, .accept] { Faults.answer(call, Int64(-CEPOLL_EAGAIN), after: 1, times: 3) }
                let (left, right) = try world.linkedPair(184)
                #expect(frames(world, left, right, count: 40))
                #expect(left.application.downs.isEmpty && right.application.downs.isEmpty)
            }
        }

        static let errors: [(Call, Int32, CloseReason)] = [
            (.recv, CEPOLL_ECONNRESET, .remoteClosed), (.recv, CEPOLL_ETIMEDOUT, .io(CEPOLL_ETIMEDOUT)),
            (.recv, CEPOLL_EHOSTUNREACH, .io(CEPOLL_EHOSTUNREACH)), (.recv, CEPOLL_ENOMEM, .io(CEPOLL_ENOMEM)),
            (.sendPieces, CEPOLL_EPIPE, .remoteClosed), (.sendPieces, CEPOLL_ECONNRESET, .remoteClosed),
            (.sendPieces, CEPOLL_ENOBUFS, .io(CEPOLL_ENOBUFS)),
        ]

        @Test("each error of a read or a write ends its link with its own reason, and the link comes back", arguments: errors)
        func transferErrors(_ call: Call, _ error: Int32, _ reason: CloseReason) throws {
            try Faults.with {
                let world = try TestWorld()
                let (left, right) = try world.linkedPair(186)
                let link = try #require(left.node.current(left.application.live[0]))
                Faults.answer(call, Int64(-error), fd: link.descriptor, times: 1)
                let body = [UInt8](repeating: 3, count: 10)
                let sender = call == .recv ? right : left
                _ = sender.node.send(body.span.bytes, type: MessageType(90), to: sender.application.live[0])
                #expect(world.run { left.application.downs.count == 1 })
                #expect(left.application.downs.map(\.reason) == [reason])
                #expect(world.run { left.application.live.count == 1 && right.application.live.count == 1 })
            }
        }

        @Test("an event that the kernel had for an older use of a slot is dropped and counted")
        func staleEvent() throws {
            try Faults.with {
                let loop = try EventLoop()
                let (old, new) = (Diary(), Diary())
                let pair = Pair()
                let first = try loop.add(pair.fd, interest: .read, source: old, tag: 0)
                loop.remove(first, staysOpen: true)
                let second = try loop.add(pair.fd, interest: .read, source: new, tag: 0)
                #expect(first.index == second.index)
                Faults.event(CEPOLL_IN, first)
                Faults.event(CEPOLL_IN | CEPOLL_HUP, first)
                loop.runOnce(.wait)
                #expect(loop.counters.staleEvents == 2)
                #expect(old.entries.isEmpty && new.entries.isEmpty)
                Faults.event(CEPOLL_IN, second)
                loop.runOnce(.wait)
                #expect(new.entries == [.ready(.readable, 0)])
            }
        }

        @Test("a loop that cannot be made says which call failed and leaves no descriptor behind", arguments: [Call.eventfd, .epoll, .add])
        func loopWithoutResources(_ call: Call) throws {
            Faults.with {
                Faults.answer(call, Int64(-CEPOLL_ENOMEM))
                let error = #expect(throws: SystemError.self) { try EventLoop() }
                #expect(error?.code == CEPOLL_ENOMEM)
                let opened = Faults.records.filter { [.eventfd, .epoll].contains($0.call) && $0.result >= 0 }.map { CInt($0.result) }
                let closed = Faults.records.filter { $0.call == .close }.map(\.descriptor)
                #expect(Set(opened) == Set(closed) && opened.count == closed.count)
            }
        }

        @Test("a listener that cannot be made leaves no descriptor behind", arguments: [Call.option, .bind, .listen, .local, .reserve, .add])
        func listenerWithoutResources(_ call: Call) throws {
            try Faults.with {
                let loop = try EventLoop()
                let before = Faults.records.count
                Faults.answer(call, Int64(-CEPOLL_ENOBUFS))
                let error = #expect(throws: SystemError.self) { try Listener(loop: loop, on: .loopback(), owner: Diary()) }
                #expect(error?.code == CEPOLL_ENOBUFS)
                let calls = Faults.records.dropFirst(before)
                let opened = calls.filter { [.socket, .reserve].contains($0.call) && $0.result >= 0 }.map { CInt($0.result) }
                #expect(Set(opened) == Set(calls.filter { $0.call == .close }.map(\.descriptor)))
                #expect(loop.descriptorCount == 0)
            }
        }

        @Test("a dial that epoll has no room for fails with the kernel's word and closes its socket; the next one is made")
        func refusedRegistration() throws {
            try Faults.with {
                let world = try TestWorld()
                Faults.answer(.add, Int64(-CEPOLL_ENOSPC), after: 2, times: 1)
                let (left, right) = try world.linkedPair(188)
                let counts = (left.node.counts.dialsFailed, right.node.counts.dialsFailed)
                #expect(counts == (1, 0) || counts == (0, 1))
                let refused = try #require(Faults.records.first { $0.call == .add && $0.result < 0 })
                #expect(Faults.records.contains { $0.call == .close && $0.descriptor == refused.descriptor })
            }
        }
    }
#endif
