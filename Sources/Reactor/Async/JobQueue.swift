// Jobs of Swift tasks on their way to the loop. A job must never be lost or refused, so nothing here is bounded: jobs from
// other threads are a stack that is linked through the jobs themselves, and taken whole; jobs of the loop's own thread
// wait in a ring that grows. Neither allocates in steady state.

import Synchronization

/// As what a job is run. Each must be run as what it is, or the runtime has it enqueued again, up to four times for each suspension
/// (measured).
enum JobKind: UInt, BitwiseCopyable {
    /// Of an actor that lives on the loop.
    case ofActor
    /// Of a task that prefers the loop, isolated to nothing.
    case byPreference
    /// Of such a task that waits in an actor which lives on the loop.
    case both
}

/// A job and its kind: one word, as a job's address is a multiple of 16.
@safe
struct TaskJob: BitwiseCopyable {
    /// The word; never 0.
    let bits: UInt

    private static let kindBits: UInt = 3
    /// The first of the two words that every job has for whoever queues it follows its object header. A test holds that it is so.
    static let linkOffset = 2 * MemoryLayout<UInt>.size

    init(bits: UInt) {
        self.bits = bits
    }

    init(_ job: UnownedJob, _ kind: JobKind) {
        let address = unsafe unsafeBitCast(job, to: UInt.self)
        assert(address != 0 && address & 15 == 0, "a job's address is a multiple of 16")
        bits = address | kind.rawValue
    }

    var kind: JobKind { unsafe JobKind(rawValue: bits & Self.kindBits).unsafelyUnwrapped }

    /// The job itself; that of a task is the task's own.
    var address: UInt { bits & ~Self.kindBits }

    var job: UnownedJob { unsafe unsafeBitCast(bits & ~Self.kindBits, to: UnownedJob.self) }

    /// The job below it in the stack, as bits; 0 ends it. Only while the job is queued: then the word is the queue's.
    var below: UInt {
        get { unsafe link.pointee }
        nonmutating set { unsafe link.pointee = newValue }
    }

    private var link: UnsafeMutablePointer<UInt> {
        let address = (bits & ~Self.kindBits) + UInt(Self.linkOffset)
        return unsafe UnsafeMutablePointer(bitPattern: address).unsafelyUnwrapped
    }
}

/// Jobs from other threads. Any thread pushes, without a lock; the loop takes all at once, so that no job can come back to
/// the top while somebody looks at it.
struct JobStack: ~Copyable {
    private let top = Atomic<UInt>(0)

    /// Returns whether there was none: who puts the first one wakes the loop for all.
    borrowing func push(_ job: TaskJob) -> Bool {
        var current = top.load(ordering: .relaxed)
        while true {
            job.below = current
            let (won, now) = top.weakCompareExchange(
                expected: current, desired: job.bits, successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed
            )
            if won { return current == 0 }
            current = now
        }
    }

    var isEmpty: Bool { top.load(ordering: .sequentiallyConsistent) == 0 }

    /// All of them, newest first, as the bits of the top one; 0 if there is none.
    borrowing func takeAll() -> UInt { top.exchange(0, ordering: .acquiring) }
}

/// Jobs in the order in which they will run. The loop's thread only.
@safe
struct JobRing: ~Copyable {
    private var base: UnsafeMutablePointer<UInt>
    private var capacity = 64
    private var first = 0
    private(set) var count = 0

    init() {
        unsafe base = .allocate(capacity: capacity)
    }

    deinit {
        unsafe base.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ job: TaskJob) {
        if count == capacity { grow() }
        unsafe base[(first &+ count) & (capacity &- 1)] = job.bits
        count &+= 1
    }

    mutating func popFirst() -> TaskJob? {
        guard count > 0 else { return nil }
        let bits = unsafe base[first]
        first = (first &+ 1) & (capacity &- 1)
        count &-= 1
        return TaskJob(bits: bits)
    }

    /// Appends what a stack held, oldest first.
    mutating func append(stack top: UInt) {
        // Turned over in place: the links are ours by now.
        var (next, turned): (UInt, UInt) = (top, 0)
        while next != 0 {
            let job = TaskJob(bits: next)
            next = job.below
            job.below = turned
            turned = job.bits
        }
        while turned != 0 {
            let job = TaskJob(bits: turned)
            turned = job.below
            append(job)
        }
    }

    mutating func removeAll() {
        first = 0
        count = 0
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<UInt>.allocate(capacity: capacity * 2)
        for index in 0..<count {
            unsafe (larger + index).initialize(to: base[(first + index) & (capacity - 1)])
        }
        unsafe base.deallocate()
        unsafe base = larger
        first = 0
        capacity *= 2
    }
}
