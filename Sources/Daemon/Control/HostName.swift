// Whom a request's Host header names: parsed whole, never matched by how it begins.

import PeerMesh

/// The value of a Host header.
enum HostName {
    /// Whether it is `localhost` or a loopback address, with a port or without one.
    static func isLoopback(_ text: some StringProtocol) -> Bool {
        guard let host = withoutPort(text.lowercased()) else { return false }
        if host == "localhost" { return true }
        if host.hasPrefix("["), host.hasSuffix("]") {
            let address = IPAddress(String(host.dropFirst().dropLast()))
            return address?.isLoopback == true && host.contains(":")
        }
        return !host.contains(":") && IPAddress(String(host))?.isLoopback == true
    }

    /// The host; nil if what follows it is not a port.
    private static func withoutPort(_ text: String) -> Substring? {
        let end = text.hasPrefix("[") ? text.firstIndex(of: "]").map(text.index(after:)) : text.firstIndex(of: ":")
        guard let end, end < text.endIndex else { return text[...] }
        guard text[end] == ":" else { return nil }
        let port = text[text.index(after: end)...]
        guard port.isEmpty || port.utf8.first != UInt8(ascii: "+") && UInt16(port) != nil else { return nil }
        return text[..<end]
    }
}
