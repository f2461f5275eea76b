// Descriptors come, change what they want, and go; and sources ask for a phase or a handle. The kernel is told of changed
// interest once, right before the wait: what was asked for and taken back between two waits costs no call.

public import CEpoll
import Timers

extension EventLoop {
    /// Registers a descriptor, which stays its owner's: it must be non-blocking, and open until `remove`. Connect or
    /// listen first: an unconnected socket hangs up at once (trap 10). O(1).
    ///
    /// Throws if the loop's table is full (`slotTable`), or what the kernel says: EPERM of a regular file, EEXIST of a descriptor that is
    /// there already, EBADF.
    @inlinable @inline(__always)
    public func add(
        _ descriptor: CInt, interest: Interest, source: Source, tag: UInt32
    ) throws(SystemError) -> SlotID {
        try add(descriptor, interest: interest, source: source, tag: tag, kind: .source)
    }

    /// The mailbox's eventfd is the first slot, edge-triggered, and nobody's: its source is never called.
    func addMailbox() throws(SystemError) {
        let nobody = Source()
        let descriptor = mailbox.eventDescriptor
        let id = state.slots.open(descriptor, interest: [.read, .apart], source: nobody, tag: 0, kind: .mailbox)
        guard let id else { throw slotTableFull() }
        try registerMailbox(id, in: epoll)
    }

    func registerMailbox(_ id: SlotID, in epoll: CInt) throws(SystemError) {
        let descriptor = mailbox.eventDescriptor
        let result = cepoll_control(epoll, CEPOLL_ADD, descriptor, CEPOLL_IN | CEPOLL_ET, id.index, id.generation)
        try SystemError.check(result, .control)
    }

    @inlinable @inline(__always)
    func add(
        _ descriptor: CInt, interest: Interest, source: Source, tag: UInt32, kind: SlotKind
    ) throws(SystemError) -> SlotID {
        assertOnThread()
        assert(descriptor >= 0)
        let id = unsafe storage.pointee.slots.open(descriptor, interest: interest, source: source, tag: tag, kind: kind)
        guard let id else { throw slotTableFull() }
        let result = control(id, descriptor, CEPOLL_ADD, interest)
        if result < 0 { try addRefused(id, result, on: self) }
        return id
    }

    /// Says what to hear of from the next wait on. Nothing at all is allowed: then a hangup is kept until somebody asks.
    public func setInterest(_ id: SlotID, _ interest: Interest) {
        assertOnThread()
        guard state.slots.holds(id) else {
            state.counts.staleIDs &+= 1
            return
        }
        let index = Int(id.index)
        state.slots[index].wanted = interest
        listIfChanged(index)
    }

    private func listIfChanged(_ index: Int) {
        guard state.slots[index].wanted != state.slots[index].armed || state.slots[index].stage != .registered else { return }
        guard state.slots[index].nextChanged == Slot.unlisted else { return }
        state.slots[index].nextChanged = state.firstChanged
        state.firstChanged = Int32(truncatingIfNeeded: index)
    }

    /// What was last asked for; nil if the slot is over.
    public func interest(of id: SlotID) -> Interest? {
        state.slots.holds(id) ? state.slots[Int(id.index)].wanted : nil
    }

    /// Ends the registration: no event of this descriptor is delivered any more, not even one that is already taken.
    ///
    /// An owner that closes the descriptor next may say so by `staysOpen: false`: closing takes it out of epoll, and a system call is
    /// saved. If the descriptor lives on after all, here or in a child process, the loop finds out at its first event and
    /// makes its epoll anew (docs/Fork.md).
    @inlinable @inline(__always)
    public func remove(_ id: SlotID, staysOpen: Bool = true) {
        assertOnThread()
        guard unsafe storage.pointee.slots.holds(id) else { return noteStaleID(on: self) }
        let index = Int(id.index)
        if staysOpen { return takeOut(index) }
        unsafe storage.pointee.deletesAlways ? takeOut(index) : end(index)
    }

    // On its own, with the end in it, so that the common case calls nobody and saves no registers.
    @usableFromInline @inline(never)
    func takeOut(_ index: Int) {
        if state.slots[index].stage == .registered, control(index, CEPOLL_DEL, []) != 0 { state.counts.failedControls &+= 1 }
        end(index)
    }

    @inlinable @inline(__always)
    func end(_ index: Int) {
        unsafe storage.pointee.slots.remove(index)
        if unsafe !storage.pointee.isInIteration { recycle(on: self) }
    }

    /// Where the slot's entry lies: to be asked for, never to be followed.
    func address(_ slot: SlotID) -> UInt {
        UInt(bitPattern: unsafe state.slots.entry(Int(slot.index)))
    }

    /// Whether an iteration is under way: what is over is then let go in its close phase only.
    var isInIteration: Bool { state.isInIteration }

    /// Has `source.flush()` called in this iteration's flush phase, or the next one's if that is over. Once, however
    /// often it is asked for.
    public func requestFlush(_ source: Source) {
        assertOnThread()
        state.flushList.append(source)
    }

    /// Has `source.reap()` called in this iteration's close phase, or the next one's if that is over.
    public func requestReap(_ source: Source) {
        assertOnThread()
        state.reapList.append(source)
    }

    /// Tells the kernel what changed since the last wait, and only what is different now.
    func applyInterests() {
        if state.retryAt != nil { retryRefused() }
        if state.firstChanged >= 0 { applyChanged() }
    }

    @inline(never)
    private func applyChanged() {
        while state.firstChanged >= 0 {
            let index = Int(state.firstChanged)
            state.firstChanged = state.slots[index].nextChanged
            state.slots[index].nextChanged = Slot.unlisted
            let wanted = state.slots[index].wanted
            switch state.slots[index].stage {
            case .over: break
            case .withdrawn: if !wanted.isEmpty { apply(wanted, to: index, CEPOLL_ADD) }
            case .registered: if wanted != state.slots[index].armed { apply(wanted, to: index, CEPOLL_MOD) }
            }
        }
    }

    private func apply(_ wanted: Interest, to index: Int, _ operation: CInt) {
        var result = control(index, operation, wanted)
        // It was to be taken out, and the kernel did not do so.
        if result == -CEPOLL_EEXIST, isAlone(index) { result = control(index, CEPOLL_MOD, wanted) }
        guard result == 0 else { return refused(index, result) }
        state.slots[index].armed = wanted
        state.slots[index].stage = .registered
    }

    /// How long after a refusal the kernel is asked again.
    private static let retryDelay = Nanoseconds.milliseconds(100)

    /// The kernel did not take a change: it is asked again, until it does (ENOMEM, ENOSPC).
    func refused(_ index: Int, _ result: CInt) {
        state.counts.failedControls &+= 1
        assert(result != -CEPOLL_EBADF && result != -CEPOLL_ENOENT, "a descriptor was closed before its slot was removed")
        guard !state.slots[index].armed.contains(.refused) else { return }
        state.slots[index].armed.insert(.refused)
        state.refused.append(SlotID(index: UInt32(truncatingIfNeeded: index), generation: state.slots[index].generation))
        if state.retryAt == nil { state.retryAt = Instant(nanoseconds: cepoll_monotonic()) + Self.retryDelay }
    }

    @inline(never)
    private func retryRefused() {
        guard let due = state.retryAt, Instant(nanoseconds: cepoll_monotonic()) >= due else { return }
        state.retryAt = nil
        for id in state.refused where state.slots.holds(id) {
            state.slots[Int(id.index)].armed.remove(.refused)
            listIfChanged(Int(id.index))
        }
        state.refused.removeAll(keepingCapacity: true)
    }

    /// ERR and HUP cannot be declined: with no interest they would wake every wait (traps 5 and 6). The descriptor is
    /// taken out; being asked for again puts it back, and the kernel then tells the hangup anew.
    @inline(never)
    func latchHangup(_ index: Int) {
        assert(state.slots[index].wanted.isEmpty && state.slots[index].stage == .registered)
        state.counts.latchedHangups &+= 1
        if control(index, CEPOLL_DEL, []) != 0 { state.counts.failedControls &+= 1 }
        state.slots[index].stage = .withdrawn
        state.slots[index].armed.formIntersection(.refused)
    }

    func control(_ index: Int, _ operation: CInt, _ interest: Interest) -> CInt {
        let id = SlotID(index: UInt32(truncatingIfNeeded: index), generation: state.slots[index].generation)
        return control(id, state.slots[index].descriptor, operation, interest)
    }

    // Inlined by force: each connection comes through here once.
    @inlinable @inline(__always)
    func control(_ id: SlotID, _ descriptor: CInt, _ operation: CInt, _ interest: Interest) -> CInt {
        checkNotForked()
        unsafe storage.pointee.counts.controls &+= 1
        return cepoll_control(epoll, operation, descriptor, interest.mask, id.index, id.generation)
    }
}
