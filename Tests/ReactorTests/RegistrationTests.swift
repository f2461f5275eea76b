// What a refused registration may do, and what it must leave alone: an undo that takes back its own, a change that the kernel refuses
// once and is asked for again.

import CEpoll
import Glibc
import PeerMesh
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: refused registrations", .ownThread)
struct RegistrationTests {
    @Test("a descriptor that stays open may be removed and added again from its own callback", arguments: [true, false])
    func addedAgain(staysOpen: Bool) throws {
        let loop = try EventLoop()
        let pair = Pair()
        weak var gone: Diary?
        var outcome: Result<SlotID, SystemError>?
        var isAlive = false
        do {
            let diary = Diary()
            gone = diary
            let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
            diary.onReady = { [unowned diary] _, _ in
                guard outcome == nil else { return }
                loop.remove(slot, staysOpen: staysOpen)
                outcome = Result { () throws(SystemError) in try loop.add(pair.fd, interest: .write, source: diary, tag: 2) }
                isAlive = gone != nil
            }
        }
        pair.send()
        loop.runOnce(.wait)
        loop.runOnce(.noWait)
        let slot = try #require(try outcome?.get())
        #expect(isAlive && gone?.entries == [.ready(.readable, 1), .ready(.writable, 2)])
        gone?.forget()
        loop.remove(slot)
        #expect(gone == nil && loop.descriptorCount == 0 && loop.counters.failedControls == 0)
    }

    @Test("an add that fails in a callback releases nobody before the close phase, neither its own source nor another's")
    func failedAdd() throws {
        let loop = try EventLoop()
        let (pair, other) = (Pair(), Pair())
        let file = cepoll_reserve()
        defer { _ = cepoll_close(file) }
        weak var caller: Diary?
        weak var bystander: Diary?
        var errors: [SystemError] = []
        var alive: [Bool] = []
        do {
            let (diary, quiet) = (Diary(), Diary())
            (caller, bystander) = (diary, quiet)
            let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
            let theirs = try loop.add(other.fd, interest: .read, source: quiet, tag: 2)
            diary.onReady = { [unowned diary] _, _ in
                loop.remove(theirs)
                loop.remove(slot)
                // Each in turn fails: its own source has others left, none left, or is new.
                for source in [diary, Diary()] {
                    do throws(SystemError) {
                        _ = try loop.add(file, interest: .read, source: source, tag: 3)
                    } catch {
                        errors.append(error)
                    }
                    alive.append(caller != nil && bystander != nil)
                }
            }
        }
        pair.send()
        loop.runOnce(.wait)
        #expect(errors == [SystemError(.control, CEPOLL_EPERM), SystemError(.control, CEPOLL_EPERM)])
        #expect(alive == [true, true])
        #expect(caller == nil && bystander == nil && loop.descriptorCount == 0)
    }

    @Test("a descriptor that a live slot has is refused, and that slot goes on", arguments: [true, false])
    func twice(inCallback: Bool) throws {
        let loop = try EventLoop()
        let (pair, trigger) = (Pair(), Pair())
        let (diary, second, caller) = (Diary(), Diary(), Diary())
        defer { caller.forget() }
        let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
        let calling = try loop.add(trigger.fd, interest: .read, source: caller, tag: 0)
        var error: SystemError?
        func addAgain() {
            do throws(SystemError) {
                _ = try loop.add(pair.fd, interest: .write, source: second, tag: 2)
            } catch let refusal {
                error = refusal
            }
        }
        caller.onReady = { _, _ in
            trigger.drain()
            addAgain()
        }
        if inCallback {
            trigger.send()
            loop.runOnce(.wait)
        } else {
            addAgain()
        }
        #expect(error == SystemError(.control, CEPOLL_EEXIST))
        pair.send()
        loop.runOnce(.wait)
        #expect(diary.entries == [.ready(.readable, 1)] && second.entries.isEmpty)
        loop.remove(slot)
        loop.remove(calling)
    }

    #if REACTOR_FAULTS
        static let refusals: [Int32] = [CEPOLL_ENOMEM, CEPOLL_ENOSPC, CEPOLL_EINVAL]

        @Test("a change that the kernel refuses is asked for again, and the descriptor is told of", arguments: refusals)
        func refusedChange(_ error: Int32) throws {
            try Faults.with {
                let loop = try EventLoop()
                let diary = Diary()
                let pair = Pair()
                let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
                loop.setInterest(slot, [])
                loop.runOnce(.noWait)
                Faults.answer(.mod, Int64(-error), fd: pair.fd, times: 3)
                pair.send()
                loop.setInterest(slot, .read)
                loop.runOnce(.noWait)
                #expect(diary.entries.isEmpty && loop.counters.failedControls == 1)
                // The loop's own next wake is the next try: nobody asks again.
                #expect(run(loop) { !diary.entries.isEmpty })
                #expect(diary.entries.first == .ready(.readable, 1) && loop.counters.failedControls == 3)
                pair.drain()
                loop.runOnce(.noWait)
                #expect(loop.nextDeadline == nil, "nothing is left to try")
                loop.remove(slot)
            }
        }

        @Test("a hangup that was taken out is put back though the kernel refuses once", arguments: refusals)
        func refusedReturn(_ error: Int32) throws {
            try Faults.with {
                let loop = try EventLoop()
                let diary = Diary()
                let pair = Pair()
                let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
                loop.setInterest(slot, [])
                pair.closeFar()
                loop.runOnce(.noWait)
                #expect(loop.counters.latchedHangups == 1)
                Faults.answer(.add, Int64(-error), fd: pair.fd, times: 2)
                loop.setInterest(slot, .read)
                #expect(run(loop) { !diary.entries.isEmpty })
                #expect(diary.entries.first == .ready([.readable, .hangup], 1))
                loop.remove(slot)
            }
        }

        @Test("a hangup that the kernel does not take out wakes the loop a few times, not for ever, and is told when somebody asks")
        func refusedWithdrawal() throws {
            try Faults.with {
                let loop = try EventLoop()
                let diary = Diary()
                let pair = Pair()
                let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
                loop.setInterest(slot, [])
                loop.runOnce(.noWait)
                Faults.answer(.del, Int64(-CEPOLL_ENOMEM), fd: pair.fd)
                pair.closeFar()
                for _ in 0..<100 { loop.runOnce(.noWait) }
                #expect(loop.counters.events <= 3 && diary.entries.isEmpty)
                loop.setInterest(slot, .read)
                loop.runOnce(.noWait)
                #expect(diary.entries == [.ready([.readable, .hangup], 1)])
            }
        }

        @Test("a refused change whose slot is removed is forgotten, and the next use of the slot has its own interest")
        func refusedAndRemoved() throws {
            try Faults.with {
                let loop = try EventLoop()
                let (diary, next) = (Diary(), Diary())
                let pair = Pair()
                let slot = try loop.add(pair.fd, interest: .read, source: diary, tag: 1)
                Faults.answer(.mod, Int64(-CEPOLL_ENOMEM), fd: pair.fd, times: 1)
                loop.setInterest(slot, [.read, .write])
                loop.runOnce(.noWait)
                loop.remove(slot)
                let reused = try loop.add(pair.fd, interest: .read, source: next, tag: 2)
                #expect(reused.index == slot.index)
                let controls = loop.counters.controls
                #expect(run(loop) { loop.state.retryAt == nil })
                #expect(loop.counters.controls == controls && diary.entries.isEmpty && next.entries.isEmpty)
                loop.remove(reused)
            }
        }
    #endif

    @Test("a table of one timer makes a listener and a node throw, and leaves nothing behind")
    func noTimerLeft() throws {
        var configuration = EventLoop.Configuration()
        configuration.timerCapacity = 1
        let loop = try EventLoop(configuration)
        let diary = Diary()
        let timer = loop.makeTimer(source: diary, tag: 0)
        let full = SystemError(.timerTable, CEPOLL_ENOSPC)
        weak var released: Diary?
        for _ in 0..<2 {
            let owner = Diary()
            released = owner
            #expect(throws: full) { try Listener(loop: loop, on: .loopback(), owner: owner) }
            #expect(throws: full) {
                let settings = NodeSettings(mesh: MeshSettings(nonce: 1, seed: 2))
                _ = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings, handler: PeerHandler())
            }
        }
        #expect(throws: full) { try loop.run { [executor = loop.executor] in _ = try executor.listen(on: .loopback()) } }
        #expect(released == nil && loop.descriptorCount == 0)
        loop.destroy(timer)
        let listener = try Listener(loop: loop, on: .loopback(), owner: diary)
        listener.close()
    }

    @Test("a listener that cannot be made within a callback is gone by the end of the iteration, and its port is free at once")
    func noTimerLeftInCallback() throws {
        var configuration = EventLoop.Configuration()
        configuration.timerCapacity = 1
        let loop = try EventLoop(configuration)
        let diary = Diary()
        defer { diary.forget() }
        let timer = loop.makeTimer(source: diary, tag: 0)
        var errors: [SystemError] = []
        weak var owner: Diary?
        diary.onTimer = { _ in
            let mine = Diary()
            owner = mine
            do throws(SystemError) {
                _ = try Listener(loop: loop, on: .loopback(), owner: mine)
            } catch {
                errors.append(error)
            }
        }
        loop.arm(timer, at: .zero)
        loop.runOnce(.wait)
        #expect(errors == [SystemError(.timerTable, CEPOLL_ENOSPC)] && owner == nil && loop.descriptorCount == 0)
    }

    @Test("a handle's place is used again with another generation, and a post to the old one reaches nobody")
    func handles() throws {
        let loop = try EventLoop()
        let (old, new) = (Diary(), Diary())
        let first = loop.makeHandle(for: old)
        let kept = loop.makeHandle(for: old)
        loop.withdraw(first)
        loop.withdraw(first)
        let second = loop.makeHandle(for: new)
        #expect(second.index == first.index && second != first && loop.makeHandle(for: new).index == kept.index + 1)
        for handle in [first, second, kept] { #expect(loop.mailbox.post(Job(kind: 1), to: handle) == .posted) }
        loop.runOnce(.noWait)
        #expect(old.entries == [.posted(1, 0)] && new.entries == [.posted(1, 0)])
        #expect(loop.counters.staleJobs == 1 && loop.counters.staleIDs == 1)
    }
}
