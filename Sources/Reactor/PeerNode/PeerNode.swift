// A node: one mesh bound to one loop. Readiness becomes events, actions become system calls, frames reach their handlers.
// It owns every socket, stream and listener of the node. What it must never do: decide anything about peers (the mesh
// does), close a link that the mesh has not closed, or allocate for an event, a ping or a frame.
//
// Here and in what a node owns, stored properties are exempt from the run-time check of exclusive access: all of it is on one
// thread, and no access lasts while a handler is called. The checks were 45 % of the instructions of an echoed frame.

import CEpoll
public import PeerMesh
public import Timers

/// One peer-to-peer node on one event loop. All on the loop's thread; other threads use `port`.
public final class PeerNode: Source {
    /// The loop that the node lives on.
    public let loop: EventLoop
    /// As given.
    public let settings: NodeSettings
    /// The dialect that all links of the node speak.
    public let wire: any Wire
    /// The application.
    public let handler: PeerHandler
    /// The same for other threads.
    public let port: NodePort
    /// Records for a log thread; nil if the settings want none. Take them, or they are lost (and counted).
    public let transitions: TransitionRing?

    @safe @exclusivity(unchecked) var mesh: Mesh
    @safe @exclusivity(unchecked) var counts = NodeCounters()
    let memory: StreamMemory
    /// Frames on their way out are encoded here, before they are copied into a queue.
    let frame = FrameBuffer()
    /// What the dialect itself answers while a frame is decoded.
    let reply = FrameBuffer()
    let told = PeerList()
    let sharing = PeerList()

    /// By the link's slot in the mesh.
    @safe @exclusivity(unchecked) var links: [NodeLink?]
    @safe @exclusivity(unchecked) var linkCount = 0
    @safe @exclusivity(unchecked) var spare: [NodeLink] = []
    @safe @exclusivity(unchecked) var condemned: [NodeLink] = []
    @safe @exclusivity(unchecked) var toWrite: [NodeLink] = []
    @safe @exclusivity(unchecked) var toRead: [NodeLink] = []
    @safe @exclusivity(unchecked) var starvedCount = 0
    @safe @exclusivity(unchecked) var owedCount = 0
    @safe @exclusivity(unchecked) var flushes: UInt64 = 0
    /// When the next link is closed to make room for those that wait for memory; `.never` while none waits.
    @safe @exclusivity(unchecked) var reliefAt = Instant.never
    /// Since when the present ones wait.
    @safe @exclusivity(unchecked) var starvedSince = Instant.never

    @safe @exclusivity(unchecked) var listeners: [Listener] = []
    /// The accepted socket that the mesh is being asked about, and its ticket.
    @safe @exclusivity(unchecked) var candidate: Socket?
    @safe @exclusivity(unchecked) var ticket: UInt32 = 0

    @safe @exclusivity(unchecked) var ownEndpoint: Endpoint?
    @safe @exclusivity(unchecked) var sightings = SightingTable()
    @safe @exclusivity(unchecked) var timer: TimerID?
    @safe @exclusivity(unchecked) var armedFor: Instant?
    @safe @exclusivity(unchecked) var isPerforming = false
    @safe @exclusivity(unchecked) var isFlushing = false
    @safe @exclusivity(unchecked) var isEnding = false
    /// Nothing of the mesh is performed any more.
    @safe @exclusivity(unchecked) var isAbandoned = false
    /// The tables are lent to a reader: nothing may change until it returns.
    @safe @exclusivity(unchecked) var isReporting = false
    /// Whether the node is over: after `shutdown` its last link was closed.
    @safe @exclusivity(unchecked) public internal(set) var isStopped = false

    /// Makes a node that does nothing yet: add listeners, tell it of peers, then `start`. Throws if there is no descriptor for its ring
    /// of records, or no timer left in the loop's table; settings that contradict each other trap, in words
    /// (`NodeSettings.contradiction`). O(capacity of its tables).
    public init(loop: EventLoop, wire: any Wire, settings: NodeSettings, handler: PeerHandler) throws(SystemError) {
        if let words = settings.contradiction(with: wire) { fatalError("the settings of a node contradict each other: \(words)") }
        let limits = StreamLimits(
            highWater: settings.highWater, lowWater: settings.lowWater, hardLimit: settings.queueLimit,
            controlLimit: settings.controlLimit, frameLimit: wire.maximumBody + 1_024
        )
        self.loop = loop
        self.wire = wire
        self.settings = settings
        self.handler = handler
        memory = StreamMemory(
            limit: settings.memoryLimit, strangers: settings.strangersLimit, stranger: settings.memoryPerStranger, limits: limits
        )
        var policies = settings.mesh
        policies.isNativeDialect = wire.isNative
        mesh = Mesh(policies, now: loop.now)
        let capacity = Int(policies.linkCapacity)
        links = Array(repeating: nil, count: capacity)
        spare.reserveCapacity(capacity * 2)
        condemned.reserveCapacity(capacity)
        toWrite.reserveCapacity(capacity)
        toRead.reserveCapacity(capacity)
        transitions = settings.recordCapacity > 0 ? try TransitionRing(capacity: settings.recordCapacity) : nil
        ownEndpoint = settings.endpoint
        port = NodePort(mailbox: loop.mailbox)
        super.init()
        guard let timer = loop.makeTimerIfRoom(source: self, tag: 0) else { throw SystemError(.timerTable, CEPOLL_ENOSPC) }
        self.timer = timer
        port.bind(loop.makeHandle(for: self))
        if let endpoint = settings.endpoint { handle(.ownEndpoint(endpoint)) }
    }

    /// Listens on `endpoint`; port 0 lets the kernel pick one. Returns where it really listens. Several are allowed.
    /// Throws what the kernel says of the address: EADDRINUSE, EADDRNOTAVAIL, EACCES; or EMFILE.
    @discardableResult
    public func listen(on endpoint: Endpoint) throws(SystemError) -> Endpoint {
        let settings = listenerSettings
        return keep(try Listener(loop: loop, on: endpoint, owner: self, tag: UInt32(listeners.count), settings: settings))
    }

    /// Listens by a socket that was opened and bound elsewhere, by a service manager, say, and that listens already. It is given
    /// the node's own socket options. Returns where it listens. Throws if it is
    /// no listening TCP socket.
    @discardableResult
    public func listen(taking socket: consuming Socket) throws(SystemError) -> Endpoint {
        let settings = listenerSettings
        try socket.apply(settings.options)
        return keep(try Listener(loop: loop, taking: socket, owner: self, tag: UInt32(listeners.count), settings: settings))
    }

    private var listenerSettings: Listener.Settings {
        precondition(!isEnding, "a node that ends takes no connections")
        var options = settings.listener
        options.options = settings.socket
        return options
    }

    private func keep(_ listener: Listener) -> Endpoint {
        listeners.append(listener)
        return listener.endpoint
    }

    /// Begins to dial: masternodes first, then the rest.
    public func start() {
        handle(.start)
    }

    /// Ends the node: no new links, all others drained. `PeerHandler.stopped` tells when the last one is closed, which
    /// the mesh's `drainTimeout` bounds.
    public func shutdown() {
        guard !isEnding else { return }
        isEnding = true
        for listener in listeners { listener.close() }
        handle(.shutdown)
        loop.requestReap(self)
    }

    /// Ends the node at once, as if its process had been killed: no farewell, nothing flushed, no `linkDown`; every socket is
    /// closed in this iteration's close phase, after which `PeerHandler.stopped` is called.
    public func abandon() {
        guard !isStopped, !isAbandoned else { return }
        isEnding = true
        isAbandoned = true
        for listener in listeners { listener.close() }
        for index in links.indices {
            if let link = links[index] { close(link.id) }
        }
        loop.requestReap(self)
    }

    /// Hands an event of the operator or the registry to the mesh, and does what follows from it.
    public func handle(_ event: Event) {
        guard !isStopped, !isAbandoned else { return }
        if case .ownEndpoint(let endpoint) = event { ownEndpoint = endpoint }
        if case .shutdown = event, !isEnding { return shutdown() }
        report(event)
    }

    /// Runs on under new policies; `MeshSettings.canBecome` tells which may change. No link is closed for it. O(book + links).
    public func apply(_ policies: MeshSettings) {
        precondition(!isReporting, "a node must not be changed while it is being listed")
        guard !isStopped, !isAbandoned else { return }
        mesh.apply(policies, at: now)
        perform()
    }

    /// The policies in force: as given, or as last applied.
    public var policies: MeshSettings { mesh.settings }

    /// Hands an event to the mesh and performs its actions, unless that is going on already: then whoever performs
    /// takes these, too, in their order.
    func report(_ event: Event) {
        precondition(!isReporting, "a node must not be changed while it is being listed")
        guard !isAbandoned else { return }
        mesh.handle(event, at: now)
        perform()
    }

    // What the loop calls. Each is one line here, as the language wants it, and a room of its own elsewhere.

    public override func ready(_ readiness: Readiness, tag: UInt32) { becameReady(readiness, slot: Int(tag)) }
    public override func timerFired(tag: UInt32) { deadlineCame() }
    public override func posted(_ job: Job) { take(job) }
    public override func flush() { flushPhase() }
    public override func reap() { closePhase() }

    public override func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {
        consider(socket, from: remote)
    }

    public override func listenerRests(for rest: Nanoseconds, after error: SystemError, listenerTag: UInt32) {
        let listener = listeners[Int(listenerTag)].endpoint
        record(.listenerRests(at: now, listener: listener, span: rest, error: error))
    }

    private func deadlineCame() {
        armedFor = nil
        guard !isAbandoned else { return }
        mesh.advance(to: now)
        perform()
        if reliefAt <= now { relieve() }
    }

    /// One timer of the loop follows the mesh's next deadline.
    func armTimer() {
        guard let timer, !isStopped else { return }
        var deadline = mesh.nextDeadline
        if reliefAt != .never { deadline = min(deadline ?? .never, reliefAt) }
        guard deadline != armedFor else { return }
        armedFor = deadline
        if let deadline { loop.arm(timer, at: deadline) } else { loop.cancel(timer) }
    }

    /// The iteration's reading of the clock; between iterations (whoever drives the loop by hand calls us there) a fresh one.
    var now: Instant {
        loop.isInIteration ? loop.now : Instant(nanoseconds: cepoll_monotonic())
    }

    func record(_ record: NodeRecord) {
        transitions?.push(record)
    }

    /// The last link is closed: nothing of this node is left on the loop.
    func end() {
        guard isEnding, !isStopped, linkCount == 0, condemned.isEmpty else { return }
        isStopped = true
        if let timer { loop.destroy(timer) }
        timer = nil
        if let handle = port.unbind() { loop.withdraw(handle) }
        transitions?.close()
        handler.stopped()
    }

    /// The driver's link with this id, or nil if its generation is over.
    func current(_ id: LinkID) -> NodeLink? {
        let slot = Int(id.slot)
        guard slot < links.count, let link = links[slot], link.id == id else { return nil }
        return link
    }
}
