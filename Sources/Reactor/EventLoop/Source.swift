// Whoever the loop calls: embedders and the library's own listener and node subclass this. An open class, because a call
// through its table costs half of one through an existential and boxes nothing.

public import PeerMesh
public import Timers

/// Something that lives on a loop: it owns descriptors and timers there and is called when they have news.
///
/// Every method is called on the loop's thread, by the loop alone. The loop keeps a source alive while it has a
/// descriptor, a timer, a handle or a request with it; removing them ends that, within an iteration no earlier than its
/// close phase. So whoever drops a loop takes its sources off it first: a source that holds the loop holds itself else.
/// The default implementations do nothing.
open class Source {
    // Its places in the loop's lists of who asked for a phase. Only the subscript below touches them, and calls nobody.
    @exclusivity(unchecked) private var flushLink = SourceLink()
    @exclusivity(unchecked) private var reapLink = SourceLink()

    // How many descriptors and timers the loop has of this source. It is retained for the first and released after the
    // last: a count of the loop's own costs a tenth of an atomic retain and release for each connection.
    @usableFromInline @exclusivity(unchecked) final var registrations = 0

    /// A source that nobody calls yet: it is given to a loop with a descriptor, a timer, a handle or a listener.
    public init() {}

    /// One more descriptor or timer. The reference is good until the matching `unregistered`.
    @inlinable @inline(__always)
    final func registered() -> Unmanaged<Source> {
        unsafe registrations &+= 1
        return unsafe registrations == 1 ? Unmanaged.passRetained(self) : Unmanaged.passUnretained(self)
    }

    /// One less, unless it is the last, which is left: then false.
    @inlinable @inline(__always)
    final func unregisteredBesideOthers() -> Bool {
        guard unsafe registrations > 1 else { return false }
        unsafe registrations &-= 1
        return true
    }

    /// One less. True if it was the last: whoever asked must release the source then.
    final func unregistered() -> Bool {
        unsafe registrations -= 1
        assert(unsafe registrations >= 0)
        return unsafe registrations == 0
    }

    final subscript(phase: SourcePhase) -> SourceLink {
        get {
            switch phase {
            case .flush: unsafe flushLink
            case .reap: unsafe reapLink
            }
        }
        set {
            switch phase {
            case .flush: unsafe flushLink = newValue
            case .reap: unsafe reapLink = newValue
            }
        }
    }

    /// A descriptor of this source is ready. `tag` is what it was added with.
    open func ready(_ readiness: Readiness, tag: UInt32) {}
    /// A timer of this source is due. `tag` is what it was made with. It is no longer armed, and may be armed again.
    open func timerFired(tag: UInt32) {}
    /// The flush phase, after `requestFlush`: write what was queued, once for all of an iteration's events.
    open func flush() {}
    /// The close phase, after `requestReap`: close what was condemned. No event of this iteration is still to come.
    open func reap() {}
    /// A record that was posted to this source, from this thread or another.
    open func posted(_ job: Job) {}
    /// A listener of this source took a connection. The socket is the source's own from now on.
    open func accepted(_ socket: consuming Socket, from remote: Endpoint, listenerTag: UInt32) {}
    /// The same of a listener that does not ask for addresses (`Listener.Settings.asksForAddress`). A source that has only the
    /// form with the address is told by that, after all; what is over before the kernel is asked whose it was, is closed.
    open func accepted(_ socket: consuming Socket, listenerTag: UInt32) {
        guard let remote = try? socket.remoteEndpoint() else { return }
        accepted(socket, from: remote, listenerTag: listenerTag)
    }
    /// A listener of this source stops accepting for a while, by itself, and says why. It will come back.
    open func listenerRests(for rest: Nanoseconds, after error: SystemError, listenerTag: UInt32) {}
    /// One of the signals that this source watches arrived.
    open func signalled(_ signal: CInt) {}

    /// The loop is going away, and what it has of this source with it: no id means anything any more. Once for each descriptor.
    func loopEnds() {}
}

extension Unmanaged<Source> {
    /// Gives back what `registered` gave. May end the source, and so run others' code.
    @usableFromInline
    func endRegistration() {
        if unsafe _withUnsafeGuaranteedRef({ $0.unregistered() }) { unsafe release() }
    }
}
