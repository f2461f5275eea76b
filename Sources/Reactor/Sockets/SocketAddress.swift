// Endpoints to and from the kernel's addresses. The byte order is the shim's business; the mapping of `::ffff:a.b.c.d`
// is `IPAddress`'s own, so an IPv4 peer has one key whatever the listener's family was.

import CEpoll
import PeerMesh

extension Endpoint {
    /// Nil if the kernel's address is of neither family.
    init?(_ address: cepoll_address) {
        switch address.family {
        case 4: self.init(IPAddress(v4: UInt32(truncatingIfNeeded: address.low)), port: address.port)
        case 6: self.init(IPAddress(v6High: address.high, low: address.low), port: address.port)
        default: return nil
        }
    }

    var systemAddress: cepoll_address {
        cepoll_address(high: address.high, low: address.low, port: port, family: UInt16(address.family.rawValue))
    }
}
