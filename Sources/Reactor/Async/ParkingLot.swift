// Where tasks are while they wait. A task that must wait calls an actor whose executor runs nothing: what is enqueued there is kept
// in the waiter's place, and run by the loop, as one of its own jobs, when the place is woken. So a wait is one change of executor:
// no continuation, no allocation, no second enqueuing, and no thread but the loop's (with a continuation and a cancellation
// handler of the standard library a wait cost 5,900 user instructions, and a task that preferred nothing went by way of the
// runtime's pool). A continuation that is never resumed, whose task the loop runs, cost 340 less; nothing that the runtime
// promises allows it.

import CEpoll

/// The executor that runs nothing.
@safe
final class ParkingLot: SerialExecutor, @unchecked Sendable {
    /// Set right after init, for good.
    @exclusivity(unchecked) var executor: Unmanaged<LoopExecutor>?

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        unsafe executor?._withUnsafeGuaranteedRef { $0.park(job) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }

    fileprivate func requireThread() {
        unsafe executor?._withUnsafeGuaranteedRef { $0.requireThread() }
    }
}

/// The actor to call, right after `LoopExecutor.leave`.
@safe @usableFromInline
actor Parking {
    private let lot: ParkingLot

    /// Of the lot; kept, as every wait asks for it.
    @usableFromInline nonisolated let unownedExecutor: UnownedSerialExecutor

    init(_ lot: ParkingLot) {
        self.lot = lot
        unsafe unownedExecutor = lot.asUnownedSerialExecutor()
    }

    /// Returns when the place that `leave` named was woken. Never inlined, or the compiler would see that nothing is done here
    /// and leave out the call's changes of executor, which are the point.
    @usableFromInline @inline(never)
    func wait() {
        lot.requireThread()
    }
}

/// The lane that the task which is about to park will wait on.
@safe
struct Leaving: BitwiseCopyable {
    /// Nil outside of the few instructions between saying it and parking.
    var place: UnsafeMutablePointer<AsyncPlace>?
    var lane = Lane.reading
    /// As what to run the task again.
    var kind = JobKind.ofActor
    /// It registered no handler, as the place is its own.
    var isOwned = false
}
