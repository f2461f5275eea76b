// The kernel's own list of TCP sockets. What a node says of its links is checked against this.

import Foundation
import PeerMesh

/// One line of /proc/net/tcp.
struct SocketEntry: Hashable, Sendable {
    enum State: UInt8 {
        case established = 1, synSent, synReceived, finWait1, finWait2, timeWait, close, closeWait, lastAck, listen, closing
    }

    var local: Endpoint
    var remote: Endpoint
    var state: State
}

enum SocketTable {
    /// The IPv4 sockets of this network namespace, each once; those that are established or listen, unless all are asked for.
    static func read(all: Bool = false) -> [SocketEntry] {
        let bytes = text()
        var entries: [SocketEntry] = []
        var seen: Set<SocketEntry> = []
        var start = (bytes.firstIndex(of: 10) ?? bytes.count - 1) + 1
        // A line is `sl: local remote st …`; its columns are fixed but for the first.
        bytes.withUnsafeBufferPointer { bytes in
            while start + 34 < bytes.count {
                let end = bytes[start...].firstIndex(of: 10) ?? bytes.count
                defer { start = end + 1 }
                guard let colon = bytes[start..<end].firstIndex(of: 58), colon + 33 < end else { continue }
                let first = colon + 2
                guard let state = SocketEntry.State(rawValue: UInt8(hex(bytes, first + 28, 2))),
                    all || state == .established || state == .listen
                else { continue }
                let entry = SocketEntry(local: endpoint(bytes, first), remote: endpoint(bytes, first + 14), state: state)
                // The kernel walks its table a page at a time, and may tell of one socket twice when the table changes.
                if seen.insert(entry).inserted { entries.append(entry) }
            }
        }
        return entries
    }

    /// `0100007F:1F90`: the address as the host's integer, so on this machine its bytes from the last to the first.
    private static func endpoint(_ bytes: UnsafeBufferPointer<UInt8>, _ offset: Int) -> Endpoint {
        Endpoint(
            IPAddress(v4: UInt32(truncatingIfNeeded: hex(bytes, offset, 8)).byteSwapped),
            port: UInt16(truncatingIfNeeded: hex(bytes, offset + 9, 4))
        )
    }

    private static func hex(_ bytes: UnsafeBufferPointer<UInt8>, _ offset: Int, _ count: Int) -> Int {
        var value = 0
        for index in offset..<offset + count {
            let byte = Int(bytes[index])
            value = value << 4 | (byte <= 57 ? byte - 48 : byte - 55)
        }
        return value
    }

    /// The file, to its end: the kernel gives it out a page at a time, and states no size.
    private static func text() -> [UInt8] {
        let descriptor = open("/proc/net/tcp", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return text }
            text.append(contentsOf: buffer[..<count])
        }
    }

    static func isListening(_ endpoint: Endpoint) -> Bool {
        read().contains { $0.state == .listen && $0.local == endpoint }
    }
}

/// A TCP connection between two of the given nodes, as the kernel sees it: who dialled, and from which port.
struct PairConnection: Hashable, Sendable {
    /// The dialler's own end, with its ephemeral port: the connection's name at both ends.
    var source: Endpoint
    /// The listener that was dialled.
    var target: Endpoint
    /// Both ends are established; false while one end is on its way in or out.
    var isWhole: Bool
}

extension SocketTable {
    /// The connections among `nodes` (addresses on which each listens, with the listener's port), by unordered pair.
    static func connections(among nodes: [Endpoint]) -> [Pair: [PairConnection]] {
        let table = read()
        let listeners = Set(nodes)
        let addresses = Set(nodes.map(\.address))
        let established = Set(table.filter { $0.state == .established }.map { [$0.local, $0.remote] })
        var found: [Pair: [PairConnection]] = [:]
        for entry in table where entry.state == .established {
            // The dialler's side: its remote is a listener, its local port is not.
            guard listeners.contains(entry.remote), addresses.contains(entry.local.address), !listeners.contains(entry.local),
                entry.local.address != entry.remote.address
            else { continue }
            let connection = PairConnection(
                source: entry.local, target: entry.remote, isWhole: established.contains([entry.remote, entry.local])
            )
            found[Pair(entry.local.address, entry.remote.address), default: []].append(connection)
        }
        return found
    }
}

/// Two addresses, in order.
struct Pair: Hashable, Comparable, Sendable, CustomStringConvertible {
    let low: IPAddress
    let high: IPAddress

    init(_ a: IPAddress, _ b: IPAddress) {
        (low, high) = a < b ? (a, b) : (b, a)
    }

    static func < (a: Pair, b: Pair) -> Bool { (a.low, a.high) < (b.low, b.high) }
    var description: String { "\(low)–\(high)" }
}
