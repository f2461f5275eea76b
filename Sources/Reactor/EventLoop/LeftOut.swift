// In test builds with a fault table, guards can be left out one by one, each by the number of the trap that it holds shut
// (docs/Traps.md), so that its test can be seen to fail. No other build has any of this.

#if REACTOR_FAULTS
    import CEpoll

    /// Whether the guard against trap `number` is left out on this thread.
    @usableFromInline
    func isLeftOut(_ number: CInt) -> Bool {
        cepoll_faults_is_left_out(number) != 0
    }
#endif
