// Names to addresses, beside the loop: getaddrinfo may take many seconds and offers no way to hurry it. One thread decides which
// name is asked for when (`NameTable`); each lookup runs on a thread of its own, so that a dead name delays no other. The loop's
// thread neither locks nor waits: its words come through a ring, the answers go to its mailbox.

import CEpoll
import PeerMesh
import Synchronization
import Timers

/// A peer or masternode that is wanted by name.
public struct NamedPeer: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable { case masternode, peer }

    public let name: PeerName
    public let kind: Kind

    public init(name: PeerName, kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

/// A wanted name on its way to the loop. The number tells it from an earlier wish for the same name.
struct NameHandle: Hashable, Sendable {
    let peer: NamedPeer
    let number: UInt64
}

/// What a lookup brought, on its way to the loop. Empty if the name's addresses could not be found this time.
final class NameAnswer: Sendable {
    let handle: NameHandle
    let endpoints: [Endpoint]

    init(_ handle: NameHandle, _ endpoints: [Endpoint]) {
        self.handle = handle
        self.endpoints = endpoints
    }
}

/// What the loop tells the resolver of a name.
struct NameWord: BitwiseCopyable, Sendable {
    enum What: BitwiseCopyable, Sendable {
        /// Its address failed: look it up again.
        case failed
        case linked
        case unlinked
        /// The name's peer is at this address now.
        case standsFor(Endpoint, isLinked: Bool)
    }

    let number: UInt64
    let what: What
}

/// Resolves the names that are wanted: at once, again while there is no link, and whenever the loop asks.
final class Resolver: Sendable {
    /// Asks the system for a name's endpoints; an error is getaddrinfo's code. Called on any number of threads.
    typealias Lookup = @Sendable (PeerName) -> (endpoints: [Endpoint], code: CInt)
    /// Takes lines for the log, on the resolver's thread.
    typealias Say = @Sendable (StartLines) -> Void
    /// Takes an answer, on the resolver's thread. False if it could not be handed on: the name is looked up again.
    typealias Deliver = @Sendable (NameAnswer) -> Bool

    private let table: Mutex<NameTable>
    private let words = RecordRing<NameWord>(capacity: 1_024)
    private let results = Mutex<[Result]>([])
    private let doorbell: Doorbell
    private let lookup: Lookup
    private let say: Say
    private let isStopping = Atomic<Bool>(false)

    private struct Result: Sendable {
        let lookup: UInt64
        let endpoints: [Endpoint]
        let code: CInt
    }

    /// - Parameter scope: how far this node's own address reaches; nil if it knows none. Answers that cannot mean a host there are
    ///   refused.
    init(
        timing: NameTable.Timing = .init(), scope: AddressScope?, lookup: @escaping Lookup = Resolver.system, say: @escaping Say
    ) throws(DaemonError) {
        table = Mutex(NameTable(timing: timing, scope: scope))
        self.lookup = lookup
        self.say = say
        doorbell = try Doorbell()
    }

    // Who is wanted. Any thread but the loop's, which may use it before it runs.

    /// `source` wants this name. Nil if there are too many names.
    func want(_ peer: NamedPeer, by source: WantedPeers.Sources) -> NameHandle? {
        defer { doorbell.ring() }
        return table.withLock { $0.want(peer, by: source) }
    }

    /// `source` wants it no longer. It is looked up until the last source drops it.
    func drop(_ peer: NamedPeer, by source: WantedPeers.Sources) {
        table.withLock { $0.drop(peer, by: source) }
    }

    /// Looks a name up now.
    func retry(_ peer: NamedPeer) {
        table.withLock { $0.retry(peer, at: now) }
        doorbell.ring()
    }

    /// Every name that is wanted, by name; of one that is both, the masternode first.
    var reports: [NameReport] { table.withLock { $0.reports } }

    /// Every endpoint that the name means: of its last good answer, and where its peer is.
    func addresses(of name: PeerName) -> Set<Endpoint> { table.withLock { $0.addresses(of: name) } }

    /// Whether there is room for another name.
    func hasRoom(for peer: NamedPeer) -> Bool { table.withLock { $0.hasRoom(for: peer) } }

    // The loop's side.

    /// Tells something of a name. The loop's thread only. A word that finds no room is lost; the next answer makes up for it.
    func tell(_ number: UInt64, _ what: NameWord.What) {
        words.push(NameWord(number: number, what: what))
        doorbell.ring()
    }

    // The thread.

    func start(_ deliver: @escaping Deliver) throws(DaemonError) -> DaemonThread {
        try DaemonThread.start("resolver") { self.run(deliver) }
    }

    /// Asks the thread to end. Any thread. A lookup that hangs ends with the process.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        doorbell.ring()
    }

    private var now: Instant { Instant(nanoseconds: cepoll_monotonic()) }

    private func run(_ deliver: Deliver) {
        while !isStopping.load(ordering: .acquiring) {
            takeWords()
            takeResults(deliver)
            let late = table.withLock { $0.expire(at: now) }
            if !late.lines.isEmpty { say(late) }
            for due in table.withLock({ $0.takeDue(at: now) }) { begin(due) }
            sleep(until: table.withLock { $0.nextStep(at: now) })
        }
    }

    private func takeWords() {
        while let word = words.pop() {
            let lines = table.withLock { $0.note(word, at: now) }
            if !lines.lines.isEmpty { say(lines) }
        }
    }

    private func takeResults(_ deliver: Deliver) {
        let ready = results.withLock { results in
            defer { results.removeAll() }
            return results
        }
        for result in ready {
            let outcome = table.withLock { $0.finish(result.lookup, result.endpoints, result.code, at: now) }
            if !outcome.lines.lines.isEmpty { say(outcome.lines) }
            guard let answer = outcome.answer, !deliver(answer) else { continue }
            table.withLock { $0.retry(answer.handle, at: now) }
        }
    }

    private func begin(_ due: NameTable.Due) {
        do throws(DaemonError) {
            try DaemonThread.detach("lookup") { [self] in
                let (endpoints, code) = lookup(due.name)
                finish(Result(lookup: due.lookup, endpoints: endpoints, code: code))
            }
        } catch {
            finish(Result(lookup: due.lookup, endpoints: [], code: Resolver.noThread))
        }
    }

    private func finish(_ result: Result) {
        results.withLock { $0.append(result) }
        doorbell.ring()
    }

    private func sleep(until deadline: Instant) {
        doorbell.willSleep()
        if words.isEmpty, results.withLock({ $0.isEmpty }), !isStopping.load(ordering: .acquiring) {
            let span = deadline - now
            let milliseconds = deadline == .never ? -1 : CInt(truncatingIfNeeded: min(span.count / 1_000_000 + 1, 60_000))
            Descriptors.waitReadable(doorbell.descriptor, -1, milliseconds: milliseconds)
        }
        doorbell.didWake()
    }
}
