// How a task waits for the loop, is woken and is cancelled. The rule that makes it simple: all of it happens on the loop's
// thread. A cancellation that comes from another thread is brought here first; it names the wait by its ticket.

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
            $0.wake(Int(tag), .reading, .ready)
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
        let failed = events & (CEPOLL_HUP | CEPOLL_ERR) != 0
        if failed || events & (CEPOLL_IN | CEPOLL_RDHUP) != 0 {
            state.places[index].isReadable = true
            if failed || events & CEPOLL_RDHUP != 0 { state.places[index].isOver = true }
            wake(index, .reading, .ready)
        }
        if failed || events & CEPOLL_OUT != 0 {
            state.places[index].isWritable = true
            wake(index, .writing, .ready)
        }
    }

    /// Lets the waiter of a lane go on, if there is one.
    func wake(_ index: Int, _ lane: Lane, _ waking: Waking) {
        guard let continuation = unsafe state.places[index][lane].continuation else { return }
        unsafe state.places[index][lane].continuation = nil
        unsafe continuation.resume(returning: waking)
    }

    /// Waits until the lane is woken. One waiter a lane at a time. The isolation is a parameter so that the closure below can
    /// capture it: one that does not is run on the runtime's own threads, unless the task prefers this executor.
    func wait(_ id: PlaceID, _ lane: Lane, isolation: isolated (any Actor)? = #isolation) async -> Waking {
        guard state.places.holds(id), !state.isEnding else { return .closed }
        let index = Int(id.index)
        precondition(unsafe state.places[index][lane].continuation == nil, "two tasks wait for the same thing")
        let ticket = state.places[index][lane].ticket &+ 1
        state.places[index][lane].ticket = ticket
        return await withTaskCancellationHandler {
            _ = isolation
            return await unsafe withUnsafeContinuation { continuation in
                assert(isOnThread, "a wait has left the loop")
                if Task.isCancelled {
                    unsafe continuation.resume(returning: .cancelled)
                } else {
                    unsafe state.places[index][lane].continuation = continuation
                }
            }
        } onCancel: {
            cancel(index, lane, ticket)
        }
    }

    /// Ends the wait with this ticket, if it is not over. Any thread.
    private func cancel(_ index: Int, _ lane: Lane, _ ticket: UInt32) {
        guard !isLoopGone else { return }
        guard isOnThread else {
            Task.detached(executorPreference: self) { self.cancel(index, lane, ticket) }
            return
        }
        guard state.places[index][lane].ticket == ticket else { return }
        wake(index, lane, .cancelled)
    }

    // MARK: Places

    /// A place for `descriptor`, which is its own from now on and closed if this throws. Registered once, for edges.
    func openPlace(_ descriptor: CInt, isDialling: Bool) throws(SystemError) -> PlaceID {
        let id = state.places.open()
        let index = Int(id.index)
        state.places[index].descriptor = descriptor
        state.places[index].isWritable = !isDialling
        state.places[index].wantsWrite = isDialling
        do throws(SystemError) {
            let interest: Interest = isDialling ? [.read, .write, .edge] : [.read, .edge]
            let slot = try loop.add(descriptor, interest: interest, source: driver, tag: UInt32(index), kind: .tasks)
            state.places[index].slot = slot
        } catch {
            closePlace(id)
            throw error
        }
        return id
    }

    /// Ends a place: whoever waits is told, the descriptor is closed.
    func closePlace(_ id: PlaceID) {
        guard state.places.holds(id) else { return }
        let index = Int(id.index)
        wake(index, .reading, .closed)
        wake(index, .writing, .closed)
        let place = state.places[index]
        if place.slot != .none, !state.isEnding, let loop = unsafe state.loop {
            unsafe loop._withUnsafeGuaranteedRef { $0.remove(place.slot) }
        }
        if place.descriptor >= 0 { _ = cepoll_close(place.descriptor) }
        state.places.close(index)
    }

    /// The same from wherever the last user of the place let it go.
    func release(_ id: PlaceID) {
        if isLoopGone {
            // Nobody changes the slab any more, so that any thread may look.
            if state.places.holds(id) { _ = cepoll_close(state.places[Int(id.index)].descriptor) }
            return
        }
        if isOnThread { return closePlace(id) }
        Task.detached(executorPreference: self) { self.closePlace(id) }
    }

    func wakeAll() {
        for index in state.places.indices {
            wake(index, .reading, .closed)
            wake(index, .writing, .closed)
        }
    }

    /// In a forked child: nobody is told, as nobody is there.
    func closeAllPlaces() {
        for index in state.places.indices where state.places[index].isLive {
            unsafe state.places[index].reader.continuation = nil
            unsafe state.places[index].writer.continuation = nil
            if state.places[index].descriptor >= 0 { _ = cepoll_close(state.places[index].descriptor) }
            state.places.close(index)
        }
    }
}
