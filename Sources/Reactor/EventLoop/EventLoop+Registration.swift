// Descriptors come, change what they want, and go; and sources ask for a phase or a handle. The kernel is told of changed
// interest once, right before the wait: what was asked for and taken back between two waits costs no call.

import CEpoll

extension EventLoop {
    /// Registers a descriptor, which stays its owner's: it must be non-blocking, and open until `remove`. Connect or
    /// listen first: an unconnected socket hangs up at once (gotcha 10).
    public func add(
        _ descriptor: CInt, interest: Interest, source: Source, tag: UInt32
    ) throws(SystemError) -> SlotID {
        try add(descriptor, interest: interest, source: source, tag: tag, kind: .source)
    }

    func add(
        _ descriptor: CInt, interest: Interest, source: Source, tag: UInt32, kind: SlotKind
    ) throws(SystemError) -> SlotID {
        assertOnThread()
        assert(descriptor >= 0 && kind != .free)
        guard let index = slots.take() else { throw SystemError(.slotTable, CEPOLL_ENOSPC) }
        slots[index].kind = kind
        slots[index].descriptor = descriptor
        slots[index].tag = tag
        slots[index].wanted = interest
        slots[index].armed = interest
        unsafe slots[index].source = Unmanaged.passRetained(source)
        let generation = slots[index].generation
        let result = control(index, CEPOLL_ADD, interest)
        guard result == 0 else {
            slots.remove(index)
            unsafe slots.recycle()?.release()
            throw SystemError(.control, -result)
        }
        slots[index].isRegistered = true
        return SlotID(index: UInt32(truncatingIfNeeded: index), generation: generation)
    }

    /// Says what to hear of from the next wait on. Nothing at all is allowed: then a hangup is kept until somebody asks.
    public func setInterest(_ id: SlotID, _ interest: Interest) {
        assertOnThread()
        guard slots.holds(id) else {
            counts.staleIDs &+= 1
            return
        }
        let index = Int(id.index)
        slots[index].wanted = interest
        guard interest != slots[index].armed || !slots[index].isRegistered, !slots[index].isChanged else { return }
        slots[index].isChanged = true
        slots[index].nextChanged = firstChanged
        firstChanged = Int32(truncatingIfNeeded: index)
    }

    /// What was last asked for; nil if the slot is over.
    public func interest(of id: SlotID) -> Interest? {
        slots.holds(id) ? slots[Int(id.index)].wanted : nil
    }

    /// Ends the registration: no event of this descriptor is delivered any more, not even one that is already taken.
    /// The owner closes the descriptor next, which takes it out of epoll; one that lives on, here or in another process
    /// (gotcha 2), says so with `staysOpen`.
    public func remove(_ id: SlotID, staysOpen: Bool = false) {
        assertOnThread()
        guard slots.holds(id) else {
            counts.staleIDs &+= 1
            return
        }
        let index = Int(id.index)
        if staysOpen && slots[index].isRegistered && control(index, CEPOLL_DEL, []) != 0 {
            counts.failedControls &+= 1
        }
        slots.remove(index)
    }

    /// Has `source.flush()` called in this iteration's flush phase, or the next one's if that is over. Once, however
    /// often it is asked for.
    public func requestFlush(_ source: Source) {
        assertOnThread()
        flushList.append(source)
    }

    /// Has `source.reap()` called in this iteration's close phase, or the next one's if that is over.
    public func requestReap(_ source: Source) {
        assertOnThread()
        reapList.append(source)
    }

    /// Tells the kernel what changed since the last wait, and only what is different now.
    func applyInterests() {
        while firstChanged >= 0 {
            let index = Int(firstChanged)
            firstChanged = slots[index].nextChanged
            slots[index].isChanged = false
            guard slots[index].kind != .free else { continue }
            let wanted = slots[index].wanted
            if !slots[index].isRegistered {
                if !wanted.isEmpty { apply(wanted, to: index, CEPOLL_ADD) }
            } else if wanted != slots[index].armed {
                apply(wanted, to: index, CEPOLL_MOD)
            }
        }
    }

    private func apply(_ wanted: Interest, to index: Int, _ operation: CInt) {
        let result = control(index, operation, wanted)
        if result == 0 {
            slots[index].armed = wanted
            slots[index].isRegistered = true
        } else {
            counts.failedControls &+= 1
            assertionFailure("a descriptor was closed before its slot was removed: \(SystemError(.control, -result))")
        }
    }

    /// ERR and HUP cannot be declined: with no interest they would wake every wait (gotchas 5 and 6). The descriptor is
    /// taken out; being asked for again puts it back, and the kernel then tells the hangup anew.
    func latchHangup(_ index: Int) {
        assert(slots[index].wanted.isEmpty && slots[index].isRegistered)
        counts.latchedHangups &+= 1
        if control(index, CEPOLL_DEL, []) != 0 { counts.failedControls &+= 1 }
        slots[index].isRegistered = false
        slots[index].armed = []
    }

    private func control(_ index: Int, _ operation: CInt, _ interest: Interest) -> CInt {
        counts.controls &+= 1
        let slot = slots[index]
        return cepoll_control(
            epoll, operation, slot.descriptor, interest.mask, UInt32(truncatingIfNeeded: index), slot.generation
        )
    }
}
