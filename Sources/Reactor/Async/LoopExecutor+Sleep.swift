// Sleeping on the loop's own timers: to a tick of the wheel, with no other thread involved.

import CEpoll
public import Timers

extension LoopExecutor {
    /// Sleeps for `span`, or a tick longer, never shorter. Throws `CancellationError` at once when the task is cancelled, and
    /// `SystemError` if the loop's timer table is full or the loop is going. O(1); allocates nothing.
    public nonisolated(nonsending) func sleep(for span: Nanoseconds) async throws {
        try await sleep(until: Instant(nanoseconds: cepoll_monotonic()) + span)
    }

    /// The same until `deadline`. Throws likewise.
    public nonisolated(nonsending) func sleep(until deadline: Instant) async throws {
        requireThread()
        if Task.isCancelled { throw CancellationError() }
        guard !state.isEnding else { throw SystemError(.closedLoop, CEPOLL_ECANCELED) }
        let id = state.places.open()
        let index = Int(id.index)
        guard let timer = loop.makeTimerIfRoom(source: driver, tag: UInt32(index)) else {
            closePlace(id)
            throw SystemError(.timerTable, CEPOLL_ENOSPC)
        }
        loop.arm(timer, at: deadline)
        while !state.places[index].isReadable, !Task.isCancelled, !state.isEnding {
            await wait(id, .reading)
        }
        let isOver = state.places[index].isReadable
        // A loop that is going takes its timers along.
        if !state.isEnding { loop.destroy(timer) }
        closePlace(id)
        if isOver { return }
        if Task.isCancelled { throw CancellationError() }
        throw SystemError(.closedLoop, CEPOLL_ECANCELED)
    }
}
