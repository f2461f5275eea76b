// A loop and fork(2). A child has copies of the parent's descriptors, and the epoll behind them is the parent's own: what the
// child registers or removes there, it does to the parent (gotcha 4). So a loop is the process's that made it, the kernel
// tells (a page that reads zero in a child), and the child says what it wants. docs/Fork.md is the whole story.

import CEpoll
import Timers

extension EventLoop {
    /// Makes an inherited loop the child's own, and empty: a new epoll and a new eventfd under the old numbers; no descriptor,
    /// no timer, no handle, no post, no task, no signal. Sources that the loop held are let go, so that what only it kept alive
    /// ends here, and with it the child's copies of its sockets; nothing is sent, and the parent notices nothing. Old ids and
    /// handles mean nothing any more. The next run binds the loop to its thread.
    ///
    /// Call it in the child before anything else on this loop, not from within an iteration. If it throws, the loop stays the
    /// parent's. In a process that was not forked it does the same.
    public func reinitializeAfterFork() throws(SystemError) {
        precondition(!state.isInIteration, "an inherited loop cannot start anew from within an iteration of the parent")
        let epoll = try SystemError.check(cepoll_create(), .createEpoll)
        let event = cepoll_eventfd()
        guard event >= 0 else {
            _ = cepoll_close(epoll)
            throw SystemError(.eventfd, -event)
        }
        try SystemError.check(cepoll_replace(self.epoll, epoll), .replace)
        try SystemError.check(cepoll_replace(mailbox.eventDescriptor, event), .replace)
        try registerMailbox(SlotID(index: 0, generation: state.slots[0].generation), in: self.epoll)
        unsafe forkMark.pointee = 1
        state.thread = 0
        state.isStopping = false
        state.nextEvent = state.eventCount
        state.dueSince = nil
        mailbox.forgetAll()
        forgetTasks()
        forgetRegistrations()
    }

    private func forgetRegistrations() {
        closeSignalDescriptors()
        state.signalDescriptors.removeAll()
        while state.flushList.pop() != nil {}
        while state.reapList.pop() != nil {}
        state.refused.removeAll()
        state.retryAt = nil
        state.isSuspicious = false
        for index in state.slots.liveIndices where index > 0 { state.slots.remove(index) }
        for index in state.timers.liveIndices {
            state.wheel.endUse(of: index)
            state.timers.remove(index)
        }
        // Whoever ends here may withdraw or remove what is gone already, which is counted and ignored.
        recycle(on: self)
        for index in state.handles.indices {
            let source = state.handles.close(index)
            withExtendedLifetime(source) {}
        }
    }

    /// A load and a compare. At each entrance that makes a system call for the loop: the others change the child's own memory
    /// only, and the next iteration traps.
    @inlinable @inline(__always)
    func checkNotForked() {
        if unsafe forkMark.pointee == 0 { refuseForked() }
    }
}
