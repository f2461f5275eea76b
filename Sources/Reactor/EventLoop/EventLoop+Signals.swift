// Signals as readiness, by signalfd. The library changes no disposition and no mask by itself: whoever runs the process
// blocks the signals first, before it starts threads.

import CEpoll

extension EventLoop {
    /// Has `source.signalled` called for each of `signals` that arrives. They must be blocked in every thread (see
    /// `blockSignals`), or they take their usual effect instead. Ends with the loop. Throws if there is no
    /// descriptor or no place in the loop's table left.
    public func watch(signals: [CInt], source: Source) throws(SystemError) {
        assertOnThread()
        let result = unsafe signals.withUnsafeBufferPointer { unsafe cepoll_signalfd($0.baseAddress, CInt($0.count)) }
        let descriptor = try SystemError.check(result, .signalfd)
        do throws(SystemError) {
            _ = try add(descriptor, interest: [.read, .apart], source: source, tag: 0, kind: .signals)
        } catch {
            _ = cepoll_close(descriptor)
            throw error
        }
        state.signalDescriptors.append(descriptor)
    }

    /// Blocks `signals` for the calling thread and for those that it starts from now on: a process's own, deliberate step
    /// before `watch`. Throws for a number that is no signal.
    ///
    /// A child process inherits the mask, through `exec`, too: unless its parent clears it, the child ignores SIGTERM.
    /// docs/Fork.md says how, for `fork` and for `posix_spawn`.
    public static func blockSignals(_ signals: [CInt]) throws(SystemError) {
        try setSignals(signals, areBlocked: true)
    }

    /// Takes `blockSignals` back for the calling thread: in a forked child, before it calls `exec`. One that is pending takes its
    /// usual effect. Safe between `fork` and `exec` if `signals` was made before the fork. Throws for a number that is no signal.
    public static func unblockSignals(_ signals: [CInt]) throws(SystemError) {
        try setSignals(signals, areBlocked: false)
    }

    private static func setSignals(_ signals: [CInt], areBlocked: Bool) throws(SystemError) {
        let result = unsafe signals.withUnsafeBufferPointer {
            unsafe cepoll_signals_block($0.baseAddress, CInt($0.count), areBlocked ? 1 : 0)
        }
        try SystemError.check(result, .signalMask)
    }

    /// At most so many signals a readiness; what is left keeps the descriptor ready.
    private static let signalsPerEvent = 16

    // Rare: inlined, it would take registers from the loop over the events.
    @inline(never)
    func deliverSignals(_ descriptor: CInt, to source: Unmanaged<Source>) {
        for _ in 0..<Self.signalsPerEvent {
            let signal = cepoll_signalfd_take(descriptor)
            guard signal > 0 else { return }
            unsafe source._withUnsafeGuaranteedRef { $0.signalled(signal) }
        }
    }

    func closeSignalDescriptors() {
        for descriptor in state.signalDescriptors {
            _ = cepoll_close(descriptor)
        }
    }
}
