import CTestSupport
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

    /// The calling thread's number, as the kernel has it.
    static var current: pid_t { ctest_thread() }

    /// Returns when that thread of this process sleeps in the kernel, for whatever reason.
    static func waitUntilAsleep(_ thread: pid_t) {
        var text = [UInt8](repeating: 0, count: 256)
        while true {
            let file = open("/proc/self/task/\(thread)/stat", O_RDONLY | O_CLOEXEC)
            let count = file < 0 ? 0 : read(file, &text, text.count)
            if file >= 0 { close(file) }
            // The state is the word behind the name, which ends with the last parenthesis.
            if count > 0, let name = text[..<count].lastIndex(of: UInt8(ascii: ")")), text[name + 2] == UInt8(ascii: "S") { return }
            sched_yield()
        }
    }

    consuming func detach() {
        pthread_detach(handle)
    }

    consuming func join() {
        pthread_join(handle, nil)
    }
}

/// A test that blocks while its loop runs gets a thread of its own: blocked in the runtime's pool, which has a thread a core, a
/// few of them would hold up for long, or for ever, what the pool is to do for others.
struct OwnThread: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
        try await withTaskExecutorPreference(ThreadExecutor.shared) { try await function() }
    }
}

extension Trait where Self == OwnThread {
    static var ownThread: OwnThread { OwnThread() }
}

/// Runs jobs on threads of its own, a few at a time: all tests at once would have each of them late.
private final class ThreadExecutor: TaskExecutor {
    static let shared = ThreadExecutor()

    private struct State {
        var threads = 0
        var waiting: [UnownedJob] = []
    }

    private static let width = 6
    // By pthread's lock: the thread sanitizer does not know that of Synchronization.
    private nonisolated(unsafe) let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private nonisolated(unsafe) var state = State()

    private init() { pthread_mutex_init(lock, nil) }

    private func withState<Result>(_ body: (inout State) -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body(&state)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isNew = withState { state in
            if state.threads == Self.width {
                state.waiting.append(job)
                return false
            }
            state.threads += 1
            return true
        }
        if isNew { TestThread { self.work(from: job) }.detach() }
    }

    private func work(from first: UnownedJob) {
        var next: UnownedJob? = first
        while let job = next {
            job.runSynchronously(on: asUnownedTaskExecutor())
            next = withState { state in
                if state.waiting.isEmpty {
                    state.threads -= 1
                    return nil
                }
                return state.waiting.removeFirst()
            }
        }
    }
}
