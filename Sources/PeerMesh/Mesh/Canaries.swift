// Small wrong versions of the policies, each a failure that a real network went through. A check that cannot fail is a
// defect: for each of these the checker, a simulated world or a scene must fail, and a test asserts that it does.
// Compiled with -D MESH_CANARIES only; absent from every release build.

#if MESH_CANARIES
    public enum Canary: UInt8, CaseIterable, Sendable, BitwiseCopyable {
        /// Discovery dials what waits in its backoff (incidents P1).
        case discoveryRacesBackoff
        /// Any second link is refused at once, at both ends (P2).
        case bothReject
        /// Direction as a gate: the higher side waits for ever (P5).
        case directionIsAGate
        /// A late close touches the newer link of the slot (P8).
        case lateCloseKillsNewer
        /// A superseded link is redialled at once (P9).
        case collisionStorm
        /// A role change forgets to recount (P12).
        case countsBesideTheTable
        /// A closed link stays in its row (P15).
        case staleRow
        /// A miss is noted and never acted upon (P20).
        case livenessTurnedOff
        /// Only peers that were linked once are retried (P29).
        case retryOnlyTheActive
        /// The backoff has no cap (P31).
        case starvation
        /// The backoff has no length (P32).
        case hammer
        /// A TCP connection counts as success (P33).
        case connectIsSuccess
        /// Masternodes beyond the reserve are not wanted.
        case reserveLimitsMasternodes
        /// Inbound always wins, at both ends (L1).
        case mutualKill
        /// A second link of the same direction is kept beside the first.
        case keepBoth
        /// A newcomer is refused without asking the incumbent (model finding F2).
        case noProbe
        /// Sockets that have said nothing take regular slots (model finding F3).
        case pendingTakesSlots
        /// A held newcomer is forgotten when its incumbent is replaced (the model checker's first find).
        case heldIsForgotten
        /// A link that shows a peer's nonce is that peer's, beside the one that it has (rule 6 of the duplicates).
        case surplusJoins
        /// A surplus link is never put to the rule.
        case surplusStays
        /// Failures count while our own network is dead (model finding F19).
        case ownOutageCounts
    }

    extension Mesh {
        func has(_ canary: Canary) -> Bool { settings.canary == canary }
    }
#endif
