// What a node tells its application, as an asynchronous sequence. A handler like any other: it copies what it is told into a
// bounded queue, and slows down the peers whose frames nobody takes.

public import PeerMesh

/// One thing that a node told its application. The cases are the methods of `PeerHandler`.
public enum NodeEvent: Hashable, Sendable {
    /// The link is established: frames may be sent and will be received.
    case linkUp(LinkID, LinkInfo)
    /// The link is established no longer.
    case linkDown(LinkID, LinkInfo, CloseReason)
    /// A frame of the application, copied.
    case received(LinkID, MessageType, [UInt8])
    /// Sends that yield are answered `wouldBlock` from now on.
    case highWater(LinkID)
    /// Send on.
    case lowWater(LinkID)
    /// What became of a frame that was posted with this token.
    case sent(token: UInt64, SendResult, LinkID)
    /// So many events were dropped here, as the queue was full: ask the node for what stands now.
    case missed(Int)
}

/// A node's events for one task: make it, give it to a `PeerNode` as its handler, tell it the node, and take its events in a
/// `for await`. The sequence ends when the node has stopped, or the task is cancelled; another task may then go on with it.
///
/// At most `capacity` events wait. While half of it is frames, the links that they come from are not read, so that their peers
/// are slowed down by TCP; their silence is not judged meanwhile. Other events are few; those that find
/// the queue full are dropped, and `missed` says so in their place.
///
/// On the loop's thread; one task at a time.
public final class NodeEvents: PeerHandler, AsyncSequence, @unchecked Sendable {
    public typealias Element = NodeEvent

    /// The node whose events these are, for pausing its links. Set it right after the node is made. On the loop's thread.
    public var node: PeerNode? {
        get {
            executor.requireThread()
            return source
        }
        set {
            executor.requireThread()
            source = newValue
        }
    }

    private weak var source: PeerNode?
    private let executor: LoopExecutor
    private let place: PlaceID
    private let capacity: Int
    private var queue: [NodeEvent] = []
    private var first = 0
    private var frames = 0
    private var paused: [LinkID] = []
    private var missed = 0
    private var isOver = false
    /// Tasks that wait until a link takes frames again.
    private var senders: [(link: LinkID, place: PlaceID)] = []

    /// A queue for at most `capacity` events, at least 2. On the loop's thread.
    public init(on executor: LoopExecutor, capacity: Int = 1_024) {
        precondition(capacity >= 2, "a queue needs room")
        executor.requireThread()
        self.executor = executor
        self.capacity = capacity
        place = executor.state.places.open()
        super.init()
        queue.reserveCapacity(capacity)
    }

    deinit {
        executor.release(place)
    }

    /// Events that wait.
    var waiting: Int { queue.count - first }

    private func add(_ event: NodeEvent) {
        if waiting >= capacity {
            missed += 1
        } else {
            if missed > 0 {
                queue.append(.missed(missed))
                missed = 0
            }
            queue.append(event)
        }
        executor.wake(Int(place.index), .reading)
    }

    private func take() -> NodeEvent? {
        guard first < queue.count else {
            defer { missed = 0 }
            return missed > 0 ? .missed(missed) : nil
        }
        let event = queue[first]
        first += 1
        if first == queue.count || first >= capacity {
            queue.removeSubrange(..<first)
            first = 0
        }
        if case .received = event {
            frames -= 1
            if frames <= capacity / 4 { resumeReading() }
        }
        return event
    }

    private func resumeReading() {
        guard !paused.isEmpty else { return }
        for link in paused { source?.resumeReading(of: link) }
        paused.removeAll(keepingCapacity: true)
    }

    // MARK: Sending

    /// Waits until the link takes frames again or is over, perhaps for nothing: try again.
    nonisolated(nonsending) func roomToSend(on link: LinkID) async throws {
        let place = executor.state.places.open()
        senders.append((link, place))
        await executor.wait(place, .reading)
        senders.removeAll { $0.place == place }
        executor.closePlace(place)
        if Task.isCancelled { throw CancellationError() }
        if isOver || executor.state.isEnding { throw SendError.notLinked }
    }

    private func letSend(on link: LinkID) {
        for sender in senders where sender.link == link { executor.wake(Int(sender.place.index), .reading) }
    }

    // MARK: The handler

    public override func linkUp(_ link: LinkID, _ info: LinkInfo) { add(.linkUp(link, info)) }

    public override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        paused.removeAll { $0 == link }
        letSend(on: link)
        add(.linkDown(link, info, reason))
    }

    public override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        let isTaken = waiting < capacity
        add(.received(link, type, unsafe body.withUnsafeBytes { unsafe Array($0) }))
        guard isTaken else { return }
        frames += 1
        if frames >= capacity / 2, !paused.contains(link), source?.pauseReading(of: link) ?? false { paused.append(link) }
    }

    public override func highWater(_ link: LinkID) { add(.highWater(link)) }

    public override func lowWater(_ link: LinkID) {
        letSend(on: link)
        add(.lowWater(link))
    }

    public override func sendResult(_ token: UInt64, _ result: SendResult, _ link: LinkID) {
        add(.sent(token: token, result, link))
    }

    public override func stopped() {
        isOver = true
        for sender in senders { executor.wake(Int(sender.place.index), .reading) }
        executor.wake(Int(place.index), .reading)
    }

    // MARK: The sequence

    public func makeAsyncIterator() -> Iterator { Iterator(events: self) }

    /// Events in the order in which they happened.
    public struct Iterator: AsyncIteratorProtocol {
        let events: NodeEvents

        public mutating func next() async -> NodeEvent? {
            await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> NodeEvent? {
            let executor = events.executor
            executor.requireThread()
            while !Task.isCancelled {
                if let event = events.take() { return event }
                guard !events.isOver, !executor.state.isEnding else { return nil }
                await executor.wait(events.place, .reading)
            }
            return nil
        }
    }
}
