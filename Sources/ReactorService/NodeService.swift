// A node as a service of swift-service-lifecycle: it runs on a thread of its own until it is told to end. A product by itself, as the
// library depends on libc alone.

import Glibc
import PeerMesh
public import Reactor
public import ServiceLifecycle
import Synchronization

/// A node that a `ServiceGroup` runs and ends.
///
/// A graceful shutdown drains the node's links, for at most `MeshSettings.drainTimeout` (5 s); a cancelled task ends it at once. Any
/// thread may make it and run it.
public struct NodeService: Service {
    private let configuration: EventLoop.Configuration
    private let makeNode: @Sendable (EventLoop) throws -> PeerNode

    /// A service whose node `makeNode` makes, tells of its listeners and peers, and starts. It is called once for each `run`, on the
    /// thread that the node will live on; what it throws, `run` throws.
    public init(
        _ configuration: EventLoop.Configuration = EventLoop.Configuration(), makeNode: @escaping @Sendable (EventLoop) throws -> PeerNode
    ) {
        self.configuration = configuration
        self.makeNode = makeNode
    }

    /// Makes the loop and the node, and runs them until the node is over: after a graceful shutdown, a cancellation, or the node's own
    /// `shutdown`. Throws what `makeNode` throws, and `SystemError` if there is no loop or no thread to be had.
    public func run() async throws {
        let ending = Ending()
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await runThread(ending)
            } onGracefulShutdown: {
                ending.ask(atOnce: false)
            }
        } onCancel: {
            ending.ask(atOnce: true)
        }
    }

    private func runThread(_ ending: Ending) async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            let body = ThreadBody {
                do {
                    try live(ending)
                    done.resume()
                } catch {
                    done.resume(throwing: error)
                }
            }
            let context = unsafe Unmanaged.passRetained(body)
            var thread = pthread_t()
            let result = unsafe pthread_create(
                &thread, nil,
                { context in
                    unsafe Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
                    return nil
                }, context.toOpaque()
            )
            guard result == 0 else {
                unsafe context.release()
                return done.resume(throwing: NodeServiceError.noThread(result))
            }
            pthread_detach(thread)
        }
    }

    private func live(_ ending: Ending) throws {
        let loop = try EventLoop(configuration)
        let node = try makeNode(loop)
        ending.tell(node.port)
        while !node.isStopped {
            loop.runOnce()
            if ending.isAtOnce { node.abandon() }
        }
        // Its sources are let go with the iteration that ended it, or the next one.
        loop.runOnce(.noWait)
    }
}

/// What a service can fail of by itself.
public enum NodeServiceError: Error, Hashable, Sendable {
    /// The system refused a thread; the value is the error number.
    case noThread(Int32)
}

/// What the thread runs.
private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// That the service is to end: may be said before there is a node, and from any thread.
private final class Ending: Sendable {
    private struct State {
        var port: NodePort?
        var isAsked = false
        var isAtOnce = false
    }

    private let state = Mutex(State())

    var isAtOnce: Bool { state.withLock { $0.isAtOnce } }

    func ask(atOnce: Bool) {
        let port = state.withLock { state in
            state.isAsked = true
            state.isAtOnce = state.isAtOnce || atOnce
            return state.port
        }
        if let port { Self.post(port) }
    }

    func tell(_ port: NodePort) {
        let isAsked = state.withLock { state in
            state.port = port
            return state.isAsked
        }
        if isAsked { Self.post(port) }
    }

    /// A full mailbox is a loop that is behind: again, until it is not.
    private static func post(_ port: NodePort) {
        while port.post(.shutdown) == .full { usleep(1_000) }
    }
}
