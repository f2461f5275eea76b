import Glibc
import Testing

/// A plain thread for tests: started by its init, waited for by `join`.
struct TestThread: ~Copyable {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private var handle = pthread_t()

    init(_ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(run))
        let result = pthread_create(&handle, nil, { argument in
            Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
            return nil
        }, body.toOpaque())
        precondition(result == 0)
    }

    consuming func detach() {
        pthread_detach(handle)
    }

    consuming func join() {
        pthread_join(handle, nil)
    }
}

/// A test that blocks while its loop runs gets a thread of its own: blocked in the runtime's pool, which has a thread a core, a
/// few of them would wait for ever for what the pool is to do.
struct OwnThread: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
        try await withTaskExecutorPreference(ThreadExecutor()) { try await function() }
    }
}

extension Trait where Self == OwnThread {
    static var ownThread: OwnThread { OwnThread() }
}

/// Runs each job on a new thread.
private final class ThreadExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        TestThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }.detach()
    }
}
