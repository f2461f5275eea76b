// A listening socket on a loop: bounded bursts of accepts, and rests instead of ends. It owns its socket, one reserve
// descriptor and one timer. Nothing but its owner ends it: not an error of one connection, not a full descriptor table.

import CEpoll
public import PeerMesh
public import Timers

/// Takes connections for a source of the same loop. All on the loop's thread.
public final class Listener: Source {
    /// How a listener behaves.
    public struct Settings: Hashable, Sendable {
        /// Connections that the kernel keeps for us until they are accepted.
        public var backlog: Int32 = 1_024
        /// Accepts in one burst at most.
        public var burst = 16
        /// The first rest when a table is full; doubled each time up to `longestRest`, until an accept succeeds.
        public var rest: Nanoseconds = .milliseconds(50)
        public var longestRest: Nanoseconds = .seconds(1)
        /// The same for errors that should not be.
        public var fatalRest: Nanoseconds = .seconds(1)
        public var longestFatalRest: Nanoseconds = .seconds(60)
        /// Options of the listening socket, inherited by the accepted ones.
        public var options = SocketOptions()

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
    public private(set) var counters = Counters()

    private let loop: EventLoop
    private let settings: Settings
    private let tag: UInt32
    private let descriptor: CInt
    private var socket: Socket?
    /// Nil once closed.
    private var owner: Source?
    private var slot: SlotID?
    private var timer: TimerID?
    /// Holds one descriptor's place, to be given up when there is none left.
    private var reserve: CInt
    /// How many accepts the next burst tries: what the last ones brought, so that few end in a call for nothing.
    private var expected = 1
    /// Full bursts in a row.
    private var fullBursts = 0
    private var nextRest: Nanoseconds
    private var nextFatalRest: Nanoseconds

    /// Listens on `endpoint` (port 0: the kernel picks one) and hands connections to `owner`, which the loop keeps alive
    /// until `close`. `tag` tells the owner's listeners apart.
    public init(
        loop: EventLoop, on endpoint: Endpoint, owner: Source, tag: UInt32 = 0, settings: Settings = Settings()
    ) throws(SystemError) {
        precondition(settings.burst > 0, "a burst needs at least one accept")
        let socket = try Socket.listening(on: endpoint, backlog: settings.backlog, options: settings.options)
        let bound = try socket.localEndpoint()
        let reserve = try SystemError.check(cepoll_reserve(), .reserve)
        self.loop = loop
        self.settings = settings
        self.tag = tag
        self.owner = owner
        self.reserve = reserve
        self.endpoint = bound
        descriptor = socket.descriptor
        self.socket = consume socket
        nextRest = settings.rest
        nextFatalRest = settings.fatalRest
        super.init()
        slot = try loop.add(descriptor, interest: .read, source: self, tag: 0)
        timer = loop.makeTimer(source: self, tag: 0)
    }

    deinit {
        if reserve >= 0 { _ = cepoll_close(reserve) }
    }

    /// Ends the listening. What the kernel had queued is reset by it. May be called from `accepted`.
    public func close() {
        guard let slot, let timer else { return }
        loop.remove(slot)
        loop.destroy(timer)
        self.slot = nil
        self.timer = nil
        owner = nil
        socket = nil
    }

    /// Whether it rests on its timer.
    public var isResting: Bool {
        timer.map { loop.isArmed($0) } ?? false
    }

    public override func ready(_ readiness: Readiness, tag: UInt32) {
        var taken = 0
        var failures = 0
        while taken + failures < expected {
            var remote = cepoll_address()
            counters.calls &+= 1
            let result = unsafe cepoll_accept(descriptor, &remote)
            if result >= 0 {
                taken += 1
                handOver(Socket(taking: result), from: remote)
                guard slot != nil else { return }
                continue
            }
            switch AcceptClass(-result) {
            case .drained:
                expected = max(1, taken)
                fullBursts = 0
                return
            case .retry:
                counters.retries &+= 1
                failures += 1
            case .pause:
                shed()
                rest(after: -result)
                return
            case .fatal:
                restAfterFatal(-result)
                return
            }
        }
        // A burst of nothing but errors must not become a spin.
        taken == 0 ? rest(after: CEPOLL_ECONNABORTED) : grow()
    }

    private func handOver(_ socket: consuming Socket, from remote: cepoll_address) {
        guard let owner, let remote = Endpoint(remote) else { return }
        counters.accepted &+= 1
        nextRest = settings.rest
        nextFatalRest = settings.fatalRest
        owner.accepted(socket, from: remote, listenerTag: tag)
    }

    /// Four full bursts in a row are worth trying for more: most wakes bring one connection, and then a second accept
    /// would be a call for nothing.
    private func grow() {
        fullBursts += 1
        guard fullBursts >= 4 else { return }
        fullBursts = 0
        expected = min(expected * 2, settings.burst)
    }

    /// Gives up the reserve to take connections and close them at once: their dialers learn it now, not by a timeout.
    private func shed() {
        guard reserve >= 0 else { return }
        _ = cepoll_close(reserve)
        for _ in 0..<settings.burst {
            var remote = cepoll_address()
            counters.calls &+= 1
            let result = unsafe cepoll_accept(descriptor, &remote)
            guard result >= 0 else { break }
            _ = cepoll_close(result)
            counters.shed &+= 1
        }
        // If another thread was faster, the place is lost until the rest is over.
        reserve = cepoll_reserve()
    }

    private func rest(after error: Int32) {
        begin(rest: nextRest, after: error)
        nextRest = min(nextRest * 2, settings.longestRest)
    }

    private func restAfterFatal(_ error: Int32) {
        counters.fatal &+= 1
        begin(rest: nextFatalRest, after: error)
        nextFatalRest = min(nextFatalRest * 2, settings.longestFatalRest)
    }

    private func begin(rest: Nanoseconds, after error: Int32) {
        guard let slot, let timer, let owner else { return }
        counters.rests &+= 1
        expected = 1
        fullBursts = 0
        loop.setInterest(slot, [])
        loop.arm(timer, at: loop.now + rest)
        owner.listenerRests(for: rest, after: SystemError(.accept, error), listenerTag: self.tag)
    }

    public override func timerFired(tag: UInt32) {
        guard let slot else { return }
        if reserve < 0 { reserve = cepoll_reserve() }
        loop.setInterest(slot, .read)
    }
}
