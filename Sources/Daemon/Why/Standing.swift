// Where a peer stands, and why: every answer that `why` can give, as one list of cases. A case is found from the verdict that
// the core decides by, and from nothing beside it; its sentence is a template that the manual shows and the answer fills.

import PeerMesh
import Reactor

/// One answer to "why is this peer not linked?".
enum Standing: String, Hashable, Sendable, CaseIterable {
    case linked
    case linkHeld = "link-held"
    case dialing
    case securing
    case greeting
    case ready
    case queuedSlot = "queued-slot"
    case queuedBudget = "queued-dial-budget"
    case queuedRate = "queued-dial-rate"
    case backoff
    case theirTurn = "their-turn"
    case dormant
    case fullThere = "full-there"
    case bannedThere = "banned-there"
    case weakLink = "weak-link"
    case crowded
    case spaced
    case notStarted = "not-started"
    case stopping
    case notWanted = "not-wanted"
    case notChosen = "not-chosen"
    case tooMany = "too-many"
    case banned
    case ourselves
    case forgotten
    case unknown
    case unresolved

    /// The case for a peer of the book. `dial` is the state of its dial's link, if it has one.
    init(_ report: PeerReport, dial: LinkState?) {
        self.init(report.verdict, isHeld: report.held != nil, dial: dial)
    }

    /// The case for a verdict. Every verdict has its own: a new one does not compile until it is explained.
    init(_ verdict: DialVerdict, isHeld: Bool, dial: LinkState?) {
        switch verdict {
        case .yes: self = .ready
        case .no(.alreadyLinked): self = isHeld ? .linkHeld : .linked
        case .no(.dialInFlight): self = Standing.inFlight(dial)
        case .no(.unknownPeer): self = .unknown
        case .no(.banned): self = .banned
        case .no(.off(let why)): self = Standing.off(why)
        case .wait(_, let why): self = Standing.waiting(why)
        case .queue(.slot): self = .queuedSlot
        case .queue(.neighbours): self = .crowded
        case .queue(.dialBudget): self = .queuedBudget
        case .queue(.dialRate): self = .queuedRate
        }
    }

    private static func inFlight(_ dial: LinkState?) -> Standing {
        switch dial {
        case .securing: .securing
        case .greeting, .held, .established: .greeting
        case .connecting, .draining, .closed, nil: .dialing
        }
    }

    private static func waiting(_ why: WaitReason) -> Standing {
        switch why {
        case .backoff: .backoff
        case .theirTurn: .theirTurn
        case .dormant: .dormant
        case .full: .fullThere
        case .bannedThere: .bannedThere
        case .weakLink: .weakLink
        case .spaced: .spaced
        case .crowded: .crowded
        }
    }

    private static func off(_ why: OffReason) -> Standing {
        switch why {
        case .notStarted: .notStarted
        case .stopping: .stopping
        case .notWanted: .notWanted
        case .notChosen: .notChosen
        case .tooMany: .tooMany
        case .banned: .banned
        case .ourselves: .ourselves
        case .forgotten: .forgotten
        }
    }

    /// What is told, with places for the peer's own facts: `{until}` and its like.
    var sentence: String {
        switch self {
        case .linked: "linked for {linked}, {direction}"
        case .linkHeld: "a new link of this peer is held while its older one shows whether it still lives"
        case .dialing: "being dialled for {age}; the connection does not stand yet"
        case .securing: "connected for {age}; the transport is being secured"
        case .greeting: "connected for {age}; the hello is not complete yet"
        case .ready: "nothing stands in the way: it is dialled in this very moment"
        case .queuedSlot: "waits for a slot: all {regular-slots} that regular peers may take are in use"
        case .queuedBudget: "waits for other dials to end: {dial-limit} are in flight, which is the limit; {queued} peers are queued, so within {estimate}"
        case .queuedRate: "waits for the dial rate, {dial-rate} a second; {queued} peers are queued, so within {estimate}"
        case .backoff: "waits {in} before the next dial: {failures} in a row, the last one ended as {reason}"
        case .theirTurn: "it is the other side's turn to dial, as its address is lower; we dial in {in} if it has not"
        case .dormant: "{failures} in a row: dialled at long intervals, next attempt in {in}; the last dial ended as {reason}"
        case .fullThere: "it has no slot for us; asked again in {in}"
        case .bannedThere: "it bans us; dialled again in {in}"
        case .weakLink: "linked by a peer that cannot prove who it is; it is dialled itself in {in}"
        case .crowded: "regular peers at its address or in its subnet have as many links as they may ({per-address}, {per-subnet}); looked at again in {in}"
        case .spaced: "only told of, and others at its address or in its net were dialled shortly before; dialled in {in}"
        case .notStarted: "the node has not begun to dial yet"
        case .stopping: "the node is ending and dials nobody any more"
        case .notWanted: "nobody wants a link to it"
        case .notChosen: "known from other peers, but not chosen: there are enough others for the free slots"
        case .tooMany: "the registry names {registered} masternodes and the table holds {max-peers}: this one is beyond its end"
        case .banned: "banned {until} by {by}, as {subject}"
        case .ourselves: "this address is the node itself"
        case .forgotten: "forgotten after {failed}; it is not learnt again for {in}"
        case .unknown: "this node has never heard of it"
        case .unresolved: "its name leads to no peer yet: {trouble}"
        }
    }

    /// What changes it, in an operator's words; empty where nothing need be done.
    var advice: String {
        switch self {
        case .linked, .linkHeld, .dialing, .securing, .greeting, .ready, .queuedRate, .notStarted, .stopping, .weakLink, .spaced: ""
        case .queuedSlot: "raise --max-peers or lower --reserve"
        case .queuedBudget: "many dials hang: see what the others wait for, or raise --dial-limit"
        case .crowded: "raise --regular-per-address or --regular-per-subnet; `reactor-node connect` links it for ever"
        case .backoff, .dormant: "`reactor-node redial` dials at once; docs/Operating.md says what each reason means"
        case .theirTurn: "`reactor-node redial` dials at once"
        case .fullThere: "raise --max-peers there"
        case .bannedThere: "unban this node there; `reactor-node redial` asks again at once"
        case .notWanted, .notChosen, .forgotten, .unknown: "`reactor-node connect` links it for ever"
        case .tooMany: "raise --max-peers"
        case .banned: "`reactor-node unban` lifts it"
        case .unresolved: "`getent hosts NAME` asks the same resolver"
        case .ourselves: "nothing need be done: a list that all nodes share names this one, too"
        }
    }

    /// What happens next by itself.
    var nextStep: String {
        switch self {
        case .linked: "a ping; a dial only after the link has ended"
        case .linkHeld: "the older link answers, or the new one takes its place"
        case .dialing, .securing, .greeting: "the deadline of this step"
        case .ready: "the dial"
        case .queuedSlot: "the dial, when a regular peer's link ends"
        case .queuedBudget: "the dial, when another one ends"
        case .queuedRate: "the dial, within a second"
        case .backoff, .dormant, .theirTurn, .fullThere, .bannedThere, .weakLink, .spaced, .crowded: "the dial"
        case .notStarted: "the start"
        case .stopping, .notWanted, .unknown: "nothing"
        case .unresolved: "the next lookup of the name"
        case .notChosen: "the next round of discovery may choose it"
        case .tooMany: "nothing, until the registry shrinks"
        case .banned: "the ban's end"
        case .ourselves: "looked at again when the memory of it ends"
        case .forgotten: "its tombstone ends"
        }
    }
}
