// A listening socket on a loop: bounded bursts of accepts, and rests instead of ends. It owns its socket, one reserve
// descriptor and one timer. Nothing but its owner ends it: not an error of one connection, not a full descriptor table.

import CEpoll
public import PeerMesh
public import Timers

/// Takes connections for a source of the same loop. All on the loop's thread.
@safe
public final class Listener: Source {
    /// How a listener behaves.
    public struct Settings: Hashable, Sendable {
        /// Connections that the kernel keeps for us until they are accepted.
        public var backlog: Int32 = 1_024
        /// Accepts in one burst at most.
        public var burst = 16
        /// The first rest when a table is full; doubled each time up to `longestRest`, until an accept succeeds.
        public var rest: Nanoseconds = .milliseconds(50)
        /// The longest such rest.
        public var longestRest: Nanoseconds = .seconds(1)
        /// The same for errors that should not be.
        public var fatalRest: Nanoseconds = .seconds(1)
        /// The longest such rest.
        public var longestFatalRest: Nanoseconds = .seconds(60)
        /// Whether each connection comes with the address of its other end. Without, the kernel is not asked, the owner's
        /// `accepted(_:listenerTag:)` is called, and `Socket.remoteEndpoint()` tells whoever wants to know.
        public var asksForAddress = true
        /// Options of the listening socket, inherited by the accepted ones.
        public var options = SocketOptions()

        /// The defaults.
        public init() {}
    }

    /// What a listener did since it was made.
    public struct Counters: Hashable, Sendable, BitwiseCopyable {
        /// Connections handed to the owner.
        public var accepted: UInt64 = 0
        /// Connections closed unseen for want of a descriptor.
        public var shed: UInt64 = 0
        /// Connections that failed before they were ours.
        public var retries: UInt64 = 0
        /// Rests begun.
        public var rests: UInt64 = 0
        /// Errors that should not be.
        public var fatal: UInt64 = 0
        /// Calls of accept4.
        public var calls: UInt64 = 0
    }

    /// Where it listens: the kernel's answer, with the real port if 0 was asked for.
    public let endpoint: Endpoint
    /// What it did so far.
    public var counters: Counters { state.counters }

    /// Not kept alive: the loop has this listener, and would have itself. `loopEnds` comes before it is gone.
    @safe private unowned(unsafe) let loop: EventLoop
    private let settings: Settings
    private let tag: UInt32
    private let descriptor: CInt
    // What changes, behind a constant pointer for the reason given in LoopState.
    private let storage: UnsafeMutablePointer<State>

    @safe
    private struct State: ~Copyable {
        var counters = Counters()
        var socket: Socket?
        /// Retained; nil once closed. Unmanaged, as calling it must not count references up and down.
        var owner: Unmanaged<Source>?
        var slot: SlotID?
        var timer: TimerID?
        /// Holds one descriptor's place, to be given up when there is none left; -1 if lost.
        var reserve: CInt
        /// How many accepts the next burst tries: what the last ones brought, so that few end in a call for nothing.
        var expected = 1
        /// Full bursts in a row.
        var fullBursts = 0
        var nextRest: Nanoseconds
        var nextFatalRest: Nanoseconds
        /// Its owner wants no connection now.
        var isPaused = false
        /// Whether the rests are longer than at first.
        var hasRested = false

        init(socket: consuming Socket, owner: Source, reserve: CInt, settings: Settings) {
            self.socket = consume socket
            unsafe self.owner = Unmanaged.passRetained(owner)
            self.reserve = reserve
            nextRest = settings.rest
            nextFatalRest = settings.fatalRest
        }

        deinit {
            if reserve >= 0 { _ = cepoll_close(reserve) }
            unsafe owner?.release()
        }
    }

    private var state: State {
        unsafeAddress { unsafe UnsafePointer(storage) }
        unsafeMutableAddress { unsafe storage }
    }

    /// Listens on `endpoint` (port 0: the kernel picks one) and hands connections to `owner`, which the loop keeps alive
    /// until `close`. `tag` tells the owner's listeners apart. Throws what the kernel says of the address (EADDRINUSE, EADDRNOTAVAIL,
    /// EACCES), or that there is no descriptor or no place in the loop's tables left.
    public convenience init(
        loop: EventLoop, on endpoint: Endpoint, owner: Source, tag: UInt32 = 0, settings: Settings = Settings()
    ) throws(SystemError) {
        let socket = try Socket.listening(on: endpoint, backlog: settings.backlog, options: settings.options)
        try self.init(loop: loop, taking: socket, owner: owner, tag: tag, settings: settings)
    }

    /// The same on a socket that listens already, opened by a service manager, say. Its backlog stays what it is; `settings`'
    /// options are the caller's to apply. Throws likewise.
    public convenience init(
        loop: EventLoop, taking socket: consuming Socket, owner: Source, tag: UInt32 = 0, settings: Settings = Settings()
    ) throws(SystemError) {
        precondition(settings.burst > 0, "a burst needs at least one accept")
        let bound = try socket.localEndpoint()
        let reserve = try SystemError.check(cepoll_reserve(), .reserve)
        let descriptor = socket.descriptor
        let state = State(socket: socket, owner: owner, reserve: reserve, settings: settings)
        self.init(loop: loop, settings: settings, tag: tag, endpoint: bound, descriptor: descriptor, state: state)
        try register()
    }

    // All that can fail comes before or after: a class whose own init throws half-way runs its deinit on what is not there.
    private init(
        loop: EventLoop, settings: Settings, tag: UInt32, endpoint: Endpoint, descriptor: CInt, state: consuming State
    ) {
        self.loop = loop
        self.settings = settings
        self.tag = tag
        self.endpoint = endpoint
        self.descriptor = descriptor
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: state)
        super.init()
    }

    private func register() throws(SystemError) {
        guard let timer = loop.makeTimerIfRoom(source: self, tag: 0) else { throw SystemError(.timerTable, CEPOLL_ENOSPC) }
        do throws(SystemError) {
            state.slot = try loop.add(descriptor, interest: .read, source: self, tag: 0)
        } catch {
            loop.destroy(timer)
            throw error
        }
        state.timer = timer
    }

    deinit {
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    /// Ends the listening. What the kernel had queued is reset by it. May be called from `accepted`. Nothing to do if the loop is gone,
    /// which has ended it.
    public func close() {
        guard let slot = state.slot, let timer = state.timer else { return }
        loop.remove(slot, staysOpen: false)
        loop.destroy(timer)
        endUse()
        if loop.isInIteration { loop.requestReap(self) } else { reap() }
    }

    private func endUse() {
        state.slot = nil
        state.timer = nil
        state.socket = nil
    }

    override func loopEnds() {
        endUse()
        if state.reserve >= 0 { _ = cepoll_close(state.reserve) }
        state.reserve = -1
        reap()
    }

    /// The close phase: the owner may end here, and not earlier, as it may be its own `accepted` that closed us.
    public override func reap() {
        let owner = unsafe state.owner
        unsafe state.owner = nil
        unsafe owner?.release()
    }

    /// Takes no connections until `resume`: they wait in the kernel's backlog. A burst under way may bring a few more.
    public func pause() {
        guard let slot = state.slot, !state.isPaused else { return }
        state.isPaused = true
        loop.setInterest(slot, [])
    }

    /// Takes connections again, once a rest is over that has begun meanwhile.
    public func resume() {
        guard let slot = state.slot, state.isPaused else { return }
        state.isPaused = false
        if !isResting { loop.setInterest(slot, .read) }
    }

    /// Whether it rests on its timer.
    public var isResting: Bool {
        state.timer.map { loop.isArmed($0) } ?? false
    }

    public override func ready(_ readiness: Readiness, tag: UInt32) {
        let before = state.counters.accepted
        acceptBurst()
        loop.state.counts.accepts.accepted &+= state.counters.accepted &- before
    }

    private func acceptBurst() {
        let expected = state.expected
        var taken = 0
        var failures = 0
        // A connection that failed before it was ours is off the queue: the next one may be asked for.
        burst: while taken < expected {
            let result = settings.asksForAddress ? acceptNamed() : acceptUnnamed()
            if result >= 0 {
                taken &+= 1
                guard state.slot != nil else { return }
                continue
            }
            if taken > 0 { forgetRests() }
            switch AcceptClass(-result) {
            case .drained:
                loop.state.counts.accepts.drained &+= 1
                state.expected = max(1, taken)
                state.fullBursts = 0
                return
            case .retry:
                state.counters.retries &+= 1
                loop.state.counts.accepts.retried &+= 1
                failures &+= 1
                if failures == settings.burst { break burst }
            case .pause:
                loop.state.counts.accepts.paused &+= 1
                shed()
                rest(after: -result)
                return
            case .fatal:
                restAfterFatal(-result)
                return
            }
        }
        if taken > 0 { forgetRests() }
        if expected == settings.burst { loop.state.counts.exhausted.accepts &+= 1 }
        // A burst of nothing but errors must not become a spin.
        taken == 0 ? rest(after: CEPOLL_ECONNABORTED) : grow()
    }

    /// Takes one connection and hands it over. Returns a negative number if there was none.
    @inline(__always)
    private func acceptUnnamed() -> CInt {
        state.counters.calls &+= 1
        let result = cepoll_accept_unnamed(descriptor)
        guard result >= 0 else { return result }
        state.counters.accepted &+= 1
        assert(unsafe state.owner != nil, "who listens has an owner")
        unsafe state.owner.unsafelyUnwrapped._withUnsafeGuaranteedRef { $0.accepted(Socket(taking: result), listenerTag: tag) }
        return result
    }

    /// The same with the address of the other end.
    @inline(never)
    private func acceptNamed() -> CInt {
        var address = cepoll_address()
        state.counters.calls &+= 1
        let result = unsafe cepoll_accept(descriptor, &address)
        guard result >= 0 else { return result }
        guard let remote = Endpoint(address) else {
            assertionFailure("a TCP socket has an address of one of two families")
            _ = cepoll_close(result)
            return result
        }
        state.counters.accepted &+= 1
        unsafe state.owner?._withUnsafeGuaranteedRef { $0.accepted(Socket(taking: result), from: remote, listenerTag: tag) }
        return result
    }

    /// Four full bursts in a row are worth trying for more: most wakes bring one connection, and then a second accept
    /// would be a call for nothing.
    private func grow() {
        state.fullBursts += 1
        guard state.fullBursts >= 4 else { return }
        state.fullBursts = 0
        state.expected = min(state.expected * 2, settings.burst)
    }

    /// Gives up the reserve to take connections and close them at once: their dialers learn it now, not by a timeout.
    private func shed() {
        guard state.reserve >= 0 else { return }
        _ = cepoll_close(state.reserve)
        for _ in 0..<settings.burst {
            state.counters.calls &+= 1
            let result = cepoll_accept_unnamed(descriptor)
            guard result >= 0 else { break }
            _ = cepoll_close(result)
            state.counters.shed &+= 1
            loop.state.counts.accepts.shed &+= 1
        }
        // If another thread was faster, the place is lost until the rest is over.
        state.reserve = cepoll_reserve()
    }

    private func rest(after error: Int32) {
        begin(rest: state.nextRest, after: error)
        state.nextRest = min(state.nextRest * 2, settings.longestRest)
    }

    private func restAfterFatal(_ error: Int32) {
        state.counters.fatal &+= 1
        loop.state.counts.accepts.fatal &+= 1
        begin(rest: state.nextFatalRest, after: error)
        state.nextFatalRest = min(state.nextFatalRest * 2, settings.longestFatalRest)
    }

    /// The table has room again: once a burst, and not for each connection.
    private func forgetRests() {
        guard state.hasRested else { return }
        state.hasRested = false
        state.nextRest = settings.rest
        state.nextFatalRest = settings.fatalRest
    }

    private func begin(rest: Nanoseconds, after error: Int32) {
        guard let slot = state.slot, let timer = state.timer else { return }
        state.counters.rests &+= 1
        state.expected = 1
        state.fullBursts = 0
        state.hasRested = true
        loop.setInterest(slot, [])
        loop.arm(timer, at: loop.now + rest)
        unsafe state.owner?._withUnsafeGuaranteedRef {
            $0.listenerRests(for: rest, after: SystemError(.accept, error), listenerTag: tag)
        }
    }

    public override func timerFired(tag: UInt32) {
        guard let slot = state.slot else { return }
        if state.reserve < 0 { state.reserve = cepoll_reserve() }
        if !state.isPaused { loop.setInterest(slot, .read) }
    }
}
