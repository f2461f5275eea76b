// Turns records into lines. Which level a transition has is decided here from the one table of close effects; what the
// fields are called is decided here and nowhere else, so that the manual has one place to follow.

import Glibc
import PeerMesh
import Reactor
import Timers

/// Formats for one log. Owned by the log's thread.
struct LogFormatter {
    let format: LogFormat
    /// Where the monotonic clock's zero lies, in nanoseconds since 1970.
    var epoch: UInt64

    /// The level of a transition's line.
    static func level(of transition: Transition) -> LogLevel {
        switch transition.subject {
        case .link(_, _, let to, _):
            guard to == .closed || to == .draining, let reason = transition.reason else { return .info }
            return LogLevel(reason.effect.level)
        case .peer(_, let to):
            switch to {
            // The link's own line has said it.
            case .dialing, .greeting, .established: return .debug
            case .idle, .awaitingInbound, .backoff, .dormant, .banned: return .info
            }
        }
    }

    func append(_ transition: Transition, to buffer: LineBuffer) {
        switch transition.subject {
        case .link(let link, let from, let to, let direction):
            let line = open(buffer, transition, "link")
            line.field("peer", transition.endpoint)
            line.field("from", word: from.name)
            line.field("to", word: to.name)
            appendReason(transition, to: line)
            line.field("generation", UInt64(link.generation))
            line.field("slot", UInt64(link.slot))
            line.field("direction", word: direction == .inbound ? "inbound" : "outbound")
            if !transition.isPeer { line.field("identity", word: "unknown") }
            appendSchedule(transition, to: line)
            line.end()
        case .peer(let from, let to):
            let line = open(buffer, transition, "peer")
            line.field("peer", transition.endpoint)
            line.field("from", word: from.name)
            line.field("to", word: to.name)
            appendReason(transition, to: line)
            appendSchedule(transition, to: line)
            line.end()
        }
    }

    /// The level of any record of a node.
    static func level(of record: NodeRecord) -> LogLevel {
        switch record {
        case .transition(let transition): level(of: transition)
        case .wireError, .listenerRests, .memoryShort, .memoryClosed: .warning
        case .bookFull, .banFull: .error
        }
    }

    func append(_ record: NodeRecord, to buffer: LineBuffer) {
        switch record {
        case .transition(let transition): append(transition, to: buffer)
        case .wireError(let incident): append(incident, to: buffer)
        case .listenerRests(let at, let listener, let span, let error):
            let line = LogLine(buffer, format, time: epoch &+ at.nanoseconds, level: .warning, event: "listener-rests")
            line.field("listen", listener)
            line.field("errno", UInt64(UInt32(bitPattern: error.code)))
            line.field("for", span)
            line.end()
        case .memoryShort(let at, let link, let remote, let inUse):
            appendMemory("memory-short", at, link, remote, inUse, to: buffer)
        case .memoryClosed(let at, let link, let remote, let held):
            appendMemory("memory-closed", at, link, remote, held, to: buffer)
        case .bookFull(let at, let peer, let desire):
            let line = LogLine(buffer, format, time: epoch &+ at.nanoseconds, level: .error, event: "book-full")
            line.field("peer", peer)
            line.field("by", word: desire.contains(.registry) ? "registry" : "operator")
            line.field("message", text: "no room for a wanted peer: raise --book-capacity")
            line.end()
        case .banFull(let at, let ban):
            let line = LogLine(buffer, format, time: epoch &+ at.nanoseconds, level: .error, event: "ban-full")
            line.field("subject", text: ban.subject.description)
            switch ban.kind {
            case .ban(.operator): line.field("by", word: "operator")
            case .ban(.automatic): line.field("by", word: "automatic")
            case .trust: line.field("by", word: "trust")
            }
            line.field("message", text: "not in force: the table of bans is full; raise --ban-capacity")
            line.end()
        }
    }

    /// Which link was concerned when memory was short, and how many bytes.
    private func appendMemory(_ event: StaticString, _ at: Instant, _ link: LinkID, _ remote: Endpoint, _ bytes: UInt64, to buffer: LineBuffer) {
        let line = LogLine(buffer, format, time: epoch &+ at.nanoseconds, level: .warning, event: event)
        line.field("peer", remote)
        line.field("generation", UInt64(link.generation))
        line.field("slot", UInt64(link.slot))
        line.field("bytes", bytes)
        line.end()
    }

    /// What a peer's bytes did wrong, and how they began.
    private func append(_ incident: WireIncident, to buffer: LineBuffer) {
        let line = LogLine(buffer, format, time: epoch &+ incident.at.nanoseconds, level: .warning, event: "wire-error")
        line.field("peer", incident.remote)
        line.field("reason", word: incident.error.reason.name)
        line.field("generation", UInt64(incident.link.generation))
        line.field("slot", UInt64(incident.link.slot))
        line.field("direction", word: incident.direction == .inbound ? "inbound" : "outbound")
        line.field("message", text: incident.error.context.text)
        line.field("offset", UInt64(max(incident.error.offset, 0)))
        line.field("value", incident.error.value)
        if incident.error.limit > 0 { line.field("limit", incident.error.limit) }
        line.bytes("bytes", count: Int(incident.count)) { incident[$0] }
        line.end()
    }

    /// The line that stands for further records like one that was printed.
    func appendRepeated(_ entry: RepeatTable.Entry, to buffer: LineBuffer) {
        func open(_ event: StaticString, _ subject: StaticString = "peer") -> LogLine {
            let line = LogLine(
                buffer, format, time: epoch &+ entry.lastAt.nanoseconds, level: LogFormatter.level(of: entry.record), event: event
            )
            if entry.key.isNet {
                line.field("net", word: "\(entry.key.endpoint.address)/\(entry.key.endpoint.address.netBits)")
            } else if entry.key.endpoint.port == 0 {
                line.field(subject, word: entry.key.endpoint.address.description)
            } else {
                line.field(subject, entry.key.endpoint)
            }
            return line
        }
        let line: LogLine
        switch entry.record {
        case .transition(let transition):
            switch transition.subject {
            case .link(_, let from, let to, let direction):
                line = open("link")
                line.field("from", word: from.name)
                line.field("to", word: to.name)
                appendReason(transition, to: line)
                line.field("direction", word: direction == .inbound ? "inbound" : "outbound")
            case .peer(let from, let to):
                line = open("peer")
                line.field("from", word: from.name)
                line.field("to", word: to.name)
                appendReason(transition, to: line)
            }
        case .wireError(let incident):
            line = open("wire-error")
            line.field("reason", word: incident.error.reason.name)
            line.field("direction", word: incident.direction == .inbound ? "inbound" : "outbound")
        case .listenerRests: line = open("listener-rests", "listen")
        case .memoryShort: line = open("memory-short")
        case .memoryClosed: line = open("memory-closed")
        case .bookFull: line = open("book-full")
        case .banFull: line = open("ban-full", "subject")
        }
        line.field("repeated", entry.count)
        line.field("within", entry.lastAt - entry.printedAt)
        line.end()
    }

    func append(_ notice: Notice, at time: UInt64, to buffer: LineBuffer) {
        switch notice {
        case .draining(let signal, let links):
            let line = LogLine(buffer, format, time: time, level: notice.level, event: "draining")
            line.field("signal", word: signal == 0 ? "none" : NodeSignals.name(signal))
            line.field("links", UInt64(links))
            line.end()
        case .ignored(let signal):
            let line = LogLine(buffer, format, time: time, level: notice.level, event: "signal-ignored")
            line.field("signal", word: NodeSignals.name(signal))
            line.end()
        case .stopped(let links, let after):
            let line = LogLine(buffer, format, time: time, level: notice.level, event: "stopped")
            line.field("links", UInt64(links))
            line.field("after", after)
            line.end()
        }
    }

    /// Says how many lines nobody will read.
    func appendLost(_ count: UInt64, at time: UInt64, to buffer: LineBuffer) {
        let line = LogLine(buffer, format, time: time, level: .warning, event: "lost")
        line.field("lines", count)
        line.field("message", text: "the log's reader was too slow; these lines are gone, the links are not")
        line.end()
    }

    /// Says how many lines were above the bound on lines a second.
    func appendLeftOut(_ count: UInt64, at time: UInt64, to buffer: LineBuffer) {
        let line = LogLine(buffer, format, time: time, level: .warning, event: "left-out")
        line.field("lines", count)
        line.field("message", text: "more lines a second than the log's bound; `reactor-node events` shows every transition")
        line.end()
    }

    private func open(_ buffer: LineBuffer, _ transition: Transition, _ event: StaticString) -> LogLine {
        LogLine(
            buffer, format, time: epoch &+ transition.at.nanoseconds, level: LogFormatter.level(of: transition), event: event
        )
    }

    private func appendReason(_ transition: Transition, to line: LogLine) {
        guard let reason = transition.reason else { return }
        line.field("reason", word: reason.name)
        if case .io(let code) = reason { line.field("error", text: SystemError.text(of: code)) }
    }

    private func appendSchedule(_ transition: Transition, to line: LogLine) {
        line.field("role", word: transition.role == .masternode ? "masternode" : "regular")
        guard transition.isPeer else { return }
        line.field("failures", UInt64(transition.failures))
        if transition.next != .never { line.field("next", transition.next - transition.at) }
    }
}

extension LinkState {
    var name: String {
        switch self {
        case .closed: "closed"
        case .connecting: "connecting"
        case .securing: "securing"
        case .greeting: "greeting"
        case .held: "held"
        case .established: "established"
        case .draining: "draining"
        }
    }
}
