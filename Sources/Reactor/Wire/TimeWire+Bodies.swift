// The bodies that the native dialect reads: hello, PeersResponse and PeerExchange, as bincode 1.3 writes them. Entries that
// nobody could dial are skipped; only what cannot be parsed breaks the link.

import PeerMesh

extension TimeWire {
    /// A Handshake body: the seed's four fields, then perhaps our extension.
    func handshake(
        _ bytes: RawSpan, _ reader: inout ByteReader, direction: Direction, peers: PeerList
    ) -> Result<Hello, WireError> {
        let magic = reader.big(UInt32.self)
        guard !reader.failed else { return .failure(shortHello(reader)) }
        guard magic == network.magic else {
            return .failure(
                WireError(.wrongNetwork, "hello: magic", offset: 8, value: UInt64(magic), limit: UInt64(network.magic))
            )
        }
        let protocolVersion = reader.little(UInt32.self)
        let nameOffset = reader.offset
        let name = reader.take(reader.little(UInt64.self))
        guard !reader.failed else { return .failure(shortHello(reader)) }
        guard bytes.matches(networkName, at: name) else {
            return .failure(WireError(.wrongNetwork, "hello: network name", offset: nameOffset))
        }
        _ = reader.little(UInt32.self)  // commit_count: how old the seed's software is; none of our business
        guard !reader.failed else { return .failure(shortHello(reader)) }
        let start = reader.offset
        switch HelloExtension.read(&reader, protocolVersion: protocolVersion, peers) {
        case .absent:
            return .success(Hello(isNative: false, version: protocolVersion))
        case .present(let hello):
            guard direction == .outbound || hello.verdict == nil else {
                return .failure(WireError(.protocolViolation, "hello extension: a dialler's verdict", offset: start))
            }
            return .success(hello)
        case .malformed(let what, let value):
            return .failure(WireError(.protocolViolation, what, offset: start, value: value))
        }
    }

    private func shortHello(_ reader: borrowing ByteReader) -> WireError {
        WireError(
            .protocolViolation, "hello: cut short", offset: reader.offset, value: UInt64(reader.remaining)
        )
    }

    /// `Vec<String>`, each an address with its port.
    func peersResponse(
        _ bytes: RawSpan, _ reader: inout ByteReader, into peers: PeerList, end: Int
    ) -> Decoded {
        let count = reader.little(UInt64.self)
        guard count <= PeerList.capacity else { return .broken(tooMany(count)) }
        var index: UInt64 = 0
        while index < count, !reader.failed {
            let text = reader.take(reader.little(UInt64.self))
            // An entry that nobody could dial is skipped: one bad neighbour is no reason to lose the list.
            if let endpoint = Endpoint(ascii: bytes.extracting(text)), endpoint.isDialable { _ = peers.append(endpoint) }
            index += 1
        }
        guard !reader.failed else { return .broken(malformed("PeersResponse", reader)) }
        return .frame(length: end, .peers)
    }

    /// `Vec` of address, count of links, masternode or not, and tier: no port.
    func peerExchange(
        _ bytes: RawSpan, _ reader: inout ByteReader, into peers: PeerList, end: Int
    ) -> Decoded {
        let count = reader.little(UInt64.self)
        guard count <= PeerList.capacity else { return .broken(tooMany(count)) }
        var index: UInt64 = 0
        while index < count, !reader.failed {
            let text = reader.take(reader.little(UInt64.self))
            _ = reader.little(UInt16.self)  // how many links it has
            let isMasternode = reader.byte()
            let hasTier = reader.byte()
            let tier = hasTier == 1 ? reader.little(UInt32.self) : 0
            guard isMasternode <= 1, hasTier <= 1, tier <= 3 else { return .broken(malformed("PeerExchange", reader)) }
            // The seed states no port; roles come from the registry, never from gossip.
            if let address = IPAddress(ascii: bytes.extracting(text)) {
                let endpoint = Endpoint(address, port: defaultPort)
                if endpoint.isDialable { _ = peers.append(endpoint) }
            }
            index += 1
        }
        guard !reader.failed else { return .broken(malformed("PeerExchange", reader)) }
        return .frame(length: end, .peers)
    }

    private func tooMany(_ count: UInt64) -> WireError {
        WireError(
            .protocolViolation, "too many peers in one message", offset: 8, value: count, limit: UInt64(PeerList.capacity)
        )
    }

    func malformed(_ what: StaticString, _ reader: borrowing ByteReader) -> WireError {
        WireError(.protocolViolation, what, offset: reader.offset)
    }
}
