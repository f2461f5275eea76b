// By which address others see this node: each says it in its hello. Nothing is decided by it; people are told.

public import PeerMesh

/// What one peer says of us.
public struct Sighting: Hashable, Sendable, BitwiseCopyable {
    /// The address that it dialled, or that our dial came from.
    public var seenAs: IPAddress
    /// Who says so.
    public var by: IPAddress
}

/// The last sightings, one of each peer's address. O(1) memory, no allocation.
struct SightingTable {
    private static let capacity = 16
    private var rows = [16 of Sighting?](repeating: nil)
    private var next = 0

    mutating func note(_ sighting: Sighting) {
        for index in 0..<Self.capacity where rows[index]?.by == sighting.by {
            rows[index] = sighting
            return
        }
        rows[next] = sighting
        next = (next + 1) % Self.capacity
    }

    func forEach(_ body: (Sighting) -> Void) {
        for index in 0..<Self.capacity { if let row = rows[index] { body(row) } }
    }
}
