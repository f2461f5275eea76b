// First-in, first-out lists of sources, linked through the sources themselves: asking for a phase allocates nothing.
// A listed source is kept alive until its turn is over.

/// The phases that a source can ask for.
enum SourcePhase {
    case flush
    case reap
}

/// A source's place in one list.
struct SourceLink {
    var isListed = false
    var next: Source?
}

/// The sources that asked for one phase.
struct SourceList {
    let phase: SourcePhase
    private var first: Source?
    private var last: Source?

    init(_ phase: SourcePhase) {
        self.phase = phase
    }

    var isEmpty: Bool { first == nil }

    /// The whole list; what is added from now on starts a new one.
    mutating func takeAll() -> SourceList {
        let all = self
        first = nil
        last = nil
        return all
    }

    /// Adds the source, unless it is listed already.
    mutating func append(_ source: Source) {
        guard !source[phase].isListed else { return }
        source[phase].isListed = true
        if let last {
            last[phase].next = source
        } else {
            first = source
        }
        last = source
    }

    mutating func pop() -> Source? {
        guard let source = first else { return nil }
        first = source[phase].next
        if first == nil { last = nil }
        source[phase] = SourceLink()
        return source
    }
}
