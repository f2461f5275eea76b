// The core's events as bytes: any bytes are a script, so that a fuzzer may write it. A script names everything by small numbers, and the
// tables are small, so that they fill, and so that strangers meet each other.

import PeerMesh
import Timers

/// A script, read once from its beginning. After its end it reads zeros.
struct EventScript {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        offset += 1
        return bytes[offset - 1]
    }

    mutating func number(below bound: Int) -> Int { Int(byte()) % bound }

    mutating func flag() -> Bool { byte() & 1 == 1 }

    // What events are made of.

    /// Few hosts of few nets, so that addresses and subnets are met again.
    mutating func address() -> IPAddress {
        let index = number(below: 8)
        return switch index {
        case 0...4: IPAddress(v4: 0x0505_0501 + UInt32(index))  // 5.5.5.1 …
        case 5: IPAddress(v4: 0x2e2e_2e01)  // 46.46.46.1
        case 6: IPAddress(v6High: 0x2a02_0000_0000_0000, low: 1)
        default: IPAddress(v4: 0x7f00_0001)
        }
    }

    mutating func endpoint() -> Endpoint {
        let address = address()
        return Endpoint(address, port: UInt16(9_000 + number(below: 3)))
    }

    mutating func optionalEndpoint() -> Endpoint? { flag() ? endpoint() : nil }

    /// The last one is the node's own.
    mutating func nonce() -> UInt64? {
        let index = number(below: 6)
        return index == 0 ? nil : index == 5 ? MeshFuzz.ownNonce : UInt64(index)
    }

    mutating func subnet() -> Subnet {
        let address = address()
        return switch number(below: 4) {
        case 0: Subnet(address, prefix: 24)
        case 1: Subnet(address, prefix: 0)
        default: Subnet(address)
        }
    }

    mutating func span() -> Nanoseconds {
        switch number(below: 8) {
        case 0: .milliseconds(1)
        case 1: .milliseconds(100)
        case 2: .seconds(1)
        case 3: .seconds(5)
        case 4: .seconds(10)
        case 5: .seconds(31)
        case 6: .seconds(301)
        default: .seconds(3_700)
        }
    }

    mutating func reason() -> CloseReason {
        switch number(below: 10) {
        case 0: .remoteClosed
        case 1: .refused
        case 2: .protocolViolation
        case 3: .frameTooLarge
        case 4: .desync
        case 5: .slowConsumer
        case 6: .wrongNetwork
        case 7: .greetingTimeout
        case 8: .operator
        default: .io(Int32(number(below: 4)) + 101)
        }
    }

    mutating func verdict() -> Verdict? {
        switch number(below: 6) {
        case 0: nil
        case 1: .duplicate
        case 2: .full
        case 3: .banned(for: span())
        default: .accepted
        }
    }

    mutating func hello() -> Hello {
        let isNative = number(below: 4) != 0
        let endpoint = optionalEndpoint()
        let nonce = nonce()
        return Hello(isNative: isNative, endpoint: endpoint, nonce: nonce, verdict: verdict(), version: 1)
    }

    mutating func recollection(at now: Instant) -> Recollection {
        switch number(below: 4) {
        case 0: .known
        case 1: .linked
        case 2: .tried
        default: .forgotten(until: now + span())
        }
    }

    mutating func settings() -> MeshSettings {
        let seed = byte()
        var settings = MeshSettings(nonce: MeshFuzz.ownNonce, seed: UInt64(seed))
        let shape = byte()
        settings.role = shape & 1 == 0 ? .masternode : .regular
        settings.isNativeDialect = shape & 6 != 6
        settings.maxPeers = 2 + UInt32(shape >> 3 & 3)
        settings.reservedSlots = UInt32(shape >> 5 & 3)
        // Some tables have bounds that are met, and some of those are large enough to be fought over.
        if seed >= 192 { (settings.regularPerAddress, settings.regularPerSubnet, settings.outboundSlots) = (2, 3, 1) }
        if seed >= 224 { (settings.maxPeers, settings.reservedSlots, settings.regularPerAddress, settings.regularPerSubnet) = (18, 2, 9, 11) }
        settings.pendingLimit = 4
        settings.pendingPerAddress = 3
        settings.drainingLimit = 1 + UInt32(shape >> 7)
        settings.dialLimit = 2
        settings.dialRate = 2
        settings.dialBurst = 3
        settings.bookCapacity = 7
        settings.bookFloor = 2
        settings.banCapacity = 3
        settings.banScore = 40
        settings.regularFailures = 2
        settings.masternodeFailures = 3
        // Short, so that what waits for minutes comes up in a script.
        settings.demotionDelay = .seconds(3)
        settings.stableAfter = .seconds(20)
        settings.passiveWait = .seconds(8)
        settings.shareLimit = 3
        settings.intakeBurst = 4
        settings.jitterPercent = shape & 1 == 0 ? 20 : 0
        return settings
    }

    /// Numbers that a running mesh may take over.
    mutating func renumber(_ settings: inout MeshSettings) {
        switch number(below: 6) {
        case 0: settings.pingInterval = span() + .milliseconds(1)
        case 1: settings.backoffMax = span() + .milliseconds(1)
        case 2: settings.dialRate = 1 + UInt32(number(below: 4))
        case 3: settings.frameTimeout = span()
        case 4: settings.demotionDelay = span()
        default: settings.stableAfter = span()
        }
    }
}
