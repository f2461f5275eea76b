// How a task waits for the loop, is woken and is cancelled. Two rules make it simple: all of it happens on the loop's thread (a
// cancellation that comes from another is brought here first), and a task that is woken looks again at what it waited for:
// to be woken for nothing does no harm.

import CEpoll

/// The one source behind all that tasks wait for: the loop holds it, never a task's own object.
@safe
final class AsyncDriver: Source {
    /// Set right after init, and as long as the loop may call.
    @exclusivity(unchecked) var executor: Unmanaged<LoopExecutor>?

    /// News of a descriptor, told once.
    func edge(_ events: UInt32, place: Int) {
        unsafe executor?._withUnsafeGuaranteedRef { $0.edge(events, place: place) }
    }

    /// The end of a sleep.
    override func timerFired(tag: UInt32) {
        unsafe executor?._withUnsafeGuaranteedRef {
            $0.state.places[Int(tag)].isReadable = true
            $0.wake(Int(tag), .reading)
        }
    }
}

extension LoopExecutor {
    /// Every async operation begins here.
    @inline(__always)
    func requireThread() {
        if !isOnThread { Self.refuseThread() }
    }

    @inline(never)
    private static func refuseThread() -> Never {
        fatalError("not on the event loop: call it from an actor that lives on the loop, or from a task that prefers it")
    }

    /// The loop. On its thread only, while it is there.
    public var loop: EventLoop {
        requireThread()
        guard !state.isEnding, let loop = unsafe state.loop else { fatalError("the event loop is gone") }
        return unsafe loop.takeUnretainedValue()
    }

    func edge(_ events: UInt32, place index: Int) {
        let place = unsafe state.places.pointer(index)
        let failed = events & (CEPOLL_HUP | CEPOLL_ERR) != 0
        if failed || events & (CEPOLL_IN | CEPOLL_RDHUP | CEPOLL_PRI) != 0 {
            unsafe place.pointee.isReadable = true
            if failed || events & (CEPOLL_RDHUP | CEPOLL_PRI) != 0 { unsafe place.pointee.readsUntilEmpty = true }
            unsafe wake(place, .reading)
        }
        if failed || events & CEPOLL_OUT != 0 {
            unsafe place.pointee.isWritable = true
            unsafe wake(place, .writing)
        }
    }

    // MARK: Waiting

    /// Waits until the lane is woken or the task is cancelled, perhaps for nothing: look again. One waiter a lane at a time.
    @inline(__always)
    nonisolated(nonsending) func wait(_ id: PlaceID, _ lane: Lane) async {
        guard state.places.holds(id), !state.isEnding else { return }
        await parkCancellably(Int(id.index), lane)
    }

    /// With a handler. The standard library's usual way has the operation begin on the runtime's own threads, unless the task
    /// prefers an executor; this one, the entrance of earlier compilers, leaves it where it is. The closure is isolated as we
    /// are because it captures how.
    private func parkCancellably(_ index: Int, _ lane: Lane, isolation: isolated (any Actor)? = #isolation) async {
        await _unsafeInheritExecutor_withTaskCancellationHandler {
            _ = isolation
            // If it is cancelled already, the handler has run, and found nobody.
            if !Task.isCancelled { await park(index, lane, isolation == nil ? .byPreference : kindInActor) }
        } onCancel: {
            cancel(index)
        }
    }

    /// The wait itself, deaf to cancellation.
    @inline(__always)
    nonisolated(nonsending) func park(_ index: Int, _ lane: Lane, _ kind: JobKind) async {
        unsafe leave(state.places.pointer(index), lane, kind, isOwned: false)
        await parking.wait()
        requireThread()
    }

    /// Says what the task under way waits for. The call of `parking` must come next.
    @inline(__always)
    func leave(_ place: UnsafeMutablePointer<AsyncPlace>, _ lane: Lane, _ kind: JobKind, isOwned: Bool) {
        precondition(unsafe place.pointee[lane] == 0, "two tasks wait for the same thing")
        unsafe state.leaving = Leaving(place: place, lane: lane, kind: kind, isOwned: isOwned)
    }

    /// Whether the task that owns the place was cancelled. Asked of its handle, which costs less than to ask for the task under way.
    @inline(__always)
    func isOwnerCancelled(_ place: UnsafeMutablePointer<AsyncPlace>) -> Bool {
        guard let owner = unsafe place.pointee.owner else { return false }
        return unsafe owner._withUnsafeGuaranteedRef { $0.isCancelled }
    }

    /// The task under way is cancelled and waits at an owned place: its next look must find it so.
    @inline(never)
    func noteCancellation(_ place: UnsafeMutablePointer<AsyncPlace>) {
        if unsafe place.pointee.ownedTask == CurrentTask.id {
            unsafe place.pointee.isCancelled = true
        } else {
            unsafe place.pointee.ownedTask = 0
        }
    }

    /// For the parking lot: the task has come to rest. On the loop's thread, right after `leave` has said where.
    func park(_ job: UnownedJob) {
        guard isOnThread, let place = unsafe state.leaving.place else { fatalError("a task was parked that does not wait") }
        let leaving = state.leaving
        unsafe state.leaving.place = nil
        let parked = TaskJob(job, leaving.kind)
        if leaving.isOwned, unsafe parked.address != place.pointee.ownedTask {
            // Another task than the place's own: nobody would wake it. From now on all that wait here have handlers.
            unsafe place.pointee.ownedTask = 0
            return enqueueHere(parked)
        }
        unsafe place.pointee[leaving.lane] = parked.bits
    }

    /// Not inlined: the compiler (6.3) fails on a test of `#isolation` in its own function.
    @usableFromInline @inline(never)
    static func isNone(_ isolation: (any Actor)?) -> Bool { isolation == nil }

    /// As what a task that is isolated to an actor goes on.
    private var kindInActor: JobKind {
        let prefers = unsafe withUnsafeCurrentTask { unsafe $0?.unownedTaskExecutor != nil }
        return prefers ? .both : .ofActor
    }

    /// Lets the waiter of a lane go on, if there is one.
    @inline(__always)
    func wake(_ index: Int, _ lane: Lane) {
        unsafe wake(state.places.pointer(index), lane)
    }

    @inline(__always)
    func wake(_ place: UnsafeMutablePointer<AsyncPlace>, _ lane: Lane) {
        let bits = unsafe place.pointee[lane]
        guard bits != 0 else { return }
        unsafe place.pointee[lane] = 0
        enqueueHere(TaskJob(bits: bits))
    }

    func wakeBoth(_ index: Int) {
        wake(index, .reading)
        wake(index, .writing)
    }

    // MARK: Cancelling

    /// Lets those who wait at this place look whether it is them who were cancelled. Any thread.
    func cancel(_ index: Int) {
        if isLoopGone { return }
        if isOnThread { wakeBoth(index) } else { _ = send(.wake(place: index)) }
    }

    // MARK: Places

    /// A place for `descriptor`, which is its own from now on. The loop hears of it when a task must wait for it, so that a
    /// connection that is served without a wait costs no registration.
    func openPlace(_ descriptor: CInt, isDialling: Bool) -> PlaceID {
        let id = state.places.open()
        let place = unsafe state.places.pointer(Int(id.index))
        unsafe place.pointee.descriptor = descriptor
        unsafe place.pointee.isReadable = !isDialling
        unsafe place.pointee.isWritable = !isDialling
        unsafe place.pointee.wantsWrite = isDialling
        return id
    }

    /// Registers a place's descriptor, once, for edges. Throws if the loop's table is full.
    @inline(__always)
    func register(_ place: UnsafeMutablePointer<AsyncPlace>, _ index: Int32) throws(SystemError) {
        guard unsafe place.pointee.slot == .none else { return }
        guard !state.isEnding, let loop = unsafe state.loop else { throw SystemError(.closedLoop, CEPOLL_ECANCELED) }
        let interest: Interest = unsafe place.pointee.wantsWrite ? [.read, .write, .edge] : [.read, .edge]
        let added = unsafe loop._withUnsafeGuaranteedRef { loop in
            Result { () throws(SystemError) in
                try loop.add(
                    unsafe place.pointee.descriptor, interest: interest, source: driver, tag: UInt32(bitPattern: index), kind: .tasks
                )
            }
        }
        unsafe place.pointee.slot = try added.get()
    }

    /// The kernel's buffer is full: hear of it when it no longer is. Asked once, kept for good.
    func awaitWritability(_ place: UnsafeMutablePointer<AsyncPlace>, _ index: Int32) throws(SystemError) {
        unsafe place.pointee.isWritable = false
        guard unsafe !place.pointee.wantsWrite else { return }
        unsafe place.pointee.wantsWrite = true
        guard unsafe place.pointee.slot == .none else { return loop.setInterest(unsafe place.pointee.slot, [.read, .write, .edge]) }
        unsafe try register(place, index)
    }

    /// Ends a place: whoever waits is told, the descriptor is closed.
    func closePlace(_ id: PlaceID) {
        guard state.places.holds(id) else { return }
        let place = unsafe state.places.pointer(Int(id.index))
        unsafe wake(place, .reading)
        unsafe wake(place, .writing)
        if unsafe place.pointee.slot != .none, !state.isEnding, let loop = unsafe state.loop {
            unsafe loop._withUnsafeGuaranteedRef { $0.remove(unsafe place.pointee.slot, staysOpen: false) }
        }
        if unsafe place.pointee.descriptor >= 0 { _ = unsafe cepoll_close(place.pointee.descriptor) }
        state.places.close(Int(id.index))
    }

    /// The same from wherever the last user of the place let it go.
    func release(_ id: PlaceID) {
        if isOnThread, !isLoopGone { return closePlace(id) }
        if !isLoopGone, send(.close(id)) { return }
        // The loop is gone: nobody changes the slab any more, so that any thread may look.
        guard state.places.holds(id), state.places[Int(id.index)].descriptor >= 0 else { return }
        _ = cepoll_close(state.places[Int(id.index)].descriptor)
    }

    func wakeAll() {
        for index in state.places.indices { wakeBoth(index) }
    }

    /// In a forked child: nobody is told, as nobody is there.
    func closeAllPlaces() {
        for index in state.places.indices where state.places[index].isLive {
            state.places[index].reader = 0
            state.places[index].writer = 0
            if state.places[index].descriptor >= 0 { _ = cepoll_close(state.places[index].descriptor) }
            state.places.close(index)
        }
    }
}
