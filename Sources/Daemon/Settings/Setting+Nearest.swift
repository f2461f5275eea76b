// What a mistyped key may have meant: the nearest name of the table, or today's name of what other nodes call it.

extension Setting {
    /// Keys that operators bring along from other nodes' files, and what says the same here.
    static let strangers: [String: String] = [
        "maxconnections": "max-peers", "maxpeers": "max-peers", "max-connections": "max-peers", "addnode": "peer", "addpeer": "peer",
        "connect": "peer", "persistent-peers": "peer", "externalip": "advertise", "external-address": "advertise", "bind": "listen",
        "port": "listen", "laddr": "listen", "testnet": "network", "regtest": "network", "chain": "network", "datadir": "state-dir",
        "debug": "log-level", "loglevel": "log-level", "bantime": "ban-time", "rpcbind": "control-tcp", "metrics": "control-tcp",
        "timeout": "dial-timeout", "masternodes": "masternode", "peers": "peer",
    ]

    /// The name that `key` most likely stands for. Some name is always nearest; it is a help, not a guess that is acted on.
    public static func nearest(to key: String) -> String {
        // The cost grows with the key's length, which the writer of a file chooses.
        let wanted = key.prefix(64).lowercased().map { $0 == "_" || $0 == "." ? "-" : String($0) }.joined()
        if let known = strangers[wanted] { return known }
        let names = all.map(\.name)
        if let same = names.first(where: { $0 == wanted }) { return same }
        let typed = Array(wanted.utf8)
        return names.min { distance(typed, Array($0.utf8)) < distance(typed, Array($1.utf8)) } ?? "max-peers"
    }

    /// Letters to insert, drop, change, or swap with their neighbour (optimal string alignment).
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var older = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for row in 0..<a.count {
            var line = [row + 1]
            for column in 0..<b.count {
                var best = min(last[column + 1] + 1, line[column] + 1, last[column] + (a[row] == b[column] ? 0 : 1))
                if row > 0, column > 0, a[row] == b[column - 1], a[row - 1] == b[column] { best = min(best, older[column - 1] + 1) }
                line.append(best)
            }
            older = last
            last = line
        }
        return last[b.count]
    }
}
