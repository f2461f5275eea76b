// SwiftNIO's loop, hopped onto as its users do: `execute`, `submit().get()`, and actors by the loop's own executor.

import NIOCore
import NIOPosix

private actor Resident {
    private let eventLoop: any EventLoop
    private let executor: any SerialExecutor
    private var calls = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        executor = eventLoop.executor
    }

    func call() { calls += 1 }

    func call(_ other: Resident, _ count: Int) async {
        for _ in 0..<count {
            await other.call()
            calls += 1
        }
    }
}

struct Theirs: Side {
    private let eventLoop: any EventLoop
    private let gate = Gate()
    private let residents: (Resident, Resident)

    init() {
        eventLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
        residents = (Resident(eventLoop), Resident(eventLoop))
    }

    func go(_ way: Way, _ count: Int) {
        switch way {
        case .post:
            for _ in 0..<count { post() }
        case .burst:
            for _ in 0..<count / Way.burstSize {
                for _ in 1..<Way.burstSize { eventLoop.execute {} }
                post()
            }
        case .submit:
            gate.await { [eventLoop] in
                for _ in 0..<count {
                    try await eventLoop.submit {}.get()
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

    private func post() {
        eventLoop.execute { [gate] in gate.open() }
        gate.wait()
    }
}
