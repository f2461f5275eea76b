// By which address others see this node, from what they say in their hellos, and whether that is the one that it states.

import PeerMesh
import Reactor

enum Reach {
    /// An address of ours, and how many of the last peers see us by it.
    struct Seen: Hashable {
        var address: IPAddress
        var peers: Int
    }

    /// The most named first.
    static func seen(_ sightings: [Sighting]) -> [Seen] {
        Dictionary(grouping: sightings, by: \.seenAs).map { Seen(address: $0.key, peers: $0.value.count) }
            .sorted { $0.peers != $1.peers ? $0.peers > $1.peers : $0.address < $1.address }
    }

    /// What an operator must know of it: nobody sees us by the address that we state.
    static func warning(_ seen: [Seen], advertised: Endpoint?) -> String? {
        guard let advertised, let most = seen.first, !seen.contains(where: { $0.address == advertised.address }) else { return nil }
        return "\(advertised) is advertised, and others see this node as \(most.address): if its port is open there, "
            + "--advertise \(Endpoint(most.address, port: advertised.port))"
    }
}
