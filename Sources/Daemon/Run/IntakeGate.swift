// How much of the book one source may fill, however often it reconnects: the mesh counts by link, and a link is cheap. Sources are
// counted by their group, since whoever holds one address of a /16 often holds many.

import PeerMesh
import Timers

/// A bucket of tokens for each group of sources. On the loop's thread; fixed size, no allocation after `init`.
struct IntakeGate {
    private struct Bucket {
        var tokens: UInt32
        var at: Instant
    }

    /// Groups share a bucket if their keyed hashes meet; the key is this process's, so that nobody can arrange it.
    private static let buckets = 4_096
    /// How long each further address takes once the bucket is empty.
    private static let period = Nanoseconds.seconds(60)

    private let key: UInt64
    private let burst: UInt32
    private var table: [Bucket]

    /// A quarter of a book of `capacity` rows at once.
    init(key: UInt64, capacity: UInt32) {
        self.key = key
        burst = max(64, capacity / 4)
        table = Array(repeating: Bucket(tokens: burst, at: .zero), count: IntakeGate.buckets)
    }

    /// Whether another address from `source` is taken now.
    mutating func admits(_ source: IPAddress, at now: Instant) -> Bool {
        let place = Int(SipHash.hash((key, 0), AddressBook.group(source)) % UInt64(IntakeGate.buckets))
        let earned = (now - table[place].at).count / IntakeGate.period.count
        if earned > 0 {
            table[place].tokens = UInt32(min(UInt64(table[place].tokens) + earned, UInt64(burst)))
            table[place].at = now
        }
        guard table[place].tokens > 0 else { return false }
        table[place].tokens -= 1
        return true
    }
}
