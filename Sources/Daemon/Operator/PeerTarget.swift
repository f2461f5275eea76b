// A peer with its port, as operators, files and the store name it: by address or by host name.

import PeerMesh

/// An endpoint, or a host name with its port.
enum PeerTarget: Hashable, Comparable, Sendable, CustomStringConvertible {
    case endpoint(Endpoint)
    case name(PeerName)

    /// Reads `description`. Nil for what cannot be dialled.
    init?(_ text: String) {
        guard let name = PeerName(text) else { return nil }
        if let endpoint = name.endpoint {
            guard endpoint.isDialable else { return nil }
            self = .endpoint(endpoint)
        } else {
            self = .name(name)
        }
    }

    init(_ name: PeerName) { self = name.endpoint.map(PeerTarget.endpoint) ?? .name(name) }

    var endpoint: Endpoint? { if case .endpoint(let endpoint) = self { endpoint } else { nil } }
    var name: PeerName? { if case .name(let name) = self { name } else { nil } }

    var description: String {
        switch self {
        case .endpoint(let endpoint): endpoint.description
        case .name(let name): name.description
        }
    }

    /// Addresses before names.
    static func < (a: PeerTarget, b: PeerTarget) -> Bool {
        switch (a, b) {
        case (.endpoint(let a), .endpoint(let b)): a < b
        case (.name(let a), .name(let b)): a.description < b.description
        case (.endpoint, .name): true
        case (.name, .endpoint): false
        }
    }
}
