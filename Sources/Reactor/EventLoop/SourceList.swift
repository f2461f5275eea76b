// First-in, first-out lists of sources, linked through the sources themselves: asking for a phase allocates nothing.
// A listed source is kept alive until its turn is over.

/// The phases that a source can ask for.
enum SourcePhase {
    case flush
    case reap
}

/// A source's place in one list. The list owns a reference to each of its sources.
@safe
struct SourceLink {
    var isListed = false
    var next: Unmanaged<Source>?
}

/// The sources that asked for one phase.
@safe
struct SourceList: ~Copyable {
    let phase: SourcePhase
    private var first: Unmanaged<Source>?
    private var last: Unmanaged<Source>?

    init(_ phase: SourcePhase) {
        self.phase = phase
    }

    deinit {
        var next = unsafe first
        while let link = unsafe next {
            let source = unsafe link.takeRetainedValue()
            unsafe next = source[phase].next
        }
    }

    var isEmpty: Bool { unsafe first == nil }

    /// The whole list; what is added from now on starts a new one.
    mutating func takeAll() -> SourceList {
        var all = SourceList(phase)
        unsafe all.first = first
        unsafe all.last = last
        unsafe first = nil
        unsafe last = nil
        return all
    }

    /// Adds the source, unless it is listed already.
    mutating func append(_ source: Source) {
        guard !source[phase].isListed else { return }
        unsafe source[phase] = SourceLink(isListed: true, next: nil)
        let link = unsafe Unmanaged.passRetained(source)
        if let last = unsafe last {
            unsafe last._withUnsafeGuaranteedRef { unsafe $0[phase] = SourceLink(isListed: true, next: link) }
        } else {
            unsafe first = link
        }
        unsafe last = link
    }

    mutating func pop() -> Source? {
        guard let link = unsafe first else { return nil }
        let source = unsafe link.takeRetainedValue()
        unsafe first = source[phase].next
        if unsafe first == nil { unsafe last = nil }
        source[phase] = SourceLink()
        return source
    }
}
