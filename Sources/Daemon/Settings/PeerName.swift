// A peer as an operator names it: an address and port, or a host name and port. Names become addresses on the
// resolver's thread only; what lives here is their form.

public import PeerMesh

/// `a.b.c.d:port`, `[v6]:port` or `host:port`; the port may be left out where the network has one of its own.
public struct PeerName: Hashable, Sendable, CustomStringConvertible {
    /// The form that `init(_:defaultPort:)` accepts, for messages.
    public static let acceptedForm = "ADDRESS:PORT, [V6ADDRESS]:PORT or HOST:PORT (ports 1 to 65535)"

    /// The address or host name, without brackets.
    public let host: String
    public let port: UInt16
    /// The endpoint, if `host` is an address: nothing to resolve then.
    public let endpoint: Endpoint?

    /// Reads a name. `defaultPort` stands in for a port that is not given; 0 means that it must be.
    public init?(_ text: String, defaultPort: UInt16 = 0) {
        guard let (host, given) = Self.split(text) else { return nil }
        let port = given ?? defaultPort
        guard port != 0 else { return nil }
        if let address = IPAddress(host) {
            self.endpoint = Endpoint(address, port: port)
            self.host = host
        } else {
            guard Self.isHostName(host) else { return nil }
            self.endpoint = nil
            // Host names compare without case (RFC 4343): one name has one text.
            self.host = host.lowercased()
        }
        self.port = port
    }

    /// A name that stands for this machine wherever it is asked (RFC 6761).
    var isLocal: Bool {
        ["localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"].contains(host) || host.hasSuffix(".localhost")
    }

    public var description: String {
        endpoint?.description ?? "\(host):\(port)"
    }

    /// Host and port of `text`; the port is nil if none is given. An IPv6 address with a port stands in brackets.
    private static func split(_ text: String) -> (host: String, port: UInt16?)? {
        if text.hasPrefix("[") {
            guard let close = text.lastIndex(of: "]") else { return nil }
            let host = String(text[text.index(after: text.startIndex)..<close])
            let rest = text[text.index(after: close)...]
            guard host.contains(":") else { return nil }
            if rest.isEmpty { return (host, nil) }
            guard rest.hasPrefix(":"), let port = portNumber(rest.dropFirst()) else { return nil }
            return (host, port)
        }
        switch text.count(where: { $0 == ":" }) {
        case 0:
            return text.isEmpty ? nil : (text, nil)
        case 1:
            let colon = text.firstIndex(of: ":")!
            guard let port = portNumber(text[text.index(after: colon)...]) else { return nil }
            return (String(text[..<colon]), port)
        default:
            return IPAddress(text) == nil ? nil : (text, nil)
        }
    }

    private static func portNumber(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        guard let port = UInt16(text), port != 0 else { return nil }
        return port
    }

    /// Letters, digits, hyphens and dots, as RFC 1123 has it. A name whose last part is a number is a mistyped address: the system's
    /// resolver would read `127.1` and `0x7f000001` as one.
    private static func isHostName(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        var hasLetter = false
        for label in text.split(separator: ".", omittingEmptySubsequences: false) {
            guard !label.isEmpty, label.utf8.count <= 63, !label.hasPrefix("-"), !label.hasSuffix("-") else { return false }
            for byte in label.utf8 {
                switch byte {
                case 0x61...0x7a, 0x41...0x5a: hasLetter = true
                case 0x30...0x39, 0x2d, 0x5f: break
                default: return false
                }
            }
        }
        guard hasLetter, let last = text.split(separator: ".").last else { return false }
        return !last.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } && !last.lowercased().hasPrefix("0x")
    }
}

extension Endpoint {
    /// Why nobody can be dialled here, as the end of a sentence; nil if somebody could be.
    var refusal: String? {
        if port == 0 { return "an endpoint with port 0, which nobody listens on" }
        if address.isUnspecified { return "the unspecified address, which is no host" }
        if address.family == .v4, address.v4Bits >> 24 == 0 { return "an address of 0.0.0.0/8, which is no host" }
        if address.family == .v4, address.v4Bits == .max { return "the broadcast address, which is no host" }
        if address.isMulticast { return "a multicast address, which is no host" }
        if !isDialable { return "an address of no host" }
        if address.family == .v6, address.high >> 54 == 0xfe80 >> 6 { return "a link-local IPv6 address, which needs a zone; give a global or private one" }
        return nil
    }
}
