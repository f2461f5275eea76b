// Names to addresses, on a thread of its own: getaddrinfo may take seconds and offers no way to hurry it. Requests are one
// atomic flag a name, so that the loop's thread neither locks nor waits; answers go to the loop's mailbox.

import CEpoll
import Glibc
import PeerMesh
import Synchronization
import Timers

/// The addresses behind one name, on their way to the loop. Empty if they could not be found this time.
final class AddressList: Sendable {
    let endpoints: [Endpoint]

    init(_ endpoints: [Endpoint]) { self.endpoints = endpoints }
}

/// Resolves a fixed list of names, again and again, when asked.
final class Resolver: Sendable {
    /// Asks the system for a name's endpoints; an error is getaddrinfo's code.
    typealias Lookup = @Sendable (PeerName) -> (endpoints: [Endpoint], code: CInt)

    private let names: [PeerName]
    private let requests: RequestFlags
    private let doorbell: Doorbell
    private let say: Say
    private let lookup: Lookup
    private let isStopping = Atomic<Bool>(false)

    /// Takes what the resolver has to say, on its thread.
    typealias Say = @Sendable (Notice) -> Void

    /// How long a name that was never resolved waits for its next try: doubled up to the second value.
    private static let firstRetry = Nanoseconds.seconds(1)
    private static let lastRetry = Nanoseconds.seconds(60)

    init(names: [PeerName], lookup: @escaping Lookup = Resolver.system, say: @escaping Say) throws(DaemonError) {
        self.names = names
        self.say = say
        self.lookup = lookup
        requests = RequestFlags(count: names.count)
        doorbell = try Doorbell()
    }

    /// Starts the thread, which resolves every name at once. `deliver` is called there, with the name's index.
    func start(_ deliver: @escaping @Sendable (UInt32, AddressList) -> Void) throws(DaemonError) -> DaemonThread {
        for index in names.indices { requests.raise(index) }
        return try DaemonThread.start("resolver") { self.run(deliver) }
    }

    /// Asks for a name anew. Any thread; asking twice is asking once.
    func request(_ index: Int) {
        requests.raise(index)
        doorbell.ring()
    }

    /// Asks the thread to end when it has a name's answer. Any thread.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        doorbell.ring()
    }

    private func run(_ deliver: @Sendable (UInt32, AddressList) -> Void) {
        // A name that has never had an address has no row in the mesh, and so nobody who would ask again: it retries here.
        var retryAt = names.map { _ in Instant.never }
        var delay = names.map { _ in Resolver.firstRetry }
        var isKnown = names.map { _ in false }
        while !isStopping.load(ordering: .acquiring) {
            for index in names.indices {
                let isDue = retryAt[index] <= Instant(nanoseconds: cepoll_monotonic())
                guard requests.take(index) || isDue, !isStopping.load(ordering: .acquiring) else { continue }
                retryAt[index] = .never
                let (endpoints, code) = lookup(names[index])
                if let first = endpoints.first {
                    if !isKnown[index] { say(.resolved(name: UInt32(index), first, count: UInt32(endpoints.count))) }
                    isKnown[index] = true
                } else {
                    let wait = isKnown[index] ? Nanoseconds.zero : delay[index]
                    say(.unresolved(name: UInt32(index), code: code, retryIn: wait))
                    if !isKnown[index] {
                        retryAt[index] = Instant(nanoseconds: cepoll_monotonic()) + delay[index]
                        delay[index] = min(delay[index] * 2, Resolver.lastRetry)
                        continue
                    }
                }
                deliver(UInt32(index), AddressList(endpoints))
            }
            sleep(until: retryAt.min() ?? .never)
        }
    }

    private func sleep(until deadline: Instant) {
        doorbell.willSleep()
        if !requests.isAnyRaised, !isStopping.load(ordering: .acquiring) {
            let span = deadline - Instant(nanoseconds: cepoll_monotonic())
            let milliseconds = deadline == .never ? -1 : CInt(truncatingIfNeeded: min(span.count / 1_000_000 + 1, 60_000))
            Descriptors.waitReadable(doorbell.descriptor, -1, milliseconds: milliseconds)
        }
        doorbell.didWake()
    }

    /// getaddrinfo's words for its code.
    static func errorText(_ code: CInt) -> String {
        guard code != 0, let text = unsafe gai_strerror(code) else { return "no usable address" }
        return unsafe String(cString: text)
    }

    /// The system's resolver: every TCP address of the name, in its order of preference, each once.
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

/// One flag a name: raised by whoever wants it resolved, taken by the resolver.
@safe
private final class RequestFlags: @unchecked Sendable {
    private let flags: UnsafeMutablePointer<Atomic<Bool>>
    private let count: Int

    init(count: Int) {
        self.count = count
        unsafe flags = .allocate(capacity: max(count, 1))
        for index in 0..<count { unsafe (flags + index).initialize(to: Atomic(false)) }
    }

    deinit {
        unsafe flags.deinitialize(count: count)
        unsafe flags.deallocate()
    }

    func raise(_ index: Int) {
        precondition(index >= 0 && index < count)
        unsafe flags[index].store(true, ordering: .releasing)
    }

    func take(_ index: Int) -> Bool {
        precondition(index >= 0 && index < count)
        return unsafe flags[index].exchange(false, ordering: .acquiring)
    }

    var isAnyRaised: Bool {
        for index in 0..<count where unsafe flags[index].load(ordering: .acquiring) { return true }
        return false
    }
}
