// Jobs of Swift tasks on their way to the loop. A job must never be lost, so nothing here is bounded: jobs from other threads are
// a stack that is linked through the jobs themselves, and taken whole; jobs of the loop's own thread wait in a ring that grows.
// Neither allocates in steady state. When the loop ends, the stack is closed: from then on a push is refused, so that every job
// was either taken before or is still the caller's.

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
    /// No job of a task: an `Errand`, retained.
    case errand
}

/// What another thread has the loop do for the async layer itself. Unlike a job of a task, it can be refused: a loop that has ended
/// has nothing left to do.
final class Errand {
    enum Kind {
        /// The last user of this place let it go.
        case close(PlaceID)
        /// A task that waits at this place was cancelled: whoever waits there looks again.
        case wake(place: Int)
        case closeListener(EndingListener)
    }

    let kind: Kind
    fileprivate var below: UInt = 0

    init(_ kind: Kind) {
        self.kind = kind
    }
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

    /// Of an errand, which it retains until `takeErrand`.
    init(_ errand: Errand) {
        bits = unsafe UInt(bitPattern: Unmanaged.passRetained(errand).toOpaque()) | JobKind.errand.rawValue
    }

    var kind: JobKind { unsafe JobKind(rawValue: bits & Self.kindBits).unsafelyUnwrapped }

    /// The job itself; that of a task is the task's own.
    var address: UInt { bits & ~Self.kindBits }

    var job: UnownedJob { unsafe unsafeBitCast(bits & ~Self.kindBits, to: UnownedJob.self) }

    /// The errand, of a job of that kind: once.
    func takeErrand() -> Errand {
        let errand = unsafe UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped
        return unsafe Unmanaged<Errand>.fromOpaque(errand).takeRetainedValue()
    }

    private var errand: Errand {
        let errand = unsafe UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped
        return unsafe Unmanaged<Errand>.fromOpaque(errand).takeUnretainedValue()
    }

    /// The job below it in the stack, as bits; 0 ends it. Only while the job is queued: then the word is the queue's.
    var below: UInt {
        get { kind == .errand ? errand.below : unsafe link.pointee }
        nonmutating set {
            if kind == .errand { errand.below = newValue } else { unsafe link.pointee = newValue }
        }
    }

    private var link: UnsafeMutablePointer<UInt> {
        let address = (bits & ~Self.kindBits) + UInt(Self.linkOffset)
        return unsafe UnsafeMutablePointer(bitPattern: address).unsafelyUnwrapped
    }
}

/// Jobs from other threads. Any thread pushes, without a lock; the loop takes all at once, so that no job can come back to
/// the top while somebody looks at it.
struct JobStack: ~Copyable {
    /// What became of a push.
    enum Pushed {
        /// There was none before: who puts the first one wakes the loop for all.
        case first
        case behind
        /// The stack is closed: the job is still the caller's, and sees all that the loop did.
        case refused
    }

    /// In place of the top: closed for good.
    private static let closed = UInt.max

    private let top = Atomic<UInt>(0)

    borrowing func push(_ job: TaskJob) -> Pushed {
        var current = top.load(ordering: .acquiring)
        while current != Self.closed {
            job.below = current
            let (won, now) = top.weakCompareExchange(
                expected: current, desired: job.bits, successOrdering: .sequentiallyConsistent, failureOrdering: .acquiring
            )
            if won { return current == 0 ? .first : .behind }
            current = now
        }
        return .refused
    }

    var isEmpty: Bool { top.load(ordering: .sequentiallyConsistent) == 0 }

    var isClosed: Bool { top.load(ordering: .acquiring) == Self.closed }

    /// All of them, newest first, as the bits of the top one; 0 if there is none. Not once it is closed.
    borrowing func takeAll() -> UInt { top.exchange(0, ordering: .acquiring) }

    /// Closes it if there is none, in one step: false if one has come.
    borrowing func closeIfEmpty() -> Bool {
        top.compareExchange(expected: 0, desired: Self.closed, ordering: .acquiringAndReleasing).exchanged
    }

    /// Closes it and takes what is there, as `takeAll` does.
    borrowing func close() -> UInt { top.exchange(Self.closed, ordering: .acquiringAndReleasing) }
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
