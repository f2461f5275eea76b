// A network of real processes: five masternodes and five regular nodes on 127.0.1.1 … 127.0.1.10. What stands between them is
// counted from the kernel's socket table, never from what the nodes say of themselves.

import Foundation
import PeerMesh
import Testing

/// Ten nodes, one port, ten addresses.
final class Cluster: @unchecked Sendable {
    static let masternodeCount = 5
    let endpoints: [Endpoint]
    private(set) var nodes: [Node?]
    let more: [String]

    var masternodes: ArraySlice<Endpoint> { endpoints.prefix(Cluster.masternodeCount) }
    /// Every pair that must hold a link: the masternodes among themselves, and each regular node with each of them.
    var meshPairs: [Pair] {
        let heads = Array(masternodes)
        return heads.indices.flatMap { a in heads.indices.filter { $0 > a }.map { Pair(heads[a].address, heads[$0].address) } }
    }

    init(size: Int = 10, more: [String] = []) {
        let port = Ports.next()
        endpoints = (1...size).map { Endpoint(IPAddress(v4: 127, 0, 1, UInt8($0)), port: port) }
        nodes = Array(repeating: nil, count: size)
        self.more = more
    }

    func arguments(_ index: Int) -> [String] {
        let isMasternode = index < Cluster.masternodeCount
        var arguments = ["--advertise", "\(endpoints[index])", "--role", isMasternode ? "masternode" : "regular"]
        for (other, endpoint) in endpoints.enumerated() where other != index {
            if other < Cluster.masternodeCount { arguments += ["--masternode", "\(endpoint)"] }
            // The regular nodes all name each other: their dials cross, and no rule says whose turn it is.
            if !isMasternode, other >= Cluster.masternodeCount { arguments += ["--peer", "\(endpoint)"] }
        }
        return arguments + more
    }

    /// The defaults but for the waits, which are short, so that healing is; the lower masternode's turn keeps its 30 s.
    static let timings = [
        "--backoff-initial", "300ms", "--backoff-max", "2s", "--discovery-interval", "5s", "--ping-interval", "2s", "--pong-timeout", "2s",
    ]

    /// Starts all of them as close to the same instant as one thread can.
    func startAll() throws {
        nodes = try endpoints.indices.map { index in
            try Node(spawning: endpoints[index], network: "reactor", timings: Cluster.timings, arguments(index))
        }
    }

    func stopAll() {
        for node in nodes { node?.process.signal(SIGKILL) }
        for node in nodes { node?.kill() }
        nodes = Array(repeating: nil, count: endpoints.count)
        // Their sockets are gone before the next start binds the same ports.
        _ = Clock.poll(limit: 90) { !SocketTable.read().contains { endpoints.contains($0.local) && $0.state == .listen } }
    }

    func kill(_ indices: [Int]) {
        for index in indices { nodes[index]?.process.signal(SIGKILL) }
        for index in indices { nodes[index]?.kill() }
    }

    func restart(_ indices: [Int]) throws {
        for index in indices { try nodes[index]?.restartAtOnce() }
    }

    var connections: [Pair: [PairConnection]] { SocketTable.connections(among: endpoints) }

    /// What keeps the masternodes from being a full mesh with one whole link a pair; empty if nothing does.
    func faults(in connections: [Pair: [PairConnection]]) -> [String] {
        meshPairs.compactMap { pair in
            let links = connections[pair] ?? []
            return links.count == 1 && links[0].isWhole ? nil : "\(pair): \(links.count) links"
        }
    }

    /// Regular nodes name each other and the masternodes: their links are single too.
    func surplus(in connections: [Pair: [PairConnection]]) -> [String] {
        connections.compactMap { $1.count > 1 ? "\($0): \($1.count) links" : nil }
    }

    func waitForMesh(limit: Double = 60) throws {
        var last: [String] = []
        let whole = Clock.poll(limit: limit, every: 0.1) {
            let now = connections
            last = faults(in: now) + surplus(in: now)
            return last.isEmpty
        }
        guard whole else { throw Child.Failure.timeout("no full mesh within \(limit) s: \(last.sorted())\n\(tails())") }
    }

    /// How many of the nodes' lines satisfy `predicate`.
    func count(where predicate: (LogLine) -> Bool) -> Int {
        nodes.reduce(0) { $0 + ($1?.process.lines().count(where: predicate) ?? 0) }
    }

    func tails() -> String {
        nodes.compactMap { node in
            node.map { "\($0.process.name), \($0.process.isRunning ? "runs" : "ended"):\n    " + $0.process.lines().suffix(6).map(\.text).joined(separator: "\n    ") }
        }.joined(separator: "\n")
    }

    deinit { stopAll() }
}

@Suite("ten processes", .serialized)
struct ClusterTests {
    private static func number(_ name: String, default value: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap(Int.init) ?? value
    }

    static let starts = number("REACTOR_STARTS", default: 5)
    static let seconds = Double(number("REACTOR_START_SECONDS", default: 20))

    @Test("masternodes form a full mesh that the lower addresses dialled, and any three that are killed are linked again", .timeLimit(.minutes(5)))
    func heals() async throws {
        try await onThread {
            let cluster = Cluster()
            try cluster.startAll()
            try cluster.waitForMesh()
            for (pair, links) in cluster.connections where cluster.meshPairs.contains(pair) {
                #expect(links.first?.source.address == pair.low, "\(pair) was dialled by \(links.map(\.source))")
            }
            let everyone = Set(cluster.endpoints.indices)
            for round in 0..<3 {
                let victims = Array(everyone.shuffled().prefix(3)).sorted()
                cluster.kill(victims)
                let addresses = Set(victims.map { cluster.endpoints[$0].address })
                let gone = Clock.poll(limit: 90) {
                    !cluster.connections.keys.contains { addresses.contains($0.low) || addresses.contains($0.high) }
                }
                #expect(gone, "the kernel still lists links of killed nodes")
                // Those that live on are a full mesh all the while.
                let standing = cluster.connections
                for pair in cluster.meshPairs where !addresses.contains(pair.low) && !addresses.contains(pair.high) {
                    #expect(standing[pair]?.count == 1, "round \(round), \(victims) down: \(pair)")
                }
                try cluster.restart(victims)
                try cluster.waitForMesh(limit: 60)
            }
        }
    }

    @Test("started at the same instant, a pair has two links for two seconds at most, and both ends keep the same one", .timeLimit(.minutes(30)))
    func simultaneousStarts() async throws {
        try await onThread {
            for start in 0..<Self.starts {
                let cluster = Cluster()
                try cluster.startAll()
                let begin = Clock.seconds
                /// Since when a pair has had two links.
                var doubledSince: [Pair: Double] = [:]
                var longest: (pair: Pair, seconds: Double)?
                var crossings: Set<Pair> = []
                var samples = 0
                while Clock.seconds - begin < Self.seconds {
                    let now = Clock.seconds
                    let sample = cluster.connections
                    samples += 1
                    for (pair, links) in sample where links.count > 1 {
                        #expect(links.count == 2, "start \(start): \(pair) holds \(links)")
                        crossings.insert(pair)
                        let since = doubledSince[pair] ?? now
                        doubledSince[pair] = since
                        if now - since > longest?.seconds ?? 0 { longest = (pair, now - since) }
                    }
                    for pair in doubledSince.keys where sample[pair]?.count ?? 0 < 2 { doubledSince[pair] = nil }
                    usleep(50_000)
                }
                if let longest { #expect(longest.seconds <= 2, "start \(start): \(longest.pair) had two links for \(longest.seconds) s") }
                #expect(Double(samples) > Self.seconds, "too few samples to say anything: \(samples)")
                try cluster.waitForMesh(limit: 90)
                // The one link of each pair is whole: established at both ends, under one name, and it stays.
                let settled = cluster.connections
                usleep(1_500_000)
                let later = cluster.connections
                for (pair, links) in settled {
                    #expect(links.count == 1 && links[0].isWhole, "start \(start): \(pair) \(links)")
                    #expect(later[pair] == links, "start \(start): \(pair) changed from \(links) to \(later[pair] ?? [])")
                }
                let yielded = cluster.count { $0["reason"] == "superseded" || $0["reason"] == "duplicate" }
                print("start \(start + 1) of \(Self.starts): \(settled.count) links; \(crossings.count) pairs seen with two, for \(longest?.seconds ?? 0) s at most; \(yielded) log lines of links that yielded")
                cluster.stopAll()
            }
        }
    }
}
