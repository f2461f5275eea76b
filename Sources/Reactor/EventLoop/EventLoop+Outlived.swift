// A registration that outlives its slot. epoll watches open files, not descriptors: one that another process (fork, SCM_RIGHTS) or
// another descriptor (dup) still holds stays in the set after our close, is reported at each wait, and can no longer be taken
// out. So a loop that finds one makes its epoll anew, and from then on every removal tells the kernel. docs/Fork.md.

import CEpoll
import Timers

extension EventLoop {
    /// Drops an event whose registration is over. Most are of a slot that was removed after the batch was taken; if one comes
    /// again in a later batch, its open file lives on.
    @inline(never)
    func noteStale() {
        state.counts.staleEvents &+= 1
        state.isSuspicious = true
    }

    /// Looks through a batch that was just taken: no slot was removed since, so that an event without a registration is of one that
    /// outlived it. A batch that is not full has all that is ready; if it is clean, the suspicion is over.
    @inline(never)
    func lookForOutlived() {
        #if REACTOR_FAULTS
            if isLeftOut(2) { return }
        #endif
        for index in 0..<state.eventCount where unsafe hasOutlived(events[index]) {
            return rebuild()
        }
        if state.eventCount < configuration.eventsPerIteration { state.isSuspicious = false }
    }

    private func hasOutlived(_ event: cepoll_event) -> Bool {
        !isMeant(event) || state.slots[Int(event.slot)].stage != .registered
    }

    /// A new epoll under the old number, with what is registered now. O(descriptors), and once in a loop's life: afterwards no
    /// registration is left behind. If there is no descriptor or no memory for it, the next batch tries again.
    private func rebuild() {
        state.deletesAlways = true
        do throws(SystemError) {
            let fresh = try SystemError.check(cepoll_create(), .createEpoll)
            do throws(SystemError) {
                try registerMailbox(SlotID(index: 0, generation: state.slots[0].generation), in: fresh)
            } catch {
                _ = cepoll_close(fresh)
                throw error
            }
            try SystemError.check(cepoll_replace(epoll, fresh), .replace)
        } catch {
            return pause()
        }
        state.isSuspicious = false
        state.counts.rebuilds &+= 1
        for index in state.slots.liveIndices where index > 0 && state.slots[index].stage == .registered {
            let result = control(index, CEPOLL_ADD, state.slots[index].armed)
            guard result != 0 else { continue }
            state.slots[index].stage = .withdrawn
            if result == -CEPOLL_EBADF { state.counts.failedControls &+= 1 } else { refused(index, result) }
        }
    }

    /// Whether no other slot is registered for the descriptor of this one. O(slots).
    func isAlone(_ index: Int) -> Bool {
        let descriptor = state.slots[index].descriptor
        return !state.slots.liveIndices.contains {
            $0 != index && state.slots[$0].descriptor == descriptor && state.slots[$0].stage == .registered
        }
    }
}
