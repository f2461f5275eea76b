// Our loop, hopped onto as its documentation says.

import Glibc
import Reactor

/// Opens the gate when it is told to.
private final class Answerer: Source {
    private let gate: Gate

    init(_ gate: Gate) {
        self.gate = gate
        super.init()
    }

    override func posted(_ job: Job) {
        if job.kind == 1 { gate.open() }
    }
}

private actor Resident {
    private let executor: LoopExecutor
    private var calls = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ executor: LoopExecutor) { self.executor = executor }

    func call() { calls += 1 }

    func call(_ other: Resident, _ count: Int) async {
        for _ in 0..<count {
            await other.call()
            calls += 1
        }
    }
}

struct Ours: Side {
    private let executor: LoopExecutor
    private let mailbox: Mailbox
    private let handle: SourceHandle
    private let gate: Gate
    private let residents: (Resident, Resident)

    init() throws {
        let place = Place()
        var thread = pthread_t()
        pthread_create(&thread, nil, { argument in
            let place = Unmanaged<Place>.fromOpaque(argument!).takeRetainedValue()
            place.run()
            return nil
        }, Unmanaged.passRetained(place).toOpaque())
        place.isReady.wait()
        gate = place.answers
        (executor, mailbox, handle) = (place.executor!, place.mailbox!, place.handle!)
        residents = (Resident(executor), Resident(executor))
    }

    func go(_ way: Way, _ count: Int) {
        switch way {
        case .post:
            for _ in 0..<count { post(1) }
        case .burst:
            for _ in 0..<count / Way.burstSize {
                for _ in 1..<Way.burstSize { _ = mailbox.post(Job(kind: 0), to: handle) }
                post(1)
            }
        case .submit:
            gate.await { [executor] in
                for _ in 0..<count {
                    await withTaskExecutorPreference(executor) { await nothing() }
                    beBack()
                }
            }
        case .actor:
            gate.await { [residents] in
                for _ in 0..<count {
                    await residents.0.call()
                    beBack()
                }
            }
        case .pair:
            gate.await { [residents] in await residents.0.call(residents.1, count) }
        }
    }

    private func post(_ kind: UInt32) {
        guard mailbox.post(Job(kind: kind), to: handle) == .posted else { fatalError("the ring is full") }
        gate.wait()
    }
}

private func nothing() async {}

/// What the loop's thread makes and others use.
private final class Place: @unchecked Sendable {
    let isReady = Gate()
    let answers = Gate()
    var executor: LoopExecutor?
    var mailbox: Mailbox?
    var handle: SourceHandle?

    func run() {
        do {
            let loop = try EventLoop()
            let answerer = Answerer(answers)
            (executor, mailbox, handle) = (loop.executor, loop.mailbox, loop.makeHandle(for: answerer))
            isReady.open()
            loop.run()
        } catch {
            fatalError("\(error)")
        }
    }
}
