// Whether this machine still has the addresses that the node listens on. A listening socket outlives its address without an error: it
// is only never called again. So the address itself is asked for, by binding another socket to it.

import CEpoll
import Glibc
import PeerMesh
import Synchronization

/// Looks at the addresses of one node's listeners. Any thread but the loop's.
final class ListenWatch: Sendable {
    /// An address on which nobody can listen now.
    struct Gone: Hashable, Sendable {
        let endpoint: Endpoint
        /// Why, as a sentence without its subject.
        let why: String
    }

    private struct State {
        var bound: [Endpoint] = []
        var gone: [Gone] = []
    }

    private let state = Mutex(State())
    private let refusal: @Sendable (Endpoint) -> String?
    private let say: @Sendable (StartLines) -> Void

    /// `refusal` says why nothing can listen at an address; nil if something can, or does.
    init(refusal: @escaping @Sendable (Endpoint) -> String? = ListenWatch.refusal, say: @escaping @Sendable (StartLines) -> Void) {
        self.refusal = refusal
        self.say = say
    }

    /// The node listens there from now on.
    func watch(_ bound: [Endpoint]) {
        state.withLock { $0.bound = bound }
    }

    /// Asks the system, and tells the log what changed. The addresses that are gone.
    @discardableResult
    func check() -> [Gone] {
        state.withLock { state in
            let found = state.bound.compactMap { endpoint in refusal(endpoint).map { Gone(endpoint: endpoint, why: $0) } }
            var lines = StartLines()
            for gone in found where !state.gone.contains(gone) {
                lines.add(
                    .error, "listen-gone", ("listen", .endpoint(gone.endpoint)),
                    ("message", .text("nobody can reach the node there: \(gone.why); it listens again by itself when the address is back"))
                )
            }
            for before in state.gone where !found.contains(where: { $0.endpoint == before.endpoint }) {
                lines.add(.info, "listen-back", ("listen", .endpoint(before.endpoint)), ("message", .text("the address can be listened on again")))
            }
            state.gone = found
            if !lines.lines.isEmpty { say(lines) }
            return found
        }
    }

    /// Asks the system by binding to any port of the address: the given one is the node's own.
    static func refusal(of endpoint: Endpoint) -> String? {
        let descriptor = cepoll_tcp(CInt(endpoint.address.family.rawValue))
        guard descriptor >= 0 else { return "whether it can be listened on is not known: no socket can be made (\(systemText(-descriptor)))" }
        defer { Descriptors.close(descriptor) }
        let address = cepoll_address(
            high: endpoint.address.high, low: endpoint.address.low, port: 0, family: UInt16(endpoint.address.family.rawValue)
        )
        let result = cepoll_bind(descriptor, address)
        guard result < 0 else { return nil }
        return -result == EADDRNOTAVAIL ? "this machine does not have this address; `ip address` lists those it has" : systemText(-result)
    }
}
