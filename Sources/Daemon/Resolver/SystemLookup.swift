// The system's resolver, asked on a thread that may wait.

import CEpoll
import Glibc
import PeerMesh

extension Resolver {
    /// A code beside getaddrinfo's, which are small: no thread could be started.
    static let noThread: CInt = -10_000

    /// getaddrinfo's words for its code.
    static func errorText(_ code: CInt) -> String {
        if code == noThread { return "no thread can be started for the lookup" }
        guard code != 0, let text = unsafe gai_strerror(code) else { return "it has no usable address" }
        return unsafe String(cString: text)
    }

    /// Every TCP address of the name, in the system's order of preference, each once.
    static let system: Lookup = { name in
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_ADDRCONFIG
        var head: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(name.host, nil, &hints, &head)
        guard code == 0 else { return ([], code) }
        defer { unsafe freeaddrinfo(head) }
        var endpoints: [Endpoint] = []
        var next = unsafe head
        while let entry = unsafe next {
            if let endpoint = unsafe Resolver.endpoint(entry.pointee, port: name.port), !endpoints.contains(endpoint) {
                endpoints.append(endpoint)
            }
            unsafe next = entry.pointee.ai_next
        }
        return (endpoints, 0)
    }

    private static func endpoint(_ entry: addrinfo, port: UInt16) -> Endpoint? {
        guard let raw = unsafe entry.ai_addr else { return nil }
        switch unsafe entry.ai_family {
        case AF_INET:
            return unsafe raw.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                unsafe Endpoint(IPAddress(v4: UInt32(bigEndian: $0.pointee.sin_addr.s_addr)), port: port)
            }
        case AF_INET6:
            return unsafe raw.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { v6 in
                let bytes = unsafe UnsafeRawPointer(v6).advanced(by: MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!)
                let high = unsafe UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
                let low = unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                return Endpoint(IPAddress(v6High: high, low: low), port: port)
            }
        default:
            return nil
        }
    }
}
