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
    var inode: UInt64
}

enum SocketTable {
    /// All IPv4 sockets of this network namespace.
    static func read() -> [SocketEntry] {
        guard let data = FileManager.default.contents(atPath: "/proc/net/tcp") else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").dropFirst().compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count > 9, let local = endpoint(words[1]), let remote = endpoint(words[2]),
                let code = UInt8(words[3], radix: 16), let state = SocketEntry.State(rawValue: code),
                let inode = UInt64(words[9])
            else { return nil }
            return SocketEntry(local: local, remote: remote, state: state, inode: inode)
        }
    }

    static func isListening(_ endpoint: Endpoint) -> Bool {
        read().contains { $0.state == .listen && $0.local == endpoint }
    }

    /// `0100007F:1F90`: the address as the host's integer, so on this machine its bytes from the last to the first.
    private static func endpoint(_ text: Substring) -> Endpoint? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let bits = UInt32(parts[0], radix: 16), let port = UInt16(parts[1], radix: 16) else { return nil }
        return Endpoint(IPAddress(v4: UInt32(bigEndian: bits)), port: port)
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
